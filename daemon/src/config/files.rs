//! The configuration file, the password file, and where they and the data are.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{ConfigError, ConfigSettings};
use crate::{postgres::hosts::single_urls, user::is_root};

pub(super) fn read(path: &Path) -> Result<ConfigSettings, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
    let settings: ConfigSettings = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::File { path: path.to_owned(), why: format!("line {line}: {}", error.message()) }
    })?;
    let urls = [&settings.database_url, &settings.read_url];
    let has_password = urls.into_iter().flatten().any(has_password);
    if has_password && is_open(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))? {
        return Err(ConfigError::Open(path.to_owned()));
    }
    Ok(settings)
}

/// Whether a URL has a password in it, before its host or among what follows it.
fn has_password(url: &SecretString) -> bool {
    let is_secret = |url: Url| {
        url.password().is_some() || url.query_pairs().any(|(key, _)| key.to_lowercase().contains("password"))
    };
    single_urls(url.expose_secret()).iter().any(|url| match Url::parse(url) {
        Ok(url) => is_secret(url),
        // It is refused later; a slip in it does not make its password less of one.
        Err(_) => url.contains('@') || url.contains("password"),
    })
}

/// Whether everybody may read a file. A group that was given it is meant to.
fn is_open(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}

/// The first line of a password file.
pub(super) fn password_in(path: &Path) -> Result<SecretString, ConfigError> {
    let unreadable = |error| ConfigError::UnreadablePassword(path.to_owned(), error);
    if is_open(path).map_err(unreadable)? {
        return Err(ConfigError::Open(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().unwrap_or_default().into())
}

/// Where a daemon keeps its things that is not told where.
pub(super) fn default_data_dir() -> Result<PathBuf, ConfigError> {
    if is_root() {
        return Ok(PathBuf::from("/var/lib/leadline"));
    }
    let directories = directories::ProjectDirs::from("", "", "leadline").ok_or(ConfigError::NoHome)?;
    Ok(directories.data_dir().to_owned())
}
