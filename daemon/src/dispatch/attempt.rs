//! Carrying out one attempt: the connector's push over the network, and what is written of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;

use super::{
    integration_cache::PreparedIntegration,
    membership::DaemonLease,
    person_lock::PersonLock,
    pusher::{cannot_be_loaded, settled},
    scrub::Secrets,
    traced::traced,
};
use crate::{
    connectors::{
        self, Answer as CallAnswer, Call, Driven, Ids, Login, Push, Report, RequestHeader, Response, Token,
        Transport, drive, log_in,
    },
    domain::{
        ids::{DeliveryId, LeadId},
        integration::{EventKind, ProbeKind},
        moment::Moment,
        outcome::{Failure, FailureClass, Outcome},
        trace::TraceContext,
    },
    push::{Client, PROBE_CAP, PUSH_CAP},
    store::{
        Error, Store,
        delivery::{calls::CallRecord, vendor_id::Past},
        queue::finish::{AttemptResult, KeptResponse, Sent},
    },
    telemetry::Traces,
};

/// How much of a response is kept.
const KEPT_MAX: usize = 4096;
/// How much is kept of what was sent, where a push takes several calls.
const SENT_MAX: usize = 16 * 1024;
/// How long a push waits for the login of another integration or daemon, and how often it looks.
const REFRESH_WAIT: Duration = Duration::from_secs(70);
const REFRESH_AGAIN: Duration = Duration::from_millis(250);
/// How many headers of a response, and how much of each, are kept.
const HEADERS_MAX: usize = 64;
const HEADER_MAX: usize = 1024;

/// What is to be pushed, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct PushRequest {
    /// The delivery's id, or a test's attempt id.
    pub(super) id: String,
    /// What is pushed of whom; none for a test.
    pub(super) of: Option<(LeadId, DeliveryId)>,
    pub(super) event: EventKind,
    pub(super) body: Bytes,
    pub(super) rendered: Option<Bytes>,
    pub(super) is_repeat: bool,
    /// When the delivery came to be.
    pub(super) created_at: Moment,
    pub(super) now: Moment,
    /// The lease under which it may be pushed, and the daemon id that claimed it; none for what was not claimed.
    pub(super) lease: Option<(Arc<DaemonLease>, i64)>,
    /// What makes spans, and the attempt's own; none if it is not traced.
    pub(super) trace: Option<(Traces, TraceContext)>,
}

impl PushRequest {
    /// What nobody claimed: it is pushed under no lease, and of no lead.
    pub(super) fn unclaimed(id: String, event: EventKind, body: Bytes, now: Moment) -> Self {
        Self {
            id,
            of: None,
            event,
            body,
            rendered: None,
            is_repeat: false,
            created_at: now,
            now,
            lease: None,
            trace: None,
        }
    }
}

/// Pushes once. Whatever the connector does, this ends: each call within the integration's timeout, or shortly after.
/// Beside the async workers a call begins a step of its own, so that what is given up while it renders is not sent.
/// None if the lease ran out while it waited for its turn: nothing was sent, and another daemon may have it.
pub(super) async fn attempt(
    client: &Client,
    store: &Store,
    ready: &PreparedIntegration,
    request: PushRequest,
    past: Past,
    is_beside: bool,
) -> Option<AttemptResult> {
    let started = Instant::now();
    let prepared = match (&ready.prepared, ready.quota.spent()) {
        (Err(failure), _) => return Some(AttemptResult::nothing(failure.clone())),
        (Ok(_), Some(failure)) => return Some(AttemptResult::nothing(failure)),
        (Ok(prepared), None) => prepared.as_ref(),
    };
    let same: Vec<String> =
        past.tried.iter().filter(|tried| tried.is_same).map(|tried| tried.id.to_string()).collect();
    let began = past.tried.iter().map(|tried| tried.created_at);
    let push = Push {
        id: &request.id,
        event: request.event,
        body: &request.body,
        rendered: request.rendered.as_ref(),
        is_repeat: request.is_repeat || !past.tried.is_empty(),
        same: &same,
        since: began.chain([request.created_at]).min().unwrap_or(request.created_at),
        ids: &past.ids,
        before: past.before.as_ref(),
        telling: &ready.integration.telling,
        now: request.now,
    };
    let lead = request.of.map(|(lead, _)| lead).filter(|_| prepared.abilities().keeps_ids);
    let keep = lead.map(|lead| IdKeeper { lead, past: &past });
    let mut network = Network::new(client, store, ready, request.now, PUSH_CAP, keep);
    network.lease = request.lease.as_ref().map(|(lease, daemon)| (&**lease, *daemon));
    network.is_beside = is_beside;
    network.trace = request.trace.as_ref();
    let Driven { outcome, rendered, note } = Box::pin(drive(prepared, &mut network, push)).await;
    if network.is_void {
        return None;
    }
    // What was kept stays, unless nobody could read it any more.
    let is_kept = request.rendered.is_some() && rendered.is_none();
    let body = rendered.or_else(|| network.made.iter().find_map(Exchange::open_body));
    let mut result = network.tried(outcome, started.elapsed(), body);
    if is_kept {
        result.body = None;
    }
    Some(AttemptResult { note, ..result })
}

/// Why nothing was sent for which this daemon is not trusted any more.
pub(super) fn lease_ran_out() -> Failure {
    Failure::new(FailureClass::Transient, "nothing was sent: the lease ran out")
}

/// Takes a look at the target that pushes no lead. None if there is nothing to look at.
pub(super) async fn probe(
    client: &Client,
    store: &Store,
    ready: &PreparedIntegration,
    kind: ProbeKind,
    now: Moment,
) -> Option<(AttemptResult, Report)> {
    let started = Instant::now();
    let mut network = Network::new(client, store, ready, now, PROBE_CAP, None);
    let report = match &ready.prepared {
        Err(failure) => Report::failed(failure.clone()),
        Ok(prepared) => connectors::probe(prepared.as_ref(), &mut network, kind, now).await?,
    };
    Some((network.tried(report.outcome.clone(), started.elapsed(), None), report))
}

/// Where ids are kept.
#[derive(Clone, Copy)]
struct IdKeeper<'a> {
    lead: LeadId,
    past: &'a Past,
}

/// A call that was made.
struct Exchange {
    call: Call,
    answer: CallAnswer,
    /// From the start of the attempt to that of the call.
    after: Duration,
    took: Duration,
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
    store: &'a Store,
    ready: &'a PreparedIntegration,
    now: Moment,
    cap: usize,
    keep: Option<IdKeeper<'a>>,
    began: Instant,
    made: Vec<Exchange>,
    person: Option<PersonLock>,
    lease: Option<(&'a DaemonLease, i64)>,
    is_beside: bool,
    is_void: bool,
    trace: Option<&'a (Traces, TraceContext)>,
}

impl<'a> Network<'a> {
    fn new(
        client: &'a Client,
        store: &'a Store,
        ready: &'a PreparedIntegration,
        now: Moment,
        cap: usize,
        keep: Option<IdKeeper<'a>>,
    ) -> Self {
        Self {
            client,
            store,
            ready,
            now,
            cap,
            keep,
            began: Instant::now(),
            made: Vec::new(),
            person: None,
            lease: None,
            is_beside: false,
            is_void: false,
            trace: None,
        }
    }

    fn tried(mut self, outcome: Outcome, took: Duration, body: Option<Bytes>) -> AttemptResult {
        let secrets = Secrets::of_all(self.made.iter().map(|exchange| &exchange.call));
        for exchange in &mut self.made {
            // What a login answers with success may hold a token, also where it cannot be read.
            if let Ok(response) = &mut exchange.answer
                && exchange.call.is_secret()
                && response.is_good()
            {
                response.body = Bytes::new();
            }
            if let Ok(response) = &mut exchange.answer {
                secrets.scrub(response);
            }
        }
        let is_plain = match &self.made[..] {
            [] => true,
            [only] => only.open_body().unwrap_or_default() == body.clone().unwrap_or_default(),
            _ => false,
        };
        let calls =
            if is_plain { Vec::new() } else { self.made.iter().map(|it| record(it, &secrets)).collect() };
        let last = self.made.pop();
        let sent = last.as_ref().map(|exchange| sent(&exchange.call));
        let answer = last.and_then(|exchange| exchange.answer.ok()).map(answer);
        let outcome = secrets.scrub_outcome(outcome);
        AttemptResult { outcome, took, sent, answer, calls, note: None, body }
    }
}

#[async_trait]
impl Transport for Network<'_> {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        if self.is_beside {
            tokio::task::yield_now().await;
        }
        let turn = self.ready.quota.turn().await;
        // It may have waited for its turn, or for another push of the same person, for longer than the lease is trusted.
        if self.made.is_empty() && self.lease.is_some_and(|(lease, daemon)| !lease.may_push(daemon)) {
            self.is_void = true;
            return Err(lease_ran_out());
        }
        let (after, started) = (self.began.elapsed(), Instant::now());
        let (mut span, call) = traced(self.trace, call);
        let answer = self.client.call(&self.ready.pool, &call, self.ready.time_for(&call), self.cap).await;
        drop(turn);
        if let (Ok(response), Ok(prepared)) = (&answer, &self.ready.prepared)
            && response.is_good()
            && !call.is_secret()
        {
            self.ready.quota.rest(prepared.spent(response));
        }
        match &answer {
            Ok(response) => span.set("http.response.status_code", i64::from(response.status)),
            Err(_) => span.fail("no_answer"),
        }
        drop(span);
        let took = started.elapsed();
        self.made.push(Exchange { call, answer: answer.clone(), after, took });
        Ok(answer)
    }

    async fn keep(&mut self, ids: &Ids) -> Result<(), Failure> {
        let Some(IdKeeper { lead, past }) = self.keep else { return Ok(()) };
        loop {
            let kept = self.store.keep_vendor_ids(self.ready.integration.lane(), lead, past.from, ids).await;
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
        let get = async {
            let got = log_in(self, login, now).await;
            // Those who wait for it have made no call, and would not know what to take out.
            let calls = self.made.iter().map(|exchange| &exchange.call);
            got.map_err(|failure| Secrets::of_all(calls).scrub_failure(failure))
        };
        ready.session.token(refused, now, get).await
    }

    async fn begin_refresh(&mut self, own: &SecretString) -> Result<SecretString, Failure> {
        let until = Instant::now() + REFRESH_WAIT;
        loop {
            let begun = self.store.begin_refresh(self.ready.integration.lane(), own).await;
            match settled(begun).await {
                Some(Ok(Some(newest))) => return Ok(newest),
                Some(Ok(None)) if Instant::now() < until => tokio::time::sleep(REFRESH_AGAIN).await,
                Some(Ok(None)) => {
                    let error = "another login to this target does not end";
                    return Err(Failure::new(FailureClass::Transient, error));
                }
                Some(Err(error)) => return Err(cannot_be_loaded(&error)),
                None => {}
            }
        }
    }

    async fn end_refresh(&mut self, own: &SecretString, given: Option<&SecretString>) -> Result<(), Failure> {
        loop {
            let ended = self.store.end_refresh(self.ready.integration.lane(), own, given).await;
            if let Some(answer) = settled(ended).await {
                return answer.map_err(|error| cannot_be_loaded(&error));
            }
        }
    }

    async fn lock_person(&mut self, person: &str) -> bool {
        // One who is locked already is let go first.
        self.person = None;
        self.person.insert(self.ready.quota.people.alone(person).await).recently_pushed()
    }

    fn last_made(&mut self) -> Option<&mut serde_json::Value> {
        self.person.as_mut().map(PersonLock::made)
    }
}

pub(super) fn unkept(error: &Error) -> Failure {
    let message = format!("what the target calls this lead's things cannot be read or kept: {error}");
    Failure::new(FailureClass::Transient, message)
}

/// A call as it is kept.
fn record(exchange: &Exchange, secrets: &Secrets) -> CallRecord {
    let sent = headers_and_place(&exchange.call);
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let whole = match &exchange.call {
        Call::Http(request) if request.is_secret => b"",
        Call::Http(request) => &request.body[..],
        Call::Mail(mail) => &mail.message[..],
    };
    let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let response = exchange.answer.as_ref().ok();
    let error = exchange.answer.as_ref().err().map(|error| secrets.scrub_text(&error.message));
    CallRecord {
        method: sent.method,
        url: sent.url,
        request_headers: sent.headers,
        request_body: (!exchange.call.is_secret()).then(|| text(whole, SENT_MAX)),
        request_bytes: count(whole.len()),
        response_bytes: response.map_or(0, |response| count(response.body.len())),
        status: response.map(|response| response.status),
        response_headers: response.map(kept_headers).unwrap_or_default(),
        response_body: response.map(|response| text(&response.body, KEPT_MAX)),
        after_ms: millis(exchange.after),
        duration_ms: millis(exchange.took),
        error,
    }
}

/// The beginning of a body as text that JSON in a database can hold; no character is cut in two.
fn text(body: &[u8], max: usize) -> String {
    let is_end = |at: &usize| body.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let end = (0..=body.len().min(max)).rev().find(is_end).unwrap_or_default();
    String::from_utf8_lossy(&body[..end]).replace('\0', "\u{fffd}")
}

fn sent(call: &Call) -> Sent {
    let CallHead { method, url, headers } = headers_and_place(call);
    let secret_version = match call {
        Call::Http(request) => request.secret_version,
        Call::Mail(_) => None,
    };
    Sent { method, url, headers: json(&headers), secret_version }
}

/// Where a call goes, and its headers, credentials shortened.
struct CallHead {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
}

fn headers_and_place(call: &Call) -> CallHead {
    match call {
        Call::Http(request) => {
            let header = |header: &RequestHeader| {
                let value = String::from_utf8_lossy(header.value.as_bytes());
                let value = if header.secret { shorten(&value) } else { value.into_owned() };
                (header.name.to_string(), value)
            };
            let headers = request.headers.iter().map(header).collect();
            CallHead { method: request.method.to_string(), url: request.shown_url.clone(), headers }
        }
        Call::Mail(mail) => {
            let to = mail.to.iter().map(|to| ("RCPT TO".to_owned(), to.clone()));
            let headers = std::iter::once(("MAIL FROM".to_owned(), mail.from.clone())).chain(to).collect();
            CallHead {
                method: "SMTP".to_owned(),
                url: format!("smtp://{}:{}", mail.host, mail.port),
                headers,
            }
        }
    }
}

fn kept_headers(response: &Response) -> Vec<(String, String)> {
    let kept = response.headers.iter().take(HEADERS_MAX);
    kept.map(|(name, value)| (name.clone(), value.chars().filter(|c| *c != '\0').take(HEADER_MAX).collect()))
        .collect()
}

fn answer(response: Response) -> KeptResponse {
    KeptResponse {
        status: i16::try_from(response.status).unwrap_or(i16::MAX),
        headers: json(&kept_headers(&response)),
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

/// An array of pairs.
fn json(pairs: &[(String, String)]) -> String {
    serde_json::json!(pairs).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dispatch::pusher::Pusher, store::queue::claim::Claimed};

    #[test]
    fn what_is_kept_of_a_body_ends_with_a_whole_character() {
        for (body, max, kept) in [
            ("short", 16, "short"),
            ("caf\u{e9}s", 4, "caf"),
            ("caf\u{e9}s", 5, "caf\u{e9}"),
            ("\u{1f492}\u{1f492}", 7, "\u{1f492}"),
            ("a\0b", 16, "a\u{fffd}b"),
            ("", 16, ""),
        ] {
            assert_eq!(text(body.as_bytes(), max), kept, "{body:?}");
        }
    }

    /// How large the future is that a function returns.
    fn future_size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_push_is_small() {
        type Inputs = (&'static Client, &'static Store, &'static PreparedIntegration, PushRequest);
        let own = future_size(|(client, store, ready, request): Inputs| {
            attempt(client, store, ready, request, Past::default(), false)
        });
        let whole = future_size(|(pusher, item): (&'static Pusher, Claimed)| pusher.push(item));
        // Each push copies it several times before it runs: what is rare or large is boxed.
        assert!(own <= 1536 && whole <= 6144, "an attempt takes {own} bytes, a push {whole}");
    }
}
