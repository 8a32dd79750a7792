//! Who read who leads are. What operators and their programs read one by one has a line of the audit each; what is read by
//! key, as often as a program likes, is counted by the hour, key and lead: nobody who read is ever left out, and the rows
//! are no more than there are leads to read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    domain::ids::{self, AuditId, CompanyId, LeadId, least_id_at},
    store::{
        Error, Store, heard,
        operator::audit::{AuditFilter, AuditView, lead_target},
        wait_for_locks,
    },
};

/// How long readings are kept if nobody says otherwise.
pub const READINGS_KEPT_DEFAULT: Duration = Duration::from_secs(730 * 86_400);
/// How long a statement waits for a row that somebody holds, and how long it may take in all: a reader waits for it.
const LOCK_MAX: &str = "500ms";
const COUNT_MAX: Duration = Duration::from_secs(2);
/// How many rows one statement removes.
const BATCH: i64 = 5000;
/// Ids are of the daemon's clock, times of the database's: so far lies between them at most.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// That somebody read who a lead is.
#[derive(Clone, Debug)]
pub struct Reading {
    pub company: CompanyId,
    pub lead: LeadId,
    /// Who: an operator, or an intake key.
    pub operator: String,
}

/// Readings as a statement takes them.
struct ReadingColumns {
    companies: Vec<i64>,
    ids: Vec<Uuid>,
    operators: Vec<String>,
    targets: Vec<String>,
}

impl ReadingColumns {
    fn of(readings: &[Reading]) -> Self {
        Self {
            companies: readings.iter().map(|reading| reading.company.0).collect(),
            ids: readings.iter().map(|_| Uuid::from(ids::new_ulid())).collect(),
            operators: readings.iter().map(|reading| reading.operator.clone()).collect(),
            targets: readings.iter().map(|reading| lead_target(reading.lead)).collect(),
        }
    }
}

/// An hour in which a lead was read by a key, or a line of the audit, which has no count.
struct ReadingRow {
    company_id: i64,
    id: Uuid,
    at: jiff_sqlx::Timestamp,
    operator: String,
    action: String,
    target: String,
    times: Option<i64>,
    first_at: Option<jiff_sqlx::Timestamp>,
}

impl From<ReadingRow> for AuditView {
    fn from(row: ReadingRow) -> Self {
        let counted = row.times.zip(row.first_at);
        Self {
            company: CompanyId(row.company_id),
            id: AuditId::from(row.id),
            at: row.at.to_jiff(),
            operator: row.operator,
            action: row.action,
            target: row.target,
            target_name: None,
            before: None,
            after: counted.map(|(times, first_at)| json!({ "times": times, "first_at": first_at.to_jiff() })),
        }
    }
}

impl Store {
    /// Writes into the audit who read who leads are: a line for each, all or none.
    pub async fn note_readings(&self, readings: &[Reading], action: &str) -> Result<(), Error> {
        let columns = ReadingColumns::of(readings);
        sqlx::query!(
            "INSERT INTO audit (company_id, id, operator, action, target)
             SELECT company_id, id, operator, $1, target
             FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[]) r(company_id, id, operator, target)",
            action,
            &columns.companies,
            &columns.ids,
            &columns.operators,
            &columns.targets,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Counts who read who leads are by key, all or none, and within a time.
    pub async fn count_readings(&self, readings: &[Reading]) -> Result<(), Error> {
        let columns = ReadingColumns::of(readings);
        let connection = timeout(COUNT_MAX, self.pool.acquire()).await;
        let mut connection = connection.map_err(|_| Error::Away(sqlx::Error::PoolTimedOut))??;
        let counted = timeout(COUNT_MAX, count(&mut connection, &columns)).await;
        heard(connection, counted)
    }

    /// Who read leads, newest hour first: counts of what keys read, and the lines of those who revealed or exported.
    pub async fn readings(&self, filter: &AuditFilter) -> Result<Vec<AuditView>, Error> {
        let target = filter.lead.map(lead_target);
        let below =
            filter.until.map(|until| until.checked_add(SLACK).unwrap_or(Timestamp::MAX)).map(least_id_at);
        let hour = SignedDuration::from_hours(1);
        let from = filter
            .since
            .map(|since| since.checked_sub(SLACK + hour).unwrap_or(Timestamp::MIN))
            .map(least_id_at);
        let rows = sqlx::query_file_as!(
            ReadingRow,
            "src/store/operator/readings.sql",
            filter.company.map(|id| id.0),
            filter.after.map(AuditId::uuid),
            filter.operator,
            filter.since.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.until.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.limit,
            target,
            from,
            below,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(AuditView::from).collect())
    }

    /// Forgets the hours of readings that were kept for their time. Answers how many.
    pub(in crate::store) async fn forget_readings(&self, db: &mut PgConnection) -> Result<u64, Error> {
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&mut *db).await?.to_jiff();
        let kept = SignedDuration::try_from(self.readings_kept).unwrap_or(SignedDuration::MAX);
        let from = now.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
        // What began later is kept, and none of it is read for that.
        let below = least_id_at(from.checked_add(SLACK).unwrap_or(Timestamp::MAX));
        let mut removed = 0;
        loop {
            let gone = sqlx::query!(
                "DELETE FROM reading WHERE (company_id, id) IN (
                     SELECT r.company_id, r.id FROM company c CROSS JOIN LATERAL (
                         SELECT company_id, id FROM reading
                         WHERE company_id = c.id AND last_at < $1 AND id < $2 ORDER BY id LIMIT $3) r
                     LIMIT $3)",
                from.to_sqlx() as jiff_sqlx::Timestamp,
                below,
                BATCH,
            )
            .execute(&mut *db)
            .await?
            .rows_affected();
            removed += gone;
            if gone < BATCH.unsigned_abs() {
                return Ok(removed);
            }
        }
    }
}

async fn count(db: &mut PgConnection, columns: &ReadingColumns) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    wait_for_locks(&mut tx, LOCK_MAX).await?;
    // In one order, so that daemons which count the same leads wait for each other, and for nothing else.
    sqlx::query!(
        "INSERT INTO reading AS r (company_id, id, hour, operator, target, times)
         SELECT n.company_id, (array_agg(n.id ORDER BY n.id))[1], date_trunc('hour', now(), 'UTC'), n.operator, n.target,
             count(*)
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[]) n(company_id, id, operator, target)
         GROUP BY n.company_id, n.operator, n.target
         ORDER BY n.target, n.operator, n.company_id
         ON CONFLICT (target, hour, operator, company_id) DO UPDATE
         SET times = r.times + excluded.times, last_at = greatest(r.last_at, excluded.last_at)",
        &columns.companies,
        &columns.ids,
        &columns.operators,
        &columns.targets,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
