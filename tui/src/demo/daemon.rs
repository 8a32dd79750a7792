//! The demo's own daemon: a child in a directory of its own, both gone when the demo ends.

use std::{
    env, fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use leadline_client::{Address, Client};
use tokio::{
    process::{Child, Command},
    time::{Instant, interval, timeout},
};
use ulid::Ulid;

use crate::cli::{CliError, print, report};

/// The first start makes a database cluster, which takes a while on a slow disk.
const START_MAX: Duration = Duration::from_secs(90);
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
const LOG: &str = "leadlined.log";

/// A running `leadlined` that ends with this value.
#[derive(Debug)]
pub(super) struct DemoDaemon {
    child: Child,
    // Declared behind the child, so that a drop kills before it removes.
    dir: Directory,
}

impl DemoDaemon {
    /// Starts the daemon beside this program. It is not ready yet.
    pub(super) fn start() -> Result<Self, CliError> {
        let program = beside()?;
        let dir = Directory::create()?;
        let log = fs::File::create(dir.0.join(LOG)).map_err(CliError::io("cannot write the daemon's log"))?;
        let errors = log.try_clone().map_err(CliError::io("cannot write the daemon's log"))?;
        print(&format!("starting {} in {}\n", program.display(), dir.0.display()))?;
        let mut command = Command::new(&program);
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            // What steers the operator's own daemon must not reach this one.
            if name.starts_with("LEADLINE_") && name != "LEADLINE_PG_BIN" {
                command.env_remove(&*name);
            }
        }
        let child = command
            .arg("--data-dir")
            .arg(&dir.0)
            .args([
                // Root's demo writes where root removes it.
                "--user",
                "root",
                "--intake-listen",
                "127.0.0.1:0",
                "--admin-listen",
                "off",
                "--allow-egress",
                "127.0.0.0/8",
            ])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C on the terminal is for us alone; we stop the daemon in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(CliError::io(format!("cannot start {}", program.display())))?;
        Ok(Self { child, dir })
    }

    /// Waits until intake and control answer.
    pub(super) async fn ready(&mut self) -> Result<(Client, SocketAddr), CliError> {
        let started = Instant::now();
        let mut poll = interval(POLL);
        let mut seconds = 0;
        loop {
            poll.tick().await;
            let ended = self.child.try_wait().map_err(CliError::io("cannot watch the daemon"))?;
            if let Some(status) = ended {
                return Err(self.ended(status));
            }
            if let Some(address) = self.intake_address()
                && let Ok(client) = Client::connect(Address::in_data_dir(&self.dir.0)).await
            {
                return Ok((client, address));
            }
            let waited = started.elapsed();
            if waited > START_MAX {
                let (limit, last) = (START_MAX.as_secs(), self.last_words());
                return Err(CliError::Failed(format!("leadlined is not ready after {limit} s: {last}")));
            }
            if waited.as_secs() > seconds {
                seconds = waited.as_secs();
                print(&format!("  making its database, {seconds} s\n"))?;
            }
        }
    }

    /// Completes if the daemon ends before it is told to.
    pub(super) async fn died(&mut self) -> CliError {
        match self.child.wait().await {
            Ok(status) => self.ended(status),
            Err(cause) => CliError::Io { doing: "cannot watch the daemon".to_owned(), cause },
        }
    }

    /// Stops the daemon in order, by force if that takes too long, and removes its directory.
    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        let stopping = CliError::io("cannot stop the daemon");
        if let Some(pid) = self.child.id() {
            // The standard library can only kill, which would leave the database to its watchdog.
            let asked =
                Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid.to_string()]).status().await;
            let obeyed = asked.is_ok_and(|status| status.success())
                && timeout(STOP_MAX, self.child.wait()).await.is_ok();
            if !obeyed {
                self.child.kill().await.map_err(stopping)?;
            }
        }
        self.dir.remove().await
    }

    fn intake_address(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.dir.0.join("intake.addr")).ok()?.trim().parse().ok()
    }

    fn ended(&self, status: ExitStatus) -> CliError {
        CliError::Failed(format!("leadlined has ended ({status}): {}", self.last_words()))
    }

    fn last_words(&self) -> String {
        match fs::read_to_string(self.dir.0.join(LOG)) {
            Ok(log) => match log.lines().rev().find(|line| !line.trim().is_empty()) {
                Some(line) => line.trim().to_owned(),
                None => "it logged nothing".to_owned(),
            },
            Err(error) => format!("its log cannot be read: {error}"),
        }
    }
}

fn beside() -> Result<PathBuf, CliError> {
    let this = env::current_exe().map_err(CliError::io("cannot tell where this program is"))?;
    let program = this.with_file_name("leadlined");
    if program.is_file() {
        return Ok(program);
    }
    Err(CliError::Failed(format!("there is no {}; `cargo build` makes it", program.display())))
}

/// A directory that is removed when it is dropped.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    /// Makes one that others may pass through but not read: root's database runs as another user.
    fn create() -> Result<Self, CliError> {
        let places = [env::temp_dir(), PathBuf::from("/tmp")];
        let parent = parent(&places)?;
        let id = Ulid::generate().to_string().to_lowercase();
        // Paths of unix sockets are short of room.
        let dir = parent.join(format!("leadline-{}", &id[18..]));
        let making = format!("cannot make {}", dir.display());
        fs::DirBuilder::new().mode(0o711).create(&dir).map_err(CliError::io(making.clone()))?;
        let dir = Self(dir);
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o711)).map_err(CliError::io(making))?;
        Ok(dir)
    }

    /// A database that was killed may still be writing for a moment.
    async fn remove(self) -> Result<(), CliError> {
        let mut poll = interval(POLL);
        let mut tries = 40;
        loop {
            poll.tick().await;
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(_) if tries > 0 => tries -= 1,
                Err(cause) => {
                    return Err(CliError::Io {
                        doing: format!("remove {} by hand", self.0.display()),
                        cause,
                    });
                }
            }
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            report(&format!("leadline: remove {} by hand: {error}", self.0.display()));
        }
    }
}

/// The first place for temporary files that every user can reach.
fn parent(places: &[PathBuf]) -> Result<&Path, CliError> {
    let found = places.iter().find(|place| place.ancestors().all(is_open));
    found.map(PathBuf::as_path).ok_or_else(|| {
        CliError::Failed(
            "no directory for temporary files is open to all users; set TMPDIR to one".to_owned(),
        )
    })
}

/// A plain user's own directory will do for that user; for root only what others can pass through will.
fn is_open(dir: &Path) -> bool {
    let Ok(meta) = fs::metadata(dir) else { return dir.as_os_str().is_empty() };
    meta.mode() & 0o001 != 0 || meta.uid() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_goes_with_its_contents() {
        let dir = Directory::create().unwrap();
        let path = dir.0.clone();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o711);
        fs::create_dir(path.join("in")).unwrap();
        fs::write(path.join("in/file"), "x").unwrap();
        dir.remove().await.unwrap();
        assert!(!path.exists());
        let dropped = Directory::create().unwrap();
        let path = dropped.0.clone();
        drop(dropped);
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_is_closed_to_others_is_passed_over() {
        let outer = Directory::create().unwrap();
        let open = outer.0.clone();
        let missing = open.join("missing");
        assert_eq!(parent(&[missing, open.clone()]).unwrap(), open);
        assert!(parent(&[]).is_err());
    }
}
