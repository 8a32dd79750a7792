//! What came in, and what did not.

use std::time::Duration;

use leadline_proto::v1::{self, intake_service_server::IntakeService};
use serde_json::json;
use tonic::{Request, Response, Streaming};

use super::{Control, Reply, check, convert::time, import::ImportReplies};
use crate::{
    domain::integration::EventKind,
    store::{
        Error,
        company::refusal::RefusalView,
        lead::{
            erase::Erased,
            trace::{StepState, TraceStep},
        },
    },
    telemetry,
};

/// How often it is looked whether the pushes of what is to go have ended; housekeeping looks on after that.
const CLEANINGS: usize = 120;
const CLEANING_GAP: Duration = Duration::from_millis(500);

#[tonic::async_trait]
impl IntakeService for Control {
    async fn list_refusals(
        &self,
        request: Request<v1::ListRefusalsRequest>,
    ) -> Reply<v1::ListRefusalsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page.as_ref())?;
        let after = check::optional_id("after", after)?;
        let key = check::id("intake key", &request.key)?;
        let (_, refusals) = self.store.refusals(key, after, limit).await?;
        let refusals = refusals.into_iter().map(v1::Refused::from).collect();
        Ok(Response::new(v1::ListRefusalsResponse { refusals }))
    }

    type ImportLeadsStream = ImportReplies;

    async fn import_leads(
        &self,
        request: Request<Streaming<v1::ImportLeadsRequest>>,
    ) -> Reply<Self::ImportLeadsStream> {
        self.import(request).await
    }

    async fn trace_lead(&self, request: Request<v1::TraceLeadRequest>) -> Reply<v1::TraceLeadResponse> {
        let request = request.into_inner();
        let (lead, steps) = self.store.trace(check::optional(&request.company), &request.uuid).await?;
        let records = self.records(lead.company, lead.id, None).await?;
        let steps = steps.into_iter().map(v1::TraceStep::from).collect();
        Ok(Response::new(v1::TraceLeadResponse { lead: Some(lead.into()), steps, records }))
    }

    async fn erase_lead(&self, request: Request<v1::EraseLeadRequest>) -> Reply<v1::EraseLeadResponse> {
        let answer = self
            .mutate(request, |mut command, request| async move {
                let erased = command.erase_lead(check::optional(&request.company), &request.uuid).await?;
                let after = json!({
                    "erased": true,
                    "skipped": erased.skipped,
                    "deliveries": erased.deliveries,
                    "attempts": erased.attempts,
                });
                command.audit(erased.company, &format!("lead {}", erased.lead), None, Some(after)).await?;
                Ok((command, erased.into()))
            })
            .await?;
        self.clean_up_erasures();
        Ok(answer)
    }
}

impl Control {
    /// Cleans up behind pushes that were under way when their lead was erased.
    pub(super) fn clean_up_erasures(&self) {
        let store = self.store.clone();
        self.spawn_after(async move {
            until_none_is_left("erased leads", || store.finish_erasures()).await;
        });
    }

    /// Removes what is left of deleted integrations, once the pushes to them have ended.
    pub(super) fn clean_up_deletions(&self) {
        let store = self.store.clone();
        self.spawn_after(async move {
            until_none_is_left("deleted integrations", || store.finish_deletions()).await;
        });
    }
}

/// Cleans up until nothing is left, which waits for pushes that are under way.
async fn until_none_is_left<F>(what: &'static str, clean_up: impl Fn() -> F)
where
    F: Future<Output = Result<usize, Error>>,
{
    for _ in 0..CLEANINGS {
        match clean_up().await {
            Ok(0) => return,
            Ok(left) => tracing::debug!(what, left, "what is to go is still being pushed"),
            Err(error) => {
                tracing::warn!(
                    event = "cleanup_deferred",
                    what,
                    error = telemetry::causes(&error),
                    "what is to go is cleaned up later"
                )
            }
        }
        tokio::time::sleep(CLEANING_GAP).await;
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

impl From<Erased> for v1::EraseLeadResponse {
    fn from(erased: Erased) -> Self {
        Self {
            uuid: erased.uuid,
            skipped: erased.skipped,
            deliveries: erased.deliveries,
            attempts: erased.attempts,
            running: erased.running,
        }
    }
}

impl From<TraceStep> for v1::TraceStep {
    fn from(step: TraceStep) -> Self {
        let (delivery_id, integration_id, integration_name) = match step.delivery {
            Some((delivery, integration, name)) => (delivery.to_string(), integration.to_string(), name),
            None => Default::default(),
        };
        let (attempt_id, number) = match step.attempt {
            Some((attempt, number)) => (attempt.to_string(), u32::try_from(number).unwrap_or_default()),
            None => Default::default(),
        };
        Self {
            at: Some(time(step.at)),
            what: step.what.as_str().to_owned(),
            event: step.event.map_or("", EventKind::as_str).to_owned(),
            delivery_id,
            integration_id,
            integration_name,
            attempt_id,
            number,
            state: step.state.map_or("", StepState::as_str).to_owned(),
            reason: step.reason.unwrap_or_default(),
        }
    }
}
