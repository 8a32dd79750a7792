//! What root gives up. A daemon that root starts opens what root alone may open, ports below 1024 and certificates, and
//! then becomes its own user for good. A command that root runs becomes the user whose data directory it works on.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use crate::{
    config::{Config, DaemonUser},
    postgres::{
        data_dir::DataDirError,
        hand_over::{cluster_owner, hand_over},
    },
    secrets::memory,
    telemetry,
    user::{self, SystemUser},
};

/// The user that the install makes.
const OWN: &str = "leadline";
/// Whatever else runs as one of these would read the leads, and the master key, too.
const SHARED: [&str; 2] = ["nobody", "postgres"];

/// Why root does not become another user.
#[derive(Debug, thiserror::Error)]
pub enum OwnUserError {
    #[error(
        "--user {0}: there is no such user: make it (useradd --system --shell /usr/sbin/nologin {0}), or name another"
    )]
    Unknown(String),
    #[error(
        "--user {0}: other programs run as that user, too, and could read the leads: name one that is Leadline's alone"
    )]
    Shared(String),
    #[error("cannot tell who {0} is")]
    LookUp(String, #[source] io::Error),
    #[error("cannot become {0}: start the daemon as that user, or with --user root")]
    Kept(String, #[source] io::Error),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// What becomes of a daemon that is started by the user of this process.
pub(super) enum Becomes {
    User(SystemUser),
    /// It is not root's, or is to stay root's.
    Same,
    /// It stays root's for want of a user.
    RootWithoutUser,
    /// It stays root's, because its PostgreSQL runs as another user than the one that it would become.
    RootBesideServer,
}

/// What becomes of a daemon with this configuration.
pub(super) fn of(config: &Config) -> Result<Becomes, OwnUserError> {
    let name = match &config.user {
        DaemonUser::Named(name) => name.as_str(),
        DaemonUser::Own => OWN,
        DaemonUser::Same => return Ok(Becomes::Same),
    };
    if !user::is_root() {
        return Ok(Becomes::Same);
    }
    if SHARED.contains(&name) {
        return Err(OwnUserError::Shared(name.to_owned()));
    }
    let found = user::find(name).map_err(|error| OwnUserError::LookUp(name.to_owned(), error))?;
    let is_named = matches!(config.user, DaemonUser::Named(_));
    let Some(own) = found else {
        return if is_named {
            Err(OwnUserError::Unknown(name.to_owned()))
        } else {
            Ok(Becomes::RootWithoutUser)
        };
    };
    if own.uid == 0 {
        return Ok(Becomes::Same);
    }
    let cluster = cluster_owner(&config.data_dir)
        .map_err(|error| DataDirError::Unusable(config.data_dir.clone(), error))?;
    // One that somebody named has to be handed over by hand; the refusal of the set-up says how.
    let is_anothers = cluster.is_some_and(|owner| owner != 0 && owner != own.uid);
    Ok(if is_anothers && !is_named { Becomes::RootBesideServer } else { Becomes::User(own) })
}

/// Prepares to become the daemon's own user, whose the data directory is from now on. None: it stays who it is.
pub(super) fn prepare(config: &Config) -> Result<Option<SystemUser>, OwnUserError> {
    match of(config)? {
        Becomes::User(own) => {
            hand_over(&config.data_dir, &own)?;
            return Ok(Some(own));
        }
        Becomes::Same => {}
        Becomes::RootWithoutUser => tracing::warn!(
            event = "root_kept_without_user",
            "the daemon stays root, because there is no user for it: useradd --system --shell /usr/sbin/nologin leadline, \
             or --user"
        ),
        Becomes::RootBesideServer => tracing::warn!(
            event = "root_kept_beside_server",
            "the daemon stays root, because its PostgreSQL runs as another user than leadline: stop it, hand postgres/ in \
             the data directory to leadline (chown -R), and start it again"
        ),
    }
    Ok(None)
}

/// Becomes that user. There is no way back.
pub(super) fn assume(own: &SystemUser) -> Result<(), OwnUserError> {
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

/// Has a command that root runs become the user whose data directory it works on: that user is who may connect to its
/// database, and might lead root astray by links.
pub fn become_owner(config: &Config) -> Result<(), OwnUserError> {
    let Ok(there) = fs::metadata(&config.data_dir) else { return Ok(()) };
    if !user::is_root() || there.uid() == 0 {
        return Ok(());
    }
    let owner = user::of_uid(there.uid());
    // One without a name is refused where the directory is opened.
    match owner.map_err(|error| OwnUserError::LookUp(there.uid().to_string(), error))? {
        Some(owner) => assume(&owner),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
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
                OwnUserError::Shared("nobody".to_owned()),
                "--user nobody: other programs run as that user, too, and could read the leads: name one that is \
                 Leadline's alone",
            ),
            (OwnUserError::LookUp("leads".to_owned(), broken()), "cannot tell who leads is"),
            (
                OwnUserError::Kept("leads".to_owned(), broken()),
                "cannot become leads: start the daemon as that user, or with --user root",
            ),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }

    #[test]
    fn root_becomes_the_user_that_is_named_and_stays_where_it_is_told_to() {
        let temp = tempfile::tempdir().unwrap();
        let of_user = |user| of(&Config { user, ..Config::in_dir(temp.path()) });
        let named = |name: &str| of_user(DaemonUser::Named(name.to_owned()));
        assert!(matches!(of_user(DaemonUser::Same), Ok(Becomes::Same)));
        if !user::is_root() {
            assert!(matches!(named("daemon"), Ok(Becomes::Same)), "others have nothing to give up");
            return;
        }
        assert!(matches!(named("root"), Ok(Becomes::Same)));
        assert!(matches!(named("no such user"), Err(OwnUserError::Unknown(_))));
        assert!(matches!(named("nobody"), Err(OwnUserError::Shared(_))));
        let expected = user::find("daemon").unwrap().unwrap();
        assert!(matches!(named("daemon"), Ok(Becomes::User(own)) if own == expected));
        // Without a word the install's user is it, unless the cluster is another's already.
        let is_installed = user::find(OWN).unwrap().is_some();
        let without_a_word = of_user(DaemonUser::Own).unwrap();
        assert_eq!(matches!(without_a_word, Becomes::User(_)), is_installed);
        assert_eq!(matches!(without_a_word, Becomes::RootWithoutUser), !is_installed);
        let cluster = temp.path().join("postgres");
        fs::create_dir(&cluster).unwrap();
        std::os::unix::fs::chown(&cluster, Some(expected.uid), None).unwrap();
        assert_eq!(matches!(of_user(DaemonUser::Own).unwrap(), Becomes::RootBesideServer), is_installed);
    }
}
