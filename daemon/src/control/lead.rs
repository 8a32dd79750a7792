//! Leads: read only.

use leadline_proto::v1::{self, lead_service_server::LeadService};
use tonic::{Request, Response};

use super::{Answer, Control, check};

#[tonic::async_trait]
impl LeadService for Control {
    async fn list_leads(&self, request: Request<v1::ListLeadsRequest>) -> Answer<v1::ListLeadsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page.as_ref())?;
        let after = check::optional_id("after", after)?;
        let state = match check::optional(&request.state) {
            Some(word) => Some(check::one_of("state", word, &["unsynced", "pushed", "complete"])?),
            None => None,
        };
        let leads = self.store.lead_views(check::optional(&request.company), state, after, limit).await?;
        Ok(Response::new(v1::ListLeadsResponse { leads: leads.into_iter().map(v1::Lead::from).collect() }))
    }

    async fn get_lead(&self, request: Request<v1::GetLeadRequest>) -> Answer<v1::GetLeadResponse> {
        let request = request.into_inner();
        let company = check::optional(&request.company);
        let found = self.store.lead_view(company, &request.uuid).await?;
        Ok(Response::new(v1::GetLeadResponse {
            lead: Some(found.lead.into()),
            event: found.event.into(),
            deliveries: found.deliveries.into_iter().map(v1::Delivery::from).collect(),
        }))
    }
}
