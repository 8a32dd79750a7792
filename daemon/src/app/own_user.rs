//! What root gives up. A daemon that root starts opens what root alone may open, ports below 1024 and certificates, and
//! then becomes its own user for good, before it starts or writes anything. Nothing that is there is handed over: it must
//! be that user's already. One that root has run so far stays root's until it is handed over, which the log asks for; only
//! a user that is named is insisted on. A data directory that is not there is made for that user, and is nobody's to make
//! where there is no such user: what is new does not begin as root's.
//! A command that root runs becomes the user whose data directory it works on.

mod directory;

use std::{fs, io, os::unix::fs::MetadataExt as _, path::PathBuf};

pub(super) use directory::check;
use directory::{hand_over, make_for};

use crate::{
    config::{Config, DaemonUser},
    postgres::data_dir::{DataDirError, is_in_use},
    secrets::memory,
    telemetry,
    user::{self, SystemUser},
};

/// The user that the install makes.
const OWN: &str = "leadline";
/// Who runs what nobody trusts: it would read the leads, and the master key, too.
const NOBODY: &str = "nobody";

/// Why root does not become another user.
#[derive(Debug, thiserror::Error)]
pub enum OwnUserError {
    #[error(
        "--user {0}: there is no such user: make it (useradd --system --shell /usr/sbin/nologin {0}), or name another"
    )]
    Unknown(String),
    #[error(
        "root starts a new installation, and there is no user that it could become: make one (useradd --system --shell \
         /usr/sbin/nologin leadline), or name one with --user; --user root stays root"
    )]
    NoUser,
    #[error("--user {0}: other programs run as that user, too: name one that is Leadline's alone, or root")]
    Nobody(String),
    #[error("cannot tell who {0} is")]
    LookUp(String, #[source] io::Error),
    #[error("cannot become {0}: start the daemon as that user, or with --user root")]
    Kept(String, #[source] io::Error),
    #[error("{path} belongs to {owner}, and the daemon becomes {user}: {mend}", path = .path.display())]
    Anothers { path: PathBuf, owner: String, user: String, mend: String },
    #[error(
        "{path} is on the way to the data directory, and {user} may not pass: let others pass (chmod o+x), or choose \
         another with --data-dir",
        path = .path.display()
    )]
    Shut { path: PathBuf, user: String },
    #[error(
        "{user} may not make the control socket {path}: choose one in a directory of {user}'s with --control-listen",
        path = .path.display()
    )]
    Socket { path: PathBuf, user: String },
    #[error(
        "--control-group {group}: {user} is not a member of it: make it one (usermod --append --groups {group} {user})"
    )]
    Group { group: String, user: String },
    #[error(
        "the data directory {path} is not there, and others than root could put something in its place: make it \
         ({make}), or choose another with --data-dir",
        path = .path.display()
    )]
    Unsafe { path: PathBuf, make: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// What becomes of a daemon that is started by the user of this process.
#[derive(Debug)]
pub(super) enum Becomes {
    /// It could: the data directory is that user's, or can be made so.
    User(SystemUser),
    /// It is not root's, or is to stay root's.
    Same,
    /// It stays root's until something is done, which this tells.
    RootUntil(String),
    /// Root may not start it: its directory is wholly that user's, who may.
    Owners(String),
}

/// What becomes of a daemon with this configuration. Nothing is changed.
pub(super) fn of(config: &Config) -> Result<Becomes, OwnUserError> {
    // Nobody else has something to give up.
    if !user::is_root() {
        return Ok(Becomes::Same);
    }
    let own = match &config.user {
        DaemonUser::Own => return by_default(config, user::find(OWN).map_err(unknown(OWN))?),
        DaemonUser::Same => None,
        DaemonUser::Named(name) => named(name)?,
    };
    match (own, directory::find(&config.data_dir)?) {
        (Some(own), _) => check(config, &own).map(|()| Becomes::User(own)),
        (None, Some((path, owner))) if owner != 0 => {
            Err(DataDirError::Foreign { path, owner: user::name(owner) }.into())
        }
        (None, _) => Ok(Becomes::Same),
    }
}

fn unknown(name: &str) -> impl FnOnce(io::Error) -> OwnUserError {
    |error| OwnUserError::LookUp(name.to_owned(), error)
}

fn by_uid(uid: u32) -> Result<Option<SystemUser>, OwnUserError> {
    user::of_uid(uid).map_err(unknown(&uid.to_string()))
}

/// The user that the operator named; none for root.
fn named(name: &str) -> Result<Option<SystemUser>, OwnUserError> {
    // Known whatever the machine's list of users says.
    if matches!(name, "root" | "0") {
        return Ok(None);
    }
    let found = match (user::find(name).map_err(unknown(name))?, name.parse()) {
        (None, Ok(uid)) => by_uid(uid)?,
        (found, _) => found,
    };
    match found {
        None => Err(OwnUserError::Unknown(name.to_owned())),
        Some(found) if found.name == NOBODY => Err(OwnUserError::Nobody(name.to_owned())),
        Some(found) => Ok(Some(found).filter(|found| found.uid != 0)),
    }
}

/// What becomes of a daemon of which nobody said who it is to be. What root has run so far goes on as root; what is new
/// does not begin so.
fn by_default(config: &Config, own: Option<SystemUser>) -> Result<Becomes, OwnUserError> {
    let make = own
        .is_none()
        .then(|| format!("make a user for it (useradd --system --shell /usr/sbin/nologin {OWN}), "));
    let make = make.unwrap_or_default();
    let name = own.as_ref().map_or(OWN, |own| &own.name).to_owned();
    let mend = match (directory::find(&config.data_dir)?, own) {
        (None, Some(own)) => return check(config, &own).map(|()| Becomes::User(own)),
        (Some((_, owner)), Some(own)) if owner == own.uid => {
            return check(config, &own).map(|()| Becomes::User(own));
        }
        (Some((path, owner)), _) if owner != 0 => {
            let Some(owner) = by_uid(owner)?.filter(|owner| owner.name != NOBODY) else {
                return Err(DataDirError::Foreign { path, owner: user::name(owner) }.into());
            };
            return check(config, &owner).map(|()| Becomes::Owners(owner.name));
        }
        (Some((path, _)), _) => format!("stop the daemon, {make}{}", hand_over(config, &path, &name)),
        // A container without a volume begins anew each time, with its data elsewhere.
        (None, None) if config.database_url.is_some() => {
            format!("stop the daemon, {}", make.trim_end_matches(", "))
        }
        (None, None) => return Err(OwnUserError::NoUser),
    };
    Ok(Becomes::RootUntil(format!("{mend}, and start it again; or say --user root")))
}

/// Whether a daemon with this configuration could become who it becomes, and what there is to say of that.
pub fn check_start(config: &Config) -> Result<Option<String>, OwnUserError> {
    Ok(match of(config)? {
        Becomes::User(_) | Becomes::Same => None,
        Becomes::RootUntil(mend) => Some(format!("the daemon stays root: {mend}")),
        Becomes::Owners(owner) => Some(format!("it is right for {owner}: root must say --user {owner}")),
    })
}

/// Finds out whom a daemon becomes and whether it can; none if it stays who it is.
pub(super) fn prepare(config: &Config) -> Result<Option<SystemUser>, OwnUserError> {
    // Who is told to hand it over should not do that below a daemon.
    if user::is_root() && is_in_use(&config.data_dir) {
        return Err(DataDirError::InUse(config.data_dir.clone()).into());
    }
    match of(config)? {
        Becomes::User(own) => return Ok(Some(own)),
        Becomes::Same => {}
        Becomes::RootUntil(mend) => {
            tracing::warn!(
                event = "root_kept",
                mend,
                "the daemon stays root until it is handed to a user of its own"
            );
        }
        Becomes::Owners(owner) => {
            return Err(DataDirError::Foreign { path: config.data_dir.clone(), owner }.into());
        }
    }
    Ok(None)
}

/// Becomes that user, whose data directory is made if there is none. There is no way back.
pub(super) fn assume(config: &Config, own: &SystemUser) -> Result<(), OwnUserError> {
    make_for(config, own)?;
    turn_into(own)?;
    tracing::info!(event = "root_given_up", user = own.name, "root has become the daemon's own user");
    Ok(())
}

/// Becomes that user.
pub(super) fn turn_into(own: &SystemUser) -> Result<(), OwnUserError> {
    own.assume().map_err(|error| OwnUserError::Kept(own.name.clone(), error))?;
    // The system may write core files again of a process that changed its user.
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
    by_uid(there.uid())
}

/// Has a command become that user. False if it stays who it is.
pub fn become_owner(config: &Config) -> Result<bool, OwnUserError> {
    match owner(config)? {
        Some(owner) => turn_into(&owner).map(|()| true),
        None => Ok(false),
    }
}

/// Whom a test gives files to, where it may.
#[cfg(test)]
fn somebody() -> Option<SystemUser> {
    let found = user::find("daemon").unwrap().filter(|_| user::is_root());
    if found.is_none() {
        assert!(std::env::var_os("LEADLINE_ROOT_REQUIRED").is_none(), "this is to be run as root");
        println!("left out: only root can give files away");
    }
    found
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{PermissionsExt as _, chown},
        path::Path,
    };

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
                OwnUserError::NoUser,
                "root starts a new installation, and there is no user that it could become: make one (useradd --system \
                 --shell /usr/sbin/nologin leadline), or name one with --user; --user root stays root",
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
                OwnUserError::Shut { path: "/root".into(), user: "leads".to_owned() },
                "/root is on the way to the data directory, and leads may not pass: let others pass (chmod o+x), or choose \
                 another with --data-dir",
            ),
            (
                OwnUserError::Socket { path: "/run/leads.sock".into(), user: "leads".to_owned() },
                "leads may not make the control socket /run/leads.sock: choose one in a directory of leads's with \
                 --control-listen",
            ),
            (
                OwnUserError::Group { group: "support".to_owned(), user: "leads".to_owned() },
                "--control-group support: leads is not a member of it: make it one (usermod --append --groups support \
                 leads)",
            ),
            (
                OwnUserError::Unsafe {
                    path: "/srv/ann/data".into(),
                    make: "install -d -o leads -m 711 /srv/ann/data".to_owned(),
                },
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
    }

    #[test]
    fn what_root_has_run_so_far_stays_roots_and_what_is_anothers_is_left_to_whose_it_is() {
        let Some(own) = somebody() else { return };
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let config = Config::in_dir(&dir);
        let becomes = |own: Option<&SystemUser>| by_default(&config, own.cloned()).unwrap();
        let until = |own: Option<&SystemUser>| match becomes(own) {
            Becomes::RootUntil(mend) => mend,
            other => panic!("{other:?}"),
        };
        let useradd = "make a user for it (useradd --system --shell /usr/sbin/nologin leadline)";
        assert!(matches!(by_default(&config, None), Err(OwnUserError::NoUser)), "a new one is not root's");
        let config_elsewhere =
            Config { database_url: Some("postgres://db/leads".to_owned().into()), ..Config::in_dir(&dir) };
        let kept = by_default(&config_elsewhere, None);
        let told = format!("stop the daemon, {useradd}, and start it again; or say --user root");
        assert!(matches!(&kept, Ok(Becomes::RootUntil(mend)) if *mend == told), "{kept:?}");
        // The directories on the way are the test's own.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(matches!(becomes(Some(&own)), Becomes::User(_)), "a new one is that user's");

        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("daemon.lock"), "").unwrap();
        let shown = dir.display();
        let told = |user: &str, useradd: &str| {
            format!(
                "stop the daemon, {useradd}hand it over (chown {user}: {shown} && chown -R {user}: {shown}/daemon.lock), \
                 and start it again; or say --user root"
            )
        };
        assert_eq!(until(Some(&own)), told("daemon", ""));
        assert_eq!(until(None), told("leadline", &format!("{useradd}, ")));

        for path in [&dir, &dir.join("daemon.lock")] {
            chown(path, Some(own.uid), None).unwrap();
        }
        assert!(matches!(becomes(Some(&own)), Becomes::User(_)));
        let other = user::find("bin").unwrap().unwrap();
        for own in [None, Some(&other)] {
            assert!(matches!(becomes(own), Becomes::Owners(owner) if owner == "daemon"), "{own:?}");
        }
        let as_root = of(&Config { user: DaemonUser::Named("root".to_owned()), ..Config::in_dir(&dir) });
        assert!(matches!(as_root, Err(OwnUserError::DataDir(DataDirError::Foreign { .. }))));
        chown(&dir, Some(4_000_000_000), None).unwrap();
        assert!(by_default(&config, None).is_err(), "nobody could be named");
    }
}
