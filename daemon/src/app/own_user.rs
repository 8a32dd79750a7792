//! What root gives up. A daemon that root starts opens what root alone may open, ports below 1024 and certificates, and
//! then becomes its own user for good, before it starts or writes anything. Nothing that is there is handed over: it must
//! be that user's already, and the refusal names the command. A data directory that is not there is made for that user.
//! A command that root runs becomes the user whose data directory it works on.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    config::{Config, DaemonUser},
    postgres::data_dir::{DataDirError, is_in_use, open_there},
    secrets::memory,
    telemetry,
    user::{self, SystemUser},
};

/// The user that the install makes.
const OWN: &str = "leadline";
/// Who runs what nobody trusts: it would read the leads, and the master key, too.
const NOBODY: &str = "nobody";
/// What a daemon opens in its data directory where it stands; the rest it puts there anew.
const OPENED: [&str; 12] = [
    "daemon.lock",
    "master.key",
    "postgres",
    "postgres/data",
    "postgres/data/PG_VERSION",
    "server",
    "server/lock",
    "server/pg_hba.conf",
    "server/pg_ident.conf",
    "server/postgresql.conf",
    "server/restoring",
    "server/server.log",
];

/// Why root does not become another user.
#[derive(Debug, thiserror::Error)]
pub enum OwnUserError {
    #[error(
        "--user {0}: there is no such user: make it (useradd --system --shell /usr/sbin/nologin {0}), or name another"
    )]
    Unknown(String),
    #[error("--user {0}: other programs run as that user, too: name one that is Leadline's alone, or root")]
    Nobody(String),
    #[error("cannot tell who {0} is")]
    LookUp(String, #[source] io::Error),
    #[error("cannot become {0}: start the daemon as that user, or with --user root")]
    Kept(String, #[source] io::Error),
    #[error(
        "the data directory {path} belongs to {owner}, and the daemon becomes {user}: hand it over (chown -R {user}: \
         {path}), or start the daemon with --user {owner}",
        path = .path.display()
    )]
    Anothers { path: PathBuf, owner: String, user: String },
    #[error(
        "the data directory {path} belongs to {owner} and holds other things than Leadline's: choose one of its own with \
         --data-dir, or start the daemon with --user {owner}",
        path = .path.display()
    )]
    Strange { path: PathBuf, owner: String },
    #[error(
        "{path} belongs to {owner}, and the daemon becomes {user}: hand it over with its directory (chown -R {user}: \
         {directory})",
        path = .path.display(), directory = .directory.display()
    )]
    PartAnothers { path: PathBuf, owner: String, user: String, directory: PathBuf },
    #[error(
        "the data directory {path} is not there, and others than root could put something in its place: make it (install \
         -d -o {user} -m 711 {path}), or choose another with --data-dir",
        path = .path.display()
    )]
    Unsafe { path: PathBuf, user: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// What becomes of a daemon that is started by the user of this process.
#[derive(Debug)]
pub(super) enum Becomes {
    User(SystemUser),
    /// It is not root's, or is to stay root's.
    Same,
    /// It stays root's for want of a user.
    RootWithoutUser,
}

/// What becomes of a daemon with this configuration.
pub(super) fn of(config: &Config) -> Result<Becomes, OwnUserError> {
    let name = match &config.user {
        DaemonUser::Named(name) => name.as_str(),
        DaemonUser::Own => OWN,
        DaemonUser::Same => return Ok(Becomes::Same),
    };
    // Nobody else has something to give up.
    if !user::is_root() {
        return Ok(Becomes::Same);
    }
    let look_up = |error| OwnUserError::LookUp(name.to_owned(), error);
    let found = match (user::find(name).map_err(look_up)?, name.parse()) {
        (None, Ok(uid)) => user::of_uid(uid).map_err(look_up)?,
        (found, _) => found,
    };
    match found {
        None if config.user == DaemonUser::Own => Ok(Becomes::RootWithoutUser),
        None => Err(OwnUserError::Unknown(name.to_owned())),
        Some(found) if found.name == NOBODY => Err(OwnUserError::Nobody(name.to_owned())),
        Some(found) if found.uid == 0 => Ok(Becomes::Same),
        Some(found) => Ok(Becomes::User(found)),
    }
}

/// Whether a daemon with this configuration could become who it becomes. Nothing is changed.
pub fn check_start(config: &Config) -> Result<(), OwnUserError> {
    match of(config)? {
        Becomes::User(own) => check(config, &own),
        Becomes::Same | Becomes::RootWithoutUser => Ok(()),
    }
}

/// Whether the data directory is this user's to use, or can be made so. What else stands in it is nobody's business.
pub(super) fn check(config: &Config, own: &SystemUser) -> Result<(), OwnUserError> {
    let unusable = |path: &Path, error| DataDirError::Unusable(path.to_owned(), error);
    // A link to it may be root's; what it leads to is what a command must name.
    let directory = match config.data_dir.canonicalize() {
        Err(error) if is_absent(&error) => return place_of(&config.data_dir, own).map(drop),
        found => found.map_err(|error| unusable(&config.data_dir, error))?,
    };
    let owner = fs::metadata(&directory).map_err(|error| unusable(&directory, error))?.uid();
    if owner != own.uid {
        let is_strange = is_strange(&directory).map_err(|error| unusable(&directory, error))?;
        let (path, owner, user) = (directory, user::name(owner), own.name.clone());
        return Err(if is_strange {
            OwnUserError::Strange { path, owner }
        } else {
            OwnUserError::Anothers { path, owner, user }
        });
    }
    for entry in OPENED {
        let path = directory.join(entry);
        match fs::symlink_metadata(&path) {
            Ok(there) if there.uid() == own.uid => {}
            Ok(there) => {
                let (owner, user) = (user::name(there.uid()), own.name.clone());
                return Err(OwnUserError::PartAnothers { path, owner, user, directory });
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unusable(&path, error).into()),
        }
    }
    Ok(())
}

/// Whether no daemon has ever used a directory, and something else does: handing that over would do harm.
fn is_strange(directory: &Path) -> io::Result<bool> {
    let is_used = OPENED.iter().any(|entry| directory.join(entry).exists());
    Ok(!is_used && fs::read_dir(directory)?.any(|entry| entry.is_ok_and(|it| it.file_name() != "lost+found")))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where a directory is made, without links: root alone must be able to change what stands on the way, or a link could
/// lead to anything.
fn place_of(path: &Path, own: &SystemUser) -> Result<PathBuf, OwnUserError> {
    let absolute = std::path::absolute(path);
    let path = absolute.map_err(|error| DataDirError::Unusable(path.to_owned(), error))?;
    let there = path.ancestors().find_map(|place| Some((place, place.canonicalize().ok()?)));
    // In a directory that is sticky, such as /tmp, nobody takes away what is root's.
    let is_roots = |place: &Path| {
        fs::symlink_metadata(place)
            .is_ok_and(|it| it.uid() == 0 && (it.mode() & 0o022 == 0 || it.mode() & 0o1000 != 0))
    };
    if let Some((place, real)) = there
        && let Ok(rest) = path.strip_prefix(place)
        && real.ancestors().all(is_roots)
    {
        return Ok(real.join(rest));
    }
    Err(OwnUserError::Unsafe { path, user: own.name.clone() })
}

/// Finds out whom a daemon becomes and whether it can; none if it stays who it is.
pub(super) fn prepare(config: &Config) -> Result<Option<SystemUser>, OwnUserError> {
    match of(config)? {
        Becomes::User(own) => {
            // Who is told to hand it over should not do that below a daemon.
            if is_in_use(&config.data_dir) {
                return Err(DataDirError::InUse(config.data_dir.clone()).into());
            }
            check(config, &own)?;
            return Ok(Some(own));
        }
        Becomes::Same => {}
        Becomes::RootWithoutUser => tracing::warn!(
            event = "root_kept",
            "the daemon stays root, because there is no user for it: useradd --system --shell /usr/sbin/nologin leadline, \
             and chown -R leadline: its data directory; or say --user root"
        ),
    }
    Ok(None)
}

/// Becomes that user, whose data directory is made if there is none. There is no way back.
pub(super) fn assume(config: &Config, own: &SystemUser) -> Result<(), OwnUserError> {
    if fs::symlink_metadata(&config.data_dir).is_err_and(|error| is_absent(&error)) {
        let place = place_of(&config.data_dir, own)?;
        make(&place, own).map_err(|error| DataDirError::Unusable(place, error))?;
    }
    turn_into(own)?;
    tracing::info!(event = "root_given_up", user = own.name, "root has become the daemon's own user");
    Ok(())
}

fn make(path: &Path, own: &SystemUser) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    DirBuilder::new().mode(0o711).create(path)?;
    fchown(open_there(path, OFlags::DIRECTORY)?, Some(own.uid), Some(own.gid))
}

/// Becomes that user.
pub(super) fn turn_into(own: &SystemUser) -> Result<(), OwnUserError> {
    own.assume().map_err(|error| OwnUserError::Kept(own.name.clone(), error))?;
    // Of a process that changed its user the system may write core files again.
    if let Err(error) = memory::seal_off() {
        tracing::warn!(
            event = "memory_unsealed",
            error = telemetry::causes(&error),
            "other processes of the daemon's user may look into its memory"
        );
    }
    Ok(())
}

/// The user whose data directory a command works on, if it is run by root and the directory is another user's. That user
/// is who may connect to its database, and might lead root astray by links.
pub(super) fn owner(config: &Config) -> Result<Option<SystemUser>, OwnUserError> {
    let Ok(there) = fs::metadata(&config.data_dir) else { return Ok(None) };
    if !user::is_root() || there.uid() == 0 {
        return Ok(None);
    }
    // One without a name is refused where the directory is opened.
    user::of_uid(there.uid()).map_err(|error| OwnUserError::LookUp(there.uid().to_string(), error))
}

/// Has a command become that user. False if it stays who it is.
pub fn become_owner(config: &Config) -> Result<bool, OwnUserError> {
    match owner(config)? {
        Some(owner) => turn_into(&owner).map(|()| true),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let broken = || io::Error::other("broken");
        for (error, reported) in [
            (
                OwnUserError::Unknown("leads".to_owned()),
                "--user leads: there is no such user: make it (useradd --system --shell /usr/sbin/nologin leads), or name \
                 another",
            ),
            (
                OwnUserError::Nobody("nobody".to_owned()),
                "--user nobody: other programs run as that user, too: name one that is Leadline's alone, or root",
            ),
            (OwnUserError::LookUp("leads".to_owned(), broken()), "cannot tell who leads is"),
            (
                OwnUserError::Kept("leads".to_owned(), broken()),
                "cannot become leads: start the daemon as that user, or with --user root",
            ),
            (
                OwnUserError::Unsafe { path: "/srv/ann/data".into(), user: "leads".to_owned() },
                "the data directory /srv/ann/data is not there, and others than root could put something in its place: \
                 make it (install -d -o leads -m 711 /srv/ann/data), or choose another with --data-dir",
            ),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }

    fn of_user(path: &Path, user: &str) -> Result<Becomes, OwnUserError> {
        of(&Config { user: DaemonUser::Named(user.to_owned()), ..Config::in_dir(path) })
    }

    #[test]
    fn a_directory_is_handed_over_by_hand_and_only_one_of_a_daemons() {
        let (dir, root, user) = (|| PathBuf::from("/data"), || "root".to_owned(), || "leads".to_owned());
        for (error, reported) in [
            (
                OwnUserError::Anothers { path: dir(), owner: root(), user: user() },
                "the data directory /data belongs to root, and the daemon becomes leads: hand it over (chown -R leads: \
                 /data), or start the daemon with --user root",
            ),
            (
                OwnUserError::Strange { path: dir(), owner: root() },
                "the data directory /data belongs to root and holds other things than Leadline's: choose one of its own \
                 with --data-dir, or start the daemon with --user root",
            ),
            (
                OwnUserError::PartAnothers {
                    path: "/data/master.key".into(),
                    owner: root(),
                    user: user(),
                    directory: dir(),
                },
                "/data/master.key belongs to root, and the daemon becomes leads: hand it over with its directory (chown \
                 -R leads: /data)",
            ),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }

    #[test]
    fn root_becomes_the_user_that_is_named_and_stays_where_it_is_told_to() {
        let path = Path::new("/nowhere");
        assert!(matches!(of(&Config::in_dir(path)), Ok(Becomes::Same)));
        if !user::is_root() {
            assert!(matches!(of_user(path, "daemon"), Ok(Becomes::Same)), "others have nothing to give up");
            return;
        }
        for name in ["no such user", "4000000000"] {
            assert!(matches!(of_user(path, name), Err(OwnUserError::Unknown(_))), "{name}");
        }
        assert!(matches!(of_user(path, "nobody"), Err(OwnUserError::Nobody(_))));
        for name in ["root", "0"] {
            assert!(matches!(of_user(path, name), Ok(Becomes::Same)), "{name}");
        }
        let expected = user::find("daemon").unwrap().unwrap();
        for name in ["daemon".to_owned(), expected.uid.to_string()] {
            assert!(matches!(of_user(path, &name), Ok(Becomes::User(own)) if own == expected), "{name}");
        }
        let is_installed = user::find(OWN).unwrap().is_some();
        let own = of(&Config { user: DaemonUser::Own, ..Config::in_dir(path) }).unwrap();
        assert_eq!(matches!(own, Becomes::User(_)), is_installed);
        assert_eq!(matches!(own, Becomes::RootWithoutUser), !is_installed);
    }

    #[test]
    fn what_a_daemon_opens_must_be_its_users_and_what_else_is_there_need_not() {
        let Some(own) = user::find("daemon").unwrap().filter(|_| user::is_root()) else {
            return println!("left out: only root can give files away");
        };
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let config = Config::in_dir(&dir);
        let give = |path: &Path| chown(path, Some(own.uid), Some(own.gid)).unwrap();
        fs::create_dir(&dir).unwrap();
        assert!(matches!(check(&config, &own), Err(OwnUserError::Anothers { .. })), "an empty one of root's");
        // The operator's own.
        fs::write(dir.join("notes.txt"), "").unwrap();
        assert!(matches!(check(&config, &own), Err(OwnUserError::Strange { .. })));
        fs::write(dir.join("daemon.lock"), "").unwrap();
        assert!(matches!(check(&config, &own), Err(OwnUserError::Anothers { .. })), "one of a daemon's");
        give(&dir);
        for entry in ["daemon.lock", "postgres", "postgres/data"] {
            let path = dir.join(entry);
            if entry != "daemon.lock" {
                fs::create_dir(&path).unwrap();
            }
            let refused = check(&config, &own).unwrap_err();
            assert!(
                matches!(&refused, OwnUserError::PartAnothers { path: it, .. } if *it == path),
                "{refused}"
            );
            give(&path);
        }
        check(&config, &own).unwrap();
        symlink("/etc/passwd", dir.join("master.key")).unwrap();
        assert!(matches!(check(&config, &own), Err(OwnUserError::PartAnothers { .. })), "a link of root's");
    }

    #[test]
    fn a_data_directory_is_made_only_where_root_alone_decides_what_stands() {
        let Some(own) = user::find("daemon").unwrap().filter(|_| user::is_root()) else {
            return println!("left out: only root can give files away");
        };
        let temp = tempfile::tempdir().unwrap();
        let (home, new) = (temp.path().join("home"), temp.path().join("not/there"));
        check(&Config::in_dir(&new), &own).unwrap();
        assert!(!new.exists(), "looking makes nothing");
        make(&new, &own).unwrap();
        let made = fs::metadata(&new).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (own.uid, own.gid, 0o711));
        assert_eq!(fs::metadata(new.parent().unwrap()).unwrap().uid(), 0);
        assert!(make(&new, &own).is_err(), "what is there is not given away");

        fs::create_dir(&home).unwrap();
        let data = home.join("data");
        let is_refused = || matches!(check(&Config::in_dir(&data), &own), Err(OwnUserError::Unsafe { .. }));
        for (mode, is_safe) in [(0o777, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(&home, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_refused(), !is_safe, "{mode:o}");
        }
        chown(&home, Some(own.uid), None).unwrap();
        assert!(is_refused());
        symlink(temp.path(), home.join("back")).unwrap();
        let back = place_of(&home.join("back/new/data"), &own).unwrap();
        assert_eq!(
            back,
            temp.path().join("new/data"),
            "a link that somebody may change is not gone by again"
        );
        symlink(&home, temp.path().join("link")).unwrap();
        let behind = Config::in_dir(&temp.path().join("link/data"));
        assert!(check(&behind, &own).is_err(), "behind a link it is the other place that counts");
        // A link that leads nowhere is no place of its own.
        symlink(temp.path().join("gone"), temp.path().join("dangling")).unwrap();
        assert!(make(&temp.path().join("dangling"), &own).is_err());
    }
}
