//! Skips that operators may undo for a day: how each delivery stood before is kept, and it can stand so again.

use uuid::Uuid;

use crate::{
    domain::{
        delivery::Trigger,
        ids::{CompanyId, DeliveryId, IntegrationId, JobId},
    },
    store::{
        Error, RETRY, Store,
        delivery::read::DeliveryFilter,
        job::keep,
        operator::command::{Command, Refusal},
        queue::{
            hold::Moved,
            requeue::{self, Requeue},
            undelivered,
        },
    },
};

/// A delivery as it was before it was skipped.
struct Before {
    delivery_id: Uuid,
    integration_id: Uuid,
    state: String,
}

impl Command {
    /// Skips as [`Command::skip`] does, and keeps how each delivery stood.
    pub async fn skip_for_a_day(
        &mut self,
        company: CompanyId,
        meant: &[Uuid],
        reason: &str,
        job: Option<JobId>,
    ) -> Result<Moved, Refusal> {
        self.lock_line(company, meant).await?;
        sqlx::query!(
            "INSERT INTO skipped (company_id, delivery_id, job_id, state, reason, finished_at, class, error, since, due_at)
             SELECT d.company_id, d.id, $3, d.state, d.reason, d.finished_at, u.class, u.error, u.since, u.due_at
             FROM delivery d LEFT JOIN undelivered u ON u.company_id = d.company_id
                 AND u.integration_id = d.integration_id AND u.delivery_id = d.id
             WHERE d.company_id = $1 AND d.id = ANY($2) AND d.state IN ('pending', 'held', 'dead')
             ON CONFLICT (company_id, delivery_id) DO UPDATE SET job_id = excluded.job_id, skipped_at = now(),
                 state = excluded.state, reason = excluded.reason, finished_at = excluded.finished_at,
                 class = excluded.class, error = excluded.error, since = excluded.since, due_at = excluded.due_at",
            company.0,
            meant,
            job.map(JobId::uuid),
        )
        .execute(&mut *self.tx)
        .await?;
        let moved = self.skip(company, meant, reason).await?;
        // What is being pushed was left alone.
        sqlx::query!(
            "DELETE FROM skipped s USING delivery d WHERE s.company_id = $1 AND s.delivery_id = ANY($2)
               AND d.company_id = s.company_id AND d.id = s.delivery_id AND d.state <> 'skipped'",
            company.0,
            meant,
        )
        .execute(&mut *self.tx)
        .await?;
        if let Some(job) = job {
            sqlx::query!(
                "UPDATE delivery d SET job_id = $3 FROM skipped s WHERE d.company_id = $1 AND d.id = ANY($2)
                   AND s.company_id = d.company_id AND s.delivery_id = d.id AND s.job_id = $3",
                company.0,
                meant,
                job.uuid(),
            )
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(moved)
    }

    /// Writes a bulk skip down as a job that is done.
    pub async fn note_skip(&mut self, job: JobId, filter: &DeliveryFilter) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO job (company_id, id, integration_id, operator, filter, re_render, kind, state, total, released,
                 last_id, finished_at)
             SELECT d.company_id, $1, d.integration_id, $2, $3::jsonb - 'error', false, 'skip', 'done', count(*),
                 count(*), (array_agg(d.id ORDER BY d.id DESC))[1], now()
             FROM skipped s JOIN delivery d ON d.company_id = s.company_id AND d.id = s.delivery_id
             WHERE s.job_id = $1 GROUP BY d.company_id, d.integration_id",
            job.uuid(),
            self.operator,
            keep(filter)?,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Puts skipped deliveries of one company back where they stood: pending ones into the queue, behind earlier events
    /// of their leads. Left alone are those of erased leads, and those of whose lead a newer event was not skipped: what
    /// is newer must not be followed by what is older. Answers which stand again.
    pub async fn unskip(&mut self, company: CompanyId, meant: &[Uuid]) -> Result<Vec<DeliveryId>, Refusal> {
        self.lock_line(company, meant).await?;
        let before = sqlx::query_as!(
            Before,
            "SELECT s.delivery_id, d.integration_id, s.state FROM skipped s
             JOIN delivery d ON d.company_id = s.company_id AND d.id = s.delivery_id AND d.state = 'skipped'
             JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id AND l.erased_at IS NULL
             JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id AND i.deleted_at IS NULL
             WHERE s.company_id = $1 AND s.delivery_id = ANY($2) AND s.skipped_at > now() - interval '24 hours'
               AND NOT EXISTS (SELECT FROM delivery n WHERE n.company_id = d.company_id AND n.lead_id = d.lead_id
                   AND n.integration_id = d.integration_id AND n.state <> 'skipped'
                   AND (n.created_at, n.id) > (d.created_at, d.id))
             ORDER BY s.delivery_id",
            company.0,
            meant,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let ids: Vec<Uuid> = before.iter().map(|row| row.delivery_id).collect();
        let of = |state: &str| -> Vec<Uuid> {
            before.iter().filter(|row| row.state == state).map(|row| row.delivery_id).collect()
        };
        let mut lanes: Vec<Uuid> = before.iter().map(|row| row.integration_id).collect();
        lanes.sort_unstable();
        lanes.dedup();
        sqlx::query!(
            "UPDATE delivery d SET state = s.state, finished_at = s.finished_at, successor_id = NULL,
                 reason = CASE WHEN s.state <> 'pending' THEN s.reason END
             FROM skipped s WHERE d.company_id = $1 AND d.id = ANY($2)
               AND s.company_id = d.company_id AND s.delivery_id = d.id",
            company.0,
            &ids,
        )
        .execute(&mut *self.tx)
        .await?;
        undelivered::restore(&mut self.tx, company, &lanes, &ids).await?;
        let operator = self.operator.clone();
        let how = Requeue {
            kind: i16::from(RETRY),
            trigger: Trigger::Manual,
            operator: Some(&operator),
            job: None,
        };
        let due = requeue::line_up(&mut self.tx, company, &of("pending"), &how).await?;
        self.became_due(company, &due);
        sqlx::query!("DELETE FROM skipped WHERE company_id = $1 AND delivery_id = ANY($2)", company.0, &ids)
            .execute(&mut *self.tx)
            .await?;
        for lane in lanes {
            self.touch(company, IntegrationId::from(lane), false);
        }
        Ok(ids.into_iter().map(DeliveryId::from).collect())
    }
}

impl Store {
    /// The next deliveries of a bulk skip that may still be undone.
    pub async fn skipped_by(
        &self,
        job: JobId,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<(CompanyId, DeliveryId)>, Error> {
        let rows = sqlx::query!(
            "SELECT company_id, delivery_id FROM skipped
             WHERE job_id = $1 AND skipped_at > now() - interval '24 hours' AND ($2::uuid IS NULL OR delivery_id > $2)
             ORDER BY delivery_id LIMIT $3",
            job.uuid(),
            after.map(DeliveryId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (CompanyId(row.company_id), row.delivery_id.into())).collect())
    }

    /// Forgets how deliveries stood whose skip nobody can undo any more.
    pub async fn forget_skips(&self) -> Result<u64, Error> {
        let gone = sqlx::query!("DELETE FROM skipped WHERE skipped_at < now() - interval '24 hours'")
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }
}
