//! Undoing a skip: what an operator skipped within a day comes back as it stood.

use uuid::Uuid;

use crate::{
    domain::ids::CompanyId,
    store::{
        operator::command::{Command, Refusal},
        queue::{hold::Moved, undelivered},
    },
};

impl Command {
    /// Brings back deliveries of one company that operators skipped within the last 24 hours. Pending ones take their
    /// place in the line, held ones are held and dead ones dead, each for the reason that it had. Left alone are those of
    /// an erased lead, and those that a later push of their lead has made old.
    pub async fn unskip(&mut self, company: CompanyId, meant: &[Uuid]) -> Result<Moved, Refusal> {
        let line = self.lock_line(company, meant).await?;
        let lanes = line.lanes();
        undelivered::lock_counts(&mut self.tx, company, &lanes).await?;
        let back = sqlx::query!(
            "UPDATE delivery d SET state = reason_detail ->> 'was',
                 reason_code = reason_detail -> 'reason' ->> 'code',
                 reason_detail = reason_detail -> 'reason' -> 'detail',
                 finished_at = CASE WHEN reason_detail ->> 'was' = 'dead' THEN finished_at END
             WHERE company_id = $1 AND id = ANY($2) AND state = 'skipped' AND reason_code = 'skipped_by_operator'
               AND reason_detail ->> 'was' IN ('pending', 'held', 'dead')
               AND finished_at > now() - interval '24 hours'
               AND NOT EXISTS (SELECT FROM lead l
                   WHERE l.company_id = d.company_id AND l.id = d.lead_id AND l.erased_at IS NOT NULL)
               -- What is newer must not be followed by what is older.
               AND NOT EXISTS (SELECT FROM delivery l WHERE l.company_id = d.company_id AND l.lead_id = d.lead_id
                   AND l.integration_id = d.integration_id AND (l.created_at, l.id) > (d.created_at, d.id)
                   AND (l.state = 'delivered' OR l.state IN ('pending', 'held') AND l.event = 'lead.updated'))
             RETURNING id, state",
            company.0,
            meant,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let those = |state: &str| -> Vec<Uuid> {
            back.iter().filter(|row| row.state == state).map(|row| row.id).collect()
        };
        undelivered::add_held(&mut self.tx, company, &those("held")).await?;
        undelivered::add_dead(&mut self.tx, company, &those("dead")).await?;
        self.make_due(company, &those("pending")).await?;
        self.touch_all(company, &lanes);
        Ok(Moved { changed: back.len() as u64, running: 0 })
    }
}
