//! Carrying out one attempt: step, call, step, until the connector has an outcome.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    integration_cache::PreparedIntegration, person_lock::PersonLock, pusher::settled, scrub::Secrets,
};
use crate::{
    connectors::{Call, Exchange, Mail, Prepared, ProbeStep, Push, Report, Request, Response, Step, Token},
    domain::{
        ids::{DeliveryId, LeadId},
        integration::{EventKind, ProbeKind},
        outcome::{Failure, FailureClass, Outcome},
    },
    push::{Client, PROBE_CAP, PUSH_CAP},
    store::{
        Error, Store,
        delivery::vendor_id::Past,
        queue::finish::{Answer, Sent},
    },
};

/// No connector needs so many calls; one that loops is stopped.
const STEPS_MAX: usize = 32;
/// How much of a response is kept.
const KEPT_MAX: usize = 4096;
/// How many headers of a response, and how much of each, are kept.
const HEADERS_MAX: usize = 64;
const HEADER_MAX: usize = 1024;

/// What an attempt came to, fit to be stored.
#[derive(Debug)]
pub(super) struct AttemptResult {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) sent: Option<Sent>,
    pub(super) answer: Option<Answer>,
    /// What every repeat is made from: what was rendered, or the body of the one request.
    pub(super) body: Option<Bytes>,
}

impl AttemptResult {
    /// A failure before anything was sent.
    pub(super) fn nothing(failure: Failure) -> Self {
        Self::without_call(Outcome::Failed(failure))
    }

    /// What needed no call.
    pub(super) fn without_call(outcome: Outcome) -> Self {
        Self { outcome, took: Duration::ZERO, sent: None, answer: None, body: None }
    }
}

/// What is to be pushed, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PushRequest<'a> {
    /// The delivery's id, or a test's attempt id.
    pub(super) id: &'a str,
    /// What is pushed of whom; none for a test.
    pub(super) of: Option<(LeadId, DeliveryId)>,
    pub(super) event: EventKind,
    pub(super) body: &'a Bytes,
    pub(super) rendered: Option<&'a Bytes>,
    pub(super) is_repeat: bool,
    /// When the delivery came to be, in seconds since 1970.
    pub(super) created_at: i64,
    /// Seconds since 1970, by the database's clock.
    pub(super) now: i64,
}

/// Pushes once. Whatever the connector does, this ends: each call within the integration's timeout, or shortly after.
pub(super) async fn attempt(
    client: &Client,
    store: &Store,
    ready: &PreparedIntegration,
    request: PushRequest<'_>,
    past: Past,
) -> AttemptResult {
    let started = Instant::now();
    let mut calls = Calls::new(client, ready, request.now, PUSH_CAP);
    let mut rendered = None;
    let outcome = match (&ready.prepared, ready.quota.spent()) {
        (Err(failure), _) => Err(failure.clone()),
        (Ok(_), Some(failure)) => Err(failure),
        (Ok(prepared), None) => {
            push(&mut calls, store, prepared.as_ref(), request, past, &mut rendered).await
        }
    };
    let body = rendered.or_else(|| match calls.made.first().map(|exchange| &exchange.call) {
        Some(Call::Http(request)) if !request.is_secret => Some(request.body.clone()),
        _ => None,
    });
    calls.tried(outcome.unwrap_or_else(Outcome::Failed), started.elapsed(), body)
}

/// Takes a look at the target that pushes no lead. None if there is nothing to look at.
pub(super) async fn probe(
    client: &Client,
    ready: &PreparedIntegration,
    kind: ProbeKind,
    now: i64,
) -> Option<(AttemptResult, Report)> {
    let started = Instant::now();
    let mut calls = Calls::new(client, ready, now, PROBE_CAP);
    let report = match &ready.prepared {
        Err(failure) => Err(failure.clone()),
        Ok(prepared) => look(&mut calls, prepared.as_ref(), kind).await.transpose()?,
    };
    let report = report.unwrap_or_else(|failure| Report {
        outcome: Outcome::Failed(failure),
        account: None,
        findings: Vec::new(),
    });
    Some((calls.tried(report.outcome.clone(), started.elapsed(), None), report))
}

async fn push(
    calls: &mut Calls<'_>,
    store: &Store,
    prepared: &dyn Prepared,
    request: PushRequest<'_>,
    mut past: Past,
    rendered: &mut Option<Bytes>,
) -> Result<Outcome, Failure> {
    let integration = &calls.ready.integration;
    let kept = request.of.filter(|_| prepared.keeps_ids());
    let same: Vec<String> =
        past.tried.iter().filter(|tried| tried.is_same).map(|tried| tried.id.to_string()).collect();
    let began = past.tried.iter().map(|tried| tried.created_at.div_euclid(1_000_000));
    let since = began.chain([request.created_at]).min().unwrap_or(request.created_at);
    calls.log_in(prepared, None).await?;
    let mut alone: Option<PersonLock> = None;
    loop {
        let token = calls.token.clone();
        let push = Push {
            id: request.id,
            event: request.event,
            body: request.body,
            rendered: request.rendered.or(rendered.as_ref()),
            is_repeat: request.is_repeat || !past.tried.is_empty(),
            recently_pushed: alone.as_ref().is_some_and(PersonLock::recently_pushed),
            same: &same,
            since,
            ids: &past.ids,
            token: token.as_deref(),
            now: request.now,
        };
        if push.rendered.is_none()
            && let Some(whole) = guarded(|| prepared.render(&push))??
        {
            *rendered = Some(whole);
            continue;
        }
        if alone.is_none()
            && let Some(person) = guarded(|| prepared.person(&push))?
        {
            alone = Some(calls.ready.quota.people.alone(&person).await);
            continue;
        }
        match guarded(|| prepared.step(&push, &calls.made))? {
            Step::Done(outcome) => return Ok(outcome),
            Step::Call(call) => calls.make(prepared, call).await?,
            Step::Renew => calls.renew(prepared).await?,
            Step::Keep(more) => {
                calls.count()?;
                while let Some((lead, _)) = kept {
                    let kept = store
                        .keep_vendor_ids(integration.company, integration.id, lead, past.from, &more)
                        .await;
                    if let Some(answer) = settled(kept).await {
                        answer.map_err(|error| unkept(&error))?;
                        break;
                    }
                }
                past.ids.extend(more);
            }
        }
    }
}

async fn look(
    calls: &mut Calls<'_>,
    prepared: &dyn Prepared,
    kind: ProbeKind,
) -> Result<Option<Report>, Failure> {
    calls.log_in(prepared, None).await?;
    loop {
        let token = calls.token.clone();
        let probe = crate::connectors::Probe { kind, token: token.as_deref(), now: calls.now };
        match guarded(|| prepared.probe(&probe, &calls.made))? {
            ProbeStep::Sample => return Ok(None),
            ProbeStep::Done(report) => return Ok(Some(report)),
            ProbeStep::Call(call) => calls.make(prepared, call).await?,
            ProbeStep::Renew => calls.renew(prepared).await?,
        }
    }
}

/// The calls of one attempt.
struct Calls<'a> {
    client: &'a Client,
    ready: &'a PreparedIntegration,
    now: i64,
    cap: usize,
    made: Vec<Exchange>,
    steps: usize,
    token: Option<Arc<Token>>,
    /// How many calls had been let in when the token was last replaced.
    renewed_after: Option<usize>,
    /// The login that failed: it is what is shown then.
    refused: Option<Exchange>,
}

impl<'a> Calls<'a> {
    fn new(client: &'a Client, ready: &'a PreparedIntegration, now: i64, cap: usize) -> Self {
        Self {
            client,
            ready,
            now,
            cap,
            made: Vec::new(),
            steps: 0,
            token: None,
            renewed_after: None,
            refused: None,
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let error = format!("the push did not end within {STEPS_MAX} calls");
            return Err(Failure::new(FailureClass::Mapping, error));
        }
        Ok(())
    }

    async fn make(&mut self, prepared: &dyn Prepared, call: Call) -> Result<(), Failure> {
        self.count()?;
        let turn = self.ready.quota.turn().await;
        let answer = self.client.call(&call, self.ready.policy.timeout, self.cap).await;
        drop(turn);
        if let Ok(response) = &answer
            && (200..300).contains(&response.status)
        {
            self.ready.quota.rest(guarded(|| prepared.spent(response))?);
        }
        self.made.push(Exchange { call, answer });
        Ok(())
    }

    /// The token that the target has just refused is replaced. A fresh one that is refused at once is the login's fault.
    async fn renew(&mut self, prepared: &dyn Prepared) -> Result<(), Failure> {
        self.count()?;
        let accepted = self.made.len().saturating_sub(1);
        if self.renewed_after == Some(accepted) {
            let error = self.made.last().map(crate::connectors::reading::summary).unwrap_or_default();
            return Err(Failure::new(
                FailureClass::Credentials,
                format!("refused with a fresh token too: {error}"),
            ));
        }
        self.renewed_after = Some(accepted);
        let refused = self.token.take();
        self.log_in(prepared, refused.as_ref()).await?;
        self.made.pop();
        Ok(())
    }

    async fn log_in(&mut self, prepared: &dyn Prepared, refused: Option<&Arc<Token>>) -> Result<(), Failure> {
        let Some(login) = guarded(|| prepared.login(self.now))? else { return Ok(()) };
        let (client, ready, now) = (self.client, self.ready, self.now);
        let mut failed = None;
        let get = async {
            let call = Call::Http(login?);
            let turn = ready.quota.turn().await;
            let answer = client.call(&call, ready.policy.timeout, PUSH_CAP).await;
            drop(turn);
            let exchange = Exchange { call, answer };
            // Whatever became of the login, nothing of the lead has left.
            let token = guarded(|| prepared.token(&exchange, now))?.map_err(|failure| match failure.class {
                FailureClass::Unknown => Failure { class: FailureClass::Transient, ..failure },
                _ => failure,
            });
            if token.is_err() {
                failed = Some(exchange);
            }
            token
        };
        let token = ready.session.token(ready.integration.version, refused, now, get).await;
        self.refused = failed;
        self.token = Some(token?);
        Ok(())
    }

    fn tried(mut self, outcome: Outcome, took: Duration, body: Option<Bytes>) -> AttemptResult {
        let mut last = self.refused.take().or_else(|| self.made.pop());
        // What a login answers with success may hold a token, also where it cannot be read.
        if let Some(Exchange { call: Call::Http(request), answer: Ok(response) }) = &mut last
            && request.is_secret
            && (200..300).contains(&response.status)
        {
            response.body = Bytes::new();
        }
        let secrets = last.as_ref().map(|exchange| Secrets::of(&exchange.call)).unwrap_or_default();
        let sent = last.as_ref().map(|exchange| sent(&exchange.call));
        let answer = last.and_then(|exchange| exchange.answer.ok()).map(|it| answer(secrets.scrub(it)));
        let outcome = secrets.scrub_outcome(outcome);
        AttemptResult { outcome, took, sent, answer, body }
    }
}

pub(super) fn unkept(error: &Error) -> Failure {
    let message = format!("what the target calls this lead's things cannot be read or kept: {error}");
    Failure::new(FailureClass::Transient, message)
}

/// A panic in a connector is that push's failure and nobody else's.
fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|_| {
        Failure::new(
            FailureClass::Mapping,
            "the connector panicked on this lead: report it with the lead's uuid",
        )
    })
}

fn sent(call: &Call) -> Sent {
    match call {
        Call::Http(request) => sent_request(request),
        Call::Mail(mail) => sent_mail(mail),
    }
}

fn sent_mail(mail: &Mail) -> Sent {
    let headers: Vec<(&str, String)> = std::iter::once(("MAIL FROM", mail.from.clone()))
        .chain(mail.to.iter().map(|to| ("RCPT TO", to.clone())))
        .collect();
    Sent {
        method: "SMTP".to_owned(),
        url: format!("smtp://{}:{}", mail.host, mail.port),
        headers: json(&headers),
        secret_version: None,
    }
}

fn sent_request(request: &Request) -> Sent {
    let headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.as_bytes());
            (header.name.as_str(), if header.secret { shorten(&value) } else { value.into_owned() })
        })
        .collect();
    Sent {
        method: request.method.to_string(),
        url: request.shown_url.clone(),
        headers: json(&headers),
        secret_version: request.secret_version,
    }
}

fn answer(response: Response) -> Answer {
    let headers: Vec<(&str, String)> = response
        .headers
        .iter()
        .take(HEADERS_MAX)
        .map(|(name, value)| (name.as_str(), value.chars().filter(|c| *c != '\0').take(HEADER_MAX).collect()))
        .collect();
    Answer {
        status: i16::try_from(response.status).unwrap_or(i16::MAX),
        headers: json(&headers),
        body_bytes: i64::try_from(response.body.len()).unwrap_or(i64::MAX),
        body: Bytes::copy_from_slice(&response.body[..response.body.len().min(KEPT_MAX)]),
    }
}

/// A credential as it is shown: enough to tell two apart, too little to use.
fn shorten(value: &str) -> String {
    let tail: Vec<char> = value.chars().rev().take(4).collect();
    if value.chars().count() < 12 {
        "••••".to_owned()
    } else {
        format!("••••{}", tail.iter().rev().collect::<String>())
    }
}

fn json(pairs: &[(&str, String)]) -> String {
    serde_json::Value::from_iter(pairs.iter().map(|(name, value)| serde_json::json!([name, value])))
        .to_string()
}
