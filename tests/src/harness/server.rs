//! How a server of tests is set up, and the databases on it: here and for the store's own tests.

use std::{
    cell::RefCell,
    env, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use leadlined::{
    postgres::{embedded::Cluster, setup},
    secrets::master_key,
    store::{ensure_partitions, ensure_trigrams},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool};

/// The database that has the whole schema and nothing in it.
pub(super) const TEMPLATE: &str = "migrated";
/// Where files are memory, on Linux, and how many bytes must be free there and in memory.
const MEMORY: &str = "/dev/shm";
const ROOM: u64 = 3 << 30;
/// Nobody looks at its data after a power cut. Without statistics plans are as in a new database, and nothing goes
/// through those that earlier tests left.
const SETTINGS: [&str; 5] = [
    "fsync = off",
    "synchronous_commit = off",
    "full_page_writes = off",
    "autovacuum = off",
    "max_wal_size = '256MB'",
];
/// With it, tests meet the tables as a later version may have widened them: `make upgrade-check`.
const LATER_SCHEMA: &str = "LEADLINE_LATER_SCHEMA";
const WIDEN: &str = "DO $$ DECLARE wide regclass; BEGIN
    FOR wide IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname NOT LIKE '\\_sqlx%'
    LOOP EXECUTE format('ALTER TABLE %s ADD COLUMN next integer NOT NULL DEFAULT 0', wide); END LOOP;
END $$";

/// Databases whose tests are over.
static GONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static MADE: Made = const { Made(RefCell::new(Vec::new())) };
}

/// The databases that a test made: each test has a thread of its own, with which they go. So none is made on a thread for
/// blocking work, which ends earlier.
struct Made(RefCell<Vec<String>>);

impl Drop for Made {
    fn drop(&mut self) {
        GONE.lock().unwrap_or_else(PoisonError::into_inner).append(self.0.get_mut());
    }
}

/// Starts the server of this process, with [`TEMPLATE`] on it and a master key for all.
pub(super) async fn start() -> (Cluster, PathBuf) {
    let cluster = Cluster::ephemeral(&folder()).await.unwrap();
    apply_settings(&cluster).await;
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    run(&mut connection, format!("CREATE DATABASE {TEMPLATE}")).await;
    let pool = setup::connect(&cluster.connect_options(TEMPLATE)).await.unwrap();
    ensure_partitions(&pool).await.unwrap();
    // Made once, as it takes a daemon longer than all else of its start.
    assert!(ensure_trigrams(&pool).await.unwrap());
    widen_if_asked(&pool).await;
    // A database that somebody is connected to cannot be a template.
    pool.close().await;
    let master_key = cluster.directory().join("tests.key");
    master_key::create(&master_key).unwrap();
    (cluster, master_key)
}

/// In memory where there is room: a database is a thousand files, which take six times as long on a disk.
fn folder() -> PathBuf {
    // Gigabytes of rows are for a disk.
    if env::var_os("LEADLINE_LEDGER_LEADS").is_some() {
        return env::temp_dir();
    }
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |files| files.f_bavail * files.f_frsize);
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|info| {
        let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
    });
    if free >= ROOM && available.is_some_and(|bytes| bytes >= 2 * ROOM) {
        MEMORY.into()
    } else {
        env::temp_dir()
    }
}

/// Lets a server sync nothing.
async fn apply_settings(cluster: &Cluster) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    for setting in SETTINGS {
        run(&mut connection, format!("ALTER SYSTEM SET {setting}")).await;
    }
    run(&mut connection, "SELECT pg_reload_conf()".to_owned()).await;
}

/// Makes a database that is a copy of another one, which nobody is connected to. It goes with the test that called.
pub(super) async fn create(cluster: &Cluster, name: &str, template: &str) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    let gone = std::mem::take(&mut *GONE.lock().unwrap_or_else(PoisonError::into_inner));
    for name in gone {
        let sql = format!("DROP DATABASE {name} WITH (FORCE)");
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            println!("{name} stays until the server goes: {error}");
        }
    }
    // By files: copied page by page through the log, as is usual, a database takes several times as long, and its first
    // connection has to gather anew what the template's have noted of the catalog.
    run(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")).await;
    MADE.with(|made| made.0.borrow_mut().push(name.to_owned()));
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// Widens the tables of a database if that is asked for.
async fn widen_if_asked(pool: &PgPool) {
    if env::var_os(LATER_SCHEMA).is_some() {
        sqlx::raw_sql(WIDEN).execute(pool).await.unwrap();
    }
}
