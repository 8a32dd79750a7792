//! What the daemon is told: flags, then the environment, then a file; read once and checked whole.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{
    control::GroupRole,
    domain::{
        brand::Brand,
        delivery::{RETRY_AFTER_MAX, SweepPolicy},
    },
    doors::tls::Pair,
    postgres::setup,
    store::delivery::retention,
    telemetry,
    user::is_root,
};

mod doors;

pub use doors::ControlRemote;

/// `sockaddr_un` takes 104 bytes on macOS and 108 on Linux, the closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 100;

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
    #[error("this user has no home directory: give --data-dir")]
    NoHome,
    #[error("cannot tell which user this is: give --data-dir")]
    Account(#[source] io::Error),
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

/// What flags, environment and file have in common. All of it is optional.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The PostgreSQL database to use; without it the daemon runs its own in the data directory
    #[arg(long, global = true, env = "LEADLINE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<SecretString>,
    /// A file with the password of that database, which then stands neither in the URL nor among the arguments
    #[arg(long, global = true, env = "LEADLINE_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// Where the daemon keeps its key, its socket and its own PostgreSQL
    /// [default: /var/lib/leadline as root, else the user's data directory]
    #[arg(long, global = true, env = "LEADLINE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
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
    /// Let in over the network only clients with a certificate of this authority, a token beside it
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
    /// The longest wait that a target may ask for, such as 30m: what it asks for beyond is noted and not heeded [default: 1h]
    #[arg(long, global = true, value_name = "TIME")]
    max_retry_after: Option<String>,
    /// The key under which secrets are sealed [default: <data dir>/master.key, made at the first start]
    #[arg(long, global = true, value_name = "FILE")]
    master_key: Option<PathBuf>,
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
    /// None: a private PostgreSQL in the data directory.
    pub database_url: Option<SecretString>,
    /// Its password, unless the URL or a `.pgpass` has it.
    pub database_password: Option<SecretString>,
    pub data_dir: PathBuf,
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
    /// The longest wait that a target may ask for.
    pub max_retry_after: Duration,
    pub master_key: PathBuf,
    pub log: LogFormat,
    pub log_level: String,
}

impl Config {
    /// The defaults for a data directory.
    #[must_use]
    pub fn in_dir(data_dir: &Path) -> Self {
        Self {
            database_url: None,
            database_password: None,
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
            max_retry_after: RETRY_AFTER_MAX,
            master_key: data_dir.join("master.key"),
            log: LogFormat::default(),
            log_level: telemetry::DEFAULT_FILTER.to_owned(),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads what flags and environment say, over what a file says.
    pub(crate) fn read(settings: Settings, file: Option<&Path>) -> Result<Self, ConfigError> {
        settings.over(file.map_or_else(|| Ok(Settings::default()), read)?).check()
    }
}

impl Settings {
    /// What is not set here comes from below.
    fn over(self, below: Self) -> Self {
        // An empty variable is how a unit file or a shell says that it is not set.
        let url = self.database_url.filter(|url| !url.expose_secret().is_empty());
        let data_dir = self.data_dir.filter(|path| !path.as_os_str().is_empty());
        Self {
            database_url: url.or(below.database_url),
            database_password_file: self.database_password_file.or(below.database_password_file),
            data_dir: data_dir.or(below.data_dir),
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
            max_retry_after: self.max_retry_after.or(below.max_retry_after),
            master_key: self.master_key.or(below.master_key),
            log: self.log.or(below.log),
            log_level: self.log_level.or(below.log_level),
        }
    }

    fn check(self) -> Result<Config, ConfigError> {
        if let Some(url) = &self.database_url {
            setup::parse_url(url.expose_secret())?;
        }
        let data_dir = self.data_dir.map_or_else(default_data_dir, Ok)?;
        let mut config = Config::in_dir(&data_dir);
        config.database_url = self.database_url;
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
        let doors = doors::Doors {
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
        if let Some(text) = self.max_retry_after {
            config.max_retry_after = value("--max-retry-after", text, span)?;
        }
        config.master_key = self.master_key.unwrap_or(config.master_key);
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

/// Reads one setting, and names it if it cannot be read.
fn value<T>(
    setting: &'static str,
    value: String,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    read(&value).map_err(|why| ConfigError::Value { setting, value, why })
}

fn intake_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn socket_path_fits(path: &Path) -> Result<(), String> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        Ok(())
    } else {
        Err(format!(
            "longer than the {SOCKET_PATH_BYTES_MAX} bytes of a socket's path: give a shorter unix:PATH"
        ))
    }
}

/// A span of time: a number and its unit.
fn span(text: &str) -> Result<Duration, String> {
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
        .ok_or_else(|| {
            "write a number and its unit, such as 500ms, 30s, 15m, 72h or 3d; a year at most".to_owned()
        })
}

/// A span of a day at least: what is kept goes by the day.
fn days(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span < Duration::from_secs(86_400) {
        return Err("write a day at least, such as 30d".to_owned());
    }
    Ok(span)
}

fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc())
        .map_err(|_| "write a network or an address, such as 10.0.0.0/8 or ::1".to_owned())
}

fn read(path: &Path) -> Result<Settings, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
    let settings: Settings = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::File { path: path.to_owned(), why: format!("line {line}: {}", error.message()) }
    })?;
    let has_password = settings.database_url.as_ref().is_some_and(has_password);
    if has_password && is_open(path).map_err(|error| ConfigError::Unreadable(path.to_owned(), error))? {
        return Err(ConfigError::Open(path.to_owned()));
    }
    Ok(settings)
}

/// Whether a URL has a password in it.
fn has_password(url: &SecretString) -> bool {
    Url::parse(url.expose_secret()).is_ok_and(|url| url.password().is_some())
}

/// Whether everybody may read a file. A group that was given it is meant to.
fn is_open(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}

/// The first line of a password file.
fn password_in(path: &Path) -> Result<SecretString, ConfigError> {
    let unreadable = |error| ConfigError::UnreadablePassword(path.to_owned(), error);
    if is_open(path).map_err(unreadable)? {
        return Err(ConfigError::Open(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().unwrap_or_default().into())
}

fn default_data_dir() -> Result<PathBuf, ConfigError> {
    if is_root().map_err(ConfigError::Account)? {
        return Ok(PathBuf::from("/var/lib/leadline"));
    }
    let directories = directories::ProjectDirs::from("", "", "leadline").ok_or(ConfigError::NoHome)?;
    Ok(directories.data_dir().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Args;

    fn read_args(args: &[&str]) -> Result<Config, String> {
        let mut all = vec!["leadlined"];
        all.extend(args);
        if !args.contains(&"--data-dir") {
            all.extend(["--data-dir", "/data"]);
        }
        let args = Args::try_parse_from(all).map_err(|error| error.to_string())?;
        args.read().map(|(_, config)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_the_defaults_hold() {
        let config = read_args(&[]).unwrap();
        assert_eq!(config.control, Path::new("/data/control.sock"));
        assert_eq!(config.master_key, Path::new("/data/master.key"));
        assert_eq!(config.intake_listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.admin_listen.unwrap().to_string(), "127.0.0.1:8081");
        assert!(read_args(&["--admin-listen", "off"]).unwrap().admin_listen.is_none());
        let proxies =
            read_args(&["--trusted-proxy", "10.1.2.3/8", "--trusted-proxy", "::1"]).unwrap().trusted_proxies;
        assert_eq!(proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
        assert!(config.brand.as_str().starts_with("Leadline/"));
        assert!(config.allow_egress.is_empty() && config.database_url.is_none());
    }

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let config = read_args(&["--sweep-interval", "500ms", "--sweep-age", "3d"]).unwrap();
        assert_eq!(config.sweep.interval, Duration::from_millis(500));
        assert_eq!(config.sweep.age, Duration::from_secs(72 * 3600));
        assert_eq!(read_args(&[]).unwrap().sweep.interval, Duration::from_secs(900));
        assert_eq!(read_args(&[]).unwrap().keep_attempts, Duration::from_secs(30 * 86_400));
        let config = read_args(&["--keep-attempts", "36h"]).unwrap();
        assert_eq!(config.keep_attempts, Duration::from_secs(36 * 3600));
        assert_eq!(read_args(&[]).unwrap().max_retry_after, Duration::from_secs(3600));
        let config = read_args(&["--max-retry-after", "30m"]).unwrap();
        assert_eq!(config.max_retry_after, Duration::from_secs(1800));
        let error = read_args(&["--keep-attempts", "23h"]).unwrap_err();
        assert_eq!(error, "--keep-attempts \"23h\": write a day at least, such as 30d");
        for bad in ["", "15", "m", "0s", "-1s", "1w", "nans", "infh", "9e9d", "15 m"] {
            let error = read_args(&[&format!("--sweep-interval={bad}")]).unwrap_err();
            let told = "write a number and its unit, such as 500ms, 30s, 15m, 72h or 3d; a year at most";
            assert_eq!(error, format!("--sweep-interval {bad:?}: {told}"));
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("leadlined.toml");
        let text =
            "brand = 'File/1'\nlog = 'json'\nallow_egress = ['10.1.2.3/8', '::1']\nlog_level = 'warn'\n";
        fs::write(&file, text).unwrap();
        let config = read_args(&["--config", file.to_str().unwrap(), "--brand", "Flag"]).unwrap();
        assert_eq!(config.brand.as_str(), "Flag");
        assert_eq!(config.log, LogFormat::Json);
        assert_eq!(config.log_level, "warn");
        let networks: Vec<_> = config.allow_egress.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    }

    #[test]
    fn the_example_names_every_setting_and_is_right() {
        let example = include_str!("../../packaging/leadlined.toml");
        let text: String =
            example.lines().filter_map(|line| line.strip_prefix('#')).fold(String::new(), |text, line| {
                if line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ") {
                    text + line + "\n"
                } else {
                    text
                }
            });
        let settings: Settings = toml::from_str(&text).unwrap();
        let unset = format!("{settings:?}");
        assert!(
            !unset.contains("None") && !unset.contains("[]"),
            "the example leaves out a setting: {unset}"
        );
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("password");
        fs::write(&file, "hunter2").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = Settings { database_password_file: Some(file), ..settings };
        Config::read(settings, None).unwrap();
    }

    #[test]
    fn a_bad_file_is_refused_by_line() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("leadlined.toml");
        for (text, expected) in [
            ("brand = 'A'\nbrnad = 'B'\n", "line 2: unknown field `brnad`"),
            ("\n\nlog = 3\n", "line 3: "),
            ("= 1\n", "line 1: "),
        ] {
            fs::write(&file, text).unwrap();
            let error = read_args(&["--config", file.to_str().unwrap()]).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
        let error = read_args(&["--config", "/no/such/file"]).unwrap_err();
        assert_eq!(error, "cannot read the configuration file /no/such/file");
    }

    #[test]
    fn files_with_passwords_are_not_for_everybody() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("leadlined.toml");
        let shown = file.display();
        let set = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let read_file = |flag| read_args(&[flag, file.to_str().unwrap()]);
        let refusal = format!("others may read {shown}, which holds a password: chmod 600 {shown}");
        set("database_url = 'postgres://ann:hunter2@localhost/leads'\n", 0o644);
        assert_eq!(read_file("--config").unwrap_err(), refusal);
        for (text, mode) in [
            ("database_url = 'postgres://ann:hunter2@localhost/leads'\n", 0o640),
            ("database_url = 'postgres://ann@localhost/leads'\n", 0o644),
        ] {
            set(text, mode);
            read_file("--config").unwrap();
        }
        set("hunter2\n", 0o644);
        assert_eq!(read_file("--database-password-file").unwrap_err(), refusal);
        set("hunter2\n", 0o640);
        let config = read_file("--database-password-file").unwrap();
        assert_eq!(config.database_password.unwrap().expose_secret(), "hunter2");
        let error = read_args(&["--database-password-file", "/no/such/file"]).unwrap_err();
        assert_eq!(error, "cannot read the password file /no/such/file");
    }

    #[test]
    fn bad_values_are_refused_with_what_to_write() {
        let long = format!("unix:/{}", "x".repeat(100));
        for (args, expected) in [
            (["--intake-listen", "8080"], "write an address and a port, such as 127.0.0.1:8080 or [::]:8080"),
            (
                ["--control-listen", "0.0.0.0:9000"],
                "--control-listen 0.0.0.0:9000 needs TLS: give --control-tls-cert and --control-tls-key",
            ),
            (
                ["--control-listen", "9000"],
                "write unix:PATH, or an address and a port, such as 0.0.0.0:7443 or [::]:7443",
            ),
            (["--tls-cert", "a.pem"], "--tls-cert alone is not enough: give --tls-key, too"),
            (
                ["--control-tls-key", "a.pem"],
                "--control-tls-key alone is not enough: give --control-tls-cert, too",
            ),
            (["--control-group", "support=boss"], "write GROUP=viewer, GROUP=operator or GROUP=admin"),
            (["--control-listen", "unix:"], "write unix:PATH"),
            (
                ["--control-listen", &long],
                "longer than the 100 bytes of a socket's path: give a shorter unix:PATH",
            ),
            (["--allow-egress", "10.0.0.0/33"], "write a network or an address, such as 10.0.0.0/8 or ::1"),
            (["--brand", "Two words"], "NAME/VERSION"),
            (["--log-level", "leadlined=loud"], "such as info"),
            (
                ["--database-url", "mysql://x/y"],
                "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database",
            ),
        ] {
            let error = read_args(&args).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{args:?}: {error}");
        }
        let nobody = std::io::Error::other("no such program");
        for (error, told) in [
            (ConfigError::NoHome, "this user has no home directory: give --data-dir"),
            (ConfigError::Account(nobody), "cannot tell which user this is: give --data-dir"),
        ] {
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = read_args(&["--database-url", "postgres://ann:hunter2@db/leads"]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
