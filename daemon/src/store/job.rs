//! Jobs: bulk retries and pushes that outlive whoever asked for them. Each goes through its lanes apart, oldest first, and
//! brings back only as much as a lane does in a few seconds, so that cancelling one leaves little behind it.

use std::collections::BTreeSet;

use jiff_sqlx::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        cause::CauseId,
        ids::{CompanyId, DeliveryId, IntegrationId, JobId, LeadId},
        sweep::{batch, paced},
    },
    store::{
        Error, Store,
        delivery::read::{DeliveryFilter, Order, Target},
        operator::command::{Call, Command, Refusal},
        queue::{
            push::{Choice, NewPush},
            retry::RetryOptions,
        },
    },
};

/// A lane of a job, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct JobLane {
    pub company: CompanyId,
    pub integration: IntegrationId,
    pub total: i64,
    /// The last delivery, or the last lead.
    pub last: Uuid,
}

/// What a job does.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
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

impl Work<'_> {
    /// Whether its pushes are rendered anew.
    #[must_use]
    pub const fn is_re_rendered(&self) -> bool {
        matches!(self, Self::Retry { re_render: true, .. })
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    /// retry | push | skip
    pub kind: String,
    pub operator: String,
    /// How many leads a push is about.
    pub leads: Option<i64>,
    /// running, as long as one that it brought back is pending | done | cancelled
    pub state: &'static str,
    pub re_render: bool,
    /// So many deliveries a second at most for each integration.
    pub per_second: Option<f64>,
    /// How many deliveries the filter found.
    pub total: i64,
    /// How many of them were brought back.
    pub released: i64,
    /// How many were no longer as asked for.
    pub left_alone: i64,
    /// What became of those that were brought back, so far.
    pub pending: i64,
    pub delivered: i64,
    pub dead: i64,
    pub other: i64,
    pub created_at: jiff::Timestamp,
    pub finished_at: Option<jiff::Timestamp>,
    pub lanes: Vec<(CompanyId, IntegrationId)>,
}

/// What a job's filter keeps beside the lane.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lead: Option<Uuid>,
    states: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
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
    /// Its error's text was forgotten when it was cancelled: it means other deliveries without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgot_error: bool,
}

/// The states that a retry may ask for.
const STATES: [&str; 3] = ["pending", "delivered", "dead"];

/// A filter as a job keeps it.
fn keep(filter: &DeliveryFilter) -> Result<Value, Error> {
    let kept = Kept {
        lead: filter.lead.map(LeadId::uuid),
        states: filter.states.iter().map(ToString::to_string).collect(),
        class: filter.class.clone(),
        error: filter.error.clone(),
        since: filter.since,
        until: filter.until,
        waiting: filter.waiting,
        cause: filter.cause.map(|cause| cause.0),
        job: filter.job.map(JobId::uuid),
        died_since: filter.died_since,
        died_until: filter.died_until,
        forgot_error: false,
    };
    serde_json::to_value(kept).map_err(|_| Error::Corrupt("filter"))
}

/// The filter of one lane of a job.
fn kept(value: Value, company: CompanyId, integration: IntegrationId) -> Result<DeliveryFilter, Error> {
    let kept: Kept = serde_json::from_value(value).map_err(|_| Error::Corrupt("filter"))?;
    Ok(DeliveryFilter {
        company: Some(company),
        integration: Some(integration),
        lead: kept.lead.map(LeadId::from),
        states: STATES.into_iter().filter(|state| kept.states.iter().any(|word| word == state)).collect(),
        class: kept.class,
        error: kept.error,
        since: kept.since,
        until: kept.until,
        waiting: kept.waiting,
        cause: kept.cause.map(CauseId),
        job: kept.job.map(JobId::from),
        died_since: kept.died_since,
        died_until: kept.died_until,
        ..DeliveryFilter::default()
    })
}

/// One lane of a job, as the step needs it.
struct Part {
    company: CompanyId,
    integration: IntegrationId,
    job: JobId,
    operator: String,
    /// How far the lane was when the step was read.
    position: Option<Uuid>,
    batch: usize,
}

/// What a step brings to the queue.
enum Step {
    Retry { targets: Vec<Target>, options: RetryOptions, is_last: bool },
    Push(Vec<Uuid>),
}

impl Command {
    /// Writes a job. Dispatch takes it up once this is committed.
    pub async fn create_job(
        &mut self,
        work: Work<'_>,
        per_second: Option<f64>,
        lanes: &[JobLane],
    ) -> Result<JobId, Refusal> {
        let id = JobId::generate();
        let (kind, filter, re_render, leads) = match work {
            Work::Retry { filter, re_render } => ("retry", keep(filter)?, re_render, None),
            Work::Push { choice, leads } => ("push", Value::from(choice.as_str()), false, Some(leads)),
        };
        let (mut company, mut integration) = (Vec::new(), Vec::new());
        let (mut total, mut last) = (Vec::new(), Vec::new());
        for lane in lanes {
            company.push(lane.company.0);
            integration.push(lane.integration.uuid());
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
            kind,
            leads,
            per_second,
        )
        .execute(&mut *self.tx)
        .await?;
        if kind == "retry" {
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

    /// Writes a bulk skip down as a job that is done.
    pub async fn note_skip(&mut self, job: JobId, filter: &DeliveryFilter) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO job (company_id, id, integration_id, operator, filter, re_render, kind, state, total, released,
                 last_id, finished_at)
             SELECT company_id, $1, integration_id, $2, $3::jsonb - 'error', false, 'skip', 'done', count(*), count(*),
                 (array_agg(id ORDER BY id DESC))[1], now()
             FROM delivery WHERE job_id = $1 GROUP BY company_id, integration_id",
            job.uuid(),
            self.operator,
            keep(filter)?,
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
        let cancelled: Vec<_> = lanes.into_iter().filter(|lane| lane.state == "cancelled").collect();
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
            lanes.push(JobLane { company: CompanyId(company), integration: integration.into(), total, last });
        }
        Ok(lanes)
    }

    /// Brings back the next deliveries of one lane of a job, if it has room for them.
    pub async fn continue_job(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        job: JobId,
    ) -> Result<(), Error> {
        let pace = self.pace(company, integration).await?;
        let batch = batch(pace.policy, pace.recent_seconds);
        let Some(row) = sqlx::query!(
            r#"SELECT j.kind, j.operator, j.filter, j.position, j.last_id, j.re_render, i.enabled, j.per_second,
                   coalesce(j.paced_until > now(), false) AS "is_paced!",
                   (SELECT count(*) FROM (SELECT FROM due q
                       WHERE q.integration_id = j.integration_id AND q.kind = 1 AND q.due_at <= now()
                       LIMIT $4) q) AS "waiting!"
               FROM job j JOIN integration i ON i.company_id = j.company_id AND i.id = j.integration_id
               WHERE j.company_id = $1 AND j.id = $2 AND j.integration_id = $3 AND j.state = 'running'"#,
            company.0,
            job.uuid(),
            integration.uuid(),
            batch as i64,
        )
        .fetch_optional(&self.pool)
        .await?
        else {
            return Ok(());
        };
        if !row.enabled || row.is_paced || row.waiting * 2 >= batch as i64 {
            return Ok(());
        }
        let batch = paced(batch, row.per_second);
        let part = Part { company, integration, job, operator: row.operator, position: row.position, batch };
        if row.kind == "push" {
            let choice = row.filter.as_str().and_then(Choice::parse).ok_or(Error::Corrupt("job"))?;
            let leads = self
                .leads_to_push(company, integration, choice, job, row.position, row.last_id, batch)
                .await?;
            return self.step(&part, Step::Push(leads)).await;
        }
        // What replaces a delivery stands just behind it, where the next step begins.
        let filter = DeliveryFilter { untouched_by: Some(job), ..kept(row.filter, company, integration)? };
        let after = row.position.map(DeliveryId::from);
        let mut targets = self.targets_page(&filter, Order::OldestFirst, after, batch as i64).await?;
        let is_last = targets.len() < batch || targets.iter().any(|target| target.id > row.last_id);
        targets.retain(|target| target.id <= row.last_id);
        // What waits was asked for because it waits: the breaker does not hold it.
        let options = RetryOptions { is_bulk: !filter.waiting, job: Some(job), re_render: row.re_render };
        self.step(&part, Step::Retry { targets, options, is_last }).await
    }

    /// Carries out a step of one lane of a job and notes it, as one transaction.
    async fn step(&self, part: &Part, step: Step) -> Result<(), Error> {
        let Part { company, integration, job, .. } = *part;
        let call = Call {
            operator: part.operator.clone(),
            method: "Job",
            request_id: job.to_string(),
            fingerprint: [0; 32],
        };
        let mut command = self.batch(&call).await.map_err(Refusal::into_store)?;
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
            Step::Retry { targets, options, is_last } => {
                let released =
                    command.retry(company, &targets, options).await.map_err(Refusal::into_store)?;
                (targets.len(), released.len(), targets.last().map(|target| target.id), is_last)
            }
            Step::Push(leads) => {
                let new = NewPush { company, integration, by_flows: false, job: Some(job) };
                let pushed = command.push_leads(&new, &leads).await.map_err(Refusal::into_store)?;
                (
                    leads.len(),
                    pushed.iter().filter(|it| it.is_queued()).count(),
                    leads.last().copied(),
                    leads.len() < part.batch,
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

    /// Jobs, newest first, those behind `after` only.
    pub async fn jobs(
        &self,
        only: Option<CompanyId>,
        after: Option<JobId>,
        limit: i64,
    ) -> Result<Vec<JobView>, Error> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM job WHERE $1::uuid IS NULL OR id < $1
             GROUP BY id HAVING $3::bigint IS NULL OR bool_and(company_id = $3) ORDER BY id DESC LIMIT $2",
            after.map(JobId::uuid),
            limit,
            only.map(|id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            jobs.extend(self.find_job(id.into()).await?);
        }
        Ok(jobs)
    }

    /// How far a job is.
    pub async fn job(&self, id: JobId) -> Result<JobView, Refusal> {
        self.find_job(id).await?.ok_or_else(|| Refusal::unknown("job", id))
    }

    async fn find_job(&self, id: JobId) -> Result<Option<JobView>, Error> {
        let lanes = sqlx::query!(
            r#"SELECT company_id, integration_id, kind, leads, operator, re_render, per_second, state, total, released, left_alone,
                   delivered, dead, created_at AS "created_at: Timestamp",
                   greatest(finished_at, settled_at) AS "finished_at: Timestamp"
               FROM job WHERE id = $1 ORDER BY company_id, integration_id"#,
            id.uuid()
        )
        .fetch_all(&self.pool)
        .await?;
        let Some(first) = lanes.first() else { return Ok(None) };
        let states = sqlx::query!(
            r#"SELECT state, count(*) AS "count!", max(finished_at) AS "finished_at: Timestamp"
               FROM delivery WHERE job_id = $1 GROUP BY state"#,
            id.uuid()
        )
        .fetch_all(&self.pool)
        .await?;
        let count = |state: &str| -> i64 {
            states.iter().filter(|row| row.state == state).map(|row| row.count).sum()
        };
        let pending = count("pending");
        // What it brought to an end, whoever has moved that on since.
        let delivered = count("delivered") + lanes.iter().map(|lane| lane.delivered).sum::<i64>();
        let dead = count("dead") + lanes.iter().map(|lane| lane.dead).sum::<i64>();
        let released: i64 = lanes.iter().map(|lane| lane.released).sum();
        let ended = lanes.iter().map(|lane| lane.finished_at).chain(states.iter().map(|row| row.finished_at));
        let is = |state: &str| lanes.iter().any(|lane| lane.state == state);
        Ok(Some(JobView {
            id,
            kind: first.kind.clone(),
            leads: first.leads,
            operator: first.operator.clone(),
            re_render: first.re_render,
            per_second: first.per_second,
            state: match (is("running"), is("cancelled")) {
                (false, true) => "cancelled",
                (false, false) if pending == 0 => "done",
                _ => "running",
            },
            total: lanes.iter().map(|lane| lane.total).sum(),
            released,
            left_alone: lanes.iter().map(|lane| lane.left_alone).sum(),
            pending,
            delivered,
            dead,
            other: (released - pending - delivered - dead).max(0),
            created_at: first.created_at.to_jiff(),
            finished_at: match (is("running"), pending) {
                (false, 0) => ended.flatten().map(Timestamp::to_jiff).max(),
                _ => None,
            },
            lanes: lanes
                .iter()
                .map(|lane| (CompanyId(lane.company_id), IntegrationId::from(lane.integration_id)))
                .collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_kept_whole() {
        let filter = DeliveryFilter {
            lead: Some(LeadId::generate()),
            states: vec!["delivered", "dead"],
            class: Some("transient".to_owned()),
            error: Some("out of order".to_owned()),
            since: Some(jiff::Timestamp::UNIX_EPOCH),
            ..DeliveryFilter::default()
        };
        let (company, integration) = (CompanyId(7), IntegrationId::generate());
        let back = kept(keep(&filter).unwrap(), company, integration).unwrap();
        assert_eq!((back.company, back.integration), (Some(company), Some(integration)));
        assert_eq!((back.lead, &back.states, back.class), (filter.lead, &filter.states, filter.class));
        assert_eq!((back.error, back.since, back.until), (filter.error, filter.since, None));
    }
}
