//! Carrying out one attempt: the connector's push over the network, and what is written of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    exchange::{CallOptions, Exchange, answer, exchange, record, sent},
    integration_cache::PreparedIntegration,
    login::LoginRun,
    membership::DaemonLease,
    person_lock::PersonLock,
    pusher::{PushContext, settled},
    quota::CallPermit,
    scrub::Secrets,
};
use crate::{
    connectors::{
        self, Answer as CallAnswer, Call, Driven, Ids, Login, Push, Report, Token, Transport, drive,
    },
    domain::{
        ids::{DeliveryId, LeadId},
        integration::{EventKind, ProbeKind},
        moment::Moment,
        outcome::{Failure, FailureClass, Outcome},
        trace::TraceContext,
    },
    push::{PROBE_CAP, PUSH_CAP},
    store::{Error, delivery::vendor_id::Past, queue::finish::AttemptResult},
    telemetry::Traces,
};

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
    context: &Arc<PushContext>,
    ready: &Arc<PreparedIntegration>,
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
        since: began.chain([request.created_at]).min().unwrap_or(request.created_at),
        ids: &past.ids,
        before: past.before.as_ref(),
        telling: &ready.integration.telling,
        now: request.now,
    };
    let lead = request.of.map(|(lead, _)| lead).filter(|_| prepared.abilities().keeps_ids);
    let keep = lead.map(|lead| IdKeeper { lead, past: &past });
    let mut network = Network::new(context, ready, request.now, PUSH_CAP, keep);
    network.lease = request.lease.as_ref();
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
    context: &Arc<PushContext>,
    ready: &Arc<PreparedIntegration>,
    kind: ProbeKind,
    now: Moment,
) -> Option<(AttemptResult, Report)> {
    let started = Instant::now();
    let mut network = Network::new(context, ready, now, PROBE_CAP, None);
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

/// The network as the connector of one attempt sees it.
struct Network<'a> {
    context: &'a Arc<PushContext>,
    ready: &'a Arc<PreparedIntegration>,
    now: Moment,
    cap: usize,
    keep: Option<IdKeeper<'a>>,
    began: Instant,
    made: Vec<Exchange>,
    person: Option<PersonLock>,
    /// For the next call.
    permit: Option<CallPermit>,
    lease: Option<&'a (Arc<DaemonLease>, i64)>,
    is_beside: bool,
    is_void: bool,
    trace: Option<&'a (Traces, TraceContext)>,
}

impl<'a> Network<'a> {
    /// A login under the lease of this attempt, as long as nothing has left under it.
    fn login_run(&mut self, refused: Option<&Arc<Token>>) -> LoginRun {
        LoginRun {
            context: Arc::clone(self.context),
            ready: Arc::clone(self.ready),
            now: self.now,
            cap: self.cap,
            began: self.began,
            refused: refused.map(|token| token.secret.clone()),
            lease: self.lease.filter(|_| self.made.is_empty()).cloned(),
            trace: self.trace.cloned(),
            permit: self.permit.take(),
            turn: None,
            made: Vec::new(),
            is_void: false,
        }
    }

    fn new(
        context: &'a Arc<PushContext>,
        ready: &'a Arc<PreparedIntegration>,
        now: Moment,
        cap: usize,
        keep: Option<IdKeeper<'a>>,
    ) -> Self {
        Self {
            context,
            ready,
            now,
            cap,
            keep,
            began: Instant::now(),
            made: Vec::new(),
            person: None,
            permit: None,
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

#[async_trait]
impl Transport for Network<'_> {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        if self.is_beside {
            tokio::task::yield_now().await;
        }
        let permit = match self.permit.take() {
            None => self.ready.quota.permit().await,
            permit => permit,
        };
        // It may have waited for that, or for another push of the same person, for longer than the lease is trusted.
        if self.made.is_empty() && self.lease.is_some_and(|(lease, daemon)| !lease.may_push(*daemon)) {
            self.is_void = true;
            return Err(lease_ran_out());
        }
        let (began, timeout) = (self.began, self.ready.policy.timeout);
        let options = CallOptions { trace: self.trace, began, timeout, cap: self.cap };
        let made = exchange(&self.context.client, self.ready, call, options).await;
        drop(permit);
        if let (Ok(response), Ok(prepared)) = (&made.answer, &self.ready.prepared)
            && response.is_good()
            && !call.is_secret()
        {
            self.ready.quota.set_exhausted(prepared.exhausted(response));
        }
        let answer = made.answer.clone();
        self.made.push(made);
        Ok(answer)
    }

    async fn keep(&mut self, ids: &Ids) -> Result<(), Failure> {
        let Some(IdKeeper { lead, past }) = self.keep else { return Ok(()) };
        let integration = &self.ready.integration;
        loop {
            let kept = self.context.store.keep_vendor_ids(integration.lane(), lead, past.from, ids).await;
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
        // Those that log in alike have the same credentials, whatever their versions.
        let version = if ready.login.is_some() { 0 } else { ready.integration.version };
        let get = async {
            if self.is_beside {
                tokio::task::yield_now().await;
            }
            let (got, run) = self.login_run(refused).finish(login).await;
            if let Some(run) = run {
                self.made.extend(run.made);
                (self.permit, self.is_void) = (run.permit, run.is_void);
            }
            // Those who wait for it have made no call, and would not know what to take out.
            let calls = self.made.iter().map(|exchange| &exchange.call);
            got.map_err(|failure| Secrets::of_all(calls).scrub_failure(failure))
        };
        ready.session.token(version, refused, now, get).await
    }

    async fn lock_person(&mut self, person: &str) -> bool {
        // One who is locked already is let go first; nobody waits for a person while others wait for a turn.
        (self.person, self.permit) = (None, None);
        self.person.insert(self.ready.quota.people.alone(person).await).recently_pushed()
    }
}

pub(super) fn unkept(error: &Error) -> Failure {
    let message = format!("what the target calls this lead's things cannot be read or kept: {error}");
    Failure::new(FailureClass::Transient, message)
}

#[cfg(test)]
mod tests;
