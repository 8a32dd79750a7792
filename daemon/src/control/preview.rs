//! Previews: the first request of a push as its connector makes it, shown and not sent.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use leadline_proto::v1;
use tonic::{Request, Response};

use super::{Control, Reply, check, mutate, unchecked, words};
use crate::{
    connectors::{
        self, Answer as CallAnswer, Call, Connector, Driven, Ids, Login, Mail, Push, Token, Transport,
        config::shorten, drive,
    },
    domain::{
        ids::{AttemptId, CompanyId},
        integration::{EventKind, Integration},
        lead,
        outcome::{Failure, FailureClass, Outcome},
    },
    store::operator::command::Refusal,
};

impl Control {
    pub(super) async fn preview(
        &self,
        request: Request<v1::PreviewIntegrationRequest>,
    ) -> Reply<v1::PreviewIntegrationResponse> {
        let caller = mutate::caller(&request)?;
        let may_shape = caller.masked && caller.role > v1::Role::Viewer;
        let request = request.into_inner();
        if may_shape && !request.lead.is_empty() {
            Err(only_the_sample())?;
        }
        let lane = self.store.find_integration(None, &request.integration).await?;
        let company = lane.company;
        let integration = self.store.integration(lane).await?;
        let integration = integration.ok_or_else(|| Refusal::unknown("integration", lane.integration))?;
        let connector = check::connector(&integration.connector)?;
        let integration = self.as_asked(connector, integration, &request).await?;
        let kind = event(&request)?;
        let canonical = self.canonical(company, &integration, &request.lead, kind).await?;
        let brand = integration.brand.clone().unwrap_or_else(|| self.brand.clone());
        let body = canonical.clone();
        let push = async move { first_call(connector, &integration, &brand, kind, &body).await };
        let pushed = self.compute.drive(company, push.boxed()).await;
        let (call, driven) = pushed.map_err(|undone| unchecked(undone.error))?;
        Ok(Response::new(shown(canonical.clone(), call, driven)))
    }

    /// The integration with what the request puts in the place of what is saved. What is put there is checked as if it
    /// were saved.
    async fn as_asked(
        &self,
        connector: &'static dyn Connector,
        mut integration: Integration,
        request: &v1::PreviewIntegrationRequest,
    ) -> Result<Integration, Refusal> {
        if let Some(config) = &request.config {
            integration.config = check::object("config", config)?;
        }
        if let Some(mapping) = &request.mapping {
            integration.mapping = check::object("mapping", mapping)?;
        }
        if let Some(payload) = request.payload {
            integration.payload = check::payload(connector, payload)?.to_owned();
        }
        if request.config.is_some() || request.mapping.is_some() {
            let (checked, egress) = (integration.clone(), self.egress.clone());
            let brand = integration.brand.clone().unwrap_or_else(|| self.brand.clone());
            let check = move || connector.check(&checked.config, &checked.mapping, &egress, &brand);
            let problems = self.check_templates(integration.company, check).await?;
            if !problems.is_empty() {
                return check::invalid(connectors::joined(&problems));
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

/// Who may change a mapping has a preview say of masked people whatever they ask: a letter of a name by the form of a word.
fn only_the_sample() -> Refusal {
    Refusal::Invalid(
        "lead: people are masked for you, and a mapping of yours could tell who they are: preview the sample"
            .to_owned(),
    )
}

/// What happened, as far as the push is told.
fn event(request: &v1::PreviewIntegrationRequest) -> Result<EventKind, Refusal> {
    let usual = if request.lead.is_empty() { EventKind::Test } else { EventKind::Created };
    Ok(words::read_event(request.event)?.unwrap_or(usual))
}

/// Stands where the network would: it takes the first call down, and ends the push there. Nothing is asked of the target,
/// not even a token: the header that would carry it is shown shortened anyway.
#[derive(Default)]
struct Recorder(Option<Call>);

#[tonic::async_trait]
impl Transport for Recorder {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        self.0 = Some(call.clone());
        Err(Failure::new(FailureClass::Unknown, "a preview makes no call"))
    }

    async fn keep(&mut self, _ids: &Ids) -> Result<(), Failure> {
        Ok(())
    }

    async fn token(
        &mut self,
        _login: &dyn Login,
        _refused: Option<&Arc<Token>>,
    ) -> Result<Arc<Token>, Failure> {
        let secret = "a token that a login gives".into();
        Ok(Arc::new(Token { secret, expires_at: None, base: None, refresh: None, is_kept: false }))
    }

    async fn lock_person(&mut self, _person: &str) -> bool {
        false
    }
}

/// What a push would call first, and what it would come to without a call.
async fn first_call(
    connector: &dyn Connector,
    integration: &Integration,
    brand: &str,
    event: EventKind,
    body: &Bytes,
) -> (Option<Call>, Driven) {
    let prepared = match connector.prepare(integration, brand) {
        Ok(prepared) => prepared,
        Err(failure) => {
            return (None, Driven { outcome: Outcome::Failed(failure), rendered: None, note: None });
        }
    };
    let id = AttemptId::generate().to_string();
    let now = jiff::Timestamp::now().into();
    let push = Push {
        id: &id,
        event,
        body,
        rendered: None,
        is_repeat: false,
        same: &[],
        since: now,
        ids: &Ids::new(),
        before: None,
        telling: &integration.telling,
        now,
    };
    let mut recorder = Recorder::default();
    let driven = drive(prepared.as_ref(), &mut recorder, push).await;
    (recorder.0, driven)
}

fn shown(canonical: Bytes, call: Option<Call>, driven: Driven) -> v1::PreviewIntegrationResponse {
    let answer = v1::PreviewIntegrationResponse { canonical: canonical.into(), ..Default::default() };
    match (call, driven.outcome) {
        (Some(call), _) => {
            let mut request = match call {
                Call::Http(request) => shown_request(request),
                Call::Mail(mail) => shown_mail(mail),
            };
            if let Some(whole) = driven.rendered {
                request.body = whole.into();
            }
            v1::PreviewIntegrationResponse { request: Some(request), ..answer }
        }
        (None, Outcome::Delivered) => {
            v1::PreviewIntegrationResponse { outcome: v1::PreviewOutcome::Delivered.into(), ..answer }
        }
        (None, Outcome::Failed(failure)) => v1::PreviewIntegrationResponse {
            outcome: v1::PreviewOutcome::Failed.into(),
            failure_class: words::failure_class(failure.class).into(),
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
