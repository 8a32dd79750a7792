//! From a server to a database that can be worked on: connect, migrate, and be sure that it is sealed with our key.

use std::{
    env, io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use rustix::io::Errno;
use rustls::CertificateError;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::{Instant, sleep, timeout};

use super::hosts::single_urls;
use crate::{
    secrets::{
        KeysInUse, MissingKey, Sealer,
        master_key::{self, MasterKeyError},
    },
    telemetry,
};

/// How long a server may be away while a daemon starts.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_GAP: Duration = Duration::from_millis(250);
/// So long may others wait behind a migration that waits; less than PostgreSQL takes to find a deadlock.
const MIGRATION_LOCK_WAIT: &str = "300ms";
/// Intake flushes on one, dispatch uses a few, operators the rest.
pub(crate) const CONNECTIONS_MAX: u32 = 16;

/// There is one finisher.
const PINNED_MAX: u32 = 1;
/// There is one flusher; the second connection is there when the first one breaks.
const APART_MAX: u32 = 2;
/// Operators read there, nobody else.
const REPLICA_MAX: u32 = 8;
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tested before it is used.
const IDLE_UNTESTED: Duration = Duration::from_secs(1);

/// The schema, as part of the executable.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(
        "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database"
    )]
    Url(#[source] sqlx::Error),
    #[error("{server} did not answer within {} s: start it, or correct --database-url", PATIENCE.as_secs())]
    Away {
        server: String,
        #[source]
        source: Option<sqlx::Error>,
    },
    #[error("none of {servers} takes writes: start or promote one, or correct --database-url")]
    NoneWrites {
        servers: String,
        /// What is to be done about one of them.
        #[source]
        source: Option<Box<Self>>,
    },
    #[error(
        "{0} does not keep what is set for a session, as a pooler between it and the daemon would not: name PostgreSQL \
         itself in --database-url; a daemon has 20 connections at most"
    )]
    Pooler(String),
    #[error(
        "{server} shows no certificate that is trusted: name the one of its authority in --database-url \
         (sslrootcert=FILE), or say sslmode=disable there if the network is yours alone"
    )]
    Tls {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "{server} shows a certificate for another name: name the server in --database-url as its certificate does"
    )]
    OtherName {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "{0} speaks no TLS: give it a certificate (ssl = on), or say sslmode=disable in --database-url if the network is \
         yours alone"
    )]
    NoTls(String),
    #[error(
        "{server} cannot be asked: the daemon's user cannot read a file that --database-url names (sslrootcert, sslcert, \
         sslkey)"
    )]
    File {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("{server} refused the connection: correct --database-url")]
    Refused {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the schema cannot be brought up to date: run the newest leadlined that has used this database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("the database refused a statement of the set-up")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(
        "this database is sealed with another master key than {path}: copy the file master.key of the daemon that \
         set it up (its data directory), or the one that it was rotated to last, to {path}", path = .0.display()
    )]
    OtherKey(PathBuf),
    #[error(
        "the master key is being rotated, and {path} does not hold the one before: copy the file that `leadlined \
         master-key rotate` writes to {path}, or wait until it has finished", path = .0.display()
    )]
    HalfTheKeys(PathBuf),
    #[error(
        "this database is sealed with a master key, and there is no file {path}: copy the file master.key of the daemon \
         that set it up (its data directory) to {path}", path = .0.display()
    )]
    NoKey(PathBuf),
}

/// Reads a database URL.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, SetupError> {
    let singles = single_urls(url);
    if let [_, _, ..] = &singles[..] {
        // Of several the first stands for all.
        return singles
            .iter()
            .map(|url| parse_url(url))
            .collect::<Result<Vec<_>, _>>()
            .map(|mut all| all.remove(0));
    }
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        let scheme = "it does not begin with postgres://";
        return Err(SetupError::Url(sqlx::Error::Configuration(scheme.into())));
    }
    let options = PgConnectOptions::from_str(url).map_err(SetupError::Url)?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let is_said = query.split('&').any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="))
        || env::var_os("PGSSLMODE").is_some();
    // Over a network the password and the leads go to the server that is meant, and to nobody else.
    Ok(if is_said || is_near(&options) { options } else { options.ssl_mode(PgSslMode::VerifyFull) })
}

/// Whether what is said to the server stays on this machine.
fn is_near(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    is_socket(options)
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

/// Waits for the server, brings the schema up to date, and opens the pool that the daemon works with.
pub async fn connect(options: &PgConnectOptions) -> Result<PgPool, SetupError> {
    connect_with(options, CONNECTIONS_MAX).await
}

/// The same with so many connections at most.
pub async fn connect_with(options: &PgConnectOptions, connections_max: u32) -> Result<PgPool, SetupError> {
    let plain = options.clone().application_name("leadlined");
    // A statement that takes longer has met a lock or a lost index; nobody waits for its answer any more.
    let options = plain.clone().options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        // Compiling a statement takes longer than running it; a table without statistics would have it compiled.
        ("jit", "off"),
    ]);
    refuse_pooler(&options).await?;
    migrate(&plain).await?;
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        // A connection in steady use tells by itself that it is broken; asking each time doubles the round trips.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE_UNTESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?)
}

/// Connections to a replica, which need not be there yet: whoever finds none asks the primary.
#[must_use]
pub fn replica(options: &PgConnectOptions) -> PgPool {
    let options = options.clone().application_name("leadlined reads").options([
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("jit", "off"),
    ]);
    few(REPLICA_MAX).acquire_timeout(REPLICA_PATIENCE).connect_lazy_with(options)
}

/// Refuses a server that does not keep what is set for a session: the schema is brought up to date under a lock of its
/// session, statements are prepared once, and time limits are set.
async fn refuse_pooler(options: &PgConnectOptions) -> Result<(), SetupError> {
    let mut connection = wait_for(options).await?;
    let set: String =
        sqlx::query_scalar("SHOW statement_timeout").persistent(false).fetch_one(&mut connection).await?;
    connection.close().await?;
    if set == "30s" { Ok(()) } else { Err(SetupError::Pooler(describe(options))) }
}

/// A pool of its own for a statement that is carried out all the time: on connections that others use too it would be
/// prepared and planned on each of them.
#[must_use]
pub fn apart(pool: &PgPool, name: &str) -> PgPool {
    few(APART_MAX).connect_lazy_with(named(pool, name))
}

/// How to connect to the same database so that its administrator sees what the connection is for.
#[must_use]
pub fn named(pool: &PgPool, name: &str) -> PgConnectOptions {
    PgConnectOptions::clone(&pool.connect_options()).application_name(&format!("leadlined {name}"))
}

/// A pool to the same database for the statement that joins each flush to tables of any size. A plan made while they were empty
/// would read all of a full one, until the next analysis; so only index scans and nested loops are left to choose.
#[must_use]
pub fn pinned(pool: &PgPool, name: &str) -> PgPool {
    let options = named(pool, name).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_material", "off"),
        // What somebody holds is written later; the rest of a flush does not wait for it.
        ("lock_timeout", "500ms"),
    ]);
    few(PINNED_MAX).connect_lazy_with(options)
}

fn few(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
}

/// Brings the schema up to date. Daemons that start together take turns, by sqlx's own advisory lock.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), SetupError> {
    // Whoever rewrites a large table is not stuck. But all who read or write a table wait behind a migration that waits
    // for it, behind a dump for example: so it gives way, and begins anew.
    let options =
        options.clone().options([("statement_timeout", "0"), ("lock_timeout", MIGRATION_LOCK_WAIT)]);
    let mut connection = wait_for(&options).await?;
    let (mut told, mut gap): (Option<Instant>, _) = (None, RETRY_GAP);
    while let Err(error) = MIGRATIONS.run(&mut connection).await {
        if !is_in_the_way(&error) {
            return Err(SetupError::Migrate(error));
        }
        if told.is_none_or(|at| at.elapsed() >= PATIENCE) {
            told = Some(Instant::now());
            tracing::warn!(
                event = "migration_waits",
                error = telemetry::causes(&error),
                "the schema is brought up to date once nobody holds what is to be changed: others use the database"
            );
        }
        // Each try keeps others waiting for a moment, and a dump may take hours.
        sleep(gap).await;
        gap = (gap * 2).min(PATIENCE);
    }
    connection.close().await?;
    Ok(())
}

/// Whether another transaction held what a migration needs, or another daemon is at it.
fn is_in_the_way(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// The first connection: waits for a server that is away or still starting, not for one that refuses us.
pub(super) async fn wait_for(options: &PgConnectOptions) -> Result<PgConnection, SetupError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let source = match timeout(left, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Some(passing(options, error)?),
            Err(_) => None,
        };
        if Instant::now() + RETRY_GAP >= deadline {
            return Err(SetupError::Away { server: describe(options), source });
        }
        sleep(RETRY_GAP).await;
    }
}

/// An error that may pass, as of a server that is away or still starting; of every other, what is to be done about it.
pub(super) fn passing(options: &PgConnectOptions, source: sqlx::Error) -> Result<sqlx::Error, SetupError> {
    let server = describe(options);
    if is_pooler(&source) {
        return Err(SetupError::Pooler(server));
    }
    match &source {
        // The driver's own words for a server that answers a question about TLS with no.
        sqlx::Error::Tls(why) if why.to_string() == "server does not support TLS" => {
            Err(SetupError::NoTls(server))
        }
        sqlx::Error::Tls(_) => Err(SetupError::Tls { server, source }),
        sqlx::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Err(SetupError::OtherName { server, source }),
            Some(rustls::Error::InvalidCertificate(_)) => Err(SetupError::Tls { server, source }),
            Some(_) => Err(SetupError::Refused { server, source }),
            None if is_of_a_file(options, error) => Err(SetupError::File { server, source }),
            None => Ok(source),
        },
        sqlx::Error::Database(_) if may_pass(&source) => Ok(source),
        _ => Err(SetupError::Refused { server, source }),
    }
}

/// Whether an error is of a file that a URL names, and not of the network: its certificates are read at each connection.
fn is_of_a_file(options: &PgConnectOptions, error: &io::Error) -> bool {
    let is_denied = Errno::from_io_error(error) == Some(Errno::ACCESS);
    !is_socket(options) && (is_denied || error.kind() == io::ErrorKind::NotFound)
}

/// PgBouncer takes no settings of a session along, and says so.
fn is_pooler(error: &sqlx::Error) -> bool {
    let told = error.as_database_error().map(|error| error.message());
    told.is_some_and(takes_no_settings)
}

fn takes_no_settings(told: &str) -> bool {
    told.contains("unsupported startup parameter")
}

fn may_pass(error: &sqlx::Error) -> bool {
    // 53 out of connections, 57P starting up or shutting down.
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("53") || code.starts_with("57P"))
}

/// The server as an error names it: everything but the password.
fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("database {database} on {host}, port {},", options.get_port())
}

/// Opens the seals of this database: makes the master key and notes its fingerprint at the very first start, and
/// refuses every other key from then on.
pub async fn unseal(pool: &PgPool, path: &Path) -> Result<Sealer, SetupError> {
    let ring = match (master_key::load(path)?, fingerprint(pool).await?) {
        (Some(ring), _) => ring,
        // Making one here would only hide which one is missing.
        (None, Some(_)) => return Err(SetupError::NoKey(path.to_owned())),
        (None, None) => master_key::create(path)?,
    };
    sqlx::query!(
        "INSERT INTO installation (key_fingerprint) VALUES ($1) ON CONFLICT DO NOTHING",
        &ring.newest_fingerprint()
    )
    .execute(pool)
    .await?;
    let row =
        sqlx::query!("SELECT key_fingerprint, next_fingerprint, previous_fingerprint FROM installation")
            .fetch_one(pool)
            .await?;
    let in_use = KeysInUse::of(
        &row.key_fingerprint,
        row.next_fingerprint.as_deref(),
        row.previous_fingerprint.as_deref(),
    );
    let in_use = in_use.ok_or_else(|| SetupError::OtherKey(path.to_owned()))?;
    let sealer = Sealer::new(path, &ring);
    match sealer.follow(&in_use) {
        Ok(_) | Err(MissingKey::Next { .. }) => Ok(sealer),
        Err(MissingKey::InUse { source: Some(error), .. }) => Err(error.into()),
        Err(_) if sealer.fingerprints().contains(&in_use.sealing) => {
            Err(SetupError::HalfTheKeys(path.to_owned()))
        }
        Err(_) => Err(SetupError::OtherKey(path.to_owned())),
    }
}

async fn fingerprint(pool: &PgPool) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("SELECT key_fingerprint FROM installation").fetch_optional(pool).await
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn urls_are_described_without_their_password() {
        for (url, expected) in [
            ("postgres://ann:secret@db.example/leads", "database leads on db.example, port 5432,"),
            ("postgresql://ann:secret@db.example:6543", "database ann on db.example, port 6543,"),
            ("postgres:///leads?host=/run/pg&user=ann", "database leads on /run/pg, port 5432,"),
        ] {
            assert_eq!(describe(&parse_url(url).unwrap()), expected);
        }
        for bad in ["", "leads", "mysql://localhost/leads", "postgres://local host"] {
            assert!(parse_url(bad).unwrap_err().to_string().starts_with("--database-url"), "{bad}");
        }
        let cause = parse_url("leads").unwrap_err().source().unwrap().to_string();
        assert_eq!(cause, "error with configuration: it does not begin with postgres://");
    }

    #[test]
    fn what_leaves_this_machine_goes_to_the_server_that_is_meant() {
        for (url, is_verified) in [
            ("postgres://ann@db.example/leads", true),
            ("postgres://ann@10.0.0.7/leads?application_name=x", true),
            ("postgres://ann@db.example/leads?sslmode=require", false),
            ("postgres://ann@localhost/leads", false),
            ("postgres://ann@127.0.0.1:6543/leads", false),
            ("postgres://ann@[::1]/leads", false),
            ("postgres:///leads?host=/run/pg&user=ann", false),
        ] {
            let mode = parse_url(url).unwrap().get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), is_verified, "{url}: {mode:?}");
        }
    }

    #[test]
    fn what_passes_is_told_from_what_somebody_has_to_mend() {
        let sort = |url: &str, error| passing(&parse_url(url).unwrap(), error);
        let (far, near) = ("postgres://ann@db.example/leads", "postgres:///leads?host=/run/pg&user=ann");
        let io = |kind: io::ErrorKind| sqlx::Error::Io(kind.into());
        let tls =
            |fault| sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, rustls::Error::from(fault)));
        assert!(sort(far, io(io::ErrorKind::ConnectionRefused)).is_ok(), "it may still be starting");
        assert!(sort(near, io(io::ErrorKind::NotFound)).is_ok(), "there is no socket yet");
        assert!(matches!(sort(far, io(io::ErrorKind::NotFound)), Err(SetupError::File { .. })));
        assert!(matches!(sort(far, tls(CertificateError::UnknownIssuer)), Err(SetupError::Tls { .. })));
        assert!(matches!(
            sort(far, tls(CertificateError::NotValidForName)),
            Err(SetupError::OtherName { .. })
        ));
        let none = sqlx::Error::Tls("server does not support TLS".into());
        assert!(matches!(sort(far, none), Err(SetupError::NoTls(_))));
    }

    #[test]
    fn a_pooler_is_known_by_what_it_says() {
        assert!(takes_no_settings("unsupported startup parameter: options"));
        assert!(!takes_no_settings("password authentication failed"));
    }

    #[test]
    fn each_trouble_says_what_to_do() {
        let (server, key) = (|| "database leads on db".to_owned(), || PathBuf::from("/data/master.key"));
        for (error, told) in [
            (
                SetupError::Url(sqlx::Error::PoolClosed),
                "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database",
            ),
            (
                SetupError::Away { server: server(), source: None },
                "database leads on db did not answer within 10 s: start it, or correct --database-url",
            ),
            (
                SetupError::NoneWrites { servers: "a:5432, b:5433".to_owned(), source: None },
                "none of a:5432, b:5433 takes writes: start or promote one, or correct --database-url",
            ),
            (
                SetupError::Pooler(server()),
                "database leads on db does not keep what is set for a session, as a pooler between it and the daemon \
                 would not: name PostgreSQL itself in --database-url; a daemon has 20 connections at most",
            ),
            (
                SetupError::Tls { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db shows no certificate that is trusted: name the one of its authority in \
                 --database-url (sslrootcert=FILE), or say sslmode=disable there if the network is yours alone",
            ),
            (
                SetupError::OtherName { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db shows a certificate for another name: name the server in --database-url as its \
                 certificate does",
            ),
            (
                SetupError::NoTls(server()),
                "database leads on db speaks no TLS: give it a certificate (ssl = on), or say sslmode=disable in \
                 --database-url if the network is yours alone",
            ),
            (
                SetupError::File { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db cannot be asked: the daemon's user cannot read a file that --database-url names \
                 (sslrootcert, sslcert, sslkey)",
            ),
            (
                SetupError::Refused { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db refused the connection: correct --database-url",
            ),
            (
                SetupError::Migrate(sqlx::migrate::MigrateError::VersionMissing(99)),
                "the schema cannot be brought up to date: run the newest leadlined that has used this database",
            ),
            (SetupError::Database(sqlx::Error::PoolClosed), "the database refused a statement of the set-up"),
            (
                SetupError::OtherKey(key()),
                "this database is sealed with another master key than /data/master.key: copy the file master.key of the \
                 daemon that set it up (its data directory), or the one that it was rotated to last, to /data/master.key",
            ),
            (
                SetupError::HalfTheKeys(key()),
                "the master key is being rotated, and /data/master.key does not hold the one before: copy the file that \
                 `leadlined master-key rotate` writes to /data/master.key, or wait until it has finished",
            ),
            (
                SetupError::NoKey(key()),
                "this database is sealed with a master key, and there is no file /data/master.key: copy the file \
                 master.key of the daemon that set it up (its data directory) to /data/master.key",
            ),
        ] {
            assert_eq!(error.to_string(), told);
        }
    }
}
