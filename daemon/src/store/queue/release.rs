//! What is held for one reason at one integration: counted, released or skipped in batches, oldest first. Other reasons
//! are other people's business.

use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Reason, State},
        ids::{CompanyId, IntegrationId, JobId},
    },
    store::{
        Error, Store,
        delivery::read::DeliveryFilter,
        operator::command::{Command, Refusal},
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

    /// Skips as many of them, as part of a bulk skip by which that can be undone.
    pub async fn skip_held_for(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        reason: &Reason,
        job: Option<JobId>,
    ) -> Result<usize, Refusal> {
        let held = self.held_for(company, integration, reason).await?;
        let moved = self.skip_for(company, &held, &Reason::skipped(&self.operator.clone()), job).await?;
        if let Some(job) = job {
            let filter = DeliveryFilter {
                company: Some(company),
                integration: Some(integration),
                states: vec![State::Held],
                ..DeliveryFilter::default()
            };
            self.note_skip(job, &filter, (company, &held)).await?;
        }
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
}

/// How many of a batch were found; those that still run would be found again and again.
fn found(held: &[Uuid], moved: MoveOutcome) -> usize {
    if moved.running > 0 { held.len().min(BATCH - 1) } else { held.len() }
}
