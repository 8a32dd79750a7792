//! What targets call the things they made of a lead.

use std::collections::BTreeMap;

use super::{Error, Store};
use crate::domain::ids::{CompanyId, IntegrationId, LeadId};

impl Store {
    /// What an integration's target calls the things of a lead.
    pub async fn vendor_ids(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        lead: LeadId,
    ) -> Result<BTreeMap<String, String>, Error> {
        let ids = sqlx::query_scalar!(
            "SELECT ids FROM vendor_id WHERE company_id = $1 AND integration_id = $2 AND lead_id = $3",
            company.0,
            integration.uuid(),
            lead.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        match ids {
            Some(ids) => serde_json::from_value(ids).map_err(|_| Error::Corrupt("ids of a target")),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Keeps ids beside those that are kept already. Nothing is kept for an integration that is gone.
    pub async fn keep_vendor_ids(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        lead: LeadId,
        ids: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let ids = serde_json::to_value(ids).map_err(|_| Error::Corrupt("ids of a target"))?;
        sqlx::query!(
            "INSERT INTO vendor_id (company_id, integration_id, lead_id, ids)
             SELECT company_id, id, $3, $4 FROM integration
             WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL
             ON CONFLICT (company_id, integration_id, lead_id)
             DO UPDATE SET ids = vendor_id.ids || EXCLUDED.ids, updated_at = now()",
            company.0,
            integration.uuid(),
            lead.uuid(),
            ids,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
