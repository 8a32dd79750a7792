//! Retention: what is kept for a time only. Attempts go by the day, a whole partition at once; what outlives its day
//! moves to `attempt_rest`.
//!
//! Dropping a partition locks all attempts, so it is tried for a moment only and does little while it holds the lock:
//! no push waits for it. Days of which much is kept are thinned in place instead, in batches, until little is left.

use std::time::Duration;

use jiff::{SignedDuration, ToSpan as _, civil::Date, tz::TimeZone};
use jiff_sqlx::{Timestamp, ToSqlx as _};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    store::{
        Error, Store,
        delivery::partitions::{self, ensure_partitions},
        lead::keep::Positions,
    },
    telemetry,
};

/// How long attempts are kept if nobody says otherwise.
pub const KEPT_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// A daemon that starts has leads to take in and to push first.
const PRUNE_FIRST: Duration = Duration::from_secs(10);
const ROUNDS_OF_A_DAY: u32 = 24;
/// One daemon at a time prunes.
const LOCK: i64 = 0x6c65_6164_0002;
/// So many attempts of an integration stay however old they are.
const LAST: i32 = 50;
/// So many rows move while attempts are locked at most.
const MOVED_MAX: usize = 2000;
/// How many rows one statement removes.
const BATCH: i64 = 5000;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Whole days.
    pub days: u64,
    /// Days that somebody was reading; they go the next time.
    pub postponed: u64,
    /// Single attempts, of days of which much is kept.
    pub attempts: u64,
    pub jobs: u64,
    pub notices: u64,
    /// Hours in which a key read a lead.
    pub readings: u64,
}

/// Makes the partitions of the coming days and removes what is too old, until stopped. A failure is tried again within
/// the hour, days before a partition would be missed.
pub async fn keep(store: Store, stop: CancellationToken) {
    let (mut positions, mut rounds) = (Positions::default(), 0_u32);
    if stop.run_until_cancelled(tokio::time::sleep(PRUNE_FIRST)).await.is_none() {
        return;
    }
    loop {
        if let Err(error) = ensure_partitions(&store.pool).await {
            tracing::warn!(
                event = "partitions_not_made",
                error = telemetry::causes(&error),
                "cannot make the partitions of the coming days; trying again in an hour"
            );
        }
        match stop.run_until_cancelled(store.prune()).await {
            None => return,
            Some(Ok(pruned)) if pruned == Pruned::default() => {}
            Some(Ok(pruned)) => {
                tracing::info!(event = "attempts_aged_out", ?pruned, "what was kept for its time is removed")
            }
            Some(Err(error)) => tracing::warn!(
                event = "attempts_not_aged_out",
                error = telemetry::causes(&error),
                "what is too old could not be removed; trying again in an hour"
            ),
        }
        // What was not delivered yet when its turn came is looked at again within the day.
        rounds += 1;
        if rounds.is_multiple_of(ROUNDS_OF_A_DAY) {
            positions = Positions::default();
        }
        match stop.run_until_cancelled(store.forget_leads(&mut positions)).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(leads)) => tracing::info!(
                event = "leads_aged_out",
                leads,
                "leads that were kept for their time are erased"
            ),
            Some(Err(error)) => tracing::warn!(
                event = "leads_not_aged_out",
                error = telemetry::causes(&error),
                "leads whose time is over could not be erased; trying again in an hour"
            ),
        }
        match stop.run_until_cancelled(store.forget_refusals()).await {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(refusals)) => {
                tracing::info!(
                    event = "refusals_aged_out",
                    refusals,
                    "refused posts whose time is over are removed"
                )
            }
            Some(Err(error)) => tracing::warn!(
                event = "refusals_not_aged_out",
                error = telemetry::causes(&error),
                "refused posts whose time is over could not be removed; trying again in an hour"
            ),
        }
        if stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// The first day of which everything is kept.
fn first_kept(now: jiff::Timestamp, kept: Duration) -> Date {
    let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
    let from = now.checked_sub(kept).unwrap_or(jiff::Timestamp::MIN);
    from.to_zoned(TimeZone::UTC).date()
}

/// When a day begins.
fn midnight(day: Date) -> Result<Timestamp, Error> {
    let begin = day.to_zoned(TimeZone::UTC).map_err(|_| Error::Corrupt("partition"))?;
    Ok(begin.timestamp().to_sqlx())
}

impl Store {
    /// Removes what is older than it is kept. Does nothing while another daemon is at it.
    pub async fn prune(&self) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let Some(mut db) = take_turn(&self.pool).await? else { return Ok(pruned) };
        let first = self.first_kept(&mut db).await?;
        let days = partitions::days(&mut db).await?;
        for day in days.into_iter().filter(|day| *day < first) {
            match drop_day(&mut db, day).await {
                Ok(is_gone) => pruned.days += u64::from(is_gone),
                // Whoever reads a day this long must not make pushes wait behind us.
                Err(error @ (Error::Locked | Error::Database(_))) if error.is_passing() => {
                    pruned.postponed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        // A day that is dropped in an hour is not removed row by row now.
        if pruned.postponed == 0 {
            pruned.attempts = thin(&mut db, first).await?;
        }
        pruned.jobs = self.forget_jobs(&mut db).await?;
        pruned.notices = self.forget_notices(&mut db).await?;
        pruned.readings = self.forget_readings(&mut db).await?;
        db.close().await?;
        Ok(pruned)
    }

    /// The day before which attempts go. What claims point to stays, or whoever takes one over could not tell that it
    /// was finished.
    async fn first_kept(&self, db: &mut PgConnection) -> Result<Date, Error> {
        let row = sqlx::query!(r#"SELECT now() AS "now!", min(claimed_at) AS claimed_at FROM claim"#)
            .fetch_one(db)
            .await?;
        let first = first_kept(row.now.to_jiff(), self.kept);
        let claimed = row.claimed_at.map(|at| first_kept(at.to_jiff(), Duration::ZERO));
        Ok(claimed.map_or(first, |claimed| claimed.min(first)))
    }
}

/// A connection that nobody else prunes beside. The turn ends with the connection, however that ends.
async fn take_turn(pool: &PgPool) -> Result<Option<PgConnection>, Error> {
    let mut db = pool.acquire().await?.detach();
    let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "is_ours!""#, LOCK)
        .fetch_one(&mut db)
        .await?;
    // A day of a large installation is read once, with no hurry.
    sqlx::query!("SET statement_timeout = '10min'").execute(&mut db).await?;
    Ok(is_ours.then_some(db))
}

/// Drops a day's partition; what is kept of it moves over. False if that is too much.
async fn drop_day(db: &mut PgConnection, day: Date) -> Result<bool, Error> {
    let kept = kept_of(db, day).await?;
    if kept.len() > MOVED_MAX {
        return Ok(false);
    }
    let name = partitions::name_of(day);
    let mut tx = db.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", partitions::LOCK).execute(&mut *tx).await?;
    // By its key: a join could be planned as a read of the whole day, while everybody waits.
    let detach = format!(
        "SET LOCAL lock_timeout = '200ms'; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
         SET LOCAL enable_mergejoin = off; ALTER TABLE attempt DETACH PARTITION {name}"
    );
    sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut *tx).await?;
    // As they are now: who was erased meanwhile stays so.
    let rescue = format!(
        "INSERT INTO attempt SELECT p.* FROM unnest($1::bigint[], $2::uuid[], $3::uuid[])
             k(company_id, integration_id, id) JOIN {name} p USING (company_id, integration_id, id)"
    );
    let (mut companies, mut integrations, mut ids) = (vec![], vec![], vec![]);
    for (company, integration, id) in kept {
        companies.push(company);
        integrations.push(integration);
        ids.push(id);
    }
    let rescue = sqlx::query(AssertSqlSafe(rescue)).bind(companies).bind(integrations).bind(ids);
    rescue.execute(&mut *tx).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// The keys of a day's attempts that stay: the last ones of their integration, and those of deliveries that are not
/// final. One more than may move, if there are so many.
async fn kept_of(db: &mut PgConnection, day: Date) -> Result<Vec<(i64, Uuid, Uuid)>, Error> {
    let rows = sqlx::query!(
        "WITH lane AS MATERIALIZED (
             SELECT DISTINCT company_id, integration_id FROM attempt WHERE started_at >= $1 AND started_at < $2
         ), last AS MATERIALIZED (
             -- None where there are fewer.
             SELECT l.*, (SELECT a.id FROM attempt a
                 WHERE a.company_id = l.company_id AND a.integration_id = l.integration_id
                 ORDER BY a.id DESC OFFSET $3 - 1 LIMIT 1) AS id FROM lane l
         )
         SELECT a.company_id, a.integration_id, a.id FROM attempt a JOIN last l USING (company_id, integration_id)
         WHERE a.started_at >= $1 AND a.started_at < $2 AND (
             l.id IS NULL OR a.id >= l.id
             OR EXISTS (SELECT FROM delivery d
                 WHERE d.company_id = a.company_id AND d.id = a.delivery_id AND d.finished_at IS NULL)
             OR EXISTS (SELECT FROM undelivered u WHERE u.company_id = a.company_id
                 AND u.integration_id = a.integration_id AND u.delivery_id = a.delivery_id AND u.due_at IS NOT NULL))
         LIMIT $4",
        midnight(day)? as Timestamp,
        midnight(day.saturating_add(1.days()))? as Timestamp,
        LAST,
        MOVED_MAX as i64 + 1,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.company_id, row.integration_id, row.id)).collect())
}

/// Removes what is left before a day and does not stay, lane by lane and in batches. Answers how many attempts.
async fn thin(db: &mut PgConnection, first: Date) -> Result<u64, Error> {
    let before = midnight(first)?;
    let lanes = sqlx::query!(
        "SELECT DISTINCT company_id, integration_id FROM attempt WHERE started_at < $1 ORDER BY 1, 2",
        before as Timestamp,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut removed = 0;
    for lane in lanes {
        loop {
            let gone = sqlx::query!(
                "DELETE FROM attempt WHERE started_at < $3 AND (company_id, integration_id, id, started_at) IN (
                     SELECT a.company_id, a.integration_id, a.id, a.started_at FROM attempt a
                     WHERE a.company_id = $1 AND a.integration_id = $2 AND a.started_at < $3
                       AND a.id < (SELECT o.id FROM attempt o WHERE o.company_id = $1 AND o.integration_id = $2
                           ORDER BY o.id DESC OFFSET $4 - 1 LIMIT 1)
                       AND NOT EXISTS (SELECT FROM delivery d
                           WHERE d.company_id = $1 AND d.id = a.delivery_id AND d.finished_at IS NULL)
                       AND NOT EXISTS (SELECT FROM undelivered u WHERE u.company_id = $1
                           AND u.integration_id = $2 AND u.delivery_id = a.delivery_id AND u.due_at IS NOT NULL)
                     LIMIT $5)",
                lane.company_id,
                lane.integration_id,
                before as Timestamp,
                LAST,
                BATCH,
            )
            .execute(&mut *db)
            .await?
            .rows_affected();
            removed += gone;
            if gone < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_are_over_for_long_enough_go() {
        let day = Duration::from_secs(86_400);
        for (now, kept, first) in [
            ("2026-11-21T14:00:00Z", 30 * day, "2026-10-22"),
            ("2026-11-21T00:00:00Z", 30 * day, "2026-10-22"),
            ("2026-11-20T23:59:59Z", 30 * day, "2026-10-21"),
            ("2026-11-21T14:00:00Z", day, "2026-11-20"),
            ("2026-03-01T01:00:00Z", day + day / 2, "2026-02-27"),
        ] {
            assert_eq!(first_kept(now.parse().unwrap(), kept).to_string(), first, "{now}");
        }
        assert!(first_kept(jiff::Timestamp::MIN, Duration::MAX).year() < 0);
    }
}
