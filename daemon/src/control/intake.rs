//! What came in, and what did not.

use leadline_proto::v1::{self, intake_service_server::IntakeService};
use tonic::{Request, Response};

use super::{Answer, Control, check, convert::time};
use crate::store::refusal::RefusalView;

#[tonic::async_trait]
impl IntakeService for Control {
    async fn list_refusals(
        &self,
        request: Request<v1::ListRefusalsRequest>,
    ) -> Answer<v1::ListRefusalsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page.as_ref())?;
        let after = check::optional_id("after", after)?;
        let key = check::id("intake key", &request.key)?;
        let (_, refusals) = self.store.refusals(key, after, limit).await?;
        let refusals = refusals.into_iter().map(v1::Refused::from).collect();
        Ok(Response::new(v1::ListRefusalsResponse { refusals }))
    }
}

impl From<RefusalView> for v1::Refused {
    fn from(view: RefusalView) -> Self {
        let errors = view.errors.into_iter();
        Self {
            id: view.id.to_string(),
            at: Some(time(view.at)),
            path: view.path,
            status: u32::try_from(view.status).unwrap_or_default(),
            detail: view.detail,
            errors: errors.map(|(pointer, detail)| v1::FieldProblem { pointer, detail }).collect(),
            body: view.body.unwrap_or_default(),
        }
    }
}
