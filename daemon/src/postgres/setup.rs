//! From a server to a database that can be worked on: connect, migrate, and be sure that it is sealed with our key.

use std::{borrow::Cow, env, net::IpAddr, path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

mod error;

use super::hosts::single_urls;
use crate::{
    secrets::{KeysInUse, MissingKey, Sealer, master_key},
    telemetry, user,
};

/// How long a server may be away while a daemon starts.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY_GAP: Duration = Duration::from_millis(250);
/// So long may others wait behind a migration that waits; less than PostgreSQL takes to find a deadlock.
const MIGRATION_LOCK_WAIT: &str = "300ms";
/// Intake flushes on one, dispatch uses a few, operators the rest.
pub(crate) const CONNECTIONS_MAX: u32 = 16;

/// There is one finisher, and one beat at a time.
const PINNED_MAX: u32 = 1;
/// One is kept; the second connection is there when the first one breaks.
const APART_MAX: u32 = 2;
/// Operators read there, nobody else.
const REPLICA_MAX: u32 = 8;
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tested before it is used.
const IDLE_UNTESTED: Duration = Duration::from_secs(1);

/// The schema, as part of the executable.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

pub use error::SetupError;
use error::describe;
pub(super) use error::passing;

/// Reads a database URL.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, SetupError> {
    let singles = single_urls(url);
    if let [_, _, ..] = &singles[..] {
        // The first of several stands for all.
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
    let options = PgConnectOptions::from_str(&with_user(url)).map_err(SetupError::Url)?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let is_said = query.split('&').any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="))
        || env::var_os("PGSSLMODE").is_some();
    // Over a network the password and the leads go to the server that is meant, and to nobody else.
    Ok(if is_said || is_near(&options) { options } else { options.ssl_mode(PgSslMode::VerifyFull) })
}

/// The URL with the user of this process where neither it nor PGUSER names one, as PostgreSQL's own clients have it.
fn with_user(url: &str) -> Cow<'_, str> {
    let is_named = |url: &Url| !url.username().is_empty() || url.query_pairs().any(|(key, _)| key == "user");
    match Url::parse(url) {
        Ok(mut parsed) if env::var_os("PGUSER").is_none() && !is_named(&parsed) => {
            parsed.query_pairs_mut().append_pair("user", &user::name(user::own_uid()));
            Cow::Owned(parsed.into())
        }
        _ => Cow::Borrowed(url),
    }
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
async fn refuse_pooler(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), SetupError> {
    let set: String = sqlx::query_scalar("SHOW lock_timeout").persistent(false).fetch_one(connection).await?;
    if set == MIGRATION_LOCK_WAIT { Ok(()) } else { Err(SetupError::Pooler(describe(options))) }
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

/// A connection of its own to the same database, within the time that a pool gives one.
pub(crate) async fn connect_named(pool: &PgPool, name: &str) -> Result<PgConnection, sqlx::Error> {
    let connecting = named(pool, name);
    timeout(ACQUIRE_TIMEOUT, connecting.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// A pool to the same database for a statement that is carried out all the time beside tables of any size, with these
/// settings besides. A plan made while they were empty would read all of a full one, until the next analysis; so only index
/// scans and nested loops are left to choose.
#[must_use]
pub fn pinned(pool: &PgPool, name: &str, more: &[(&str, &str)]) -> PgPool {
    let options = named(pool, name).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_material", "off"),
    ]);
    few(PINNED_MAX).connect_lazy_with(options.options(more.iter().copied()))
}

fn few(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
}

/// Brings the schema up to date, unless it is a pooler that answers. Daemons that start together take turns, by sqlx's own
/// advisory lock.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), SetupError> {
    migrate_with(&MIGRATIONS, options).await
}

/// The same with these migrations, which may be a next version's.
pub async fn migrate_with(migrations: &Migrator, options: &PgConnectOptions) -> Result<(), SetupError> {
    let mut connection = first_connection(options).await?;
    let (mut told, mut gap): (Option<Instant>, _) = (None, RETRY_GAP);
    while let Err(error) = migrations.run(&mut connection).await {
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

/// Waits for the server, and refuses a pooler.
pub(super) async fn first_connection(options: &PgConnectOptions) -> Result<PgConnection, SetupError> {
    // Whoever rewrites a large table is not stuck. But all who read or write a table wait behind a migration that waits
    // for it, behind a dump for example: so it gives way, and begins anew.
    let options =
        options.clone().options([("statement_timeout", "0"), ("lock_timeout", MIGRATION_LOCK_WAIT)]);
    let mut connection = wait_for(&options).await?;
    refuse_pooler(&mut connection, &options).await?;
    Ok(connection)
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
async fn wait_for(options: &PgConnectOptions) -> Result<PgConnection, SetupError> {
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
    fn a_url_that_names_nobody_means_the_user_of_this_process() {
        let us = user::name(user::own_uid());
        for (url, user) in [
            ("postgres:///leads?host=/run/pg", &*us),
            ("postgres://db.example:6543/leads?sslmode=require", &us),
            ("postgres://db.example", &us),
            ("postgres://ann@db.example/leads", "ann"),
            ("postgres:///leads?user=ann&host=/run/pg", "ann"),
        ] {
            assert_eq!(parse_url(url).unwrap().get_username(), user, "{url}");
        }
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
}
