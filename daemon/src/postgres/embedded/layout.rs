//! Where the files of a private cluster stand, and whose they are.
//!
//! `postgres/` belongs to the server's account, which may be a lesser one than ours: we write nothing in there, because
//! that account could put a link in a file's place. `server/` is ours: what the server is configured by, its log, and the
//! lock. The server reads the one and is handed the other.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{EmbeddedError, account::Account, settings};
use crate::postgres::data_dir::{DataDir, let_through, lock_file, open_there};

/// What a server notes of itself takes a few lines.
const SMALL_MAX: u64 = 4096;

/// The files of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) account: Account,
    /// The data directory of the daemon.
    pub(super) directory: PathBuf,
    /// The server's own, which only its account can enter.
    pub(super) home: PathBuf,
    /// The cluster itself.
    pub(super) data: PathBuf,
    /// Ours.
    server: PathBuf,
}

impl Layout {
    /// Makes the directories, and makes sure that the server's account can reach them.
    pub(super) fn prepare(directory: &DataDir) -> Result<Self, EmbeddedError> {
        let layout = Self::of(directory.path().to_owned())?;
        let make = || -> io::Result<()> {
            if layout.account.is_lesser() {
                let_through(&layout.directory)?;
            }
            make_dir(&layout.home, 0o700)?;
            layout.account.own(&layout.home)?;
            make_dir(&layout.server, 0o755)?;
            // Whatever the umask: the server's account reads what stands in it.
            fs::set_permissions(&layout.server, Permissions::from_mode(0o755))
        };
        make().map_err(|error| EmbeddedError::Files(layout.home.clone(), error))?;
        layout.check_reach()?;
        Ok(layout)
    }

    /// Where things are or would be; nothing is made.
    pub(super) fn of(directory: PathBuf) -> Result<Self, EmbeddedError> {
        let home = directory.join("postgres");
        let owner = match fs::symlink_metadata(&home) {
            // A directory of root's is one that was made and not yet handed over.
            Ok(there) => Some(there.uid()).filter(|uid| *uid != 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(EmbeddedError::Files(home, error)),
        };
        let account = Account::find(&home, owner)?;
        let server = directory.join("server");
        Ok(Self { account, data: home.join("data"), directory, home, server })
    }

    fn check_reach(&self) -> Result<(), EmbeddedError> {
        let enter = self
            .account
            .command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\" 2>/dev/null", "sh"])
            .arg(&self.home)
            .status();
        match enter {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => {
                Err(EmbeddedError::Closed { path: self.home.clone(), user: self.account.name().to_owned() })
            }
            Err(error) => Err(EmbeddedError::Account(error)),
        }
    }

    /// What whoever works on the cluster holds: a daemon, `initdb`, or the watchdog of a daemon that is gone.
    pub(super) fn lock(&self) -> Result<File, EmbeddedError> {
        let path = self.server.join("lock");
        lock_file(&path).map_err(|error| EmbeddedError::Files(path, error))
    }

    /// What says that the cluster is being restored, and is not whole yet.
    pub(super) fn restore_note(&self) -> PathBuf {
        self.server.join("restoring")
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.server.join("server.log")
    }

    /// Opens the log, to be handed to programs that write to it.
    pub(super) fn open_log(&self) -> Result<File, EmbeddedError> {
        let path = self.log();
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        log.map_err(|error| EmbeddedError::Files(path, error))
    }

    /// Starts a log of its own for each life of the daemon and keeps the one before, so that logs stay bounded.
    pub(super) fn rotate_log(&self) -> Result<(), EmbeddedError> {
        let path = self.log();
        if !path.exists() {
            return Ok(());
        }
        let old = self.server.join("server.log.1");
        fs::rename(&path, old).map_err(|error| EmbeddedError::Files(path, error))
    }

    /// What the server is configured by: who may connect, who is who, and all else.
    pub(super) fn configuration(&self) -> [PathBuf; 3] {
        ["pg_hba.conf", "pg_ident.conf", "postgresql.conf"].map(|name| self.server.join(name))
    }

    /// Writes what the server is configured by. The answer is how to start it with that.
    pub(super) fn configure(&self, socket_dir: &Path) -> Result<String, EmbeddedError> {
        let write = |path: &Path, text: String| {
            let write = || {
                fs::write(path, text)?;
                fs::set_permissions(path, Permissions::from_mode(0o644))
            };
            write().map_err(|error| EmbeddedError::Files(path.to_owned(), error))
        };
        let [access, users, main] = self.configuration();
        write(&access, settings::access())?;
        write(&users, settings::users(self.account.client()))?;
        write(&main, settings::main(socket_dir, &access, &users))?;
        Ok(settings::start_options(&main))
    }

    /// The version that the cluster was made by; none if there is no cluster yet.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.data.join("PG_VERSION");
        match read_small(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => {
                    Err(EmbeddedError::Files(path, io::Error::other("it does not hold a version's number")))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EmbeddedError::Files(path, error)),
        }
    }

    /// What a server has noted of itself, which may be stale.
    pub(super) fn noted(&self) -> Option<PidFile> {
        let text = read_small(&self.data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let socket_dir = PathBuf::from(lines.nth(4)?);
        let is_stopping = lines.nth(2).is_some_and(|state| state.trim() == "stopping");
        Some(PidFile { socket_dir, is_stopping })
    }

    /// Why the server did not start: its own words where it had any.
    pub(super) fn last_words(&self) -> Option<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines()
            .rev()
            .find_map(|line| line.split_once("FATAL:").map(|(_, why)| why.trim().to_owned()))
            .or_else(|| log.lines().rfind(|line| line.starts_with("pg_ctl:")).map(str::to_owned))
    }
}

/// The pid file of a server.
pub(super) struct PidFile {
    pub(super) socket_dir: PathBuf,
    /// It was told to stop and lets no more connections in.
    pub(super) is_stopping: bool,
}

/// A small file in the server's own directory, whose account may put anything in its place while root reads it: a link, a
/// pipe that nobody writes to, a device without end.
fn read_small(path: &Path) -> io::Result<String> {
    let file = open_there(path, OFlags::NONBLOCK)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    file.take(SMALL_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_stands_where_a_file_should_is_neither_waited_for_nor_read_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "4711\n/data").unwrap();
        assert_eq!(read_small(&path("file")).unwrap(), "4711\n/data");
        fs::write(path("long"), "x".repeat(1 << 20)).unwrap();
        assert_eq!(read_small(&path("long")).unwrap().len(), 4096);
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        symlink("/dev/zero", path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        for name in ["pipe", "link", "folder", "nothing"] {
            assert!(read_small(&path(name)).is_err(), "{name}");
        }
        assert_eq!(read_small(&path("pipe")).unwrap_err().to_string(), "it is no file");
        let _device = read_small(Path::new("/dev/zero")).unwrap_err();
    }
}
