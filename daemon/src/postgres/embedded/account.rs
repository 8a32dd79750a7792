//! The account that the private server runs under: ours, or as root a lesser one, because PostgreSQL refuses root.

use std::{
    env, io,
    os::unix::fs::chown,
    path::Path,
    process::{Command, Stdio},
};

use super::EmbeddedError;
use crate::postgres::data_dir::{is_root, user_number};

/// Who owns the cluster's files and runs its programs.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// None: we run as that user already.
    lesser: Option<Lesser>,
}

#[derive(Clone, Debug)]
struct Lesser {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Account {
    /// As root `postgres`, or `nobody` where there is none; else ourselves.
    pub(super) fn find() -> Result<Self, EmbeddedError> {
        if !is_root().map_err(EmbeddedError::Account)? {
            return Ok(Self { lesser: None });
        }
        for name in ["postgres", "nobody"] {
            let number = |what| user_number(what, Some(name)).map_err(EmbeddedError::Account);
            if let (Some(uid), Some(gid)) = (number("-u")?, number("-g")?) {
                return Ok(Self { lesser: Some(Lesser { name, uid, gid }) });
            }
        }
        Err(EmbeddedError::NoAccount)
    }

    /// Whether the files must be handed to another user.
    pub(super) fn is_lesser(&self) -> bool {
        self.lesser.is_some()
    }

    /// The user to name in an error.
    pub(super) fn name(&self) -> &'static str {
        self.lesser.as_ref().map_or("this user", |lesser| lesser.name)
    }

    /// Hands a file or directory to the account.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        match &self.lesser {
            Some(lesser) => chown(path, Some(lesser.uid), Some(lesser.gid)),
            None => Ok(()),
        }
    }

    /// A program run by the account, undisturbed by our environment: PG* would redirect it, other languages would
    /// change what it prints, and our current directory may be closed to it.
    pub(super) fn command(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some(lesser) = &self.lesser {
            command.uid(lesser.uid).gid(lesser.gid);
        }
        command
    }
}
