//! Where the daemon may be: the order of places is product.md's, so that scripts and people need no flag.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use directories::ProjectDirs;

use super::ClientError;

const SOCKET: &str = "control.sock";
const SYSTEM_DATA_DIR: &str = "/var/lib/leadline";

/// The unix socket of a daemon's control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(PathBuf);

impl Address {
    /// The control socket in a daemon's data directory.
    #[must_use]
    pub fn in_data_dir(dir: &Path) -> Self {
        Self(dir.join(SOCKET))
    }

    /// Reads `unix:PATH`; TLS over TCP is told apart, so that the refusal can say so.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(ClientError::Usage(format!(
                "{text}: this version reaches a daemon over its unix socket only; use unix:PATH"
            )));
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or_default();
        if path.is_empty() {
            return Err(ClientError::Usage(format!(
                "'{text}' is no server; use unix:PATH of its control.sock"
            )));
        }
        Ok(Self(PathBuf::from(path)))
    }

    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.0.display())
    }
}

/// The places to look for a daemon, best first: what was asked for, or every default.
pub fn candidates(server: Option<&str>) -> Result<Vec<Address>, ClientError> {
    candidates_from(server, |name| env::var_os(name).filter(|value| !value.is_empty()), user_data_dir())
}

fn candidates_from(
    server: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
    user: Option<PathBuf>,
) -> Result<Vec<Address>, ClientError> {
    if let Some(server) = server {
        return Ok(vec![Address::parse(server)?]);
    }
    if let Some(server) = variable("LEADLINE_SERVER") {
        return Ok(vec![Address::parse(&server.to_string_lossy())?]);
    }
    if let Some(dir) = variable("LEADLINE_DATA_DIR") {
        return Ok(vec![Address::in_data_dir(Path::new(&dir))]);
    }
    let dirs = [Some(PathBuf::from(SYSTEM_DATA_DIR)), user];
    Ok(dirs.into_iter().flatten().map(|dir| Address::in_data_dir(&dir)).collect())
}

fn user_data_dir() -> Option<PathBuf> {
    ProjectDirs::from("", "", "leadline").map(|dirs| dirs.data_dir().to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn found(server: Option<&str>, variables: Variables<'_>) -> Result<Vec<String>, String> {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        candidates_from(server, variable, Some("/users/u/.local/share/leadline".into()))
            .map(|found| found.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_most_explicit_place_wins() {
        let both = [("LEADLINE_SERVER", "unix:/s"), ("LEADLINE_DATA_DIR", "/d")];
        let table: [(Option<&str>, Variables<'_>, &[&str]); 5] = [
            (Some("unix:/a/b.sock"), &both, &["unix:/a/b.sock"]),
            (Some("unix:///a/b.sock"), &[], &["unix:/a/b.sock"]),
            (None, &both, &["unix:/s"]),
            (None, &both[1..], &["unix:/d/control.sock"]),
            (
                None,
                &[],
                &["unix:/var/lib/leadline/control.sock", "unix:/users/u/.local/share/leadline/control.sock"],
            ),
        ];
        for (server, variables, expected) in table {
            assert_eq!(found(server, variables).unwrap(), expected, "{server:?} {variables:?}");
        }
    }

    #[test]
    fn what_is_no_socket_is_refused_with_the_way_out() {
        for bad in ["https://example.com:7000", "http://x", "unix:", "/a/b.sock", "localhost:1"] {
            let error = found(Some(bad), &[]).unwrap_err();
            assert!(error.contains("use unix:PATH") && error.contains(bad), "{error}");
        }
    }
}
