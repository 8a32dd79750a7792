//! From a claimed delivery to what is written of it: make ready, attempt, decide.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    attempt::{PushRequest, unkept},
    engine::{Event, send},
    finisher::Completed,
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
            finish::{AttemptResult, Finished},
        },
    },
    telemetry::{self, Traces},
};

/// How long to wait before the database is asked again.
pub(super) const AWAY_WAIT: Duration = Duration::from_millis(250);

/// What every push is carried out with.
#[derive(Debug)]
pub(super) struct PushContext {
    pub(super) client: Client,
    pub(super) store: Store,
    /// What goes on to its end, whatever becomes of the push.
    pub(super) logins: TaskTracker,
    /// The grace of a stop is over: no login begins any more.
    pub(super) abandon: CancellationToken,
}

impl PushContext {
    /// That of a daemon of its own.
    #[cfg(test)]
    pub(super) fn of(client: Client, store: Store) -> Self {
        Self { client, store, logins: TaskTracker::default(), abandon: CancellationToken::default() }
    }
}

/// Carries out what the engine claimed.
#[derive(Debug)]
pub(super) struct Pusher {
    pub(super) store: Store,
    pub(super) context: Arc<PushContext>,
    pub(super) compute: Compute,
    pub(super) traces: Traces,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) integrations: Arc<IntegrationCache>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) completions: mpsc::Sender<Completed>,
    /// The longest wait that a target may ask for.
    pub(super) max_retry_after: Duration,
}

/// Why a claimed delivery was not tried.
enum NoAttempt {
    /// The integration is gone, and its deliveries with it.
    IntegrationGone,
    /// It waited past the lease's trust: another daemon may have it already.
    LeaseLost,
}

impl Pusher {
    /// Pushes a delivery and hands what came of it to the finisher.
    pub(super) async fn push(&self, mut claimed: Claimed) {
        let completed = match claimed.pending.take() {
            None => Completed::Nothing(claimed),
            // Past the lease's trust another daemon may have it already: if not, it goes back to the queue.
            Some(_) if !self.lease.may_push(claimed.daemon) => Completed::Requeue(claimed, Duration::ZERO),
            Some(pending) => {
                let pushed = caught("push", self.push_pending(&claimed, &pending)).await;
                match pushed.unwrap_or_else(|| Ok(self.panicked(&claimed, &pending))) {
                    Ok(finished) => Completed::Attempt(finished),
                    Err(NoAttempt::IntegrationGone) => Completed::Nothing(claimed),
                    Err(NoAttempt::LeaseLost) => Completed::Requeue(claimed, Duration::ZERO),
                }
            }
        };
        self.complete(completed).await;
    }

    /// Pushes a crash suspect under a claim of its own: if the daemon dies again, it is known during which push.
    pub(super) async fn push_alone(&self, mut claimed: Claimed) {
        match Box::pin(self.store.isolate(claimed.daemon, claimed.claim, claimed.attempt)).await {
            Ok(Some(own)) if own == claimed.claim => {}
            Ok(Some(own)) => {
                self.complete(Completed::Moved(Claimed { pending: None, ..claimed.clone() })).await;
                (claimed.claim, claimed.claim_items) = (own, 1);
            }
            // Somebody took this daemon for dead: what it holds is void.
            Ok(None) => return self.complete(Completed::Nothing(claimed)).await,
            Err(error) => {
                tracing::warn!(
                    event = "suspect_waits",
                    error = telemetry::causes(&error),
                    "a crash suspect waits for the database"
                );
                return self.give_back(claimed, AWAY_WAIT).await;
            }
        }
        tracing::warn!(event = "suspect_pushed_alone", delivery = %claimed.delivery, "daemons died during this delivery's pushes: it is pushed under a claim of its own");
        self.push(claimed).await;
    }

    async fn push_pending(
        &self,
        claimed: &Claimed,
        pending: &PendingDelivery,
    ) -> Result<Box<Finished>, NoAttempt> {
        let lane = claimed.lane;
        let ready = match self.ready(lane, pending.version).await {
            Ok(Some(ready)) => ready,
            Ok(None) => return Err(NoAttempt::IntegrationGone),
            Err(failure) => return Ok(self.failed(claimed, pending, failure)),
        };
        let version = ready.integration.version;
        let result = match self.is_withdrawn(lane, &ready, pending.lead).await {
            Ok(false) => self.attempt(&ready, claimed, pending).await.ok_or(NoAttempt::LeaseLost)?,
            Ok(true) => {
                let error = "nothing was sent: the lead took back its consent after this event";
                let result = AttemptResult::nothing(Failure::new(FailureClass::Rejected, error));
                let transition = Transition::Skipped { reason: Reason::NoConsent };
                return Ok(finished(claimed, pending, result, transition, version));
            }
            Err(failure) => AttemptResult::nothing(failure),
        };
        Ok(self.decided(claimed, pending, ready.policy, version, result))
    }

    /// What follows where nothing of the integration is known.
    fn failed(&self, claimed: &Claimed, pending: &PendingDelivery, failure: Failure) -> Box<Finished> {
        self.decided(claimed, pending, Policy::default(), pending.version, AttemptResult::nothing(failure))
    }

    /// What follows from an attempt.
    fn decided(
        &self,
        claimed: &Claimed,
        pending: &PendingDelivery,
        policy: Policy,
        version: i32,
        mut result: AttemptResult,
    ) -> Box<Finished> {
        if let Outcome::Failed(failure) = result.outcome {
            let longest = policy.longest_wait(self.max_retry_after);
            result.outcome = Outcome::Failed(failure.waiting_at_most(longest));
        }
        let facts = DeliveryFacts {
            retries: u32::try_from(pending.retries).unwrap_or(0),
            retries_max: policy.retries,
            waits: pending.waits,
            crashes: pending.crashes,
            age: self.lease.now().since(pending.created_at),
            is_sweep: claimed.trigger == Trigger::Sweep,
        };
        let transition = decide(facts, &result.outcome, rand::random());
        finished(claimed, pending, result, transition, version)
    }

    /// A push that panicked may have arrived; its delivery is as one whose answer did not come.
    fn panicked(&self, claimed: &Claimed, pending: &PendingDelivery) -> Box<Finished> {
        let failure = Failure::new(
            FailureClass::Unknown,
            "this push ended by a fault of the daemon: maybe delivered. Please report it with the daemon's log",
        );
        self.failed(claimed, pending, failure)
    }

    /// None if it waited past the lease's trust: another daemon may have it already.
    async fn attempt(
        &self,
        ready: &Arc<PreparedIntegration>,
        claimed: &Claimed,
        pending: &PendingDelivery,
    ) -> Option<AttemptResult> {
        let past = match self.past(ready, claimed, pending).await {
            Ok(past) => past,
            Err(failure) => return Some(AttemptResult::nothing(failure)),
        };
        if !self.lease.may_push(claimed.daemon) {
            return None;
        }
        let mut span = self.traces.attempt(pending.trace, || {
            [
                ("leadline.company", claimed.lane.company.0.to_string()),
                ("leadline.integration", claimed.lane.integration.to_string()),
                ("leadline.delivery", claimed.delivery.to_string()),
                ("leadline.connector", ready.integration.connector.clone()),
            ]
        });
        let request = PushRequest {
            id: claimed.delivery.to_string(),
            of: Some((pending.lead, claimed.delivery)),
            event: pending.event,
            body: lead::pushed_as(&pending.body, pending.event),
            rendered: pending.rendered.clone(),
            is_repeat: pending.attempts > 0 || claimed.trigger == Trigger::Retry,
            created_at: pending.created_at,
            now: self.lease.now(),
            lease: Some((Arc::clone(&self.lease), claimed.daemon)),
            trace: span.context().map(|context| (self.traces.clone(), context)),
        };
        let result = self.push_once(ready, request, past).await;
        match result.as_ref().map(|result| result.outcome.failure()) {
            None => span.fail(FailureClass::Transient.as_str()),
            Some(Some(failure)) => span.fail(failure.class.as_str()),
            Some(None) => {}
        }
        result
    }

    /// What is known of the lead from before, where the connector asks for it.
    async fn past(
        &self,
        ready: &PreparedIntegration,
        claimed: &Claimed,
        pending: &PendingDelivery,
    ) -> Result<Past, Failure> {
        let Ok(prepared) = &ready.prepared else { return Ok(Past::default()) };
        let mut past = Past::default();
        if prepared.abilities().keeps_ids {
            past = loop {
                let past = self.store.past(claimed.lane, pending.lead, claimed.delivery);
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
                let before = self.store.before(claimed.lane, pending.lead, claimed.delivery);
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
    pub(super) async fn mark_crashed(&self, mut claimed: Claimed) {
        let Some(mut pending) = claimed.pending.take() else {
            return self.complete(Completed::Nothing(claimed)).await;
        };
        let policy = match self.ready(claimed.lane, pending.version).await {
            Ok(Some(ready)) => ready.policy,
            Ok(None) | Err(_) => Policy::default(),
        };
        let outcome = Outcome::Failed(Failure::new(
            FailureClass::Unknown,
            "the daemon died during this push: maybe delivered",
        ));
        pending.crashes = pending.crashes.saturating_add(1);
        let took = self.lease.now().since(claimed.claimed_at);
        let result = AttemptResult { took, ..AttemptResult::without_call(outcome) };
        let mut finished = self.decided(&claimed, &pending, policy, pending.version, result);
        if let Transition::Retry { after, .. } = &mut finished.transition {
            *after = after.saturating_sub(took);
        }
        self.complete(Completed::Attempt(finished)).await;
    }

    /// Returns what was not begun to the queue, due no earlier than after a wait.
    pub(super) async fn give_back(&self, mut claimed: Claimed, wait: Duration) {
        claimed.pending = None;
        self.complete(Completed::Requeue(claimed, wait)).await;
    }

    /// Hands an item to the finisher and its room to the engine, once the finisher takes more: what waits to be written
    /// has a bound. The engine hears of the end before it can hear that it was written.
    async fn complete(&self, completed: Completed) {
        let (mut is_up, mut pause) = (false, None);
        if let Completed::Attempt(finished) = &completed {
            report(finished);
            let class = finished.result.outcome.failure().map(|failure| failure.class);
            is_up = Sign::of(class, finished.result.sent.is_some()) == Sign::Up;
            pause = finished.transition.throttle().map(|wait| self.lease.now() + wait);
        }
        let kind = completed.claimed().kind;
        let ended = completed.lane().map(|lane| Event::Ended { lane, kind, is_up, pause });
        let place = self.completions.reserve().await;
        if let Some(ended) = ended {
            send(&self.events, ended);
        }
        match place {
            Ok(place) => place.send(completed),
            Err(_) => tracing::error!(
                event = "finisher_gone",
                "the finisher is gone: an attempt is not counted, and its delivery is pushed again"
            ),
        }
    }
}

/// Counts an attempt, and tells of one that failed: without its error, which may quote a person's data. That stands with
/// the attempt, where it can be erased.
fn report(Finished { claimed, result, .. }: &Finished) {
    let failure = result.outcome.failure();
    let outcome = failure.map_or("delivered", |failure| failure.class.as_str());
    metrics::counter!("leadline_attempts_total", "outcome" => outcome).increment(1);
    let whether = if failure.is_none() { "delivered" } else { "failed" };
    metrics::histogram!("leadline_attempt_seconds", "outcome" => whether)
        .record(f64::from(result.duration_ms()) / 1000.0);
    telemetry::count_attempt(claimed.lane, whether);
    if failure.is_some() {
        tracing::warn!(event = "push_failed",
            company = claimed.lane.company.0,
            integration = %claimed.lane.integration,
            delivery = %claimed.delivery,
            attempt = %claimed.attempt,
            class = outcome,
            "a push failed"
        );
    }
}

fn finished(
    claimed: &Claimed,
    pending: &PendingDelivery,
    mut result: AttemptResult,
    transition: Transition,
    config_version: i32,
) -> Box<Finished> {
    let sent = result.body.take();
    let verbatim = sent.as_ref().is_some_and(|body| *body == pending.body);
    result.body = sent.filter(|_| !verbatim);
    // What waits to be written keeps no body in memory that is written already.
    let pending = PendingDelivery { body: Bytes::new(), rendered: None, ..pending.clone() };
    let claimed = claimed.clone();
    Box::new(Finished { claimed, pending, result, transition, config_version, verbatim })
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

#[cfg(test)]
mod tests;
