//! A partition of `attempt` for each day, made ahead of time so that no finish ever waits for one.

use std::time::Duration;

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

/// Yesterday is for attempts that began before midnight; the days ahead outlast a daemon that cannot make them.
const DAYS: std::ops::RangeInclusive<i64> = -1..=7;
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// One daemon at a time makes partitions.
const LOCK: i64 = 0x6c65_6164_0001;

/// Makes the partitions around today, by the database's clock.
pub async fn ensure_partitions(pool: &PgPool) -> Result<(), sqlx::Error> {
    let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(pool).await?;
    let today = now.to_jiff().to_zoned(TimeZone::UTC).date();
    for days in DAYS {
        let day = today.saturating_add(days.days());
        let name = name_of(day);
        if !exists(pool, &name).await? {
            create(pool, &name, day).await?;
        }
    }
    Ok(())
}

/// Keeps making them until stopped. A failure is tried again within the hour, days before it would be missed.
pub async fn keep_partitions(pool: PgPool, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(CHECK_EVERY)).await.is_some() {
        if let Err(error) = ensure_partitions(&pool).await {
            tracing::warn!(%error, "cannot make the partitions of the coming days; trying again in an hour");
        }
    }
}

fn name_of(day: Date) -> String {
    format!("attempt_{}", day.strftime("%Y%m%d"))
}

/// Asks the catalog, not `to_regclass`, whose cache does not see what others made while we waited for the lock.
async fn exists(executor: impl sqlx::PgExecutor<'_>, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'attempt'::regclass AND relname = $1
        ) AS "exists!""#,
        name
    )
    .fetch_one(executor)
    .await
}

/// Makes one partition. Attempts of that day that already stand in `attempt_rest` move over first, since a partition
/// cannot be attached while the default one holds its rows.
async fn create(pool: &PgPool, name: &str, day: Date) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
    if exists(&mut *transaction, name).await? {
        return transaction.rollback().await;
    }
    let (from, to) = (format!("'{day} 00:00+00'"), format!("'{} 00:00+00'", day.saturating_add(1.days())));
    // Every part of this text is a date.
    let sql = format!(
        "LOCK TABLE attempt_rest IN ACCESS EXCLUSIVE MODE;
         CREATE TABLE {name} (LIKE attempt INCLUDING ALL EXCLUDING INDEXES);
         WITH moved AS (DELETE FROM attempt_rest WHERE started_at >= {from} AND started_at < {to} RETURNING *)
         INSERT INTO {name} SELECT * FROM moved;
         ALTER TABLE attempt ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    transaction.commit().await
}
