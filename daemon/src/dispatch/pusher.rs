//! From a claimed delivery to what is written of it: make ready, attempt, decide.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    attempt::{AttemptResult, PushRequest, unkept},
    engine::{Event, send},
    finisher::{Completed, Completion},
    integration_cache::{IntegrationCache, PreparedIntegration},
    membership::DaemonLease,
    tasks::caught,
};
use crate::{
    compute::Compute,
    connectors,
    domain::{
        breaker::Sign,
        delivery::{DeliveryFacts, Reason, Transition, Trigger, decide},
        ids::LeadId,
        integration::{EventKind, Policy},
        lane::LaneId,
        lead,
        outcome::{Failure, FailureClass, Outcome},
    },
    push::Client,
    store::{
        Error, Store,
        delivery::vendor_id::Past,
        queue::{
            claim::{Claimed, PendingDelivery},
            finish::{AttemptRecord, Finished},
        },
    },
    telemetry::{self, Traces},
};

/// How long to wait before the database is asked again.
const AWAY_WAIT: Duration = Duration::from_millis(250);

/// Carries out what the engine claimed.
#[derive(Debug)]
pub(super) struct Pusher {
    pub(super) store: Store,
    pub(super) client: Arc<Client>,
    pub(super) compute: Compute,
    pub(super) traces: Traces,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) integrations: Arc<IntegrationCache>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) completions: mpsc::Sender<Completion>,
    /// The longest wait that a target may ask for.
    pub(super) max_retry_after: Duration,
}

impl Pusher {
    /// Pushes a delivery and hands what came of it to the finisher.
    pub(super) async fn push(&self, item: Claimed) {
        let result = match caught("push", self.push_claimed(&item)).await {
            Some(result) => result,
            None => self.panicked(&item),
        };
        self.complete(&item, result).await;
    }

    /// Pushes a crash suspect under a claim of its own: if the daemon dies again, it is known during which push.
    pub(super) async fn push_alone(&self, mut item: Claimed) {
        match Box::pin(self.store.isolate(item.daemon, item.claim, item.attempt)).await {
            Ok(Some(own)) if own == item.claim => {}
            Ok(Some(own)) => {
                self.leave_claim(&item).await;
                (item.claim, item.claim_items) = (own, 1);
            }
            // Somebody took this daemon for dead: what it holds is void.
            Ok(None) => return self.complete(&item, Completed::Nothing).await,
            Err(error) => {
                tracing::warn!(
                    event = "suspect_waits",
                    error = telemetry::causes(&error),
                    "a crash suspect waits for the database"
                );
                return self.complete(&item, Completed::Requeue(AWAY_WAIT)).await;
            }
        }
        tracing::warn!(event = "suspect_pushed_alone", delivery = %item.delivery, "daemons died during this delivery's pushes: it is pushed under a claim of its own");
        self.push(item).await;
    }

    async fn push_claimed(&self, item: &Claimed) -> Completed {
        match &item.pending {
            None => Completed::Nothing,
            // Past the lease's trust another daemon may have it already: if not, it goes back to the queue.
            Some(_) if !self.lease.may_push(item.daemon) => Completed::Requeue(Duration::ZERO),
            Some(pending) => self.push_pending(item, pending).await,
        }
    }

    async fn push_pending(&self, item: &Claimed, pending: &PendingDelivery) -> Completed {
        let lane = item.lane;
        let ready = match self.ready(lane, pending.version).await {
            Ok(Some(ready)) => ready,
            // The integration is gone, and its deliveries with it.
            Ok(None) => return Completed::Nothing,
            Err(failure) => return self.failed(item, pending, failure),
        };
        let (facts, version) = (self.facts(item, pending, ready.policy.retries), ready.integration.version);
        let result = match self.is_withdrawn(lane, &ready, pending.lead).await {
            Ok(false) => match self.attempt(&ready, item, pending).await {
                Some(result) => result,
                None => return Completed::Requeue(Duration::ZERO),
            },
            Ok(true) => {
                let error = "nothing was sent: the lead took back its consent after this event";
                let result = AttemptResult::nothing(Failure::new(FailureClass::Rejected, error));
                let transition = Transition::Skipped { reason: Reason::NoConsent };
                return finished(item, pending, result, transition, pending.crashes, version);
            }
            Err(failure) => AttemptResult::nothing(failure),
        };
        self.decided(item, pending, facts, ready.policy, result, version)
    }

    /// What follows where nothing of the integration is known.
    fn failed(&self, item: &Claimed, pending: &PendingDelivery, failure: Failure) -> Completed {
        let policy = Policy::default();
        let facts = self.facts(item, pending, policy.retries);
        self.decided(item, pending, facts, policy, AttemptResult::nothing(failure), pending.version)
    }

    fn facts(&self, item: &Claimed, pending: &PendingDelivery, retries_max: u32) -> DeliveryFacts {
        DeliveryFacts {
            retries: u32::try_from(pending.retries).unwrap_or(0),
            retries_max,
            waits: pending.waits,
            crashes: pending.crashes,
            age: self.lease.now().since(pending.created_at),
            is_sweep: item.trigger == Trigger::Sweep,
        }
    }

    /// What follows from an attempt.
    fn decided(
        &self,
        item: &Claimed,
        pending: &PendingDelivery,
        facts: DeliveryFacts,
        policy: Policy,
        mut result: AttemptResult,
        version: i32,
    ) -> Completed {
        if let Outcome::Failed(failure) = result.outcome {
            let longest = policy.longest_wait(self.max_retry_after);
            result.outcome = Outcome::Failed(failure.waiting_at_most(longest));
        }
        let transition = decide(facts, &result.outcome, rand::random());
        finished(item, pending, result, transition, facts.crashes, version)
    }

    /// A push that panicked may have arrived; its delivery is as one whose answer did not come.
    fn panicked(&self, item: &Claimed) -> Completed {
        let Some(pending) = &item.pending else { return Completed::Nothing };
        let failure = Failure::new(
            FailureClass::Unknown,
            "this push ended by a fault of the daemon: maybe delivered. Please report it with the daemon's log",
        );
        self.failed(item, pending, failure)
    }

    /// None if the database kept it waiting past the lease's trust: another daemon may have it already.
    async fn attempt(
        &self,
        ready: &Arc<PreparedIntegration>,
        item: &Claimed,
        pending: &PendingDelivery,
    ) -> Option<AttemptResult> {
        let past = match self.past(ready, item, pending).await {
            Ok(past) => past,
            Err(failure) => return Some(AttemptResult::nothing(failure)),
        };
        if !self.lease.may_push(item.daemon) {
            return None;
        }
        let mut span = self.traces.attempt(pending.trace, || {
            [
                ("leadline.company", item.lane.company.0.to_string()),
                ("leadline.integration", item.lane.integration.to_string()),
                ("leadline.delivery", item.delivery.to_string()),
                ("leadline.connector", ready.integration.connector.clone()),
            ]
        });
        let request = PushRequest {
            id: item.delivery.to_string(),
            of: Some((pending.lead, item.delivery)),
            event: pending.event,
            body: lead::pushed_as(&pending.body, pending.event),
            rendered: pending.rendered.clone(),
            is_repeat: pending.attempts > 0 || item.trigger == Trigger::Retry,
            created_at: pending.created_at,
            now: self.lease.now(),
            lease: Some((Arc::clone(&self.lease), item.daemon)),
            trace: span.context().map(|context| (self.traces.clone(), context)),
        };
        let result = self.push_once(ready, request, past).await;
        if let Outcome::Failed(failure) = &result.outcome {
            span.fail(failure.class.as_str());
        }
        (!result.is_void).then_some(result)
    }

    /// What is known of the lead from before, where the connector asks for it.
    async fn past(
        &self,
        ready: &PreparedIntegration,
        item: &Claimed,
        pending: &PendingDelivery,
    ) -> Result<Past, Failure> {
        let Ok(prepared) = &ready.prepared else { return Ok(Past::default()) };
        let mut past = Past::default();
        if prepared.abilities().keeps_ids {
            past = loop {
                let past = self.store.past(item.lane, pending.lead, item.delivery);
                if let Some(answer) = settled(Box::pin(past).await).await {
                    break answer.map_err(|error| unkept(&error))?;
                }
            };
        }
        // What was rendered already tells it.
        if prepared.abilities().tells_changes
            && pending.event == EventKind::Updated
            && pending.rendered.is_none()
        {
            past.before = loop {
                let before = self.store.before(item.lane, pending.lead, item.delivery);
                if let Some(answer) = settled(Box::pin(before).await).await {
                    break answer.map_err(|error| unkept(&error))?;
                }
            };
        }
        Ok(past)
    }

    /// Whether the lead took back its consent since this event, at a target that asks for it.
    async fn is_withdrawn(
        &self,
        lane: LaneId,
        ready: &PreparedIntegration,
        lead: LeadId,
    ) -> Result<bool, Failure> {
        let connector = connectors::find(&ready.integration.connector);
        if connector.is_none_or(|connector| !connector.manifest().needs_consent) {
            return Ok(false);
        }
        loop {
            if let Some(answer) = settled(Box::pin(self.store.consents(lane.company, lead)).await).await {
                return answer.map(|consents| !consents).map_err(|error| cannot_be_loaded(&error));
            }
        }
    }

    /// Waits for the database as long as it takes: the claim holds the delivery meanwhile.
    async fn ready(&self, lane: LaneId, version: i32) -> Result<Option<Arc<PreparedIntegration>>, Failure> {
        loop {
            match settled(self.integrations.get(lane, version).await).await {
                None => {}
                Some(Ok(ready)) => return Ok(ready),
                Some(Err(error)) => {
                    tracing::error!(event = "integration_not_loaded", error = telemetry::causes(&error), integration = %lane.integration, "an integration cannot be loaded");
                    return Err(cannot_be_loaded(&error));
                }
            }
        }
    }

    /// Counts the attempt during which another daemon died: failed, class `unknown`, due no earlier than the gap after
    /// its claim.
    pub(super) async fn mark_crashed(&self, item: Claimed) {
        let Some(pending) = &item.pending else {
            return self.complete(&item, Completed::Nothing).await;
        };
        let lane = item.lane;
        let retries_max = match self.ready(lane, pending.version).await {
            Ok(Some(ready)) => ready.policy.retries,
            Ok(None) | Err(_) => Policy::default().retries,
        };
        let outcome = Outcome::Failed(Failure::new(
            FailureClass::Unknown,
            "the daemon died during this push: maybe delivered",
        ));
        let crashes = pending.crashes.saturating_add(1);
        let facts = DeliveryFacts { crashes, ..self.facts(&item, pending, retries_max) };
        let took = self.lease.now().since(item.claimed_at);
        let transition = match decide(facts, &outcome, rand::random()) {
            Transition::Retry { after, retries, waits, throttle } => {
                Transition::Retry { after: after.saturating_sub(took), retries, waits, throttle }
            }
            other => other,
        };
        let result = AttemptResult { took, ..AttemptResult::without_call(outcome) };
        let finished = finished(&item, pending, result, transition, crashes, pending.version);
        self.complete(&item, finished).await;
    }

    /// Returns what was not begun to the queue, due no earlier than after a wait.
    pub(super) async fn give_back(&self, item: &Claimed, wait: Duration) {
        self.complete(item, Completed::Requeue(wait)).await;
    }

    /// Hands an item to the finisher and its room to the engine, once the finisher takes more: what waits to be written
    /// has a bound. The engine hears of the end before it can hear that it was written.
    async fn complete(&self, item: &Claimed, result: Completed) {
        let (mut is_up, mut pause) = (false, None);
        if let Completed::Attempt(finished) = &result {
            let failure = finished.attempt.failure.as_ref();
            report(item, failure, finished.attempt.duration_ms);
            let class = failure.map(|failure| failure.class);
            is_up = Sign::of(class, finished.attempt.sent.is_some()) == Sign::Up;
            pause = finished.transition.throttle().map(|wait| self.lease.now() + wait);
        }
        let lane = (!item.is_adopted).then_some(item.lane);
        let ended = lane.map(|lane| Event::Ended { lane, kind: item.kind, is_up, pause });
        self.hand_over(item, lane, result, ended).await;
    }

    /// An item leaves a claim for one of its own.
    async fn leave_claim(&self, item: &Claimed) {
        self.hand_over(item, None, Completed::Nothing, None).await;
    }

    async fn hand_over(&self, item: &Claimed, lane: Option<LaneId>, result: Completed, ended: Option<Event>) {
        let Claimed { daemon, claim, claim_items, attempt, kind, .. } = *item;
        let completion = Completion { daemon, claim, claim_items, attempt, lane, kind, result };
        let place = self.completions.reserve().await;
        if let Some(ended) = ended {
            send(&self.events, ended);
        }
        match place {
            Ok(place) => place.send(completion),
            Err(_) => tracing::error!(
                event = "finisher_gone",
                "the finisher is gone: an attempt is not counted, and its delivery is pushed again"
            ),
        }
    }
}

/// Counts an attempt, and tells of one that failed: without its error, which may quote a person's data. That stands with
/// the attempt, where it can be erased.
fn report(item: &Claimed, failure: Option<&Failure>, duration_ms: i32) {
    let outcome = failure.map_or("delivered", |failure| failure.class.as_str());
    metrics::counter!("leadline_attempts_total", "outcome" => outcome).increment(1);
    let whether = if failure.is_none() { "delivered" } else { "failed" };
    metrics::histogram!("leadline_attempt_seconds", "outcome" => whether)
        .record(f64::from(duration_ms) / 1000.0);
    telemetry::count_attempt(item.lane, whether);
    if failure.is_some() {
        tracing::warn!(event = "push_failed",
            company = item.lane.company.0,
            integration = %item.lane.integration,
            delivery = %item.delivery,
            attempt = %item.attempt,
            class = outcome,
            "a push failed"
        );
    }
}

fn finished(
    item: &Claimed,
    pending: &PendingDelivery,
    result: AttemptResult,
    transition: Transition,
    crashes: i16,
    version: i32,
) -> Completed {
    let sent = result.body.clone().filter(|_| pending.rendered.is_none());
    let verbatim = sent.as_ref().is_some_and(|body| *body == pending.body);
    Completed::Attempt(Box::new(Finished {
        claim: item.claim,
        delivery: item.delivery,
        attempt: record(item, pending, result, version),
        transition,
        crashes,
        rendered: sent.filter(|_| !verbatim),
        verbatim,
    }))
}

/// The store's answer; none, a moment later, if the database was not there to give one.
pub(super) async fn settled<T>(answer: Result<T, Error>) -> Option<Result<T, Error>> {
    match answer {
        Err(error) if error.is_passing() => {
            tracing::warn!(
                event = "push_waits",
                error = telemetry::causes(&error),
                "a push waits for the database"
            );
            tokio::time::sleep(AWAY_WAIT).await;
            None
        }
        answer => Some(answer),
    }
}

pub(super) fn cannot_be_loaded(error: &Error) -> Failure {
    let message = format!("nothing was sent, the integration cannot be loaded: {error}");
    Failure::new(FailureClass::Transient, message)
}

fn record(
    item: &Claimed,
    pending: &PendingDelivery,
    tried: AttemptResult,
    config_version: i32,
) -> AttemptRecord {
    AttemptRecord {
        id: item.attempt,
        lane: item.lane,
        lead: Some(pending.lead),
        event: pending.event,
        number: pending.attempts + 1,
        trigger: item.trigger,
        operator: item.operator.clone(),
        started_at: item.claimed_at,
        duration_ms: millis(tried.took),
        failure: failure(tried.outcome),
        sent: tried.sent,
        answer: tried.answer,
        calls: tried.calls,
        note: tried.note,
        config_version,
    }
}

pub(super) fn failure(outcome: Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Delivered => None,
        Outcome::Failed(failure) => Some(failure),
    }
}

pub(super) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
