//! Manual retries: dead and delivered deliveries become pending again, those that wait for their time are due now.

use uuid::Uuid;

use super::{
    Error, Store,
    command::{Command, NewDue, Refusal},
    delivery_read::Target,
};
use crate::domain::{
    delivery::DEATHS_SUSPECT,
    ids::{CompanyId, IntegrationId},
    integration::Policy,
};

/// How fast an integration's lane goes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub policy: Policy,
    /// What an attempt took lately, in seconds.
    pub recent_seconds: f64,
}

impl Pace {
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
    /// How fast a lane goes, by its limits and its last attempts.
    pub async fn pace(&self, company: CompanyId, integration: IntegrationId) -> Result<Pace, Error> {
        let row = sqlx::query!(
            r#"SELECT i.config, a.seconds AS "seconds?" FROM integration i CROSS JOIN LATERAL (
                   SELECT avg(duration_ms)::float8 / 1000 AS seconds FROM (
                       SELECT duration_ms FROM attempt
                       WHERE company_id = i.company_id AND integration_id = i.id ORDER BY id DESC LIMIT 50) l) a
               WHERE i.company_id = $1 AND i.id = $2"#,
            company.0,
            integration.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Pace { policy: Policy::of(&row.config), recent_seconds: row.seconds.unwrap_or(0.1) })
    }
}

impl Command {
    /// Retries deliveries of one company, at most [`super::held::BATCH`] of them. Those being pushed, those that wait
    /// for an earlier one and those whose state is no longer what was asked for are left alone. Answers how many
    /// are due now.
    pub async fn retry(&mut self, company: CompanyId, targets: &[Target]) -> Result<u64, Refusal> {
        let mut integrations: Vec<Uuid> = targets.iter().map(|target| target.integration_id).collect();
        integrations.sort_unstable();
        integrations.dedup();
        let ids: Vec<Uuid> = targets.iter().map(|target| target.id).collect();
        // Deliveries before the counts of their integrations, as a finish locks them.
        sqlx::query!(
            "SELECT id FROM delivery WHERE company_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE",
            company.0,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        sqlx::query!(
            "SELECT dead FROM integration_stat WHERE company_id = $1 AND integration_id = ANY($2)
             ORDER BY integration_id FOR UPDATE",
            company.0,
            &integrations,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let states = |wanted: &[&str]| -> Vec<Uuid> {
            targets.iter().filter(|target| wanted.contains(&&*target.state)).map(|target| target.id).collect()
        };
        let revived = self.revive(company, &integrations, &states(&["dead", "delivered"])).await?;
        let hurried = self.hurry(company, &integrations, &states(&["pending"])).await?;
        for integration in integrations {
            self.touch(company, integration.into(), false);
        }
        Ok(revived + hurried)
    }

    /// Brings locked final ones back to the queue on a fresh schedule.
    async fn revive(&mut self, company: CompanyId, lanes: &[Uuid], ids: &[Uuid]) -> Result<u64, Refusal> {
        // A final one has handed on its successor; it must not do so again. Poison is given one more chance, alone.
        let revived = sqlx::query_scalar!(
            "UPDATE delivery SET state = 'pending', reason = NULL, finished_at = NULL, retries = 0,
                                 deaths = least(deaths, $3), successor_id = NULL
             WHERE company_id = $1 AND id = ANY($2) AND state IN ('dead', 'delivered') RETURNING id",
            company.0,
            ids,
            DEATHS_SUSPECT,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM undelivered
                 WHERE company_id = $1 AND integration_id = ANY($2) AND delivery_id = ANY($3) AND state = 'dead'
                 RETURNING integration_id),
             counted AS (SELECT integration_id, count(*) AS count FROM gone GROUP BY integration_id)
             UPDATE integration_stat s SET dead = greatest(s.dead - c.count, 0), updated_at = now()
             FROM counted c WHERE s.company_id = $1 AND s.integration_id = c.integration_id",
            company.0,
            lanes,
            &revived,
        )
        .execute(&mut *self.tx)
        .await?;
        let rows = sqlx::query_as!(
            NewDue,
            "INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger, operator)
             SELECT company_id, integration_id, 1,
                    now() + row_number() OVER (ORDER BY id) * interval '1 microsecond', id, 'manual', $3
             FROM delivery WHERE company_id = $1 AND id = ANY($2)
             RETURNING integration_id, kind, due_at",
            company.0,
            &revived,
            self.operator,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.became_due(company, &rows);
        Ok(rows.len() as u64)
    }

    /// Makes locked ones that wait for a later time due now.
    async fn hurry(&mut self, company: CompanyId, lanes: &[Uuid], ids: &[Uuid]) -> Result<u64, Refusal> {
        let rows = sqlx::query!(
            r#"WITH waiting AS MATERIALIZED (
                   SELECT q.ctid AS row, row_number() OVER (ORDER BY q.delivery_id) AS n FROM due q
                   WHERE q.integration_id = ANY($1) AND q.delivery_id = ANY($2) AND q.due_at > now())
               UPDATE due q SET kind = 1, trigger = 'manual', operator = $3,
                                due_at = now() + w.n * interval '1 microsecond'
               FROM waiting w WHERE q.ctid = w.row AND q.delivery_id = ANY($2)
               RETURNING q.integration_id, q.kind, q.due_at, q.delivery_id"#,
            lanes,
            ids,
            self.operator,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let hurried: Vec<Uuid> = rows.iter().map(|row| row.delivery_id).collect();
        sqlx::query!(
            "UPDATE delivery SET retries = 0 WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &hurried,
        )
        .execute(&mut *self.tx)
        .await?;
        let due: Vec<_> = rows
            .into_iter()
            .map(|row| NewDue { integration_id: row.integration_id, kind: row.kind, due_at: row.due_at })
            .collect();
        self.became_due(company, &due);
        Ok(due.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_slots_and_rate_decides() {
        let policy = Policy { concurrency: 16, rate_per_second: None, ..Policy::default() };
        let pace = Pace { policy, recent_seconds: 0.5 };
        assert!((pace.seconds(0) - 0.0).abs() < f64::EPSILON);
        assert!((pace.seconds(1) - 0.5).abs() < f64::EPSILON);
        assert!((pace.seconds(17) - 1.0).abs() < f64::EPSILON);
        let limited = Pace { policy: Policy { rate_per_second: Some(2.0), ..policy }, ..pace };
        assert!((limited.seconds(17) - 8.5).abs() < f64::EPSILON);
    }
}
