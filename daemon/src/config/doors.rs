//! Where the daemon listens, and with what certificates.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Config, ConfigError, value,
    values::{ControlListen, SettingError, control_listen, group_role},
};
use crate::doors::tls::Pair;

/// The control API over the network: always with TLS.
#[derive(Clone, Debug)]
pub struct ControlRemote {
    pub listen: SocketAddr,
    pub tls: Pair,
    /// The authority that clients must be certified by, if they must.
    pub client_ca: Option<PathBuf>,
}

/// What was said of the doors.
pub(super) struct DoorSettings {
    pub(super) control_listen: Vec<String>,
    pub(super) control_groups: Vec<String>,
    pub(super) control_tls: (Option<PathBuf>, Option<PathBuf>),
    pub(super) control_client_ca: Option<PathBuf>,
    pub(super) tls: (Option<PathBuf>, Option<PathBuf>),
}

impl DoorSettings {
    pub(super) fn set(self, config: &mut Config) -> Result<(), ConfigError> {
        let (mut socket, mut remote) = (None, None);
        for text in self.control_listen {
            value("--control-listen", text, |text| match control_listen(text)? {
                ControlListen::Socket(path) => once(&mut socket, path),
                ControlListen::Remote(address) => once(&mut remote, address),
            })?;
        }
        if let Some(socket) = socket {
            config.control = socket;
        }
        for text in self.control_groups {
            config.control_groups.push(value("--control-group", text, group_role)?);
        }
        let tls = pair(["--control-tls-cert", "--control-tls-key"], self.control_tls)?;
        config.control_remote = match (remote, tls) {
            (Some(listen), Some(tls)) => {
                Some(ControlRemote { listen, tls, client_ca: self.control_client_ca })
            }
            (Some(listen), None) => return Err(ConfigError::NoTls(listen)),
            (None, _) => None,
        };
        config.tls = pair(["--tls-cert", "--tls-key"], self.tls)?;
        Ok(())
    }
}

/// Takes what is said, unless something was said before: of two doors one would silently stay shut.
fn once<T>(door: &mut Option<T>, said: T) -> Result<(), SettingError> {
    match door.replace(said) {
        None => Ok(()),
        Some(_) => Err(SettingError::SecondDoor),
    }
}

/// A certificate with its key: both or none.
fn pair(
    [cert_name, key_name]: [&'static str; 2],
    (cert, key): (Option<PathBuf>, Option<PathBuf>),
) -> Result<Option<Pair>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(Pair { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfPair(cert_name, key_name)),
        (None, Some(_)) => Err(ConfigError::HalfPair(key_name, cert_name)),
    }
}
