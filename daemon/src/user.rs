//! Which user this process runs as, what the system calls other users, and how root becomes one of them.

use std::io;

use nix::{
    errno::Errno,
    unistd::{Uid, User, geteuid},
};

/// What root is.
const ROOT: u32 = 0;

/// A user of this machine, with its main group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemUser {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// The user that this process runs as.
#[must_use]
pub fn own_uid() -> u32 {
    geteuid().as_raw()
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    own_uid() == ROOT
}

/// Sees to it that no program that this process starts gains rights, as `sudo` would. Threads and children inherit it, so it
/// comes before the first of them.
pub fn gain_nothing() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// The user of a name; none if there is no such user.
pub fn find(name: &str) -> io::Result<Option<SystemUser>> {
    found(User::from_name(name))
}

/// The user of a number; none if it has no name.
pub fn of_uid(uid: u32) -> io::Result<Option<SystemUser>> {
    found(User::from_uid(Uid::from_raw(uid)))
}

/// Without a list of users, as in a small container, some systems answer so instead of naming nobody.
fn found(answer: nix::Result<Option<User>>) -> io::Result<Option<SystemUser>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        answer => Ok(answer?.map(SystemUser::of)),
    }
}

/// What a user is called; its number if it has no name.
#[must_use]
pub fn name(uid: u32) -> String {
    of_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

impl SystemUser {
    fn of(user: User) -> Self {
        Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }

    /// Turns this process with all of its threads, which is root's, into this user's, with the groups that the system gives
    /// it. There is no way back.
    #[cfg(target_os = "linux")]
    pub fn assume(&self) -> io::Result<()> {
        use nix::unistd::{Gid, initgroups, setresgid, setresuid};

        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // The user last: whoever is not root any more changes no group.
        initgroups(&std::ffi::CString::new(&*self.name)?, gid)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        // The system takes root's capabilities with the user, unless it was told to leave them.
        let root = Uid::from_raw(ROOT);
        match setresuid(root, root, root) {
            Err(_) => Ok(()),
            Ok(()) => Err(io::Error::other("root's rights came back: start it without `keep-caps`")),
        }
    }

    /// Elsewhere the daemon is started as the user that it is to run as.
    #[cfg(not(target_os = "linux"))]
    pub fn assume(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_named_by_number() {
        let root = find("root").unwrap().unwrap();
        assert_eq!((&*root.name, root.uid, root.gid), ("root", 0, 0));
        assert_eq!(of_uid(0).unwrap(), Some(root));
        assert_eq!(find("no such user").unwrap(), None);
        assert_eq!(found(Err(Errno::ENOENT)).unwrap(), None, "there is no list");
        assert!(found(Err(Errno::EIO)).is_err());
        assert_eq!(name(0), "root");
        assert_eq!(name(4_000_000_000), "4000000000");
        assert_eq!(is_root(), own_uid() == 0);
    }
}
