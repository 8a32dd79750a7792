//! What targets made of a lead, as their own users know it.

use leadline_proto::v1;

use super::Control;
use crate::{
    connectors::{self, Record},
    domain::{
        ids::{CompanyId, DeliveryId, IntegrationId, LeadId},
        lane::LaneId,
    },
    store::{Error, delivery::vendor_id::VendorIds},
};

impl Control {
    /// The things that the targets of a lead made of it: of all its integrations, or of one delivery.
    pub(super) async fn records(
        &self,
        company: CompanyId,
        lead: LeadId,
        of: Option<(IntegrationId, DeliveryId)>,
    ) -> Result<Vec<v1::Record>, Error> {
        let mut records = Vec::new();
        for kept in self.store.vendor_ids(company, lead).await? {
            if of.is_none_or(|(integration, _)| integration == kept.integration) {
                let delivery = of.map(|(_, delivery)| delivery.to_string());
                records.extend(self.records_of(company, kept, delivery.as_deref()).await?);
            }
        }
        Ok(records)
    }

    async fn records_of(
        &self,
        company: CompanyId,
        kept: VendorIds,
        delivery: Option<&str>,
    ) -> Result<Vec<v1::Record>, Error> {
        let integration = self.store.integration(LaneId::new(company, kept.integration)).await?;
        // An integration that cannot push any more still has what it made.
        let brand = self.brand.clone();
        let prepare = move || {
            let integration = integration?;
            connectors::find(&integration.connector)?.prepare(&integration, &brand).ok()
        };
        let prepared = self.compute.run(company, prepare).await.ok().flatten();
        let found = connectors::records(prepared.as_deref(), &kept.ids, delivery, kept.account.as_deref());
        let shown = |record: Record| v1::Record {
            kind: record.kind,
            id: record.id,
            url: record.url.unwrap_or_default(),
            integration_id: kept.integration.to_string(),
            integration_name: kept.name.clone(),
        };
        Ok(found.into_iter().map(shown).collect())
    }
}
