//! From a claimed delivery to what is written of it: make ready, attempt, decide.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    attempt::{AttemptResult, PushRequest, attempt, unkept},
    engine::Event,
    finisher::{End, Ended, Item},
    integration_cache::{IntegrationCache, PreparedIntegration},
    lanes::LaneId,
    membership::DaemonLease,
};
use crate::{
    connectors,
    domain::{
        delivery::{Standing, Transition, Trigger, decide},
        fanout::NO_CONSENT,
        ids::LeadId,
        integration::Policy,
        lead,
        outcome::{Failure, FailureClass, Outcome},
    },
    push::Client,
    store::{
        Error, Store,
        delivery::vendor_id::Past,
        queue::{
            claim::{Claimed, Pending},
            finish::{AttemptRecord, Finished},
        },
    },
};

/// How long to wait before the database is asked again.
const AWAY_WAIT: Duration = Duration::from_millis(250);

/// Carries out what the engine claimed.
#[derive(Debug)]
pub(super) struct Pusher {
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) integrations: Arc<IntegrationCache>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) ended: mpsc::Sender<Ended>,
}

impl Pusher {
    /// Pushes a delivery and hands what came of it to the finisher.
    pub(super) async fn push(&self, item: Claimed) {
        let lane = (item.company, item.integration);
        let end = match &item.pending {
            None => End::Nothing,
            // Past the lease's trust another daemon may have it already: if not, it goes back to the queue.
            Some(_) if !self.may_push(&item) => End::Back,
            Some(pending) => self.push_pending(lane, &item, pending).await,
        };
        if let End::Attempt(finished) = &end {
            self.pause_lane(lane, &finished.transition);
        }
        self.end(&item, end).await;
    }

    /// Whether the lease is trusted under which an item was claimed.
    fn may_push(&self, item: &Claimed) -> bool {
        self.lease.id() == item.daemon && self.lease.is_trusted()
    }

    async fn push_pending(&self, lane: LaneId, item: &Claimed, pending: &Pending) -> End {
        let mut is_withdrawn = false;
        let (tried, retries_max, version) = match self.ready(lane, pending.version).await {
            Ok(ready) => {
                // The integration is gone, and its deliveries with it.
                let Some(ready) = ready else { return End::Nothing };
                let tried = match self.is_withdrawn(lane, &ready, pending.lead).await {
                    Ok(false) => match self.attempt(&ready, item, pending).await {
                        Some(tried) => tried,
                        None => return End::Back,
                    },
                    Ok(true) => {
                        is_withdrawn = true;
                        let error = "nothing was sent: the lead took back its consent after this event";
                        AttemptResult::nothing(Failure::new(FailureClass::Rejected, error))
                    }
                    Err(failure) => AttemptResult::nothing(failure),
                };
                (tried, ready.policy.retries, ready.integration.version)
            }
            Err(failure) => (AttemptResult::nothing(failure), Policy::default().retries, pending.version),
        };
        let age = Duration::from_micros(u64::try_from(self.lease.now() - pending.created_at).unwrap_or(0));
        let standing = Standing {
            retries: u32::try_from(pending.retries).unwrap_or(0),
            retries_max,
            deaths: pending.deaths,
            age,
            is_sweep: item.trigger == Trigger::Sweep,
        };
        let transition = if is_withdrawn {
            Transition::Skipped { reason: NO_CONSENT.to_owned() }
        } else {
            decide(standing, &tried.outcome, rand::random())
        };
        let sent = tried.body.clone().filter(|_| pending.rendered.is_none());
        let verbatim = sent.as_ref().is_some_and(|body| *body == pending.body);
        let rendered = sent.filter(|_| !verbatim);
        End::Attempt(Box::new(Finished {
            claim: item.claim,
            delivery: item.delivery,
            attempt: record(item, pending, tried, version),
            transition,
            deaths: pending.deaths,
            rendered,
            verbatim,
        }))
    }

    /// None if the database kept it waiting past the lease's trust: another daemon may have it already.
    async fn attempt(
        &self,
        ready: &PreparedIntegration,
        item: &Claimed,
        pending: &Pending,
    ) -> Option<AttemptResult> {
        let past = match self.past(ready, item, pending).await {
            Ok(past) => past,
            Err(failure) => return Some(AttemptResult::nothing(failure)),
        };
        if !self.may_push(item) {
            return None;
        }
        let id = item.delivery.to_string();
        let body = lead::pushed_as(&pending.body, pending.event);
        let request = PushRequest {
            id: &id,
            of: Some((pending.lead, item.delivery)),
            event: pending.event,
            body: &body,
            rendered: pending.rendered.as_ref(),
            is_repeat: pending.attempts > 0 || item.trigger == Trigger::Retry,
            created_at: pending.created_at.div_euclid(1_000_000),
            now: self.lease.now().div_euclid(1_000_000),
        };
        Some(attempt(&self.client, &self.store, ready, request, past).await)
    }

    /// What is kept of earlier pushes of the lead, where the connector asks for it.
    async fn past(
        &self,
        ready: &PreparedIntegration,
        item: &Claimed,
        pending: &Pending,
    ) -> Result<Past, Failure> {
        if !ready.prepared.as_ref().is_ok_and(|prepared| prepared.keeps_ids()) {
            return Ok(Past::default());
        }
        loop {
            let past = self.store.past(item.company, item.integration, pending.lead, item.delivery).await;
            if let Some(answer) = settled(past).await {
                return answer.map_err(|error| unkept(&error));
            }
        }
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
            if let Some(answer) = settled(self.store.consents(lane.0, lead).await).await {
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
                    tracing::error!(error = &error as &dyn std::error::Error, integration = %lane.1, "an integration cannot be loaded");
                    return Err(cannot_be_loaded(&error));
                }
            }
        }
    }

    fn pause_lane(&self, lane: LaneId, transition: &Transition) {
        let wait = match transition {
            Transition::Retry { after, throttle: true, .. } => Some(*after),
            Transition::Dead { throttle, .. } => *throttle,
            _ => None,
        };
        if let Some(wait) = wait {
            let until = self.lease.now() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2);
            if self.events.send(Event::Pause(lane, until)).is_err() {
                tracing::debug!("the engine has stopped");
            }
        }
    }

    /// Counts the attempt during which another daemon died: failed, class `unknown`, due no earlier than the gap after
    /// its claim.
    pub(super) async fn bury(&self, item: Claimed) {
        let lane = (item.company, item.integration);
        let Some(pending) = &item.pending else {
            return self.end(&item, End::Nothing).await;
        };
        let retries_max = match self.ready(lane, pending.version).await {
            Ok(Some(ready)) => ready.policy.retries,
            Ok(None) | Err(_) => Policy::default().retries,
        };
        let deaths = pending.deaths.saturating_add(1);
        let outcome = Outcome::Failed(Failure::new(
            FailureClass::Unknown,
            "the daemon died during this push: maybe delivered",
        ));
        let since =
            |micros: i64| Duration::from_micros(u64::try_from(self.lease.now() - micros).unwrap_or(0));
        let retries = u32::try_from(pending.retries).unwrap_or(0);
        let is_sweep = item.trigger == Trigger::Sweep;
        let standing = Standing { retries, retries_max, deaths, age: since(pending.created_at), is_sweep };
        let elapsed = since(item.claimed_at);
        let transition = match decide(standing, &outcome, rand::random()) {
            Transition::Retry { after, retries, throttle } => {
                Transition::Retry { after: after.saturating_sub(elapsed), retries, throttle }
            }
            other => other,
        };
        let tried = AttemptResult { outcome, took: elapsed, sent: None, answer: None, body: None };
        let finished = Finished {
            claim: item.claim,
            delivery: item.delivery,
            attempt: record(&item, pending, tried, pending.version),
            transition,
            deaths,
            rendered: None,
            verbatim: false,
        };
        self.end(&item, End::Attempt(Box::new(finished))).await;
    }

    /// Returns what was not begun to the queue.
    pub(super) async fn give_back(&self, item: &Claimed) {
        self.end(item, End::Back).await;
    }

    async fn end(&self, item: &Claimed, end: End) {
        if let End::Attempt(finished) = &end {
            let outcome =
                finished.attempt.failure.as_ref().map_or("delivered", |failure| failure.class.as_str());
            metrics::counter!("leadline_attempts_total", "outcome" => outcome).increment(1);
            // Without its error, which may quote a person's data: that stands with the attempt, where it can be erased.
            if let Some(failure) = &finished.attempt.failure {
                tracing::warn!(
                    company = item.company.0,
                    integration = %item.integration,
                    delivery = %item.delivery,
                    attempt = %item.attempt,
                    class = failure.class.as_str(),
                    "a push failed"
                );
            }
        }
        let lane = (!item.is_adopted).then_some((item.company, item.integration));
        let (daemon, claim, attempt, kind) = (item.daemon, item.claim, item.attempt, item.kind);
        let ended = Ended::Item(Item { attempt, daemon, claim, lane, kind, end });
        if self.ended.send(ended).await.is_err() {
            tracing::error!(
                "the finisher is gone: an attempt is not counted, and its delivery is pushed again"
            );
        }
    }
}

/// The store's answer; none, a moment later, if the database was not there to give one.
pub(super) async fn settled<T>(answer: Result<T, Error>) -> Option<Result<T, Error>> {
    match answer {
        Err(error) if error.is_passing() => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a push waits for the database");
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

fn record(item: &Claimed, pending: &Pending, tried: AttemptResult, config_version: i32) -> AttemptRecord {
    AttemptRecord {
        id: item.attempt,
        company: item.company,
        integration: item.integration,
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
