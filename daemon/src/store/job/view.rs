//! Jobs as operators see them.

use jiff_sqlx::Timestamp;

use crate::{
    domain::{
        delivery::State,
        ids::{CompanyId, JobId},
        job::{JobKind, JobState},
        lane::LaneId,
    },
    store::{Error, Store, known, operator::command::Refusal},
};

/// How far a job is.
#[derive(Clone, Debug)]
pub struct JobView {
    pub id: JobId,
    pub kind: JobKind,
    pub operator: String,
    /// How many leads a push is about.
    pub leads: Option<i64>,
    pub state: JobState,
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
    pub lanes: Vec<LaneId>,
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
            r#"SELECT company_id, integration_id, kind, leads, operator, re_render, per_second, state, total, released, left_alone,
                   delivered, dead, created_at AS "created_at: Timestamp",
                   greatest(finished_at, settled_at) AS "finished_at: Timestamp"
               FROM job WHERE id = $1 ORDER BY company_id, integration_id"#,
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
        let states = lanes.iter().map(|lane| known("job state", &lane.state, JobState::parse));
        let states = states.collect::<Result<Vec<_>, _>>()?;
        let is_running = states.contains(&JobState::Running);
        Ok(Some(JobView {
            id,
            kind: known("job", &first.kind, JobKind::parse)?,
            leads: first.leads,
            operator: first.operator.clone(),
            re_render: first.re_render,
            per_second: first.per_second,
            state: JobState::of_lanes(&states, pending.unsigned_abs()),
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
                .iter()
                .map(|lane| LaneId::new(CompanyId(lane.company_id), lane.integration_id))
                .collect(),
        }))
    }
}
