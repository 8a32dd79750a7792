//! Previews: the first request of a push as its connector makes it, shown and not sent.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use leadline_proto::v1::{self, preview_service_server::PreviewService};
use tonic::{Request, Response};

use super::{Answer, Control, check};
use crate::{
    connectors::{self, Call, Connector, Ids, Mail, Push, Step, Token, config::shorten},
    domain::{
        ids::{AttemptId, CompanyId},
        integration::{EventKind, Integration},
        lead,
        outcome::{Failure, FailureClass, Outcome},
    },
    store::operator::command::Refusal,
};

const EVENTS: [EventKind; 3] = [EventKind::Created, EventKind::Updated, EventKind::Test];

#[tonic::async_trait]
impl PreviewService for Control {
    async fn preview_integration(
        &self,
        request: Request<v1::PreviewIntegrationRequest>,
    ) -> Answer<v1::PreviewIntegrationResponse> {
        let request = request.into_inner();
        let (company, id) = self.store.find_integration(None, &request.integration).await?;
        let integration =
            self.store.integration(company, id).await?.ok_or_else(|| Refusal::unknown("integration", id))?;
        let connector = check::connector(&integration.connector)?;
        let integration = self.as_asked(connector, integration, &request)?;
        let kind = event(&request)?;
        let canonical = self.canonical(company, &integration, &request.lead, kind).await?;
        let id = AttemptId::generate().to_string();
        // Nothing is asked of the target, not even a token: the header that would carry it is shown shortened anyway.
        let token = Token { secret: "a token that a login gives".into(), expires_at: None, base: None };
        let now = jiff::Timestamp::now().as_second();
        let push = Push {
            id: &id,
            event: kind,
            body: &canonical,
            rendered: None,
            is_repeat: false,
            same: &[],
            since: now,
            recently_pushed: false,
            ids: &Ids::new(),
            token: Some(&token),
            now,
        };
        let brand = integration.brand.as_deref().unwrap_or(&self.brand);
        let (step, whole) = first_step(connector, &integration, brand, push);
        Ok(Response::new(shown(canonical.clone(), step, whole)))
    }
}

impl Control {
    /// The integration with what the request puts in the place of what is saved. What is put there is checked as if it
    /// were saved.
    fn as_asked(
        &self,
        connector: &dyn Connector,
        mut integration: Integration,
        request: &v1::PreviewIntegrationRequest,
    ) -> Result<Integration, Refusal> {
        if let Some(config) = &request.config {
            integration.config = check::object("config", config)?;
        }
        if let Some(mapping) = &request.mapping {
            integration.mapping = check::object("mapping", mapping)?;
        }
        if let Some(payload) = &request.payload {
            integration.payload = check::payload(connector, payload)?.to_owned();
        }
        if request.config.is_some() || request.mapping.is_some() {
            let brand = integration.brand.as_deref().unwrap_or(&self.brand);
            let problems = connector.check(&integration.config, &integration.mapping, &self.egress, brand);
            if !problems.is_empty() {
                return check::invalid(problems.join("; "));
            }
        }
        Ok(integration)
    }

    /// The event that the push would bring.
    async fn canonical(
        &self,
        company: CompanyId,
        integration: &Integration,
        lead: &str,
        kind: EventKind,
    ) -> Result<Bytes, Refusal> {
        if lead.is_empty() {
            return Ok(lead::event_text(&lead::sample(company, &integration.company_name), kind));
        }
        let found = self.store.lead_view(Some(&company.to_string()), lead).await?;
        Ok(lead::pushed_as(&found.event, kind))
    }
}

/// What happened, as far as the push is told.
fn event(request: &v1::PreviewIntegrationRequest) -> Result<EventKind, Refusal> {
    match request.event.as_str() {
        "" if request.lead.is_empty() => Ok(EventKind::Test),
        "" => Ok(EventKind::Created),
        word => EVENTS.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known = EVENTS.map(EventKind::as_str).join(", ");
            Refusal::Invalid(format!("event {word:?}: use one of {known}"))
        }),
    }
}

/// What a push would do first, with what all of its calls are made from where it takes several. A connector that panics
/// here would do so there, too.
fn first_step(
    connector: &dyn Connector,
    integration: &Integration,
    brand: &str,
    push: Push<'_>,
) -> (Step, Option<Bytes>) {
    let act = || {
        let prepared = connector.prepare(integration, brand)?;
        let whole = prepared.render(&push)?;
        let step = prepared.step(&Push { rendered: whole.as_ref(), ..push }, &[]);
        Ok((step, whole))
    };
    let panicked = |_| {
        let error = "the connector panicked on this lead: report it with the lead's uuid";
        Err(Failure::new(FailureClass::Mapping, error))
    };
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(panicked)
        .unwrap_or_else(|failure| (Step::Done(Outcome::Failed(failure)), None))
}

fn shown(canonical: Bytes, step: Step, whole: Option<Bytes>) -> v1::PreviewIntegrationResponse {
    let answer = v1::PreviewIntegrationResponse { canonical: canonical.into(), ..Default::default() };
    match step {
        Step::Call(call) => {
            let mut request = match call {
                Call::Http(request) => shown_request(request),
                Call::Mail(mail) => shown_mail(mail),
            };
            if let Some(whole) = whole {
                request.body = whole.into();
            }
            v1::PreviewIntegrationResponse { request: Some(request), ..answer }
        }
        // No first step of a push keeps an id or renews a token that no call has refused.
        Step::Keep(_) | Step::Renew => answer,
        Step::Done(Outcome::Delivered) => {
            v1::PreviewIntegrationResponse { outcome: "delivered".to_owned(), ..answer }
        }
        Step::Done(Outcome::Failed(failure)) => v1::PreviewIntegrationResponse {
            outcome: failure.class.as_str().to_owned(),
            error: failure.error,
            ..answer
        },
    }
}

fn shown_mail(mail: Mail) -> v1::PreviewRequest {
    let header = |name: &str, value: String| v1::Header { name: name.to_owned(), value };
    let from = std::iter::once(header("MAIL FROM", mail.from));
    v1::PreviewRequest {
        method: "SMTP".to_owned(),
        url: format!("smtp://{}:{}", mail.host, mail.port),
        headers: from.chain(mail.to.into_iter().map(|to| header("RCPT TO", to))).collect(),
        body: mail.message.into(),
    }
}

/// The request with its credentials shortened, as attempts show it.
fn shown_request(call: connectors::Request) -> v1::PreviewRequest {
    let header = |header: &connectors::RequestHeader| {
        let value = String::from_utf8_lossy(header.value.as_bytes());
        let value = if header.secret { shorten(&value) } else { value.into_owned() };
        v1::Header { name: header.name.to_string(), value }
    };
    v1::PreviewRequest {
        method: call.method.to_string(),
        url: call.shown_url,
        headers: call.headers.iter().map(header).collect(),
        body: call.body.into(),
    }
}
