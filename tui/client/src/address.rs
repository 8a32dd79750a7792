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

/// Where a daemon's control API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Socket(PathBuf),
    /// Host and port, over TLS.
    Remote(String),
}

impl Address {
    /// The control socket in a daemon's data directory.
    #[must_use]
    pub fn in_data_dir(dir: &Path) -> Self {
        Self::Socket(dir.join(SOCKET))
    }

    /// Reads `unix:PATH` or `https://HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let refused = || {
            Err(ClientError::Usage(format!(
                "'{text}' is no server; use unix:PATH of its control.sock, or https://HOST:PORT"
            )))
        };
        if let Some(host) = text.strip_prefix("https://") {
            let host = host.trim_end_matches('/');
            let (name, port) = host.rsplit_once(':').unwrap_or_default();
            let is_host = !name.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
            return if is_host && port.parse::<u16>().is_ok() {
                Ok(Self::Remote(host.to_owned()))
            } else {
                refused()
            };
        }
        match text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or_default() {
            "" => refused(),
            path => Ok(Self::Socket(PathBuf::from(path))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Remote(host) => write!(f, "https://{host}"),
        }
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
        let table: [(Option<&str>, Variables<'_>, &[&str]); 6] = [
            (Some("unix:/a/b.sock"), &both, &["unix:/a/b.sock"]),
            (Some("unix:///a/b.sock"), &[], &["unix:/a/b.sock"]),
            (Some("https://leads.example.com:7443/"), &[], &["https://leads.example.com:7443"]),
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
        for bad in [
            "https://example.com",
            "https://:1",
            "https://a/b:1",
            "http://x",
            "unix:",
            "/a/b.sock",
            "localhost:1",
        ] {
            let error = found(Some(bad), &[]).unwrap_err();
            let told =
                format!("'{bad}' is no server; use unix:PATH of its control.sock, or https://HOST:PORT");
            assert_eq!(error, told);
        }
    }
}
