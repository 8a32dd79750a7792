//! Carrying out one attempt: the connector's push over the network, and what is written of it.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;

use super::{
    account_hold::{HeldAccount, Hold},
    exchange::{Exchange, answer, record, sent},
    integration_cache::PreparedIntegration,
    membership::DaemonLease,
    person_lock::PersonLock,
    pusher::{cannot_be_loaded, settled},
    quota::Turn,
    scrub::Secrets,
    session::{parse_token, serialize_token},
    traced::traced,
};
use crate::{
    connectors::{
        self, Answer as CallAnswer, Call, Driven, Ids, Login, Push, RefreshTurn, Report, Token, Transport,
        drive, log_in,
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
        delivery::vendor_id::Past,
        integration::refresh::{LoginGiven, LoginTurn},
        queue::finish::AttemptResult,
    },
    telemetry::Traces,
};

/// How long a push waits for another daemon's login, and how often it looks.
const REFRESH_WAIT: Duration = Duration::from_secs(70);
const REFRESH_AGAIN: Duration = Duration::from_millis(250);

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
    let prepared = match (&ready.prepared, ready.quota.exhausted()) {
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
        since: began.chain([request.created_at]).min().unwrap_or(request.created_at).as_seconds(),
        ids: &past.ids,
        before: past.before.as_ref(),
        telling: &ready.integration.telling,
        now: request.now.as_seconds(),
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
        Ok(prepared) => connectors::probe(prepared.as_ref(), &mut network, kind, now.as_seconds()).await?,
    };
    Some((network.tried(report.outcome.clone(), started.elapsed(), None), report))
}

/// Where ids are kept.
#[derive(Clone, Copy)]
struct IdKeeper<'a> {
    lead: LeadId,
    past: &'a Past,
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
    /// Its turn at the quota, for the next call.
    turn: Option<Turn>,
    /// Which turn it has at the login.
    login_turn: i64,
    /// Dropped behind all else that it has of the account.
    account: Option<HeldAccount>,
    has_asked_for_account: bool,
    /// The token that the target refused.
    refused: Option<SecretString>,
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
            turn: None,
            login_turn: 0,
            account: None,
            has_asked_for_account: false,
            refused: None,
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
        let is_told = match &self.made[..] {
            [] => true,
            [only] => only.open_body().unwrap_or_default() == body.clone().unwrap_or_default(),
            _ => false,
        };
        let calls =
            if is_told { Vec::new() } else { self.made.iter().map(|it| record(it, &secrets)).collect() };
        let last = self.made.pop();
        let sent = last.as_ref().map(|exchange| sent(&exchange.call));
        let answer = last.and_then(|exchange| exchange.answer.ok()).map(answer);
        let outcome = secrets.scrub_outcome(outcome);
        AttemptResult { outcome, took, sent, answer, calls, note: None, body }
    }
}

impl Network<'_> {
    /// From here on no other daemon calls the account, until this attempt ends. It asks once: one that has locked a person
    /// without the account must not wait for it, as whoever gives it away waits for those who wait for that person.
    async fn hold_account(&mut self) {
        if mem::replace(&mut self.has_asked_for_account, true) || !self.may_go_on() {
            return;
        }
        // What has begun, or was not claimed, has the grace of a stop.
        let may_stop = self.lease.is_some() && !self.has_begun();
        match self.ready.quota.hold(self.ready.integration.lane(), may_stop).await {
            Hold::Held(held) => self.account = Some(held),
            Hold::Stopping => self.is_void = true,
            Hold::Without => {}
        }
    }

    /// Whether anything of it was sent. A login is nothing of it.
    fn has_begun(&self) -> bool {
        self.made.iter().any(|exchange| !exchange.call.is_secret())
    }

    /// Whether anything may be sent or locked. If not, it never may again: another daemon may have what is pushed.
    fn may_go_on(&mut self) -> bool {
        self.is_void |= self.is_late();
        !self.is_void
    }

    /// Whether this daemon is not trusted any more with what it claimed, and nothing of it was sent.
    fn is_late(&self) -> bool {
        !self.has_begun() && self.lease.is_some_and(|(lease, daemon)| !lease.may_push(daemon))
    }

    /// Goes on with what another login has given meanwhile, or logs in.
    async fn take_turn(&mut self, own: &SecretString, turn: LoginTurn) -> Result<RefreshTurn, Failure> {
        self.login_turn = turn.number;
        let read = |text| parse_token(text, self.refused.as_ref(), self.now);
        // One that cannot be read is got anew.
        let Some(token) = turn.token.as_ref().and_then(|text| read(text).ok().flatten()) else {
            return Ok(RefreshTurn::Begun(turn.refresh));
        };
        self.end_refresh(own, None).await?;
        Ok(RefreshTurn::Given(token))
    }
}

#[async_trait]
impl Transport for Network<'_> {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        if self.is_beside {
            tokio::task::yield_now().await;
        }
        if self.ready.quota.has_window() {
            self.hold_account().await;
        }
        let turn = match self.turn.take() {
            None if self.may_go_on() => self.ready.quota.turn().await,
            turn => turn,
        };
        // It may have waited for its turn, for another daemon or for another push of the same person, for longer than the
        // lease is trusted.
        if !self.may_go_on() {
            return Err(lease_ran_out());
        }
        // So it may have been told by the daemon that called the account before.
        if let Some(failure) =
            self.ready.quota.exhausted().filter(|_| self.made.is_empty() && self.lease.is_some())
        {
            return Err(failure);
        }
        let (after, started) = (self.began.elapsed(), Instant::now());
        let (mut span, call) = traced(self.trace, call);
        let answer = self.client.call(&self.ready.pool, &call, self.ready.policy.timeout, self.cap).await;
        drop(turn);
        if let (Ok(response), Ok(prepared)) = (&answer, &self.ready.prepared)
            && response.is_good()
            && !call.is_secret()
        {
            self.ready.quota.set_exhausted(prepared.exhausted(response));
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
        let integration = &self.ready.integration;
        loop {
            let kept = self.store.keep_vendor_ids(integration.lane(), lead, past.from, ids).await;
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
        if ready.quota.has_window() {
            self.hold_account().await;
        }
        if !self.may_go_on() {
            return Err(lease_ran_out());
        }
        // Those that log in alike have the same credentials, whatever their versions.
        let version = if ready.login.is_some() { 0 } else { ready.integration.version };
        self.refused = refused.map(|token| token.secret.clone());
        let get = async {
            let got = log_in(self, login, now.as_seconds()).await;
            // Those who wait for it have made no call, and would not know what to take out.
            let calls = self.made.iter().map(|exchange| &exchange.call);
            got.map_err(|failure| Secrets::of_all(calls).scrub_failure(failure))
        };
        ready.session.token(version, refused, now, get).await
    }

    async fn begin_refresh(&mut self, own: &SecretString) -> Result<RefreshTurn, Failure> {
        let Some(login) = self.ready.login else { return Ok(RefreshTurn::Begun(own.clone())) };
        // The turn at the login would run out while it waits for one at the quota.
        if self.turn.is_none() {
            self.turn = self.ready.quota.turn().await;
        }
        let lane = self.ready.integration.lane();
        let until = Instant::now() + REFRESH_WAIT;
        loop {
            let begun = self.store.begin_refresh(lane, &login, own).await;
            match settled(begun).await {
                Some(Ok(Some(turn))) => return self.take_turn(own, turn).await,
                Some(Ok(None)) if Instant::now() < until => tokio::time::sleep(REFRESH_AGAIN).await,
                Some(Ok(None)) => {
                    let error = "another daemon is logging in to this target and does not end";
                    return Err(Failure::new(FailureClass::Transient, error));
                }
                Some(Err(error)) => return Err(cannot_be_loaded(&error)),
                None => {}
            }
        }
    }

    async fn end_refresh(&mut self, own: &SecretString, given: Option<&Token>) -> Result<(), Failure> {
        let Some(login) = self.ready.login else { return Ok(()) };
        let lane = self.ready.integration.lane();
        let to_given = |token: &Token| {
            serialize_token(token).map(|text| LoginGiven { refresh: token.refresh.clone(), token: text })
        };
        let given = given.map(to_given).transpose().map_err(|error| cannot_be_loaded(&error))?;
        loop {
            let ended = self.store.end_refresh(lane, &login, own, self.login_turn, given.as_ref()).await;
            if let Some(answer) = settled(ended).await {
                return answer.map_err(|error| cannot_be_loaded(&error));
            }
        }
    }

    async fn lock_person(&mut self, person: &str) -> bool {
        // One who is locked already is let go first; nobody waits for a person while others wait for a turn.
        (self.person, self.turn) = (None, None);
        self.hold_account().await;
        // The next call says why.
        if !self.may_go_on() {
            return false;
        }
        self.person.insert(self.ready.quota.people().alone(person).await).recently_pushed()
    }
}

pub(super) fn unkept(error: &Error) -> Failure {
    let message = format!("what the target calls this lead's things cannot be read or kept: {error}");
    Failure::new(FailureClass::Transient, message)
}

#[cfg(test)]
mod tests;
