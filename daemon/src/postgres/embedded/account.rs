//! The account that the private server runs under: ours, or as root one with fewer rights, because PostgreSQL refuses
//! root.

use std::{
    env, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use super::EmbeddedError;
use crate::user;

/// The account that is for the private server alone; the install makes it.
const OWN: &str = "leadline";
/// The account that PostgreSQL's packages make. Whatever else runs as it can read the leads too.
const SHARED: &str = "postgres";
/// Settings of ours, of PostgreSQL's clients and of the service manager are not the server's business.
const KEPT_FROM_PROGRAMS: [&str; 4] = ["PG", "LEADLINE_", "NOTIFY_SOCKET", "WATCHDOG_"];

/// Who owns the cluster's files and runs its programs.
#[derive(Clone, Debug)]
pub(super) struct Account {
    name: String,
    /// None: we run as that user already.
    lesser: Option<(u32, u32)>,
    /// Who connects to the server: the user that this process runs as.
    client: String,
}

impl Account {
    /// The account for a cluster of this owner, or for a new one: ourselves, or as root [`OWN`], else [`SHARED`].
    pub(super) fn find(home: &Path, owner: Option<u32>) -> Result<Self, EmbeddedError> {
        let us = user::own_uid();
        let client = user::name(us);
        let foreign = |owner, user: &str| EmbeddedError::Foreign {
            path: home.to_owned(),
            owner: user::name(owner),
            user: user.to_owned(),
        };
        if !user::is_root() {
            return match owner.filter(|owner| *owner != us) {
                Some(owner) => Err(foreign(owner, &client)),
                None => Ok(Self { name: client.clone(), lesser: None, client }),
            };
        }
        let mut found = Vec::new();
        for name in [OWN, SHARED] {
            if let Some(user) = user::find(name).map_err(EmbeddedError::Account)? {
                let lesser = Some((user.uid, user.gid));
                found.push(Self { name: user.name, lesser, client: client.clone() });
            }
        }
        let Some(preferred) = found.first().cloned() else { return Err(EmbeddedError::NoAccount) };
        match owner {
            None => Ok(preferred),
            Some(owner) => found
                .into_iter()
                .find(|account| account.lesser.is_some_and(|(uid, _)| uid == owner))
                .ok_or_else(|| foreign(owner, &preferred.name)),
        }
    }

    /// Whether the server's files belong to another user than ours.
    pub(super) fn is_lesser(&self) -> bool {
        self.lesser.is_some()
    }

    /// Whether other programs of this machine may run as this account too.
    pub(super) fn is_shared(&self) -> bool {
        self.name == SHARED
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Who connects to the server.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// Hands a directory to the account. Its parent must be ours alone: nobody else may put a link in its place.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        match self.lesser {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// A program run by the account.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = plain_command(program);
        if let Some((uid, gid)) = self.lesser {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// A program undisturbed by our environment: variables would redirect it, other languages would change what it prints, and
/// our current directory may be closed to it.
pub(super) fn plain_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if KEPT_FROM_PROGRAMS.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}
