//! Jobs as operators see them.

use jiff_sqlx::Timestamp;
use serde_json::Value;

use super::KeptFilter;
use crate::{
    domain::{
        delivery::State,
        ids::{CompanyId, JobId},
        job::{JobKind, JobState},
        lane::LaneId,
    },
    store::{Error, Store, delivery::read::DeliveryFilter, operator::command::Refusal, shown::Shown},
};

/// How far a job is.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    pub kind: Shown<JobKind>,
    pub operator: String,
    /// How many leads a push is about.
    pub leads: Option<i64>,
    pub state: Shown<JobState>,
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
    pub lanes: Vec<JobPlace>,
    /// What it was asked with; none for a push.
    pub scope: Option<JobScope>,
}

/// An integration that a job goes through.
#[derive(Clone, Debug)]
pub struct JobPlace {
    pub lane: LaneId,
    /// Empty once it is deleted.
    pub name: String,
    pub company_name: String,
    pub total: i64,
}

/// What a job was asked with, as far as it is told.
#[derive(Clone, Debug)]
pub struct JobScope {
    /// Without company, integration and the text of an error.
    pub filter: DeliveryFilter,
    /// A text of errors was looked for, and may have been forgotten since.
    pub has_error: bool,
}

impl JobScope {
    fn of(value: Value) -> Result<Self, Error> {
        let kept: KeptFilter = serde_json::from_value(value).map_err(|_| Error::Corrupt("filter"))?;
        let has_error = kept.error.is_some() || kept.forgot_error;
        Ok(Self { filter: DeliveryFilter { error: None, ..kept.into_filter() }, has_error })
    }
}

impl Store {
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
            r#"SELECT j.company_id, j.integration_id, j.kind, j.leads, j.operator, j.re_render, j.per_second, j.state, j.total,
                   j.released, j.left_alone, j.delivered, j.dead, j.filter, j.created_at AS "created_at: Timestamp",
                   greatest(j.finished_at, j.settled_at) AS "finished_at: Timestamp",
                   i.name AS "name?", c.name AS "company_name?"
               FROM job j LEFT JOIN company c ON c.id = j.company_id
               LEFT JOIN integration i
                   ON i.company_id = j.company_id AND i.id = j.integration_id AND i.deleted_at IS NULL
               WHERE j.id = $1 ORDER BY c.name, i.name, j.company_id, j.integration_id"#,
            id.uuid()
        )
        .fetch_all(&self.pool)
        .await?;
        let Some(first) = lanes.first() else { return Ok(None) };
        let counts = sqlx::query!(
            r#"SELECT state, count(*) AS "count!", max(finished_at) AS "finished_at: Timestamp"
               FROM delivery WHERE job_id = $1 GROUP BY state"#,
            id.uuid()
        )
        .fetch_all(&self.pool)
        .await?;
        let count = |state: State| -> i64 {
            counts.iter().filter(|row| row.state == state.as_str()).map(|row| row.count).sum()
        };
        let pending = count(State::Pending);
        // What it brought to an end, whoever has moved that on since.
        let delivered = count(State::Delivered) + lanes.iter().map(|lane| lane.delivered).sum::<i64>();
        let dead = count(State::Dead) + lanes.iter().map(|lane| lane.dead).sum::<i64>();
        let released: i64 = lanes.iter().map(|lane| lane.released).sum();
        let ended = lanes.iter().map(|lane| lane.finished_at).chain(counts.iter().map(|row| row.finished_at));
        let states: Vec<_> = lanes.iter().map(|lane| Shown::read(&lane.state, JobState::parse)).collect();
        let is_running = states.iter().any(|state| *state == JobState::Running);
        let state = state_of(&states, pending.unsigned_abs());
        let kind = Shown::read(&first.kind, JobKind::parse);
        let scope = match kind.known() {
            Some(JobKind::Push) | None => None,
            Some(JobKind::Retry | JobKind::Skip) => JobScope::of(first.filter.clone()).ok(),
        };
        Ok(Some(JobView {
            id,
            kind,
            scope,
            leads: first.leads,
            operator: first.operator.clone(),
            re_render: first.re_render,
            per_second: first.per_second,
            state,
            total: lanes.iter().map(|lane| lane.total).sum(),
            released,
            left_alone: lanes.iter().map(|lane| lane.left_alone).sum(),
            pending,
            delivered,
            dead,
            other: (released - pending - delivered - dead).max(0),
            created_at: first.created_at.to_jiff(),
            finished_at: match (is_running, pending) {
                (false, 0) => ended.flatten().map(Timestamp::to_jiff).max(),
                _ => None,
            },
            lanes: lanes
                .into_iter()
                .map(|lane| JobPlace {
                    lane: LaneId::new(CompanyId(lane.company_id), lane.integration_id),
                    name: lane.name.unwrap_or_default(),
                    company_name: lane.company_name.unwrap_or_default(),
                    total: lane.total,
                })
                .collect(),
        }))
    }
}

/// How a job stands whose lanes stand so. One that stands as only a newer daemon knows says how the whole job does.
fn state_of(lanes: &[Shown<JobState>], pending: u64) -> Shown<JobState> {
    lanes.iter().find(|state| state.known().is_none()).cloned().unwrap_or_else(|| {
        let known: Vec<_> = lanes.iter().filter_map(Shown::known).collect();
        Shown::read(JobState::of_lanes(&known, pending).as_str(), JobState::parse)
    })
}
