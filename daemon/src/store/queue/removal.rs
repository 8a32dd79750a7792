//! Taking away what the queue holds of an integration that was deleted.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::{
    Error, Store,
    integration::removal::{BATCH, until_gone},
};

impl Store {
    /// Removes the due rows of an integration. Waits for a claim under way rather than passing it over: what it takes is
    /// then seen as being pushed.
    pub(in crate::store) async fn remove_due(&self, integration: Uuid) -> Result<(), Error> {
        until_gone(|| {
            sqlx::query!(
                "DELETE FROM due WHERE ctid = ANY(ARRAY(SELECT ctid FROM due WHERE integration_id = $1 LIMIT $2))",
                integration,
                BATCH,
            )
            .execute(&self.pool)
        })
        .await
    }

    /// Removes the deliveries of an integration, held and dead ones too.
    pub(in crate::store) async fn remove_deliveries(
        &self,
        company: i64,
        integration: Uuid,
    ) -> Result<(), Error> {
        until_gone(|| {
            sqlx::query!(
                "WITH batch AS MATERIALIZED (
                     SELECT id FROM delivery WHERE company_id = $1 AND integration_id = $2 ORDER BY id LIMIT $3),
                 also AS (
                     DELETE FROM undelivered u USING batch
                     WHERE u.company_id = $1 AND u.integration_id = $2 AND u.delivery_id = batch.id)
                 DELETE FROM delivery WHERE company_id = $1 AND id IN (SELECT id FROM batch)",
                company,
                integration,
                BATCH,
            )
            .execute(&self.pool)
        })
        .await
    }
}

/// Ends the run of the sweep in a lane whose integration is deleted.
pub(in crate::store) async fn remove_sweep(
    db: &mut PgConnection,
    company: i64,
    integration: Uuid,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM sweep WHERE company_id = $1 AND integration_id = $2", company, integration)
        .execute(db)
        .await?;
    Ok(())
}
