//! What a database tells of itself, without anything being changed: for whoever looks for what is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::setup::{MIGRATIONS, SetupError, first_connection};

/// What was found.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Such as `15.14`.
    pub version: String,
    pub major: i32,
    pub schema: Schema,
    pub key_fingerprint: Option<Vec<u8>>,
    /// The key that sealed before, while not everything is sealed anew.
    pub previous_fingerprint: Option<Vec<u8>>,
    /// A rotation of the master key has begun and not ended.
    pub is_rotating: bool,
    pub is_encrypted: bool,
    /// A stand-by takes no leads.
    pub is_read_only: bool,
    pub bytes: i64,
    /// How many seconds its clock is before ours.
    pub clock_ahead: i64,
}

/// How the schema stands to this executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// There is none yet: the first start makes it.
    None,
    Current,
    /// The next start brings it up to date.
    Older,
    /// A newer leadlined has used it.
    Newer,
}

/// Asks a database.
pub async fn inspect(options: &PgConnectOptions) -> Result<Inspected, SetupError> {
    let mut connection = first_connection(options).await?;
    let db = &mut connection;
    let (version, number): (String, String) =
        sqlx::query_as("SELECT current_setting('server_version'), current_setting('server_version_num')")
            .fetch_one(&mut *db)
            .await?;
    let (is_encrypted, is_read_only, bytes, clock): (bool, bool, i64, i64) = sqlx::query_as(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
                pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean,
                pg_database_size(current_database()), extract(epoch FROM clock_timestamp())::bigint",
    )
    .fetch_one(&mut *db)
    .await?;
    let schema = schema(db).await?;
    let keys = match schema {
        Schema::None => None,
        _ => keys(db).await?,
    };
    let (key_fingerprint, is_staged, previous_fingerprint) = keys.unwrap_or_default();
    connection.close().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Inspected {
        version,
        major: number.parse::<i32>().map_or(0, |number| number / 10_000),
        schema,
        key_fingerprint,
        is_rotating: is_staged || previous_fingerprint.is_some(),
        previous_fingerprint,
        is_encrypted,
        is_read_only,
        bytes,
        clock_ahead: clock - i64::try_from(now).unwrap_or(clock),
    })
}

/// What a server says of its place among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlace {
    /// It follows another one.
    pub is_standby: bool,
    /// What it has in common with those that it follows, or that follow it.
    pub system: String,
    /// Tells it from others: a server may have two names.
    pub started: String,
}

/// Asks a server for its place.
pub async fn place(options: &PgConnectOptions) -> Result<ServerPlace, sqlx::Error> {
    let mut connection = options.connect().await?;
    let (is_standby, system, started): (bool, String, String) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), system_identifier::text, pg_postmaster_start_time()::text
         FROM pg_control_system()",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(ServerPlace { is_standby, system, started })
}

type InspectedKeys = (Option<Vec<u8>>, bool, Option<Vec<u8>>);

/// The key that seals, whether another one is to follow it, and the one before. An older schema knows of the first alone.
async fn keys(db: &mut PgConnection) -> Result<Option<InspectedKeys>, sqlx::Error> {
    sqlx::query_as(
        "SELECT key_fingerprint, to_jsonb(i) ->> 'next_fingerprint' IS NOT NULL,
                decode(substr(to_jsonb(i) ->> 'previous_fingerprint', 3), 'hex') FROM installation i",
    )
    .fetch_optional(db)
    .await
}

async fn schema(db: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    let is_there: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *db).await?;
    if !is_there {
        return Ok(Schema::None);
    }
    let applied: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(db).await?;
    let ours = MIGRATIONS.iter().map(|migration| migration.version).max();
    Ok(match applied {
        None => Schema::None,
        applied if applied == ours => Schema::Current,
        applied if applied < ours => Schema::Older,
        _ => Schema::Newer,
    })
}
