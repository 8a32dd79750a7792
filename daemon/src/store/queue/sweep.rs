//! The sweep: which lanes it comes back to, and what of their dead deliveries comes back.
//!
//! A run under way is a row of `sweep`: its key makes sure that there is one for a lane, whichever daemon begins it.

use jiff_sqlx::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        breaker,
        delivery::{LaneKind, State, Trigger},
        ids::{CompanyId, JobId},
        lane::LaneId,
        sweep::{SweepRun, is_busy},
    },
    store::{
        Change, DueHint, Error, Store, moment,
        operator::command::NewDue,
        queue::requeue::{self, Requeue},
    },
};

/// So many dead ones that became too old are marked at a time.
const EXPIRE_MAX: i64 = 5000;

/// A lane that wants something of whoever owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    pub lane: LaneId,
    pub work: LaneWork,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneWork {
    /// A run of the sweep is due.
    StartSweep,
    /// A run is under way.
    ContinueSweep,
    /// A job goes through it.
    ContinueJob(JobId),
}

impl Store {
    /// What is to be done in lanes, oldest jobs first.
    pub async fn tasks(&self) -> Result<Vec<Task>, Error> {
        let rows = sqlx::query!(
            r#"SELECT s.company_id AS "company_id!", s.integration_id AS "integration_id!", 1 AS "turn!", 'start_sweep' AS "work!", NULL::uuid AS job
               FROM integration_stat s JOIN integration i ON i.company_id = s.company_id AND i.id = s.integration_id
               JOIN company c ON c.id = s.company_id
               -- The time as it stands, too: it has an index.
               WHERE s.sweep_at <= now() AND sweep_comes(i, c, s.sweep_at) <= now()
                 AND NOT EXISTS (SELECT FROM sweep w
                     WHERE w.company_id = s.company_id AND w.integration_id = s.integration_id)
               UNION ALL
               SELECT company_id, integration_id, 2, 'continue_sweep', NULL FROM sweep
               UNION ALL
               SELECT company_id, integration_id, 3, 'continue_job', id FROM job WHERE state = 'running'
               ORDER BY 3, 5"#
        )
        .fetch_all(&self.pool)
        .await?;
        let tasks = rows.into_iter().map(|row| {
            let lane = LaneId::new(CompanyId(row.company_id), row.integration_id);
            let work = match (&*row.work, row.job) {
                ("start_sweep", None) => LaneWork::StartSweep,
                ("continue_sweep", None) => LaneWork::ContinueSweep,
                ("continue_job", Some(job)) => LaneWork::ContinueJob(job.into()),
                _ => return Err(Error::Corrupt("task")),
            };
            Ok(Task { lane, work })
        });
        tasks.collect()
    }

    /// Begins a run: the oldest dead delivery goes first, as the canary. The others wait at least until the next
    /// run if it fails.
    pub async fn start_sweep(&self, lane: LaneId) -> Result<(), Error> {
        self.expire(lane).await?;
        let mut tx = self.begin_aside().await?;
        let oldest = self.sweepable(&mut tx, lane, None, 1).await?;
        let canary = sqlx::query_scalar!(
            "INSERT INTO sweep (company_id, integration_id, canary_id) SELECT $1, $2, unnest($3::uuid[])
             ON CONFLICT DO NOTHING RETURNING canary_id",
            lane.company.0,
            lane.integration.uuid(),
            &oldest,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let due = match canary {
            Some(canary) => come_back(&mut tx, lane, &[canary]).await?,
            None => Vec::new(),
        };
        self.set_next_sweep(&mut tx, lane).await?;
        tx.commit().await?;
        self.came_back(lane, &due);
        Ok(())
    }

    /// How the run of a lane stands; none if there is none.
    pub async fn sweep_run(&self, lane: LaneId, batch: usize) -> Result<Option<SweepRun>, Error> {
        let row = sqlx::query!(
            r#"SELECT w.is_passed, d.state AS "state?", lane_is_open(i, c) AS "is_open!", s.breaker_until AS "breaker_until: Timestamp",
                   now() AS "now!: Timestamp", (SELECT count(*) FROM (SELECT FROM due q
                       WHERE q.integration_id = w.integration_id AND q.kind = 1 AND q.due_at <= now()
                       LIMIT $3) q) AS "waiting!"
               FROM sweep w
               JOIN integration i ON i.company_id = w.company_id AND i.id = w.integration_id
               JOIN company c ON c.id = w.company_id
               JOIN integration_stat s ON s.company_id = w.company_id AND s.integration_id = w.integration_id
               LEFT JOIN delivery d ON d.company_id = w.company_id AND d.id = w.canary_id
               WHERE w.company_id = $1 AND w.integration_id = $2"#,
            lane.company.0,
            lane.integration.uuid(),
            batch as i64,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let waiting = usize::try_from(row.waiting).unwrap_or_default();
        Ok(Some(SweepRun {
            // One that only a newer daemon knows counts as gone.
            canary: row.state.as_deref().and_then(State::parse),
            is_passed: row.is_passed,
            is_open: row.is_open,
            breaker: breaker::BreakerState::at(row.breaker_until.map(moment), moment(row.now)),
            is_busy: is_busy(waiting, batch),
        }))
    }

    /// Brings back the next ones that were dead when the run began. Answers how many it found.
    pub async fn release_swept(&self, lane: LaneId, batch: usize) -> Result<usize, Error> {
        let mut tx = self.begin_aside().await?;
        let started = sqlx::query_scalar!(
            r#"UPDATE sweep SET is_passed = true WHERE company_id = $1 AND integration_id = $2
               RETURNING started_at AS "at: Timestamp""#,
            lane.company.0,
            lane.integration.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(started) = started else { return Ok(0) };
        let dead = self.sweepable(&mut tx, lane, Some(started), batch).await?;
        let due = come_back(&mut tx, lane, &dead).await?;
        tx.commit().await?;
        self.came_back(lane, &due);
        Ok(dead.len())
    }

    /// The oldest dead deliveries of a lane that the sweep may bring back: young enough, and dead since a time at the
    /// latest, if one is given.
    async fn sweepable(
        &self,
        db: &mut PgConnection,
        lane: LaneId,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error> {
        let dead = sqlx::query_scalar!(
            "SELECT u.delivery_id FROM undelivered u
             JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id
             WHERE u.company_id = $1 AND u.integration_id = $2 AND u.state = 'dead' AND u.due_at IS NOT NULL
               AND ($4::timestamptz IS NULL OR u.since <= $4) AND swept_at(now(), d.created_at, $3) IS NOT NULL
               AND NOT EXISTS (
                   -- A later push of the lead that is open comes first: what is dead may be superseded by it.
                   SELECT FROM delivery x WHERE x.lead_id = d.lead_id AND x.integration_id = d.integration_id
                     AND x.company_id = d.company_id AND x.state IN ('pending', 'held')
                     AND (x.created_at, x.id) > (d.created_at, d.id))
             ORDER BY u.delivery_id LIMIT $5",
            lane.company.0,
            lane.integration.uuid(),
            self.sweep.age.as_secs_f64(),
            since as Option<Timestamp>,
            limit as i64,
        )
        .fetch_all(db)
        .await?;
        Ok(dead)
    }

    /// Ends a run: what is still dead is left to the next one, if there is anything.
    pub async fn end_sweep(&self, lane: LaneId) -> Result<(), Error> {
        let mut tx = self.begin_aside().await?;
        sqlx::query!(
            "DELETE FROM sweep WHERE company_id = $1 AND integration_id = $2",
            lane.company.0,
            lane.integration.uuid()
        )
        .execute(&mut *tx)
        .await?;
        // Locked first: the statement after it sees what a finish that held the lock has left dead.
        let locked = sqlx::query_scalar!(
            "SELECT sweep_at AS \"at: Timestamp\" FROM integration_stat
             WHERE company_id = $1 AND integration_id = $2 FOR UPDATE",
            lane.company.0,
            lane.integration.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?;
        if locked.flatten().is_some() {
            forget_sweep(&mut tx, lane).await?;
        }
        tx.commit().await?;
        self.came_back(lane, &[]);
        Ok(())
    }

    /// The next run comes an interval from now, if anything is left for it.
    async fn set_next_sweep(&self, db: &mut PgConnection, lane: LaneId) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE integration_stat SET sweep_at = now() + $3 * interval '1 second', updated_at = now()
             WHERE company_id = $1 AND integration_id = $2",
            lane.company.0,
            lane.integration.uuid(),
            self.sweep.interval.as_secs_f64(),
        )
        .execute(&mut *db)
        .await?;
        forget_sweep(db, lane).await
    }

    /// What is too old for the sweep is left to operators.
    async fn expire(&self, lane: LaneId) -> Result<(), Error> {
        loop {
            let expired = sqlx::query!(
                "UPDATE undelivered u SET due_at = NULL WHERE (u.company_id, u.integration_id, u.delivery_id) IN (
                     SELECT o.company_id, o.integration_id, o.delivery_id FROM undelivered o
                     JOIN delivery d ON d.company_id = o.company_id AND d.id = o.delivery_id
                     WHERE o.company_id = $1 AND o.integration_id = $2 AND o.state = 'dead' AND o.due_at IS NOT NULL
                       AND swept_at(now(), d.created_at, $3) IS NULL LIMIT $4)",
                lane.company.0,
                lane.integration.uuid(),
                self.sweep.age.as_secs_f64(),
                EXPIRE_MAX,
            )
            .execute(&self.pool)
            .await?;
            if expired.rows_affected() < EXPIRE_MAX.unsigned_abs() {
                return Ok(());
            }
        }
    }

    fn came_back(&self, lane: LaneId, due: &[NewDue]) {
        if let Some(due_at) = due.iter().map(|row| moment(row.due_at)).min() {
            self.wake_ups.due(vec![DueHint { lane, kind: LaneKind::Retry, due_at }]);
        }
        self.wake_ups.changed(Change { lane, config: false });
    }
}

/// Forgets the next run of a locked lane if nothing is left for it.
async fn forget_sweep(db: &mut PgConnection, lane: LaneId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE integration_stat SET sweep_at = NULL WHERE company_id = $1 AND integration_id = $2
           AND NOT EXISTS (SELECT FROM undelivered
               WHERE company_id = $1 AND integration_id = $2 AND state = 'dead' AND due_at IS NOT NULL)",
        lane.company.0,
        lane.integration.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn come_back(db: &mut PgConnection, lane: LaneId, ids: &[Uuid]) -> Result<Vec<NewDue>, Error> {
    let (company, lanes) = (lane.company, [lane.integration.uuid()]);
    let locked = requeue::lock(db, company, &lanes, ids).await?;
    let is_dead = |id: &Uuid| locked.state(*id) == Some(State::Dead);
    let dead: Vec<Uuid> = ids.iter().copied().filter(is_dead).collect();
    let how = Requeue { attempt: Some((LaneKind::Retry, Trigger::Sweep)), ..Requeue::default() };
    Ok(requeue::requeue(db, company, &lanes, &dead, &how).await?.1)
}
