//! The daemon's data directory, and the lock that makes one daemon its only user.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::user;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "another daemon uses the data directory {}: stop it, or choose another with --data-dir", .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "the data directory {path} belongs to {owner}: start the daemon as {owner}, or choose another with --data-dir",
        path = .path.display()
    )]
    Foreign { path: PathBuf, owner: String },
    #[error("cannot use the data directory {}: choose one that can be written with --data-dir", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
}

/// A data directory that is ours for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held, never read: the lock ends with the process, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be and locks it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |error| DataDirError::Unusable(path.to_owned(), error);
        fs::create_dir_all(path).map_err(unusable)?;
        // The server's processes start in `/`, so no path may be relative.
        let path = path.canonicalize().map_err(unusable)?;
        let unusable = |error| DataDirError::Unusable(path.clone(), error);
        check_owner(&path, user::is_root())?;
        let lock = lock_file(&path.join("daemon.lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Writes where a door is to a file, such as `intake.addr`, for programs that started this daemon on any free port.
    pub fn announce(&self, file: &str, address: SocketAddr) -> io::Result<()> {
        let path = self.path.join(file);
        let new = path.with_added_extension("new");
        fs::write(&new, format!("{address}\n"))?;
        fs::rename(new, path)
    }

    /// Where it is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a daemon runs on a directory. Nothing is made.
#[must_use]
pub fn is_in_use(path: &Path) -> bool {
    // Root asks this, too, of a directory in which another user may have put a link or a pipe.
    let lock = open_there(&path.join("daemon.lock"), OFlags::NONBLOCK);
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Opens for reading what stands there, and not what a link leads to.
pub(crate) fn open_there(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | more).bits()).map_err(io::Error::other)?;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// What root writes in another user's directory, that user could turn against root; and what root makes there, the user
/// could not use afterwards.
fn check_owner(path: &Path, is_root: bool) -> Result<(), DataDirError> {
    let owner = fs::metadata(path).map_err(|error| DataDirError::Unusable(path.to_owned(), error))?.uid();
    if is_root && owner != 0 {
        return Err(DataDirError::Foreign { path: path.to_owned(), owner: user::name(owner) });
    }
    Ok(())
}

/// Opens a file that exists to be locked. What it holds is of no interest, so it is never truncated.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Makes a directory that only its owner can enter, under a name that nobody can guess and occupy.
pub(super) fn private_temp_dir(parent: &Path) -> io::Result<PathBuf> {
    let path = parent.join(format!("leadline-{:08x}", rand::random::<u32>()));
    DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// Lets other users pass through a directory without reading it.
pub(super) fn let_through(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o001 == 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o011))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_has_gone() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataDir::open(temp.path()).unwrap();
        let refused = DataDir::open(temp.path()).unwrap_err();
        let expected = format!(
            "another daemon uses the data directory {}: stop it, or choose another with --data-dir",
            temp.path().display()
        );
        assert_eq!(refused.to_string(), expected);
        assert!(is_in_use(temp.path()));
        drop(first);
        assert!(!is_in_use(temp.path()));
        DataDir::open(temp.path()).unwrap();
    }

    #[test]
    fn root_leaves_the_directories_of_others_alone() {
        let temp = tempfile::tempdir().unwrap();
        let owner = fs::metadata(temp.path()).unwrap().uid();
        check_owner(temp.path(), false).unwrap();
        if owner != 0 {
            assert!(check_owner(temp.path(), true).is_err());
            return;
        }
        let Some(nobody) = user::find("nobody").unwrap() else { return };
        std::os::unix::fs::chown(temp.path(), Some(nobody.uid), Some(nobody.gid)).unwrap();
        let expected = format!(
            "the data directory {} belongs to nobody: start the daemon as nobody, or choose another with --data-dir",
            temp.path().display()
        );
        assert_eq!(DataDir::open(temp.path()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = DataDir::open(&file.join("data")).unwrap_err();
        let expected = format!(
            "cannot use the data directory {}: choose one that can be written with --data-dir",
            file.join("data").display()
        );
        assert_eq!(refused.to_string(), expected);
    }
}
