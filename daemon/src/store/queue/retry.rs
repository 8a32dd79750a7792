//! Manual retries: dead and delivered deliveries become pending again, those that wait for their time are due now, and
//! what is rendered anew is replaced by a delivery with an id of its own.

use jiff_sqlx::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{LaneKind, State, Trigger},
        ids::{CompanyId, DeliveryId, JobId},
        integration::Policy,
        lane::LaneId,
        sweep::batch,
    },
    store::{
        Error, Store,
        delivery::read::Target,
        operator::command::{Command, NewDue, Refusal},
        queue::{
            requeue::{self, Requeue},
            undelivered,
        },
    },
};

/// How fast an integration's lane goes.
#[derive(Clone, Copy, Debug)]
pub struct LanePace {
    pub policy: Policy,
    /// What an attempt took lately, in seconds.
    pub recent_seconds: f64,
}

impl LanePace {
    /// How many deliveries come back to the lane at a time.
    #[must_use]
    pub fn batch(&self) -> usize {
        batch(self.policy, self.recent_seconds)
    }

    /// How long a lane takes for so many pushes, in seconds.
    #[must_use]
    pub fn seconds(&self, count: usize) -> f64 {
        let count = count as f64;
        let by_slots = (count / f64::from(self.policy.concurrency)).ceil() * self.recent_seconds;
        let by_rate = self.policy.rate_per_second.map_or(0.0, |rate| count / rate);
        by_slots.max(by_rate)
    }
}

impl Store {
    /// How fast a lane goes, by its limits and its last attempts; none if its integration is gone.
    pub async fn pace(&self, lane: LaneId) -> Result<Option<LanePace>, Error> {
        let row = sqlx::query!(
            r#"SELECT i.connector, i.config, a.seconds AS "seconds?" FROM integration i CROSS JOIN LATERAL (
                   SELECT avg(duration_ms)::float8 / 1000 AS seconds FROM (
                       SELECT duration_ms FROM attempt
                       WHERE company_id = i.company_id AND integration_id = i.id ORDER BY id DESC LIMIT 50) l) a
               WHERE i.company_id = $1 AND i.id = $2"#,
            lane.company.0,
            lane.integration.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| LanePace {
            policy: (self.policy)(&row.connector, &row.config),
            recent_seconds: row.seconds.unwrap_or(0.1),
        }))
    }
}

/// How an operator wants deliveries pushed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryOptions {
    /// Among many, it takes its turn behind new leads and heeds the breaker; one that was named goes with them.
    pub is_bulk: bool,
    /// The job that asks.
    pub job: Option<JobId>,
    /// Rendered anew, under an id of its own where a request may have left under the old one.
    pub re_render: bool,
}

impl Command {
    /// Retries deliveries of one company, at most [`crate::store::queue::release::BATCH`] of them. Those being pushed, those that wait
    /// for an earlier one and those whose state is no longer what was asked for, or only a newer daemon's to know, are left alone. Answers which are
    /// pending because of it.
    pub async fn retry(
        &mut self,
        company: CompanyId,
        targets: &[Target],
        options: RetryOptions,
    ) -> Result<Vec<DeliveryId>, Refusal> {
        let mut integrations: Vec<Uuid> = targets.iter().map(|target| target.integration_id).collect();
        integrations.sort_unstable();
        integrations.dedup();
        let ids: Vec<Uuid> = targets.iter().map(|target| target.id).collect();
        // A job has lifted what its lanes waited for when it began; what they wait for since is heeded.
        if options.job.is_none() {
            self.lift(company, &integrations).await?;
        }
        let locked = requeue::lock(&mut self.tx, company, &integrations, &ids).await?;
        let states = |wanted: &[State]| -> Vec<Uuid> {
            targets
                .iter()
                .filter(|target| {
                    let state = target.state.known().filter(|state| wanted.contains(state));
                    state.is_some() && locked.state(target.id) == state
                })
                .map(|target| target.id)
                .collect()
        };
        let operator = self.operator.clone();
        let how = Requeue {
            attempt: Some((if options.is_bulk { LaneKind::Retry } else { LaneKind::First }, Trigger::Manual)),
            operator: Some(&operator),
            job: options.job.map(JobId::uuid),
        };
        let mut again = states(&[State::Dead, State::Delivered]);
        let waiting = states(&[State::Pending]);
        let mut pending = if options.re_render {
            let (kept, rest) = self.never_sent(company, &again).await?;
            again = kept;
            self.replace(company, &integrations, &rest, &waiting, &how).await?
        } else {
            self.hurry(company, &integrations, &waiting, &how).await?
        };
        let (requeued, due) = requeue::requeue(&mut self.tx, company, &integrations, &again, &how).await?;
        if !options.is_bulk
            && let Some(older) = again.iter().find(|id| !requeued.contains(id))
        {
            return Err(Refusal::State(format!(
                "delivery {} is older than an update of its lead that is on its way: retry that one, or skip it first",
                DeliveryId::from(*older)
            )));
        }
        self.became_due(company, &due);
        for integration in integrations {
            self.touch(LaneId::new(company, integration), false);
        }
        pending.extend(requeued);
        Ok(pending.into_iter().map(DeliveryId::from).collect())
    }

    /// Parts those of which nothing ever left from the others.
    async fn never_sent(
        &mut self,
        company: CompanyId,
        ids: &[Uuid],
    ) -> Result<(Vec<Uuid>, Vec<Uuid>), Refusal> {
        let kept = sqlx::query_scalar!(
            "SELECT d.id FROM delivery d WHERE d.company_id = $1 AND d.id = ANY($2) AND d.state = 'dead'
               AND d.body IS NULL AND NOT d.verbatim AND d.attempts = (
                   -- An attempt that is no longer kept may have sent something.
                   SELECT count(*) FROM attempt a WHERE a.delivery_id = d.id AND a.company_id = d.company_id
                     AND a.method IS NULL AND a.class = 'mapping')",
            company.0,
            ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(ids.iter().partition(|id| kept.contains(id)))
    }

    /// Makes new deliveries that take the places of these: of final ones, and of those that wait for their time.
    async fn replace(
        &mut self,
        company: CompanyId,
        lanes: &[Uuid],
        finals: &[Uuid],
        waiting: &[Uuid],
        how: &Requeue<'_>,
    ) -> Result<Vec<Uuid>, Refusal> {
        let mut old = sqlx::query_scalar!(
            "DELETE FROM due WHERE company_id = $1 AND integration_id = ANY($2) AND delivery_id = ANY($3)
             RETURNING delivery_id",
            company.0,
            lanes,
            waiting,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let hurried = old.len();
        old.extend(finals);
        let new: Vec<DeliveryId> =
            old.iter().map(|id| DeliveryId::generate_behind(DeliveryId::from(*id))).collect();
        let (ids, shown): (Vec<Uuid>, Vec<String>) = new.iter().map(|id| (id.uuid(), id.to_string())).unzip();
        // Whoever waits behind one that is pending waits behind its replacement; a final one has nobody behind it.
        let made = sqlx::query!(
            "WITH pair AS MATERIALIZED (
                 SELECT d.*, p.new_id, p.shown FROM unnest($2::uuid[], $3::uuid[], $4::text[]) p(old_id, new_id, shown)
                 JOIN delivery d ON d.company_id = $1 AND d.id = p.old_id
                     AND d.state IN ('pending', 'dead', 'delivered') AND d.reason_code IS DISTINCT FROM 'erased'
             ), gone AS (
                 UPDATE delivery d SET state = 'skipped', reason_code = 'replaced', reason_detail = to_jsonb(pair.shown),
                     finished_at = now(),
                     due_at = NULL, successor_id = NULL
                 FROM pair WHERE d.company_id = $1 AND d.id = pair.id AND d.state <> 'delivered'
             )
             INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state,
                 successor_id, job_id, created_at)
             SELECT company_id, new_id, integration_id, lead_id, event_id, event, false, 'pending',
                 CASE WHEN state = 'pending' THEN successor_id END, $5, created_at FROM pair
             RETURNING id",
            company.0,
            &old,
            &ids,
            &shown,
            how.job,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        undelivered::forget(&mut self.tx, company, lanes, &old).await?;
        let made: Vec<Uuid> = made.into_iter().map(|row| row.id).collect();
        // One that stood in the queue stands there again, with whoever waits behind it.
        let (again, anew): (Vec<Uuid>, Vec<Uuid>) = made.iter().partition(|id| ids[..hurried].contains(id));
        let mut due = requeue::queue(&mut self.tx, company, &again, how).await?;
        due.extend(requeue::line_up(&mut self.tx, company, &anew, how).await?);
        self.became_due(company, &due);
        Ok(made)
    }

    /// Makes locked ones that stand in the queue due now.
    async fn hurry(
        &mut self,
        company: CompanyId,
        lanes: &[Uuid],
        ids: &[Uuid],
        how: &Requeue<'_>,
    ) -> Result<Vec<Uuid>, Refusal> {
        let rows = sqlx::query!(
            r#"WITH waiting AS MATERIALIZED (
                   SELECT q.ctid AS row, row_number() OVER (ORDER BY q.delivery_id) AS n FROM due q
                   -- Those that are due, too: they may wait for what an operator's retry does not wait for.
                   WHERE q.integration_id = ANY($1) AND q.delivery_id = ANY($2))
               UPDATE due q SET kind = least(q.kind, $4::smallint), trigger = 'manual', operator = $3,
                                due_at = CASE WHEN $4::smallint = 0
                                    THEN front_of_lane(q.integration_id, 0::smallint) ELSE least(q.due_at, now()) END
                                    + w.n * interval '1 microsecond'
               FROM waiting w WHERE q.ctid = w.row AND q.delivery_id = ANY($2)
               RETURNING q.integration_id, q.kind, q.due_at, q.delivery_id"#,
            lanes,
            ids,
            how.operator,
            how.attempt.map(|(kind, _)| kind.number()),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let hurried: Vec<Uuid> = rows.iter().map(|row| row.delivery_id).collect();
        let times: Vec<Timestamp> = rows.iter().map(|row| row.due_at).collect();
        sqlx::query!(
            "UPDATE delivery d SET retries = 0, waits = 0, due_at = q.due_at, job_id = coalesce($3, job_id)
             FROM unnest($2::uuid[], $4::timestamptz[]) q(id, due_at) WHERE d.company_id = $1 AND d.id = q.id",
            company.0,
            &hurried,
            how.job,
            &times as &[Timestamp],
        )
        .execute(&mut *self.tx)
        .await?;
        let due = rows.into_iter().map(|row| NewDue::new(row.integration_id, row.kind, row.due_at));
        let due = due.collect::<Result<Vec<_>, _>>()?;
        self.became_due(company, &due);
        Ok(hurried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_slots_and_rate_decides() {
        let policy = Policy { concurrency: 16, rate_per_second: None, ..Policy::default() };
        let pace = LanePace { policy, recent_seconds: 0.5 };
        assert!((pace.seconds(0) - 0.0).abs() < f64::EPSILON);
        assert!((pace.seconds(1) - 0.5).abs() < f64::EPSILON);
        assert!((pace.seconds(17) - 1.0).abs() < f64::EPSILON);
        let limited = LanePace { policy: Policy { rate_per_second: Some(2.0), ..policy }, ..pace };
        assert!((limited.seconds(17) - 8.5).abs() < f64::EPSILON);
    }
}
