//! Leads from files: what a dry run must know of those that are here already.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, LeadId},
    store::{Error, Store},
};

impl Store {
    /// The digests of those of these leads that are known; none for one that was erased.
    pub async fn known_leads(
        &self,
        company: CompanyId,
        leads: &[LeadId],
    ) -> Result<HashMap<LeadId, Option<Vec<u8>>>, Error> {
        let ids: Vec<Uuid> = leads.iter().map(|lead| lead.uuid()).collect();
        let rows = sqlx::query!(
            "SELECT id, digest, erased_at FROM lead WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let known = |erased: bool, digest| if erased { None } else { Some(digest) };
        Ok(rows.into_iter().map(|row| (row.id.into(), known(row.erased_at.is_some(), row.digest))).collect())
    }
}
