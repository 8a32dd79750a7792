//! Taking away what is kept of the pushes to an integration that was deleted.

use uuid::Uuid;

use crate::store::{
    Error, Store,
    integration::removal::{BATCH, until_gone},
};

impl Store {
    /// Removes the attempts of an integration.
    pub(in crate::store) async fn remove_attempts(
        &self,
        company: i64,
        integration: Uuid,
    ) -> Result<(), Error> {
        until_gone(|| {
            sqlx::query!(
                "DELETE FROM attempt WHERE (company_id, integration_id, id, started_at) IN (
                     SELECT company_id, integration_id, id, started_at FROM attempt
                     WHERE company_id = $1 AND integration_id = $2 LIMIT $3)",
                company,
                integration,
                BATCH,
            )
            .execute(&self.pool)
        })
        .await
    }

    /// Removes what the target of an integration called the things of leads.
    pub(in crate::store) async fn remove_vendor_ids(
        &self,
        company: i64,
        integration: Uuid,
    ) -> Result<(), Error> {
        until_gone(|| {
            sqlx::query!(
                "DELETE FROM vendor_id WHERE company_id = $1 AND integration_id = $2 AND lead_id IN (
                     SELECT lead_id FROM vendor_id WHERE company_id = $1 AND integration_id = $2 LIMIT $3)",
                company,
                integration,
                BATCH,
            )
            .execute(&self.pool)
        })
        .await
    }
}
