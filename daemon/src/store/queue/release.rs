//! What is held for one reason at one integration: counted, released or skipped in batches, oldest first. Other reasons
//! are other people's business.
//!
//! A released one whose lead has an earlier one that is not final gets no due row here, but a place behind it: whatever
//! makes the earlier one final brings it to the queue. Both are locked, so that neither change can miss the other.

use jiff_sqlx::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Reason,
        ids::{CompanyId, IntegrationId},
    },
    store::{
        Error, Store,
        operator::command::{Command, NewDue, Refusal},
        queue::hold::MoveOutcome,
    },
};

/// How many deliveries one transaction changes.
pub const BATCH: usize = 500;

impl Store {
    /// How many deliveries of an integration are held for a reason.
    pub async fn count_held(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        reason: &Reason,
    ) -> Result<u64, Error> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM undelivered u
               JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id AND d.reason_code = $3
               WHERE u.company_id = $1 AND u.integration_id = $2 AND u.state = 'held'"#,
            company.0,
            integration.uuid(),
            reason.code(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count.unsigned_abs())
    }
}

impl Command {
    /// Releases up to [`BATCH`] deliveries of an integration that are held for a reason. Fewer than that in the answer:
    /// none are left.
    pub async fn release_held_for(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        reason: &Reason,
    ) -> Result<usize, Refusal> {
        let held = self.held_for(company, integration, reason).await?;
        let moved = self.release(company, &held).await?;
        Ok(found(&held, moved))
    }

    /// Skips as many of them.
    pub async fn skip_held_for(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        reason: &Reason,
    ) -> Result<usize, Refusal> {
        let held = self.held_for(company, integration, reason).await?;
        let moved = self.skip(company, &held, &Reason::skipped(&self.operator.clone())).await?;
        Ok(found(&held, moved))
    }

    async fn held_for(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        reason: &Reason,
    ) -> Result<Vec<Uuid>, Refusal> {
        let held = sqlx::query_scalar!(
            "SELECT u.delivery_id FROM undelivered u
             JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id AND d.reason_code = $3
             WHERE u.company_id = $1 AND u.integration_id = $2 AND u.state = 'held'
             ORDER BY u.delivery_id LIMIT $4",
            company.0,
            integration.uuid(),
            reason.code(),
            BATCH as i64,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(held)
    }

    /// Queues locked pending deliveries, oldest first; one that has an earlier one before it waits behind that.
    pub(in crate::store) async fn make_due(
        &mut self,
        company: CompanyId,
        deliveries: &[Uuid],
    ) -> Result<(), Refusal> {
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
        let times: Vec<Timestamp> = rows.iter().map(|row| row.due_at).collect();
        sqlx::query!(
            "UPDATE delivery d SET due_at = q.due_at, reason_code = NULL, reason_detail = NULL
             FROM unnest($2::uuid[], $3::timestamptz[]) q(id, due_at) WHERE d.company_id = $1 AND d.id = q.id",
            company.0,
            &ids,
            &times as &[Timestamp],
        )
        .execute(&mut *self.tx)
        .await?;
        let due = rows.into_iter().map(|row| NewDue::new(row.integration_id, row.kind, row.due_at));
        let due = due.collect::<Result<Vec<_>, _>>()?;
        self.became_due(company, &due);
        Ok(())
    }
}

/// How many of a batch were found; those that still run would be found again and again.
fn found(held: &[Uuid], moved: MoveOutcome) -> usize {
    if moved.running > 0 { held.len().min(BATCH - 1) } else { held.len() }
}
