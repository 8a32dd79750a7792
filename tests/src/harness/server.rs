//! How a server of tests is set up, and the databases on it: here and for the store's own tests.

use std::env;

use leadlined::postgres::embedded::Cluster;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};

/// Nobody looks at its data after a power cut. Without statistics plans are as in a new database, and nothing goes
/// through those that earlier tests left.
const SETTINGS: [&str; 4] =
    ["fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off"];
/// With it, tests meet the tables as a later version may have widened them: `make upgrade-check`.
const LATER_SCHEMA: &str = "LEADLINE_LATER_SCHEMA";
const WIDEN: &str = "DO $$ DECLARE wide regclass; BEGIN
    FOR wide IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname NOT LIKE '\\_sqlx%'
    LOOP EXECUTE format('ALTER TABLE %s ADD COLUMN next integer NOT NULL DEFAULT 0', wide); END LOOP;
END $$";

/// Lets a server sync nothing.
pub(super) async fn settle(cluster: &Cluster) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    for setting in SETTINGS {
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER SYSTEM SET {setting}")))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut connection).await.unwrap();
}

/// Makes a database that is a copy of another one, which nobody is connected to.
pub(super) async fn create(cluster: &Cluster, name: &str, template: &str) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// Widens the tables of a database if that is asked for.
pub(super) async fn widen_if_asked(pool: &PgPool) {
    if env::var_os(LATER_SCHEMA).is_some() {
        sqlx::raw_sql(WIDEN).execute(pool).await.unwrap();
    }
}
