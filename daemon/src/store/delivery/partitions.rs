//! A partition of `attempt` for each day, made ahead of time so that no finish ever waits for one.

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

/// Yesterday is for attempts that began before midnight; the days ahead outlast a daemon that cannot make them.
const DAYS: std::ops::RangeInclusive<i64> = -1..=7;
/// One daemon at a time changes what partitions there are.
pub(in crate::store) const LOCK: i64 = 0x6c65_6164_0001;

/// Makes the partitions around today, by the database's clock.
pub async fn ensure_partitions(pool: &PgPool) -> Result<(), sqlx::Error> {
    let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(pool).await?;
    let today = now.to_jiff().to_zoned(TimeZone::UTC).date();
    let there = days(pool).await?;
    for day in DAYS.map(|ahead| today.saturating_add(ahead.days())) {
        if !there.contains(&day) {
            create(pool, day).await?;
        }
    }
    Ok(())
}

/// The name of a day's partition.
pub(in crate::store) fn name_of(day: Date) -> String {
    format!("attempt_{}", day.strftime("%Y%m%d"))
}

/// The day of a partition, or none for another table's name.
fn day_of(name: &str) -> Option<Date> {
    Date::strptime("attempt_%Y%m%d", name).ok()
}

/// The days that have a partition, oldest first. Asks the catalog, not `to_regclass`, whose cache does not see what others
/// made while we waited for the lock.
pub(in crate::store) async fn days(executor: impl PgExecutor<'_>) -> Result<Vec<Date>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"SELECT relname::text AS "name!" FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
           WHERE inhparent = 'attempt'::regclass ORDER BY 1"#
    )
    .fetch_all(executor)
    .await?;
    Ok(names.iter().filter_map(|name| day_of(name)).collect())
}

/// Makes one partition. Attempts of that day that already stand in `attempt_rest` move over first, since a partition
/// cannot be attached while the default one holds its rows.
async fn create(pool: &PgPool, day: Date) -> Result<(), sqlx::Error> {
    let name = name_of(day);
    let mut transaction = pool.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
    if days(&mut *transaction).await?.contains(&day) {
        return transaction.rollback().await;
    }
    let (from, to) = (format!("'{day} 00:00+00'"), format!("'{} 00:00+00'", day.saturating_add(1.days())));
    // Every part of this text is a date.
    let sql = format!(
        "LOCK TABLE attempt_rest IN ACCESS EXCLUSIVE MODE;
         CREATE TABLE {name} (LIKE attempt INCLUDING ALL EXCLUDING INDEXES);
         WITH moved AS (DELETE FROM attempt_rest WHERE started_at >= {from} AND started_at < {to} RETURNING *)
         INSERT INTO {name} SELECT * FROM moved;
         ALTER TABLE {name} ALTER error SET STATISTICS 0, ALTER url SET STATISTICS 0,
             ALTER request_headers SET STATISTICS 0, ALTER request_body SET STATISTICS 0,
             ALTER response_headers SET STATISTICS 0, ALTER response_body SET STATISTICS 0,
             ALTER note SET STATISTICS 0, ALTER calls SET STATISTICS 0;
         ALTER TABLE attempt ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_tells_its_day() {
        let day = jiff::civil::date(2026, 11, 3);
        assert_eq!(name_of(day), "attempt_20261103");
        assert_eq!(day_of("attempt_20261103"), Some(day));
        for other in ["attempt_rest", "attempt", "attempt_20261399", "attempt_20261103_pkey", "lead"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
