//! Leads: what became of them, and finding them.

use std::pin::Pin;

use futures::Stream;
use leadline_proto::v1::{self, lead_service_server::LeadService};
use tonic::{Request, Response, Status};

use super::{Answer, Control, check, words};

type Pieces = Pin<Box<dyn Stream<Item = Result<v1::ExportPersonResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LeadService for Control {
    async fn list_leads(&self, request: Request<v1::ListLeadsRequest>) -> Answer<v1::ListLeadsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page.as_ref())?;
        let after = check::optional_id("after", after)?;
        let state = words::read_lead_state(request.state)?;
        let leads = self.store.lead_views(check::optional(&request.company), state, after, limit).await?;
        let next_page_token = words::next_page(&leads, limit, |lead| lead.id.to_string());
        let leads = leads.into_iter().map(v1::Lead::from).collect();
        Ok(Response::new(v1::ListLeadsResponse { leads, next_page_token }))
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

    async fn find_leads(&self, _: Request<v1::FindLeadsRequest>) -> Answer<v1::FindLeadsResponse> {
        Err(Status::unimplemented("leads are not indexed yet"))
    }

    async fn get_evidence(&self, _: Request<v1::GetEvidenceRequest>) -> Answer<v1::GetEvidenceResponse> {
        Err(Status::unimplemented("leads are not indexed yet"))
    }

    type ExportPersonStream = Pieces;

    async fn export_person(&self, _: Request<v1::ExportPersonRequest>) -> Answer<Self::ExportPersonStream> {
        Err(Status::unimplemented("leads are not indexed yet"))
    }

    async fn erase_person(&self, _: Request<v1::ErasePersonRequest>) -> Answer<v1::ErasePersonResponse> {
        Err(Status::unimplemented("leads are not indexed yet"))
    }
}
