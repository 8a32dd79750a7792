//! Undoing a skip: what an operator skipped within a day comes back as it stood.

use uuid::Uuid;

use crate::{
    domain::{
        delivery::Reason,
        delivery::State,
        ids::{CompanyId, DeliveryId, JobId},
    },
    store::{
        Error, Store,
        operator::command::{Command, Refusal},
        queue::{hold::MoveOutcome, undelivered},
    },
};

impl Command {
    /// Skips as [`Command::skip`] does, as part of a bulk skip by which it can be undone.
    pub async fn skip_for(
        &mut self,
        company: CompanyId,
        meant: &[Uuid],
        reason: &Reason,
        job: Option<JobId>,
    ) -> Result<MoveOutcome, Refusal> {
        let moved = self.skip(company, meant, reason).await?;
        if let Some(job) = job {
            sqlx::query!(
                // What was skipped before, by hand or by another job, is not this one's to undo.
                "UPDATE delivery SET job_id = $3 WHERE company_id = $1 AND id = ANY($2)
                   AND state = 'skipped' AND reason_code = 'skipped_by_operator' AND finished_at = now()",
                company.0,
                meant,
                job.uuid(),
            )
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(moved)
    }

    /// Brings back deliveries of one company that operators skipped within the last 24 hours. Pending ones take their
    /// place in the line, held ones are held and dead ones dead, each for the reason that it had. Left alone are those of
    /// an erased lead, and those that a later push of their lead has made old.
    pub async fn unskip(&mut self, company: CompanyId, meant: &[Uuid]) -> Result<MoveOutcome, Refusal> {
        let line = self.lock_line(company, meant).await?;
        let lanes = line.lanes();
        undelivered::lock_counts(&mut self.tx, company, &lanes).await?;
        let back = sqlx::query!(
            "UPDATE delivery d SET state = reason_detail ->> 'was',
                 reason_code = reason_detail -> 'reason' ->> 'code',
                 reason_detail = reason_detail -> 'reason' -> 'detail',
                 finished_at = CASE WHEN reason_detail ->> 'was' = 'dead'
                     THEN coalesce((reason_detail ->> 'died_at')::timestamptz, finished_at) END,
                 -- They are no longer the skip's. What came back by a retry before stays the retry's.
                 job_id = CASE WHEN NOT EXISTS (SELECT FROM job j
                     WHERE j.company_id = d.company_id AND j.id = d.job_id AND j.kind = 'skip') THEN job_id END
             WHERE company_id = $1 AND id = ANY($2) AND may_be_unskipped(d)
               AND reason_detail ->> 'was' IN ('pending', 'held', 'dead')
               AND NOT EXISTS (SELECT FROM lead l
                   WHERE l.company_id = d.company_id AND l.id = d.lead_id AND l.erased_at IS NOT NULL)
               AND NOT has_open_update_behind(d)
               -- What has arrived must not be followed by what is older.
               AND NOT EXISTS (SELECT FROM delivery l WHERE l.company_id = d.company_id AND l.lead_id = d.lead_id
                   AND l.integration_id = d.integration_id AND (l.created_at, l.id) > (d.created_at, d.id)
                   AND l.state = 'delivered')
             RETURNING id, state",
            company.0,
            meant,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let those = |state: State| -> Vec<Uuid> {
            back.iter().filter(|row| row.state == state.as_str()).map(|row| row.id).collect()
        };
        undelivered::add_held(&mut self.tx, company, &those(State::Held)).await?;
        undelivered::add_dead(&mut self.tx, self.store.sweep, company, &those(State::Dead)).await?;
        self.line_up(company, &those(State::Pending)).await?;
        self.touch_all(company, &lanes);
        Ok(MoveOutcome { changed: back.len() as u64, running: 0 })
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
            "SELECT company_id, id FROM delivery d
             WHERE job_id = $1 AND may_be_unskipped(d) AND ($2::uuid IS NULL OR id > $2)
             ORDER BY id LIMIT $3",
            job.uuid(),
            after.map(DeliveryId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (CompanyId(row.company_id), row.id.into())).collect())
    }
}
