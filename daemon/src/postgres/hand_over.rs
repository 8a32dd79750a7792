//! Gives a data directory of root's to the user that the daemon becomes. What root touches here root alone can change:
//! whoever else could put a link in a file's place could have root give away any file.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown, lchown},
    path::Path,
};

use rustix::fs::OFlags;

use super::data_dir::{DataDirError, is_in_use, open_there};
use crate::user::{self, SystemUser};

/// What a daemon keeps in its data directory. A file may be there twice while it is written, the second time as `….new`.
const OURS: [&str; 6] =
    ["master.key", "control.sock", "daemon.lock", "intake.addr", "admin.addr", "control.addr"];
/// The configuration, the log and the lock of the private PostgreSQL.
const SERVER: &str = "server";
/// Its cluster.
const CLUSTER: &str = "postgres";
/// What a file system of its own has at its top.
const OF_THE_FILE_SYSTEM: &str = "lost+found";

/// Who the cluster of a data directory belongs to; none if there is none yet.
pub fn cluster_owner(path: &Path) -> io::Result<Option<u32>> {
    match fs::symlink_metadata(path.join(CLUSTER)) {
        Ok(there) => Ok(Some(there.uid())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sees to it that a data directory is this user's: makes it, or gives away what a daemon kept there as root.
pub fn hand_over(path: &Path, to: &SystemUser) -> Result<(), DataDirError> {
    let unusable = |error| DataDirError::Unusable(path.to_owned(), error);
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path, to).map_err(unusable),
        there => there.map_err(unusable)?,
    };
    let path = path.canonicalize().map_err(unusable)?;
    if is_in_use(&path) {
        return Err(DataDirError::InUse(path));
    }
    match there.uid() {
        owner if owner == to.uid => Ok(()),
        0 if there.mode() & 0o022 != 0 => Err(DataDirError::Writable(path)),
        0 => give(&path, to),
        owner => Err(DataDirError::Foreign { path, owner: user::name(owner) }),
    }
}

fn make(path: &Path, to: &SystemUser) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o711).create(path)?;
    // Whoever may write beside it may have put another thing in its place: a link, or what is no directory.
    let made = open_there(path, OFlags::DIRECTORY)?;
    fchown(&made, Some(to.uid), Some(to.gid))
}

fn give(path: &Path, to: &SystemUser) -> Result<(), DataDirError> {
    let unusable = |error| DataDirError::Unusable(path.to_owned(), error);
    let entries = fs::read_dir(path).and_then(|all| all.collect::<io::Result<Vec<_>>>()).map_err(unusable)?;
    let names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // A wrong --data-dir must not give away what is not ours, such as `/etc`.
    let is_ours = |name: &str| {
        OURS.contains(&name.strip_suffix(".new").unwrap_or(name))
            || [SERVER, CLUSTER, OF_THE_FILE_SYSTEM].contains(&name)
    };
    if let Some(entry) = names.iter().find(|name| !is_ours(name)) {
        let (path, entry, user) = (path.to_owned(), entry.clone(), to.name.clone());
        return Err(DataDirError::Strange { path, entry, user });
    }
    let give = || -> io::Result<()> {
        for name in names.iter().filter(|name| *name != OF_THE_FILE_SYSTEM) {
            if name == SERVER {
                for entry in fs::read_dir(path.join(name))? {
                    give_one(&entry?.path(), to)?;
                }
            }
            give_one(&path.join(name), to)?;
        }
        // The directory last: from then on its new owner may change what stands in it.
        give_one(path, to)
    };
    give().map_err(unusable)?;
    tracing::info!(
        event = "data_directory_handed_over",
        path = %path.display(),
        user = to.name,
        "the data directory was root's, and is now of the user that the daemon becomes"
    );
    Ok(())
}

/// Gives away what is root's. What another user has already stays that one's.
fn give_one(path: &Path, to: &SystemUser) -> io::Result<()> {
    if fs::symlink_metadata(path)?.uid() == 0 { lchown(path, Some(to.uid), Some(to.gid)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn owner(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    /// Root, and a user that it may give things to; none for everybody else.
    fn somebody() -> Option<SystemUser> {
        let found = user::find("nobody").unwrap().filter(|_| user::is_root());
        if found.is_none() {
            println!("left out: only root can give files away");
        }
        found
    }

    #[test]
    fn what_a_daemon_kept_as_root_becomes_its_users_and_nothing_behind_a_link() {
        let Some(user) = somebody() else { return };
        let temp = tempfile::tempdir().unwrap();
        let (dir, outside) = (temp.path().join("data"), temp.path().join("outside"));
        fs::create_dir_all(dir.join("server")).unwrap();
        fs::create_dir(dir.join("lost+found")).unwrap();
        fs::write(&outside, "").unwrap();
        for file in ["daemon.lock", "intake.addr.new", "server/pg_hba.conf"] {
            fs::write(dir.join(file), "").unwrap();
        }
        symlink(&outside, dir.join("master.key")).unwrap();
        hand_over(&dir, &user).unwrap();
        for given in ["", "daemon.lock", "intake.addr.new", "server", "server/pg_hba.conf", "master.key"] {
            assert_eq!(owner(&dir.join(given)), user.uid, "{given:?}");
        }
        assert_eq!((owner(&outside), owner(&dir.join("lost+found"))), (0, 0));
        hand_over(&dir, &user).unwrap();

        let new = temp.path().join("not/there/yet");
        hand_over(&new, &user).unwrap();
        assert_eq!((owner(&new), owner(new.parent().unwrap())), (user.uid, 0));
        assert_eq!(cluster_owner(&new).unwrap(), None);
        fs::create_dir(new.join("postgres")).unwrap();
        assert_eq!(cluster_owner(&new).unwrap(), Some(0));
    }

    #[test]
    fn what_is_not_roots_alone_or_not_ours_is_not_given_away() {
        let Some(user) = somebody() else { return };
        let temp = tempfile::tempdir().unwrap();
        let shown = temp.path().display();
        let refused = |why: &str| {
            let error = hand_over(temp.path(), &user).unwrap_err().to_string();
            assert_eq!(error, why);
            assert_eq!(owner(&temp.path().join("daemon.lock")), 0);
        };
        let set = |mode| fs::set_permissions(temp.path(), fs::Permissions::from_mode(mode)).unwrap();
        fs::write(temp.path().join("daemon.lock"), "").unwrap();
        fs::write(temp.path().join("shadow"), "").unwrap();
        refused(&format!(
            "the data directory {shown} is root's and holds shadow, which is not Leadline's: choose a directory of its own \
             with --data-dir, or hand it over (chown -R nobody {shown})"
        ));
        fs::remove_file(temp.path().join("shadow")).unwrap();
        set(0o770);
        refused(&format!(
            "others than root can write into the data directory {shown}: chmod go-w {shown}, or choose another with \
             --data-dir"
        ));
        set(0o700);
        let daemon = super::super::data_dir::DataDir::open(temp.path()).unwrap();
        refused(&format!(
            "another daemon uses the data directory {shown}: stop it, or choose another with --data-dir"
        ));
        drop(daemon);
        let other = SystemUser { name: "other".to_owned(), uid: user.uid - 1, gid: user.gid };
        hand_over(temp.path(), &user).unwrap();
        let error = hand_over(temp.path(), &other).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "belongs to nobody: start the daemon as nobody, or choose another with --data-dir"
            )
        );
    }
}
