//! What is known of one delivery, for the sentence that explains it.

use jiff_sqlx::Timestamp;

use crate::{
    domain::{
        delivery::Reason,
        ids::{DeliveryId, IntegrationId, JobId},
        lane::LaneHolds,
        why::{CommandedLane, Facts},
    },
    store::{Error, Store, class, moment, operator::command::Refusal, state},
};

impl Store {
    /// What a delivery waits for, and what else bears on it.
    pub async fn facts(&self, id: DeliveryId) -> Result<Facts, Refusal> {
        // `OFFSET 0` keeps the probes by key what they are: a join may be planned as a read of all that there is.
        let row = sqlx::query!(
            r#"SELECT c.id AS company_id, c.paused_at, d.state, d.reason_code, d.reason_detail, d.created_at, d.finished_at, d.attempts,
                      i.id AS integration_id, i.name, i.enabled, i.awaits_cut_over,
                      throttle_ahead(i) AS throttled_until,
                      u.since AS "since?", s.breaker_until, q.due_at AS "due_at?", q.kind AS "kind?",
                      CASE WHEN u.due_at IS NOT NULL
                          THEN swept_at(sweep_comes(i, c, s.sweep_at), d.created_at, $2) END AS sweep_at,
                      r.claimed_at AS "running_since?",
                      p.id AS "behind_id?", p.state AS "behind_state?",
                      coalesce(a.class, u.class) AS failure_class, coalesce(a.error, u.error) AS failure_error, now() AS "now!"
               FROM company c
               CROSS JOIN LATERAL (SELECT * FROM delivery WHERE company_id = c.id AND id = $1 OFFSET 0) d
               JOIN integration i ON i.company_id = c.id AND i.id = d.integration_id AND i.deleted_at IS NULL
               JOIN integration_stat s ON s.company_id = c.id AND s.integration_id = i.id
               LEFT JOIN undelivered u
                   ON u.company_id = c.id AND u.integration_id = d.integration_id AND u.delivery_id = d.id
               LEFT JOIN LATERAL (
                   SELECT due_at, kind FROM due WHERE integration_id = d.integration_id AND delivery_id = d.id LIMIT 1) q ON true
               LEFT JOIN LATERAL (
                   SELECT claimed_at FROM in_flight WHERE delivery_id = d.id LIMIT 1) r ON true
               LEFT JOIN LATERAL (
                   SELECT id, state FROM delivery
                   WHERE lead_id = d.lead_id AND company_id = c.id AND integration_id = d.integration_id
                     AND successor_id = d.id AND state IN ('pending', 'held') LIMIT 1) p ON true
               LEFT JOIN LATERAL (
                   SELECT class, error FROM attempt WHERE delivery_id = d.id AND company_id = c.id
                   ORDER BY number DESC LIMIT 1) a ON true"#,
            id.uuid(),
            self.sweep.age.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let row = row.ok_or_else(|| Refusal::unknown("delivery", id))?;
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_jiff);
        let behind_state = row.behind_state.as_deref().map(state).transpose()?;
        Ok(Facts {
            id: id.to_string(),
            state: state(&row.state)?,
            reason: Reason::read(row.reason_code, row.reason_detail),
            company: row.company_id,
            integration: row.name,
            integration_id: IntegrationId::from(row.integration_id).to_string(),
            created_at: row.created_at.to_jiff(),
            since: time(row.since),
            finished_at: time(row.finished_at),
            running_since: time(row.running_since),
            due_at: time(row.due_at),
            is_retry: row.kind.is_some_and(|kind| kind > 0),
            now: row.now.to_jiff(),
            attempts: row.attempts,
            failure: class(row.failure_class.as_deref())?.zip(row.failure_error),
            behind: row.behind_id.map(|id| DeliveryId::from(id).to_string()).zip(behind_state),
            lane: LaneHolds {
                is_disabled: !row.enabled,
                awaits_cut_over: row.awaits_cut_over,
                paused_since: row.paused_at.map(moment),
                throttled_until: row.throttled_until.map(moment),
                breaker_until: row.breaker_until.map(moment),
            },
            sweep_at: time(row.sweep_at),
        })
    }

    /// The oldest delivery that a job still waits for, if somebody's command keeps every lane that the job has left.
    pub async fn kept_of_job(&self, id: JobId) -> Result<Option<DeliveryId>, Error> {
        let kept = sqlx::query_scalar!(
            "SELECT d.id FROM delivery d WHERE d.job_id = $1 AND d.state = 'pending' AND NOT EXISTS (
                 SELECT FROM job j
                 JOIN integration i ON i.company_id = j.company_id AND i.id = j.integration_id
                 JOIN company c ON c.id = j.company_id AND lane_is_open(i, c)
                 WHERE j.id = $1 AND (j.state = 'running' OR EXISTS (
                     SELECT FROM delivery o WHERE o.job_id = $1 AND o.state = 'pending'
                       AND o.company_id = j.company_id AND o.integration_id = j.integration_id)))
             ORDER BY d.id LIMIT 1",
            id.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(kept.map(DeliveryId::from))
    }

    /// The first lane that a job has not been through yet, if somebody's command keeps every such lane.
    pub async fn closed_lane_of_job(&self, id: JobId) -> Result<Option<CommandedLane>, Error> {
        let lanes = sqlx::query!(
            r#"SELECT i.company_id, i.id, i.name, i.enabled, i.awaits_cut_over, c.paused_at, lane_is_open(i, c) AS "is_open!"
               FROM job j
               JOIN integration i ON i.company_id = j.company_id AND i.id = j.integration_id AND i.deleted_at IS NULL
               JOIN company c ON c.id = j.company_id
               WHERE j.id = $1 AND j.state = 'running' ORDER BY i.company_id, i.id"#,
            id.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        if lanes.iter().any(|lane| lane.is_open) {
            return Ok(None);
        }
        Ok(lanes.into_iter().next().map(|row| CommandedLane {
            company: row.company_id,
            integration: row.name,
            integration_id: IntegrationId::from(row.id).to_string(),
            holds: LaneHolds {
                is_disabled: !row.enabled,
                awaits_cut_over: row.awaits_cut_over,
                paused_since: row.paused_at.map(moment),
                ..LaneHolds::default()
            },
        }))
    }
}
