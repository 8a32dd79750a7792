//! Carrying out one attempt: the connector's push over the network, and what is written of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    integration_cache::PreparedIntegration, membership::DaemonLease, person_lock::PersonLock,
    pusher::settled, scrub::Secrets,
};
use crate::{
    connectors::{
        self, Answer as CallAnswer, Call, Driven, Ids, Login, Mail, Push, Report, Request, Response, Token,
        Transport, drive, log_in,
    },
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
    /// The lease ran out while it waited for its turn: nothing was sent, and another daemon may have it.
    pub(super) is_void: bool,
}

impl AttemptResult {
    /// A failure before anything was sent.
    pub(super) fn nothing(failure: Failure) -> Self {
        Self::without_call(Outcome::Failed(failure))
    }

    /// What needed no call.
    pub(super) fn without_call(outcome: Outcome) -> Self {
        Self { outcome, took: Duration::ZERO, sent: None, answer: None, body: None, is_void: false }
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
    /// The lease under which it may be pushed, and the daemon id that claimed it; none for what was not claimed.
    pub(super) lease: Option<(&'a DaemonLease, i64)>,
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
    let prepared = match (&ready.prepared, ready.quota.spent()) {
        (Err(failure), _) => return AttemptResult::nothing(failure.clone()),
        (Ok(_), Some(failure)) => return AttemptResult::nothing(failure),
        (Ok(prepared), None) => prepared.as_ref(),
    };
    let same: Vec<String> =
        past.tried.iter().filter(|tried| tried.is_same).map(|tried| tried.id.to_string()).collect();
    let began = past.tried.iter().map(|tried| tried.created_at.div_euclid(1_000_000));
    let push = Push {
        id: request.id,
        event: request.event,
        body: request.body,
        rendered: request.rendered,
        is_repeat: request.is_repeat || !past.tried.is_empty(),
        same: &same,
        since: began.chain([request.created_at]).min().unwrap_or(request.created_at),
        ids: &past.ids,
        now: request.now,
    };
    let lead = request.of.map(|(lead, _)| lead).filter(|_| prepared.keeps_ids());
    let keep = lead.map(|lead| Keep { store, lead, past: &past });
    let mut network = Network::new(client, ready, request.now, PUSH_CAP, keep);
    network.lease = request.lease;
    let Driven { outcome, rendered } = drive(prepared, &mut network, push).await;
    let body = rendered.or_else(|| network.made.iter().find_map(Exchange::open_body));
    network.tried(outcome, started.elapsed(), body)
}

/// Takes a look at the target that pushes no lead. None if there is nothing to look at.
pub(super) async fn probe(
    client: &Client,
    ready: &PreparedIntegration,
    kind: ProbeKind,
    now: i64,
) -> Option<(AttemptResult, Report)> {
    let started = Instant::now();
    let mut network = Network::new(client, ready, now, PROBE_CAP, None);
    let report = match &ready.prepared {
        Err(failure) => {
            let outcome = Outcome::Failed(failure.clone());
            Report { outcome, account: None, findings: Vec::new() }
        }
        Ok(prepared) => connectors::probe(prepared.as_ref(), &mut network, kind, now).await?,
    };
    Some((network.tried(report.outcome.clone(), started.elapsed(), None), report))
}

/// Where ids are kept.
#[derive(Clone, Copy)]
struct Keep<'a> {
    store: &'a Store,
    lead: LeadId,
    past: &'a Past,
}

/// A call that was made.
struct Exchange {
    call: Call,
    answer: CallAnswer,
}

impl Exchange {
    /// What was sent, unless it holds credentials.
    fn open_body(&self) -> Option<Bytes> {
        match &self.call {
            Call::Http(request) if !request.is_secret => Some(request.body.clone()),
            _ => None,
        }
    }
}

/// The network as the connector of one attempt sees it.
struct Network<'a> {
    client: &'a Client,
    ready: &'a PreparedIntegration,
    now: i64,
    cap: usize,
    keep: Option<Keep<'a>>,
    made: Vec<Exchange>,
    person: Option<PersonLock>,
    lease: Option<(&'a DaemonLease, i64)>,
    is_void: bool,
}

impl<'a> Network<'a> {
    fn new(
        client: &'a Client,
        ready: &'a PreparedIntegration,
        now: i64,
        cap: usize,
        keep: Option<Keep<'a>>,
    ) -> Self {
        Self { client, ready, now, cap, keep, made: Vec::new(), person: None, lease: None, is_void: false }
    }

    fn tried(mut self, outcome: Outcome, took: Duration, body: Option<Bytes>) -> AttemptResult {
        let mut last = self.made.pop();
        // What a login answers with success may hold a token, also where it cannot be read.
        if let Some(Exchange { call: Call::Http(request), answer: Ok(response) }) = &mut last
            && request.is_secret
            && response.is_good()
        {
            response.body = Bytes::new();
        }
        let secrets = last.as_ref().map(|exchange| Secrets::of(&exchange.call)).unwrap_or_default();
        let sent = last.as_ref().map(|exchange| sent(&exchange.call));
        let answer = last.and_then(|exchange| exchange.answer.ok()).map(|it| answer(secrets.scrub(it)));
        let outcome = secrets.scrub_outcome(outcome);
        AttemptResult { outcome, took, sent, answer, body, is_void: self.is_void }
    }
}

#[async_trait]
impl Transport for Network<'_> {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        let turn = self.ready.quota.turn().await;
        // It may have waited for its turn, or for another push of the same person, for longer than the lease is trusted.
        if self.made.is_empty() && self.lease.is_some_and(|(lease, daemon)| !lease.may_push(daemon)) {
            self.is_void = true;
            return Err(Failure::new(FailureClass::Transient, "nothing was sent: the lease ran out"));
        }
        let answer = self.client.call(&self.ready.pool, call, self.ready.policy.timeout, self.cap).await;
        drop(turn);
        if let (Ok(response), Ok(prepared)) = (&answer, &self.ready.prepared)
            && response.is_good()
            && !call.is_secret()
        {
            self.ready.quota.rest(prepared.spent(response));
        }
        self.made.push(Exchange { call: call.clone(), answer: answer.clone() });
        Ok(answer)
    }

    async fn keep(&mut self, ids: &Ids) -> Result<(), Failure> {
        let Some(Keep { store, lead, past }) = self.keep else { return Ok(()) };
        let integration = &self.ready.integration;
        loop {
            let kept = store.keep_vendor_ids(integration.company, integration.id, lead, past.from, ids).await;
            if let Some(answer) = settled(kept).await {
                return answer.map_err(|error| unkept(&error));
            }
        }
    }

    async fn token(
        &mut self,
        login: &dyn Login,
        refused: Option<&Arc<Token>>,
    ) -> Result<Arc<Token>, Failure> {
        let (ready, now) = (self.ready, self.now);
        let get = log_in(self, login, now);
        ready.session.token(ready.integration.version, refused, now, get).await
    }

    async fn lock_person(&mut self, person: &str) -> bool {
        // One who is locked already is let go first.
        self.person = None;
        self.person.insert(self.ready.quota.people.alone(person).await).recently_pushed()
    }
}

pub(super) fn unkept(error: &Error) -> Failure {
    let message = format!("what the target calls this lead's things cannot be read or kept: {error}");
    Failure::new(FailureClass::Transient, message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dispatch::pusher::Pusher, store::queue::claim::Claimed};

    /// How large the future is that a function returns.
    fn future_size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_push_is_small() {
        type Inputs = (&'static Client, &'static Store, &'static PreparedIntegration, PushRequest<'static>);
        let own = future_size(|(client, store, ready, request): Inputs| {
            attempt(client, store, ready, request, Past::default())
        });
        let whole = future_size(|(pusher, item): (&'static Pusher, Claimed)| pusher.push(item));
        // Each push copies it several times before it runs: what is rare or large is boxed.
        assert!(own <= 1536 && whole <= 6144, "an attempt takes {own} bytes, a push {whole}");
    }
}
