//! The values of settings as they are written, and what to write instead of what cannot be read.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use leadline_proto::v1::Role;
use secrecy::{ExposeSecret as _, SecretString};

use super::ConfigError;
use crate::{
    control::GroupRole,
    postgres::{hosts::single_urls, setup},
};

/// `sockaddr_un` takes 104 bytes on macOS and 108 on Linux, the closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// What to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SettingError {
    #[error("write an address and a port, such as 127.0.0.1:8080 or [::]:8080")]
    Address,
    #[error("write unix:PATH")]
    Path,
    #[error("write unix:PATH, or an address and a port, such as 0.0.0.0:7443 or [::]:7443")]
    Control,
    #[error("one unix:PATH and one address with its port are the most: take the other one away")]
    SecondDoor,
    #[error("write GROUP=viewer, GROUP=operator or GROUP=admin")]
    Group,
    #[error("longer than the {} bytes of a socket's path: give a shorter unix:PATH", SOCKET_PATH_BYTES_MAX)]
    LongPath,
    #[error("write a number and its unit, such as 500ms, 30s, 15m, 72h or 3d; a year at most")]
    Span,
    #[error("write a day at least, such as 30d")]
    Days,
    #[error("write a number of days, such as 730d")]
    Long,
    #[error(
        "write http:// with a host and a port, such as http://127.0.0.1:4317: run a collector beside the daemon"
    )]
    Collector,
    #[error("write a share of all leads from 0 to 1, such as 0.1")]
    Share,
    #[error("write a network or an address, such as 10.0.0.0/8 or ::1")]
    Network,
}

pub(super) fn intake_listen(text: &str) -> Result<SocketAddr, SettingError> {
    text.parse().map_err(|_| SettingError::Address)
}

/// The replica of a database that is named, too.
pub(super) fn replica(
    read_url: Option<&SecretString>,
    database_url: Option<&SecretString>,
) -> Result<(), ConfigError> {
    let Some(read_url) = read_url else { return Ok(()) };
    if database_url.is_none() {
        return Err(ConfigError::HalfPair("--read-url", "--database-url"));
    }
    // The URL may hold a password, so it is not quoted.
    let read_url = read_url.expose_secret();
    if setup::parse_url(read_url).is_err() {
        return Err(ConfigError::ReadUrl);
    }
    if single_urls(read_url).len() > 1 { Err(ConfigError::SeveralReplicas) } else { Ok(()) }
}

/// A collector of traces. It runs beside the daemon, so nobody between them needs TLS.
pub(super) fn collector(text: &str) -> Result<(), SettingError> {
    let url = url::Url::parse(text).map_err(|_| SettingError::Collector)?;
    let is_bare =
        url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let is_right = url.scheme() == "http" && url.host().is_some() && url.port().is_some() && is_bare;
    if is_right { Ok(()) } else { Err(SettingError::Collector) }
}

pub(super) fn share(share: f64) -> Result<(), SettingError> {
    if (0.0..=1.0).contains(&share) { Ok(()) } else { Err(SettingError::Share) }
}

/// A door of the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ControlListen {
    Socket(PathBuf),
    Remote(SocketAddr),
}

pub(super) fn control_listen(text: &str) -> Result<ControlListen, SettingError> {
    match text.strip_prefix("unix:") {
        Some("") => Err(SettingError::Path),
        Some(path) => Ok(ControlListen::Socket(PathBuf::from(path))),
        None => text.parse().map(ControlListen::Remote).map_err(|_| SettingError::Control),
    }
}

pub(super) fn group_role(text: &str) -> Result<GroupRole, SettingError> {
    let (group, role) =
        text.split_once('=').filter(|(group, _)| !group.is_empty()).ok_or(SettingError::Group)?;
    match Role::from_str_name(&format!("ROLE_{}", role.to_uppercase())) {
        Some(role) if role != Role::Unspecified => Ok(GroupRole { group: group.to_owned(), role }),
        _ => Err(SettingError::Group),
    }
}

pub(super) fn socket_path_fits(path: &Path) -> Result<(), SettingError> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX { Ok(()) } else { Err(SettingError::LongPath) }
}

/// A span of time: a number and its unit.
pub(super) fn span(text: &str) -> Result<Duration, SettingError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let number = digits.parse::<f64>().ok().filter(|number| *number > 0.0);
    number
        .zip(seconds)
        .map(|(number, seconds)| number * seconds)
        .filter(|seconds| *seconds <= 366.0 * 86_400.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or(SettingError::Span)
}

/// A span of a day at least: what is kept goes by the day.
pub(super) fn days(text: &str) -> Result<Duration, SettingError> {
    let span = span(text)?;
    if span < Duration::from_secs(86_400) {
        return Err(SettingError::Days);
    }
    Ok(span)
}

/// A span of days, of any number.
pub(super) fn long(text: &str) -> Result<Duration, SettingError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()).filter(|days| *days > 0);
    days.map(|days| Duration::from_secs(u64::from(days) * 86_400)).ok_or(SettingError::Long)
}

pub(super) fn network(text: &str) -> Result<IpNet, SettingError> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| SettingError::Network)
}
