//! What the daemon is told: flags, then the environment, then a file; read once and checked whole.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    control::GroupRole,
    domain::{
        brand::Brand,
        delivery::{RETRY_AFTER_MAX, SweepPolicy},
    },
    doors::tls::Pair,
    postgres::setup,
    store::{delivery::retention, operator::reading::READINGS_KEPT_DEFAULT},
    telemetry::{self, TraceSettings},
};
use files::{default_data_dir, password_in, read};
use values::{days, intake_listen, long, network, socket_path_fits, span};

mod doors;
mod files;
mod values;

pub use doors::ControlRemote;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}: see leadlined --help")]
    Usage(String),
    #[error("cannot read the configuration file {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{}: {why}", .path.display())]
    File { path: PathBuf, why: String },
    #[error("others may read {path}, which holds a password: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    #[error("cannot read the password file {}", .0.display())]
    UnreadablePassword(PathBuf, #[source] io::Error),
    #[error("{setting} {value:?}: {why}")]
    Value { setting: &'static str, value: String, why: String },
    #[error("{0} alone is not enough: give {1}, too")]
    HalfPair(&'static str, &'static str),
    #[error("--control-listen {0} needs TLS: give --control-tls-cert and --control-tls-key")]
    NoTls(SocketAddr),
    #[error(transparent)]
    Url(#[from] setup::SetupError),
    #[error(
        "--read-url is no URL of a PostgreSQL database, such as postgres://user@replica.example.com/database"
    )]
    ReadUrl,
    #[error("--read-url names several servers: name the one replica that answers lists")]
    SeveralReplicas,
    #[error("this user has no home directory: give --data-dir")]
    NoHome,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Whom a daemon becomes that root started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DaemonUser {
    /// Nobody else.
    #[default]
    Same,
    /// The user that the install makes, if there is one.
    Own,
    Named(String),
}

/// What flags, environment and file have in common. All of it is optional.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigSettings {
    /// The PostgreSQL database to use; without it the daemon runs its own in the data directory
    #[arg(long, global = true, env = "LEADLINE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<SecretString>,
    /// A file with the password of that database, which then stands neither in the URL nor among the arguments
    #[arg(long, global = true, env = "LEADLINE_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// A replica of that database, which answers the lists of commands and consoles while it is up to date
    #[arg(long, global = true, env = "LEADLINE_READ_URL", value_name = "URL", hide_env_values = true)]
    read_url: Option<SecretString>,
    /// Where the daemon keeps its key, its socket and its own PostgreSQL
    /// [default: /var/lib/leadline as root, else the user's data directory]
    #[arg(long, global = true, env = "LEADLINE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Whom a daemon becomes that root starts, once it listens and has read its certificates; `root` for nobody else
    /// [default: leadline, if there is such a user and the data directory is not root's]
    #[arg(long, global = true, env = "LEADLINE_USER", value_name = "NAME")]
    user: Option<String>,
    /// Where leads are taken in over HTTP [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    intake_listen: Option<String>,
    /// Where health in detail and metrics are asked for; `off` for nowhere [default: 127.0.0.1:8081]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Proxies whose X-Forwarded-For is taken for the address of the client; repeatable
    #[arg(long, global = true, value_name = "CIDR")]
    #[serde(default)]
    trusted_proxy: Vec<String>,
    /// Where consoles and scripts connect; repeatable: the socket is there in any case, ADDRESS:PORT has TLS and wants a
    /// token [default: unix:<data dir>/control.sock]
    #[arg(long, global = true, value_name = "unix:PATH|ADDRESS:PORT")]
    #[serde(default)]
    control_listen: Vec<String>,
    /// The certificate that the control API shows over the network, a PEM file; taken anew when it changes
    #[arg(long, global = true, value_name = "FILE")]
    control_tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, global = true, value_name = "FILE")]
    control_tls_key: Option<PathBuf>,
    /// Let in over the network only clients with a certificate of this authority, a token beside it; taken anew when it
    /// changes
    #[arg(long, global = true, value_name = "FILE")]
    control_client_ca: Option<PathBuf>,
    /// A group of this machine's users who may use the socket, as viewer, operator or admin; repeatable
    #[arg(long, global = true, value_name = "GROUP=ROLE")]
    #[serde(default)]
    control_group: Vec<String>,
    /// The certificate that the intake shows, a PEM file, taken anew when it changes; without one it speaks plain HTTP
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Addresses that may be pushed to although they are not public, over plain http too; repeatable
    #[arg(long, global = true, value_name = "CIDR")]
    #[serde(default)]
    allow_egress: Vec<String>,
    /// The prefix of delivery headers and, with a version, the user agent [default: Leadline and its version]
    #[arg(long, global = true, value_name = "NAME[/VERSION]")]
    brand: Option<String>,
    /// How often the sweep comes back to dead deliveries, such as 15m [default: 15m]
    #[arg(long, global = true, value_name = "TIME")]
    sweep_interval: Option<String>,
    /// Up to which age it comes back to them, such as 72h [default: 72h]
    #[arg(long, global = true, value_name = "TIME")]
    sweep_age: Option<String>,
    /// How long attempts are kept, and with them notices and jobs that ended; the last 50 attempts of each integration
    /// stay [default: 30d]
    #[arg(long, global = true, value_name = "TIME")]
    keep_attempts: Option<String>,
    /// After which time without a change leads are erased, once all their deliveries are delivered or skipped, such as
    /// 730d; refused posts go after 90 days, and after this time if that is shorter [default: never]
    #[arg(long, global = true, value_name = "TIME")]
    keep_leads: Option<String>,
    /// How long it is kept who read which lead by an intake key [default: 730d]
    #[arg(long, global = true, value_name = "TIME")]
    keep_readings: Option<String>,
    /// The longest wait that a target may ask for, such as 30m: what it asks for beyond is noted and not heeded [default: 1h]
    #[arg(long, global = true, value_name = "TIME")]
    max_retry_after: Option<String>,
    /// The key under which secrets are sealed [default: <data dir>/master.key, made at the first start]
    #[arg(long, global = true, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Where traces go by OTLP over gRPC, http://HOST:PORT [default: nowhere]
    #[arg(long, global = true, env = "LEADLINE_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Which share of the leads is traced whose sender does not say, 0 to 1 [default: 1]
    #[arg(long, global = true, value_name = "SHARE")]
    otlp_share: Option<f64>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log: Option<LogFormat>,
    /// What is logged, in the way of RUST_LOG: info, or leadlined=debug,sqlx=info [default: info,sqlx=warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if one was named.
    pub file: Option<PathBuf>,
    /// None: a private PostgreSQL in the data directory.
    pub database_url: Option<SecretString>,
    /// Its password, unless the URL or a `.pgpass` has it.
    pub database_password: Option<SecretString>,
    /// A replica that answers lists.
    pub read_url: Option<SecretString>,
    /// So many connections do what has none of its own, at most. Not a setting: tests run many daemons on one server.
    pub connections_max: u32,
    pub data_dir: PathBuf,
    /// Whom this process becomes if it is root's.
    pub user: DaemonUser,
    pub intake_listen: SocketAddr,
    /// Where health in detail and metrics are asked for.
    pub admin_listen: Option<SocketAddr>,
    /// Whether somebody asked for that address: without being asked the daemon does without one that is taken.
    pub admin_is_asked_for: bool,
    pub trusted_proxies: Vec<IpNet>,
    /// The control socket.
    pub control: PathBuf,
    /// Groups of the machine's users that may use it.
    pub control_groups: Vec<GroupRole>,
    /// Where else the control API is, over the network.
    pub control_remote: Option<ControlRemote>,
    /// The intake's certificate and key.
    pub tls: Option<Pair>,
    pub allow_egress: Vec<IpNet>,
    pub brand: Brand,
    /// When the sweep comes back to dead deliveries.
    pub sweep: SweepPolicy,
    /// How long attempts are kept.
    pub keep_attempts: Duration,
    /// How long leads are kept; none for ever.
    pub keep_leads: Option<Duration>,
    /// How long it is kept who read which lead by an intake key.
    pub keep_readings: Duration,
    /// The longest wait that a target may ask for.
    pub max_retry_after: Duration,
    pub master_key: PathBuf,
    /// Where traces go, if anywhere.
    pub traces: Option<TraceSettings>,
    pub log: LogFormat,
    pub log_level: String,
}

impl Config {
    /// The defaults for a data directory.
    #[must_use]
    pub fn in_dir(data_dir: &Path) -> Self {
        Self {
            file: None,
            database_url: None,
            database_password: None,
            read_url: None,
            connections_max: setup::CONNECTIONS_MAX,
            user: DaemonUser::Same,
            intake_listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 8081))),
            admin_is_asked_for: false,
            trusted_proxies: Vec::new(),
            control: data_dir.join("control.sock"),
            control_groups: Vec::new(),
            control_remote: None,
            tls: None,
            allow_egress: Vec::new(),
            brand: Brand::ours(),
            sweep: SweepPolicy::default(),
            keep_attempts: retention::KEPT_DEFAULT,
            keep_leads: None,
            keep_readings: READINGS_KEPT_DEFAULT,
            max_retry_after: RETRY_AFTER_MAX,
            master_key: data_dir.join("master.key"),
            traces: None,
            log: LogFormat::default(),
            log_level: telemetry::DEFAULT_FILTER.to_owned(),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads what flags and environment say, over what a file says.
    pub(crate) fn read(settings: ConfigSettings, file: Option<&Path>) -> Result<Self, ConfigError> {
        let below = file.map_or_else(|| Ok(ConfigSettings::default()), read)?;
        Ok(Self { file: file.map(Path::to_owned), ..settings.over(below).check()? })
    }
}

impl ConfigSettings {
    /// What is not set here comes from below.
    fn over(self, below: Self) -> Self {
        // An empty variable is how a unit file or a shell says that it is not set.
        let url = self.database_url.filter(|url| !url.expose_secret().is_empty());
        let data_dir = self.data_dir.filter(|path| !path.as_os_str().is_empty());
        Self {
            database_url: url.or(below.database_url),
            database_password_file: self.database_password_file.or(below.database_password_file),
            read_url: self.read_url.filter(|url| !url.expose_secret().is_empty()).or(below.read_url),
            data_dir: data_dir.or(below.data_dir),
            user: self.user.filter(|name| !name.is_empty()).or(below.user),
            intake_listen: self.intake_listen.or(below.intake_listen),
            admin_listen: self.admin_listen.or(below.admin_listen),
            trusted_proxy: first(self.trusted_proxy, below.trusted_proxy),
            control_listen: first(self.control_listen, below.control_listen),
            control_tls_cert: self.control_tls_cert.or(below.control_tls_cert),
            control_tls_key: self.control_tls_key.or(below.control_tls_key),
            control_client_ca: self.control_client_ca.or(below.control_client_ca),
            control_group: first(self.control_group, below.control_group),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            allow_egress: first(self.allow_egress, below.allow_egress),
            brand: self.brand.or(below.brand),
            sweep_interval: self.sweep_interval.or(below.sweep_interval),
            sweep_age: self.sweep_age.or(below.sweep_age),
            keep_attempts: self.keep_attempts.or(below.keep_attempts),
            keep_leads: self.keep_leads.or(below.keep_leads),
            keep_readings: self.keep_readings.or(below.keep_readings),
            max_retry_after: self.max_retry_after.or(below.max_retry_after),
            master_key: self.master_key.or(below.master_key),
            otlp_endpoint: self.otlp_endpoint.or(below.otlp_endpoint),
            otlp_share: self.otlp_share.or(below.otlp_share),
            log: self.log.or(below.log),
            log_level: self.log_level.or(below.log_level),
        }
    }

    fn check(self) -> Result<Config, ConfigError> {
        if let Some(url) = &self.database_url {
            setup::parse_url(url.expose_secret())?;
        }
        values::replica(self.read_url.as_ref(), self.database_url.as_ref())?;
        let data_dir = self.data_dir.map_or_else(default_data_dir, Ok)?;
        let mut config = Config::in_dir(&data_dir);
        (config.database_url, config.read_url) = (self.database_url, self.read_url);
        config.user = self.user.map_or(DaemonUser::Own, DaemonUser::Named);
        config.database_password = self.database_password_file.as_deref().map(password_in).transpose()?;
        if let Some(text) = self.intake_listen {
            config.intake_listen = value("--intake-listen", text, intake_listen)?;
        }
        if let Some(text) = self.admin_listen {
            config.admin_is_asked_for = true;
            config.admin_listen = match text.as_str() {
                "off" => None,
                _ => Some(value("--admin-listen", text, intake_listen)?),
            };
        }
        for text in self.trusted_proxy {
            config.trusted_proxies.push(value("--trusted-proxy", text, network)?);
        }
        let doors = doors::DoorSettings {
            control_listen: self.control_listen,
            control_groups: self.control_group,
            control_tls: (self.control_tls_cert, self.control_tls_key),
            control_client_ca: self.control_client_ca,
            tls: (self.tls_cert, self.tls_key),
        };
        doors.set(&mut config)?;
        let control = config.control.display().to_string();
        value("--control-listen", control, |_| socket_path_fits(&config.control))?;
        for text in self.allow_egress {
            config.allow_egress.push(value("--allow-egress", text, network)?);
        }
        if let Some(text) = self.brand {
            config.brand = value("--brand", text, Brand::parse)?;
        }
        if let Some(text) = self.sweep_interval {
            config.sweep.interval = value("--sweep-interval", text, span)?;
        }
        if let Some(text) = self.sweep_age {
            config.sweep.age = value("--sweep-age", text, span)?;
        }
        if let Some(text) = self.keep_attempts {
            config.keep_attempts = value("--keep-attempts", text, days)?;
        }
        config.keep_leads = self.keep_leads.map(|text| value("--keep-leads", text, long)).transpose()?;
        if let Some(text) = self.keep_readings {
            config.keep_readings = value("--keep-readings", text, long)?;
        }
        if let Some(text) = self.max_retry_after {
            config.max_retry_after = value("--max-retry-after", text, span)?;
        }
        config.master_key = self.master_key.unwrap_or(config.master_key);
        config.traces = traces(self.otlp_endpoint, self.otlp_share)?;
        config.log = self.log.unwrap_or_default();
        if let Some(text) = self.log_level {
            value("--log-level", text.clone(), telemetry::check_filter)?;
            config.log_level = text;
        }
        Ok(config)
    }
}

/// A list that is said, or else the one below.
fn first(said: Vec<String>, below: Vec<String>) -> Vec<String> {
    if said.is_empty() { below } else { said }
}

/// Where traces go. An empty endpoint is how a unit file says that it is not set.
fn traces(endpoint: Option<String>, share: Option<f64>) -> Result<Option<TraceSettings>, ConfigError> {
    let share = share.unwrap_or(1.0);
    value("--otlp-share", share.to_string(), |_| values::share(share))?;
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return Ok(None) };
    value("--otlp-endpoint", endpoint.clone(), values::collector)?;
    Ok(Some(TraceSettings { endpoint, share }))
}

/// Reads one setting, and names it if it cannot be read.
fn value<T, E: fmt::Display>(
    setting: &'static str,
    value: String,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, ConfigError> {
    read(&value).map_err(|error| ConfigError::Value { setting, value, why: error.to_string() })
}

#[cfg(test)]
mod tests;
