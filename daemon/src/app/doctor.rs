//! `leadlined doctor`: looks at all that a daemon needs, changes nothing, and says what to do about what is wrong.

use std::{
    fmt::{self, Write as _},
    fs, io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    app::{
        doors,
        own_user::{self, Becomes, OwnUserError},
    },
    config::Config,
    postgres::{
        data_dir,
        embedded::{self, dump},
        hosts::Hosts,
        inspect::{Inspected, Schema, inspect},
        setup,
    },
    secrets::master_key,
    telemetry, user,
};

mod machine;
mod reach;
mod sandbox;
#[cfg(test)]
mod tests;

/// Clocks further apart make signatures and logs hard to follow, in seconds.
const CLOCK_MAX: i64 = 5;
const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    /// It works, and something should be done about it.
    Look,
    /// A daemon cannot work so.
    Bad,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Look => "look",
            Self::Bad => "FAIL",
        })
    }
}

/// What was found of one thing.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    thing: &'static str,
    text: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct DoctorReport(Vec<Finding>);

impl DoctorReport {
    fn add(&mut self, grade: Grade, thing: &'static str, text: impl Into<String>) {
        self.0.push(Finding { grade, thing, text: text.into() });
    }

    /// Whether a daemon can work.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.0.iter().all(|finding| finding.grade != Grade::Bad)
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { grade, thing, text } in &self.0 {
            writeln!(f, "{grade:<5} {thing:<15} {text}")?;
        }
        Ok(())
    }
}

/// Looks at everything that can be looked at: as root at what root does for a daemon, and then as the user that the daemon
/// is.
pub async fn examine(config: &Config) -> DoctorReport {
    let mut report = DoctorReport::default();
    let is_running = data_dir::is_in_use(&config.data_dir);
    examine_user(&mut report, config, is_running);
    let certificates = doors::check(config);
    if !is_running {
        reach::examine_ports(&mut report, config);
    }
    if let Err(error) = become_daemons_user(&report, config) {
        report.add(Grade::Bad, "user", telemetry::causes(&error));
    }
    reach::examine_certificates(&mut report, config, certificates);
    examine_directory(&mut report, &config.data_dir);
    examine_unused(&mut report, config);
    if is_running {
        machine::examine_settings(&mut report, config).await;
    }
    machine::examine_limits(&mut report, config, is_running).await;
    sandbox::examine(&mut report, config);
    examine_daemon(&mut report, config, is_running).await;
    if is_running {
        reach::examine_other_doors(&mut report, config).await;
    }
    let inspected = examine_database(&mut report, config, is_running).await;
    let primary = reach::examine_servers(&mut report, config).await;
    reach::examine_replica(&mut report, config, primary.as_deref()).await;
    reach::examine_collector(&mut report, config).await;
    examine_key(&mut report, config, inspected.as_ref());
    report
}

/// Who the daemon is, or would become.
fn examine_user(report: &mut DoctorReport, config: &Config, is_running: bool) {
    let us = user::name(user::own_uid());
    let is_without_own = || config.database_url.is_none() && matches!(user::find("leadline"), Ok(None));
    // It is settled for a daemon that runs.
    let running = if is_running { own_user::owner(config) } else { Ok(None) };
    let becomes = running.and_then(|running| match running {
        Some(owner) => Ok((Some(owner), Becomes::Same)),
        None => Ok((None, own_user::of(config)?)),
    });
    let (grade, text) = match becomes {
        Err(error) => (Grade::Bad, telemetry::causes(&error)),
        Ok((Some(owner), _)) => (Grade::Good, format!("{us}, and the daemon that runs is {}", owner.name)),
        Ok((None, Becomes::RootUntil(mend))) => (Grade::Look, format!("{us}, and so a daemon stays: {mend}")),
        Ok((None, Becomes::Owners(owner))) => {
            (Grade::Look, format!("{us}, and the data directory is right for {owner}: root must say --user {owner}"))
        }
        Ok((None, Becomes::User(own))) => {
            (Grade::Good, format!("{us}, and a daemon that it starts becomes {}", own.name))
        }
        Ok((None, Becomes::Same)) if user::is_root() && is_without_own() => (
            Grade::Look,
            "root, and the private PostgreSQL has no user of its own: useradd --system --shell /usr/sbin/nologin \
             leadline"
                .to_owned(),
        ),
        Ok((None, Becomes::Same)) => (Grade::Good, us),
    };
    report.add(grade, "user", text);
}

/// Root becomes who the daemon is: whose the data directory is, or would be.
fn become_daemons_user(report: &DoctorReport, config: &Config) -> Result<(), OwnUserError> {
    if own_user::become_owner(config)? || !report.is_good() || config.data_dir.exists() {
        return Ok(());
    }
    match own_user::of(config)? {
        Becomes::User(own) => own_user::turn_into(&own),
        Becomes::Same | Becomes::RootUntil(_) | Becomes::Owners(_) => Ok(()),
    }
}

fn examine_directory(report: &mut DoctorReport, path: &Path) {
    let thing = "data directory";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.add(Grade::Look, thing, format!("{shown} is not there yet: the first start makes it"));
            return;
        }
        Err(error) => {
            report.add(Grade::Bad, thing, format!("{shown}: {error}"));
            return;
        }
        Ok(there) if user::own_uid() != there.uid() => {
            let owner = user::name(there.uid());
            let text = format!("{shown} belongs to {owner}: run the daemon, and this, as {owner}");
            report.add(Grade::Bad, thing, text);
        }
        Ok(there) => {
            let mode = there.permissions().mode() & 0o7777;
            report.add(Grade::Good, thing, format!("{shown}, mode {mode:04o}"));
        }
    }
    machine::examine_disks(report, path);
}

/// A private database that was left for a server of one's own: `backup` or `master-key rotate` would work on it.
fn examine_unused(report: &mut DoctorReport, config: &Config) {
    if config.database_url.is_some() && embedded::require_cluster(&config.data_dir).is_ok() {
        let unused = config.data_dir.join("postgres");
        let text = format!(
            "{} is a database that the daemon does not use: move it away, lest a command that is not told of the other \
             works on it",
            unused.display()
        );
        report.add(Grade::Look, "data directory", text);
    }
}

/// A daemon that runs is asked how it is.
async fn examine_daemon(report: &mut DoctorReport, config: &Config, is_running: bool) {
    let thing = "daemon";
    if !is_running {
        report.add(Grade::Look, thing, "it does not run on this data directory");
        return;
    }
    let intake = announced(config, "intake.addr", config.intake_listen);
    // An intake with TLS answers only who trusts its certificate; the other door says the same.
    let address = match (&config.tls, config.admin_listen) {
        (None, _) => intake,
        (Some(_), Some(admin)) => announced(config, "admin.addr", admin),
        (Some(_), None) => {
            match timeout(ASK_PATIENCE, TcpStream::connect(intake)).await {
                Ok(Ok(_)) => report.add(Grade::Good, thing, format!("it listens at {intake}, with TLS")),
                _ => report.add(Grade::Bad, thing, format!("{intake} does not answer: look into its log")),
            }
            return;
        }
    };
    match timeout(ASK_PATIENCE, ask_ready(address)).await {
        Ok(Ok(answer)) if answer.contains(" 200 ") => {
            report.add(Grade::Good, thing, format!("it takes leads in at {intake}"));
        }
        Ok(Ok(answer)) => {
            let why = answer.lines().last().unwrap_or_default();
            report.add(Grade::Bad, thing, format!("it is not ready: {why}"));
        }
        Ok(Err(error)) => report.add(Grade::Bad, thing, format!("{address}: {error}: look into its log")),
        Err(_) => report.add(Grade::Bad, thing, format!("{address} does not answer: look into its log")),
    }
}

/// Where a door of the daemon that runs is, as it has written down.
fn announced(config: &Config, file: &str, configured: SocketAddr) -> SocketAddr {
    let text = fs::read_to_string(config.data_dir.join(file));
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(configured)
}

async fn ask_ready(address: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let host = address.ip();
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn examine_database(report: &mut DoctorReport, config: &Config, is_running: bool) -> Option<Inspected> {
    let thing = "database";
    let options = match options(config, is_running).await {
        Ok(Some(options)) => options,
        Ok(None) => {
            examine_programs(report, config);
            return None;
        }
        Err(error) => {
            report.add(Grade::Bad, thing, telemetry::causes(&error));
            return None;
        }
    };
    let found = match inspect(&options).await {
        Ok(found) => found,
        Err(error) => {
            report.add(Grade::Bad, thing, telemetry::causes(&error));
            return None;
        }
    };
    let where_it_is = if config.database_url.is_some() { options.get_host() } else { "private" };
    let mut text = format!("PostgreSQL {} ({where_it_is}), {} MiB", found.version, found.bytes >> 20);
    if found.is_encrypted {
        text.push_str(", encrypted");
    }
    report.add(Grade::Good, thing, text);
    judge(report, &found);
    Some(found)
}

fn judge(report: &mut DoctorReport, found: &Inspected) {
    if found.major < 15 {
        report.add(Grade::Bad, "version", "PostgreSQL is too old: 15 or newer is needed");
    }
    if found.is_read_only {
        report.add(Grade::Bad, "database", "it takes no writes: name the primary in --database-url");
    }
    match found.schema {
        Schema::Current => report.add(Grade::Good, "schema", "it is up to date"),
        Schema::None => report.add(Grade::Good, "schema", "there is none yet: the first start makes it"),
        Schema::Older => report.add(Grade::Good, "schema", "the next start brings it up to date"),
        Schema::Newer => report.add(
            Grade::Bad,
            "schema",
            "a newer leadlined has used this database: run that one or a newer one",
        ),
    }
    if found.clock_ahead.abs() > CLOCK_MAX {
        let mut text = format!("the database's is {} s ", found.clock_ahead.abs());
        let side = if found.clock_ahead > 0 { "before" } else { "behind" };
        if write!(text, "{side} this machine's: let both follow a time server").is_ok() {
            report.add(Grade::Look, "clock", text);
        }
    }
}

/// Why it is not known how to connect.
#[derive(Debug, thiserror::Error)]
enum Unconnectable {
    #[error(transparent)]
    Url(#[from] setup::SetupError),
    #[error(transparent)]
    Private(#[from] embedded::EmbeddedError),
}

/// How to connect; none if the private database does not run.
async fn options(config: &Config, is_running: bool) -> Result<Option<PgConnectOptions>, Unconnectable> {
    match &config.database_url {
        Some(url) => {
            let password = config.database_password.as_ref().map(|password| password.expose_secret());
            Ok(Some(Hosts::of(url.expose_secret(), password)?.writable().await?))
        }
        None if is_running => Ok(Some(dump::DumpSource::running(&config.data_dir)?.connect_options())),
        None => Ok(None),
    }
}

/// The private server is not started for this; it is enough that it could be.
fn examine_programs(report: &mut DoctorReport, config: &Config) {
    match embedded::find_programs(&config.data_dir) {
        Ok(version) => {
            report.add(Grade::Good, "database", format!("PostgreSQL {version} (private), not running"))
        }
        Err(error) => report.add(Grade::Bad, "database", telemetry::causes(&error)),
    }
}

fn examine_key(report: &mut DoctorReport, config: &Config, database: Option<&Inspected>) {
    let thing = "master key";
    let (path, shown) = (&config.master_key, config.master_key.display());
    let sealed = database.and_then(|database| database.key_fingerprint.as_deref());
    let previous = database.and_then(|database| database.previous_fingerprint.as_deref());
    match master_key::load(path) {
        Err(error) => report.add(Grade::Bad, thing, telemetry::causes(&error)),
        Ok(None) if sealed.is_some() => {
            report.add(Grade::Bad, thing, format!("{shown} is missing: copy it there from your copy"));
        }
        Ok(None) => report.add(Grade::Good, thing, "the first start makes it"),
        Ok(Some(ring)) if sealed.is_some_and(|sealed| !ring.holds(sealed)) => {
            report.add(
                Grade::Bad,
                thing,
                format!("{shown} is not the one that this database is sealed with"),
            );
        }
        Ok(Some(ring)) if previous.is_some_and(|previous| !ring.holds(previous)) => report.add(
            Grade::Bad,
            thing,
            format!("{shown} lacks the key before the rotation that is not finished: copy the file with both there"),
        ),
        Ok(Some(_)) if database.is_some_and(|database| database.is_rotating) => report.add(
            Grade::Look,
            thing,
            "a rotation is not finished: unless it runs now, run `leadlined master-key rotate` again",
        ),
        Ok(Some(ring)) if ring.count() > 1 && database.is_some() => report.add(
            Grade::Look,
            thing,
            format!(
                "{shown} holds another key, too, with which nothing is sealed any more: replace the file by the one \
                 that `leadlined master-key rotate` left, or run it here for a new key"
            ),
        ),
        Ok(Some(_)) => report.add(Grade::Good, thing, format!("{shown}: keep a copy away from this machine")),
    }
}
