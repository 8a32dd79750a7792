//! What targets made of a lead, as their own users know it.

use leadline_proto::v1;

use super::Control;
use crate::{
    connectors::{self, Record},
    domain::{
        evidence::{Evidence, RecordEvidence},
        ids::{CompanyId, DeliveryId, IntegrationId, LeadId},
        lane::LaneId,
    },
    store::{Error, delivery::vendor_id::VendorIds},
};

impl Control {
    /// Evidence of a lead with what the targets made of it, where its deliveries tell.
    pub(super) async fn with_records(&self, lead: LeadId, mut evidence: Evidence) -> Result<Evidence, Error> {
        for delivery in &mut evidence.deliveries {
            let (Ok(integration), Ok(id)) = (delivery.integration_id.parse(), delivery.id.parse()) else {
                continue;
            };
            let company = CompanyId(evidence.company_id);
            let found = self.records(company, lead, Some((integration, id))).await?;
            let told = |it: v1::Record| RecordEvidence {
                kind: it.kind,
                id: it.id,
                url: Some(it.url).filter(|url| !url.is_empty()),
            };
            delivery.records = found.into_iter().map(told).collect();
        }
        Ok(evidence)
    }

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
