//! Jobs: bulk retries and pushes that outlive whoever asked for them. Each goes through its lanes apart, oldest first, and
//! brings back only as much as a lane does in a few seconds, so that cancelling one leaves little behind it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        cause::CauseId,
        delivery::State,
        ids::{CompanyId, DeliveryId, JobId, LeadId},
        job::{JobKind, JobRun, JobState},
        lane::LaneId,
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        delivery::read::{DeliveryFilter, Order, Target},
        known,
        operator::command::{Command, Mutation, Refusal},
        queue::{
            push::{Choice, NewPush},
            retry::RetryOptions,
        },
    },
};

pub(in crate::store) mod forget;
mod view;

pub use view::{JobPlace, JobScope, JobView};

/// A lane of a job, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct JobLane {
    pub id: LaneId,
    pub total: i64,
    /// The last delivery, or the last lead.
    pub last: Uuid,
}

/// What a job does.
#[derive(Clone, Copy, Debug)]
pub enum JobWork<'a> {
    Retry {
        filter: &'a DeliveryFilter,
        re_render: bool,
    },
    /// So many leads that the choice means.
    Push {
        choice: Choice,
        leads: i64,
    },
}

impl JobWork<'_> {
    /// Whether its pushes are rendered anew.
    #[must_use]
    pub const fn is_re_rendered(&self) -> bool {
        matches!(self, Self::Retry { re_render: true, .. })
    }
}

/// What a job's filter keeps beside the lane.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KeptFilter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lead: Option<Uuid>,
    states: Vec<State>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<FailureClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    died_since: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    died_until: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    known_only: bool,
    /// Its error's text was forgotten when it was cancelled: it means other deliveries without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgot_error: bool,
}

/// A filter as a job keeps it: whatever it restricts, as the job would go through more than was counted. Its lanes stand
/// beside it, and one that is disabled waits.
fn keep(filter: &DeliveryFilter) -> Result<Value, Error> {
    let kept = KeptFilter {
        lead: filter.lead.map(LeadId::uuid),
        states: filter.states.clone(),
        class: filter.class,
        error: filter.error.clone(),
        since: filter.since,
        until: filter.until,
        waiting: filter.waiting,
        cause: filter.cause.map(|cause| cause.0),
        job: filter.job.map(JobId::uuid),
        died_since: filter.died_since,
        died_until: filter.died_until,
        known_only: filter.known_only,
        forgot_error: false,
    };
    serde_json::to_value(kept).map_err(|_| Error::Corrupt("filter"))
}

/// The filter of one lane of a job.
fn kept(value: Value, lane: LaneId) -> Result<DeliveryFilter, Error> {
    let kept: KeptFilter = serde_json::from_value(value).map_err(|_| Error::Corrupt("filter"))?;
    let (company, integration) = (Some(lane.company), Some(lane.integration));
    Ok(DeliveryFilter { company, integration, ..kept.into_filter() })
}

impl KeptFilter {
    /// Of whatever lane.
    fn into_filter(self) -> DeliveryFilter {
        DeliveryFilter {
            lead: self.lead.map(LeadId::from),
            states: self.states,
            class: self.class,
            error: self.error,
            since: self.since,
            until: self.until,
            waiting: self.waiting,
            cause: self.cause.map(CauseId),
            job: self.job.map(JobId::from),
            died_since: self.died_since,
            died_until: self.died_until,
            known_only: self.known_only,
            ..DeliveryFilter::default()
        }
    }
}

/// One lane of a running job, as it was read.
#[derive(Debug)]
pub struct JobPart {
    pub run: JobRun,
    lane: LaneId,
    job: JobId,
    operator: String,
    work: PartWork,
    /// How far the lane was.
    position: Option<Uuid>,
    /// The last that the job is about.
    last: Uuid,
}

/// What is done in a lane of a job.
#[derive(Debug)]
enum PartWork {
    Retry { filter: Box<DeliveryFilter>, re_render: bool },
    Push(Choice),
}

/// What a step brings to the queue.
enum JobStep {
    Retry { targets: Vec<Target>, options: RetryOptions, is_last: bool },
    Push(Choice, Vec<Uuid>),
}

impl Command {
    /// Writes a job. Dispatch takes it up once this is committed.
    pub async fn create_job(
        &mut self,
        work: JobWork<'_>,
        per_second: Option<f64>,
        lanes: &[JobLane],
    ) -> Result<JobId, Refusal> {
        let id = JobId::generate();
        let (kind, filter, re_render, leads) = match work {
            JobWork::Retry { filter, re_render } => (JobKind::Retry, keep(filter)?, re_render, None),
            JobWork::Push { choice, leads } => {
                (JobKind::Push, Value::from(choice.as_str()), false, Some(leads))
            }
        };
        let (mut company, mut integration) = (Vec::new(), Vec::new());
        let (mut total, mut last) = (Vec::new(), Vec::new());
        for lane in lanes {
            company.push(lane.id.company.0);
            integration.push(lane.id.integration.uuid());
            total.push(lane.total);
            last.push(lane.last);
        }
        sqlx::query!(
            "INSERT INTO job (company_id, id, integration_id, operator, filter, re_render, kind, leads, per_second, state,
                 total, last_id)
             SELECT company_id, $1, integration_id, $2, $3, $4, $9, $10, $11, 'running', total, last_id
             FROM unnest($5::bigint[], $6::uuid[], $7::bigint[], $8::uuid[]) l(company_id, integration_id, total, last_id)",
            id.uuid(),
            self.operator,
            filter,
            re_render,
            &company,
            &integration,
            &total,
            &last,
            kind.as_str(),
            leads,
            per_second,
        )
        .execute(&mut *self.tx)
        .await?;
        if kind == JobKind::Retry {
            // Locked in one order, as everybody does.
            let mut lanes: Vec<(i64, Uuid)> = company.into_iter().zip(integration).collect();
            lanes.sort_unstable();
            for of_company in lanes.chunk_by(|one, other| one.0 == other.0) {
                let ids: Vec<Uuid> = of_company.iter().map(|lane| lane.1).collect();
                self.lift(CompanyId(of_company[0].0), &ids).await?;
            }
        }
        self.wake_jobs();
        Ok(id)
    }

    /// Writes a batch of a bulk skip down as part of a job that is done, as far as it is.
    pub async fn note_skip(
        &mut self,
        job: JobId,
        filter: &DeliveryFilter,
        (company, batch): (CompanyId, &[Uuid]),
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO job (company_id, id, integration_id, operator, filter, re_render, kind, state, total, released,
                 last_id, finished_at)
             SELECT company_id, $1, integration_id, $2, $3::jsonb - 'error', false, 'skip', 'done', count(*), count(*),
                 (array_agg(id ORDER BY id DESC))[1], now()
             FROM delivery WHERE company_id = $4 AND id = ANY($5) AND job_id = $1 GROUP BY company_id, integration_id
             ON CONFLICT (company_id, id, integration_id) DO UPDATE SET total = job.total + excluded.total,
                 released = job.released + excluded.released, last_id = greatest(job.last_id, excluded.last_id),
                 finished_at = excluded.finished_at",
            job.uuid(),
            self.operator,
            keep(filter)?,
            company.0,
            batch,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Ends what a job has not brought back yet. Answers the companies that it concerns. What was typed to find its
    /// deliveries may name a person, and is forgotten.
    pub async fn cancel_job(&mut self, job: JobId) -> Result<Vec<CompanyId>, Refusal> {
        let companies = sqlx::query_scalar!(
            "UPDATE job SET state = 'cancelled', finished_at = now(),
                 filter = CASE WHEN kind = 'retry' AND filter ? 'error'
                     THEN (filter - 'error') || jsonb_build_object('forgot_error', true) ELSE filter END
             WHERE id = $1 AND state = 'running' RETURNING company_id",
            job.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(companies_of(companies))
    }

    /// Lets a cancelled job go on where it was. Answers the companies that it concerns.
    pub async fn resume_job(&mut self, job: JobId) -> Result<Vec<CompanyId>, Refusal> {
        let lanes = sqlx::query!(
            r#"SELECT company_id, state, coalesce((filter -> 'forgot_error')::boolean, false) AS "forgot_error!"
               FROM job WHERE id = $1 ORDER BY company_id, integration_id FOR UPDATE"#,
            job.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let cancelled = JobState::Cancelled.as_str();
        let cancelled: Vec<_> = lanes.into_iter().filter(|lane| lane.state == cancelled).collect();
        if cancelled.is_empty() {
            return Err(Refusal::State(format!("job {job} was not cancelled: there is nothing to resume")));
        }
        if cancelled.iter().any(|lane| lane.forgot_error) {
            return Err(Refusal::State(format!(
                "job {job} cannot be resumed: the error text that it looked for was forgotten with it; start another"
            )));
        }
        sqlx::query!(
            "UPDATE job SET state = 'running', finished_at = NULL WHERE id = $1 AND state = 'cancelled'",
            job.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.wake_jobs();
        Ok(companies_of(cancelled.into_iter().map(|lane| lane.company_id).collect()))
    }
}

/// Each company once, in order.
fn companies_of(ids: Vec<i64>) -> Vec<CompanyId> {
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    ids.into_iter().map(CompanyId).collect()
}

impl Store {
    /// How many deliveries of a filter each lane has, and up to which.
    pub async fn job_lanes(&self, filter: &DeliveryFilter) -> Result<Vec<JobLane>, Error> {
        let mut lanes: Vec<JobLane> = Vec::new();
        for (company, integration, total, last) in self.count_by_lane(filter).await? {
            lanes.push(JobLane { id: LaneId::new(CompanyId(company), integration), total, last });
        }
        Ok(lanes)
    }

    /// How one lane of a job stands; none if it is not running there.
    pub async fn job_part(&self, lane: LaneId, job: JobId, batch: usize) -> Result<Option<JobPart>, Error> {
        let row = sqlx::query!(
            r#"SELECT j.kind, j.operator, j.filter, j.position, j.last_id, j.re_render, lane_is_open(i, c) AS "is_open!", j.per_second,
                   coalesce(j.paced_until > now(), false) AS "is_paced!",
                   (SELECT count(*) FROM (SELECT FROM due q
                       WHERE q.integration_id = j.integration_id AND q.kind = 1 AND q.due_at <= now()
                       LIMIT $4) q) AS "waiting!"
               FROM job j JOIN integration i ON i.company_id = j.company_id AND i.id = j.integration_id
               JOIN company c ON c.id = j.company_id
               WHERE j.company_id = $1 AND j.id = $2 AND j.integration_id = $3 AND j.state = 'running'"#,
            lane.company.0,
            job.uuid(),
            lane.integration.uuid(),
            batch as i64,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let work = match known("job", &row.kind, JobKind::parse)? {
            JobKind::Retry => {
                let filter = DeliveryFilter { untouched_by: Some(job), ..kept(row.filter, lane)? };
                PartWork::Retry { filter: Box::new(filter), re_render: row.re_render }
            }
            JobKind::Push => {
                let choice = row.filter.as_str().unwrap_or_default();
                PartWork::Push(known("choice", choice, Choice::parse)?)
            }
            // It was done when it was written down.
            JobKind::Skip => return Err(Error::Corrupt("job")),
        };
        let waiting = usize::try_from(row.waiting).unwrap_or_default();
        Ok(Some(JobPart {
            run: JobRun {
                is_open: row.is_open,
                is_paced: row.is_paced,
                waiting,
                batch,
                per_second: row.per_second,
            },
            lane,
            job,
            operator: row.operator,
            work,
            position: row.position,
            last: row.last_id,
        }))
    }

    /// Brings back the next deliveries of one lane of a job.
    pub async fn carry_job_on(&self, part: &JobPart) -> Result<(), Error> {
        let JobPart { lane, job, run, position, last, .. } = *part;
        match &part.work {
            PartWork::Push(choice) => {
                let LaneId { company, integration } = lane;
                let leads = self
                    .leads_to_push(company, integration, *choice, job, position, last, run.step())
                    .await?;
                self.step(part, JobStep::Push(*choice, leads)).await
            }
            PartWork::Retry { filter, re_render } => {
                // What replaces a delivery stands just behind it, where the next step begins.
                let after = position.map(DeliveryId::from);
                let limit = run.step() as i64;
                let mut targets = self.targets_page(filter, Order::OldestFirst, after, limit).await?;
                let is_last = run.is_last(targets.len(), targets.iter().any(|target| target.id > last));
                targets.retain(|target| target.id <= last);
                // What waits was asked for because it waits: the breaker does not hold it.
                let options =
                    RetryOptions { is_bulk: !filter.waiting, job: Some(job), re_render: *re_render };
                self.step(part, JobStep::Retry { targets, options, is_last }).await
            }
        }
    }

    /// Carries out a step of one lane of a job and notes it, as one transaction.
    async fn step(&self, part: &JobPart, step: JobStep) -> Result<(), Error> {
        let JobPart { lane: LaneId { company, integration }, job, run, .. } = *part;
        let call = Mutation {
            operator: part.operator.clone(),
            method: "Job",
            request_id: job.to_string(),
            fingerprint: [0; 32],
        };
        let mut command = self.batch_aside(&call).await?;
        let position = sqlx::query_scalar!(
            "SELECT position FROM job
             WHERE company_id = $1 AND id = $2 AND integration_id = $3 AND state = 'running' FOR UPDATE",
            company.0,
            job.uuid(),
            integration.uuid(),
        )
        .fetch_optional(&mut *command.tx)
        .await?;
        // Cancelled meanwhile, or carried out by another daemon that took the lane for its own as well.
        if position != Some(part.position) {
            return Ok(());
        }
        let (asked, released, position, is_last) = match step {
            JobStep::Retry { targets, options, is_last } => {
                let released =
                    command.retry(company, &targets, options).await.map_err(Refusal::into_store)?;
                (targets.len(), released.len(), targets.last().map(|target| target.id), is_last)
            }
            JobStep::Push(choice, leads) => {
                let new = NewPush { company, integration, by_flows: false, job: Some((job, choice)) };
                let pushed = command.push_leads(&new, &leads).await.map_err(Refusal::into_store)?;
                (
                    leads.len(),
                    pushed.iter().filter(|it| it.is_queued()).count(),
                    leads.last().copied(),
                    run.is_last(leads.len(), false),
                )
            }
        };
        sqlx::query!(
            "UPDATE job SET released = released + $4, left_alone = left_alone + $5,
                 position = coalesce($6, position), state = CASE WHEN $7 THEN 'done' ELSE state END,
                 filter = CASE WHEN $7 AND kind = 'retry' THEN filter - 'error' ELSE filter END,
                 finished_at = CASE WHEN $7 THEN now() END,
                 -- What a late look missed is caught up with, but never more than a moment of it.
                 paced_until = greatest(paced_until, now() - interval '2 seconds') + make_interval(secs => $4 / per_second)
             WHERE company_id = $1 AND id = $2 AND integration_id = $3",
            company.0,
            job.uuid(),
            integration.uuid(),
            released as i64,
            asked.saturating_sub(released) as i64,
            position,
            is_last,
        )
        .execute(&mut *command.tx)
        .await?;
        command.commit().await.map_err(Refusal::into_store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IntegrationId;

    #[test]
    fn a_filter_is_kept_whole() {
        let filter = DeliveryFilter {
            lead: Some(LeadId::generate()),
            states: vec![State::Delivered, State::Dead],
            class: Some(FailureClass::Transient),
            error: Some("out of order".to_owned()),
            since: Some(jiff::Timestamp::UNIX_EPOCH),
            ..DeliveryFilter::default()
        };
        let lane = LaneId::new(CompanyId(7), IntegrationId::generate());
        let back = kept(keep(&filter).unwrap(), lane).unwrap();
        assert_eq!((back.company, back.integration), (Some(lane.company), Some(lane.integration)));
        assert_eq!((back.lead, &back.states, back.class), (filter.lead, &filter.states, filter.class));
        assert_eq!((back.error, back.since, back.until), (filter.error, filter.since, None));
    }
}
