//! What is held because an integration was disabled: counted, released or skipped in batches, oldest first. Other
//! reasons are other people's business.
//!
//! A released one whose lead has an earlier one that is not final gets no due row here, but a place behind it: whatever
//! makes the earlier one final brings it to the queue. Both are locked, so that neither change can miss the other.

use uuid::Uuid;

use super::command::{Command, NewDue, Refusal};
use crate::domain::{
    fanout::INTEGRATION_DISABLED,
    ids::{CompanyId, IntegrationId},
};

/// How many deliveries one transaction changes.
pub const BATCH: usize = 500;

/// Why deliveries are skipped that were held when an operator enabled their integration.
const SKIPPED: &str = "operator: skipped on enable";

impl Command {
    /// How many deliveries of an integration are held because it was disabled.
    pub async fn count_held(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
    ) -> Result<u64, Refusal> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM undelivered u
               JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id AND d.reason = $3
               WHERE u.company_id = $1 AND u.integration_id = $2 AND u.state = 'held'"#,
            company.0,
            integration.uuid(),
            INTEGRATION_DISABLED,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(count.unsigned_abs())
    }

    /// Makes up to [`BATCH`] held deliveries pending. Fewer than that in the answer: none are left.
    pub async fn release_held(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
    ) -> Result<usize, Refusal> {
        let held = self.lock_held(company, integration).await?;
        let released = sqlx::query_scalar!(
            "UPDATE delivery SET state = 'pending', reason = NULL
             WHERE company_id = $1 AND id = ANY($2) AND state = 'held' RETURNING id",
            company.0,
            &held,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.no_longer_undelivered(company, integration, &held).await?;
        self.make_due(company, &released).await?;
        self.touch(company, integration, false);
        Ok(held.len())
    }

    /// Skips up to [`BATCH`] held deliveries. Fewer than that in the answer: none are left.
    pub async fn skip_held(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
    ) -> Result<usize, Refusal> {
        let held = self.lock_held(company, integration).await?;
        // They hand on here who waits behind them, and must not do so again when a push in flight ends.
        let successors = sqlx::query_scalar!(
            "WITH standing AS MATERIALIZED (
                 SELECT id, successor_id FROM delivery
                 WHERE company_id = $1 AND id = ANY($2) AND state = 'held')
             UPDATE delivery d SET state = 'skipped', reason = $3, finished_at = now(), successor_id = NULL
             FROM standing s WHERE d.company_id = $1 AND d.id = s.id RETURNING s.successor_id",
            company.0,
            &held,
            SKIPPED,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.no_longer_undelivered(company, integration, &held).await?;
        let mut successors: Vec<Uuid> = successors.into_iter().flatten().collect();
        successors.sort_unstable();
        let waiting = sqlx::query_scalar!(
            "SELECT id FROM delivery WHERE company_id = $1 AND id = ANY($2) AND state = 'pending'
             ORDER BY id FOR UPDATE",
            company.0,
            &successors,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.make_due(company, &waiting).await?;
        self.touch(company, integration, false);
        Ok(held.len())
    }

    /// Locks the oldest held deliveries together with all that their leads have open here. Answers the held ones.
    async fn lock_held(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
    ) -> Result<Vec<Uuid>, Refusal> {
        let rows = sqlx::query!(
            "SELECT u.delivery_id, u.lead_id FROM undelivered u
             JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id AND d.reason = $4
             WHERE u.company_id = $1 AND u.integration_id = $2 AND u.state = 'held'
             ORDER BY u.delivery_id LIMIT $3",
            company.0,
            integration.uuid(),
            BATCH as i64,
            INTEGRATION_DISABLED,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let (held, leads): (Vec<Uuid>, Vec<Uuid>) =
            rows.into_iter().map(|row| (row.delivery_id, row.lead_id)).unzip();
        sqlx::query!(
            "SELECT id FROM delivery
             WHERE company_id = $1 AND lead_id = ANY($2) AND integration_id = $3
               AND state IN ('pending', 'held') ORDER BY id FOR UPDATE",
            company.0,
            &leads,
            integration.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(held)
    }

    async fn no_longer_undelivered(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        deliveries: &[Uuid],
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "DELETE FROM undelivered WHERE company_id = $1 AND integration_id = $2 AND delivery_id = ANY($3)
             AND state = 'held'",
            company.0,
            integration.uuid(),
            deliveries,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Queues locked pending deliveries, oldest first; one that has an earlier one before it waits behind that.
    pub(super) async fn make_due(&mut self, company: CompanyId, deliveries: &[Uuid]) -> Result<(), Refusal> {
        let rows = sqlx::query!(
            r#"WITH line AS MATERIALIZED (
                 SELECT d.*, (
                     SELECT p.id FROM delivery p
                     WHERE p.company_id = d.company_id AND p.lead_id = d.lead_id AND p.integration_id = d.integration_id
                       AND p.state IN ('pending', 'held') AND (p.created_at, p.id) < (d.created_at, d.id)
                     ORDER BY p.created_at DESC, p.id DESC LIMIT 1) AS earlier_id
                 FROM delivery d WHERE d.company_id = $1 AND d.id = ANY($2)
             ), linked AS (
                 UPDATE delivery p SET successor_id = line.id FROM line
                 WHERE p.company_id = line.company_id AND p.id = line.earlier_id
             )
             INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
             SELECT company_id, integration_id, least(attempts, 1)::smallint,
                    now() + row_number() OVER (ORDER BY id) * interval '1 microsecond', id,
                    CASE WHEN attempts > 0 THEN 'retry' ELSE 'first' END
             FROM line WHERE earlier_id IS NULL
             RETURNING integration_id, kind, due_at, delivery_id"#,
            company.0,
            deliveries,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        // In a statement of its own: one that is due may have just got a successor above.
        let ids: Vec<Uuid> = rows.iter().map(|row| row.delivery_id).collect();
        sqlx::query!(
            "UPDATE delivery SET due_at = now(), reason = NULL WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &ids,
        )
        .execute(&mut *self.tx)
        .await?;
        let due: Vec<_> = rows
            .into_iter()
            .map(|row| NewDue { integration_id: row.integration_id, kind: row.kind, due_at: row.due_at })
            .collect();
        self.became_due(company, &due);
        Ok(())
    }
}
