//! A flush of finished attempts as the statement wants it: a column each, and what it means for each integration.

use uuid::Uuid;

use super::{AttemptResult, Finished, storable_error};
use crate::{
    domain::{
        breaker::{Sign, Tally},
        delivery::{Reason, State, Transition, WAITS_FAILING},
        outcome::FailureClass,
    },
    store::{delivery::calls, storable},
};

/// A flush's attempts, a column each, as `unnest` wants them.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) claim: Vec<i64>,
    pub(super) company: Vec<i64>,
    pub(super) integration: Vec<Uuid>,
    pub(super) delivery: Vec<Uuid>,
    pub(super) attempt: Vec<Uuid>,
    pub(super) lead: Vec<Option<Uuid>>,
    pub(super) event: Vec<&'a str>,
    pub(super) number: Vec<i32>,
    pub(super) trigger: Vec<&'a str>,
    pub(super) operator: Vec<Option<&'a str>>,
    pub(super) started: Vec<i64>,
    pub(super) duration: Vec<i32>,
    pub(super) class: Vec<Option<&'a str>>,
    pub(super) error: Vec<Option<String>>,
    pub(super) status: Vec<Option<i16>>,
    pub(super) method: Vec<Option<&'a str>>,
    pub(super) url: Vec<Option<&'a str>>,
    pub(super) request_headers: Vec<Option<&'a str>>,
    pub(super) response_headers: Vec<Option<&'a str>>,
    pub(super) response_body: Vec<Option<&'a [u8]>>,
    pub(super) response_bytes: Vec<Option<i64>>,
    pub(super) secret: Vec<Option<i32>>,
    pub(super) version: Vec<i32>,
    pub(super) state: Vec<&'a str>,
    pub(super) reason_code: Vec<Option<String>>,
    pub(super) reason_detail: Vec<Option<String>>,
    pub(super) retries: Vec<i32>,
    pub(super) waits: Vec<i16>,
    pub(super) crashes: Vec<i16>,
    pub(super) after: Vec<Option<i64>>,
    pub(super) rendered: Vec<Option<&'a [u8]>>,
    pub(super) verbatim: Vec<bool>,
    pub(super) swept: Vec<bool>,
    pub(super) calls: Vec<Option<String>>,
    pub(super) note: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(finished: &[&'a Finished]) -> Self {
        let mut columns = Self::default();
        for item in finished.iter().copied() {
            columns.push_claimed(item);
            columns.push_result(&item.result);
            columns.verbatim.push(item.verbatim);
            let reason =
                if let Transition::Dead { reason, .. } = &item.transition { Some(reason) } else { None };
            columns.swept.push(reason.is_some_and(Reason::is_swept));
            let (state, reason, retries, waits, after) = match &item.transition {
                Transition::Delivered => (State::Delivered, None, 0, 0, None),
                Transition::Retry { after, retries, waits, .. } => {
                    let failure = item.result.outcome.failure();
                    let is_open = failure.is_some_and(|failure| failure.class == FailureClass::Unknown);
                    let reason = is_open.then_some(&Reason::MaybeDelivered);
                    (State::Pending, reason, *retries, *waits, Some(span(*after)))
                }
                Transition::Dead { reason, .. } => (State::Dead, Some(reason), 0, 0, None),
                Transition::Skipped { reason } => (State::Skipped, Some(reason), 0, 0, None),
            };
            columns.state.push(state.as_str());
            columns.reason_code.push(reason.map(Reason::code));
            columns.reason_detail.push(reason.and_then(Reason::detail_text));
            columns.retries.push(i32::try_from(retries).unwrap_or(i32::MAX));
            columns.waits.push(waits);
            columns.after.push(after);
        }
        columns
    }

    fn push_claimed(&mut self, Finished { claimed, pending, config_version, .. }: &'a Finished) {
        self.claim.push(claimed.claim);
        self.company.push(claimed.lane.company.0);
        self.integration.push(claimed.lane.integration.uuid());
        self.delivery.push(claimed.delivery.uuid());
        self.attempt.push(claimed.attempt.uuid());
        self.trigger.push(claimed.trigger.as_str());
        self.operator.push(claimed.operator.as_deref());
        self.started.push(claimed.claimed_at.as_micros());
        self.lead.push(Some(pending.lead.uuid()));
        self.event.push(pending.event.as_str());
        self.number.push(pending.attempts + 1);
        self.crashes.push(pending.crashes);
        self.version.push(*config_version);
    }

    fn push_result(&mut self, result: &'a AttemptResult) {
        let failure = result.outcome.failure();
        self.duration.push(result.duration_ms());
        self.class.push(failure.map(|failure| failure.class.as_str()));
        self.error.push(failure.map(|failure| storable_error(&failure.error)));
        self.calls.push(calls::stored(&result.calls));
        self.note.push(result.note.as_deref().map(storable));
        self.rendered.push(result.body.as_deref());
        let sent = result.sent.as_ref();
        self.method.push(sent.map(|sent| sent.method.as_str()));
        self.url.push(sent.map(|sent| sent.url.as_str()));
        self.request_headers.push(sent.map(|sent| sent.headers.as_str()));
        self.secret.push(sent.and_then(|sent| sent.secret_version));
        let answer = result.answer.as_ref();
        self.status.push(answer.map(|answer| answer.status));
        self.response_headers.push(answer.map(|answer| answer.headers.as_str()));
        self.response_body.push(answer.map(|answer| &answer.body[..]));
        self.response_bytes.push(answer.map(|answer| answer.body_bytes));
    }
}

/// What a flush means for the health of each integration in it, in the order of their ids.
#[derive(Default)]
pub(super) struct HealthColumns<'a> {
    pub(super) company: Vec<i64>,
    pub(super) integration: Vec<Uuid>,
    /// Whether anything was pushed that says how it is.
    pub(super) has_news: Vec<bool>,
    pub(super) pushed: Vec<bool>,
    pub(super) failures: Vec<i64>,
    pub(super) error: Vec<Option<String>>,
    pub(super) class: Vec<Option<&'a str>>,
    pub(super) failing: Vec<Option<bool>>,
    pub(super) throttle: Vec<Option<i64>>,
    pub(super) up: Vec<bool>,
    pub(super) down: Vec<i32>,
    tally: Tally,
}

impl<'a> HealthColumns<'a> {
    pub(super) fn of(finished: &[&'a Finished]) -> Self {
        let mut order = finished.to_vec();
        // Two daemons that lock rows in the same order cannot lock each other out. The sort is stable: within an
        // integration, attempts stay in the order in which they ended.
        order.sort_by_key(|item| item.claimed.lane.integration);
        let mut health = Self::default();
        for item in order {
            health.add(item);
        }
        health
    }

    fn add(&mut self, item: &'a Finished) {
        let id = item.claimed.lane.integration.uuid();
        if self.integration.last() != Some(&id) {
            self.company.push(item.claimed.lane.company.0);
            self.integration.push(id);
            self.has_news.push(false);
            self.pushed.push(false);
            self.failures.push(0);
            self.error.push(None);
            self.class.push(None);
            self.failing.push(None);
            self.throttle.push(None);
            self.up.push(false);
            self.down.push(0);
            self.tally = Tally::default();
        }
        // What must not be pushed says nothing of the integration.
        if matches!(item.transition, Transition::Skipped { .. }) {
            return;
        }
        let last = self.integration.len() - 1;
        self.has_news[last] = true;
        let failure = item.result.outcome.failure();
        self.class[last] = failure.map(|failure| failure.class.as_str());
        if let Some(failure) = failure {
            self.failures[last] += 1;
            self.error[last] = Some(storable_error(&failure.error));
        }
        let class = failure.map(|failure| failure.class);
        self.tally.add(Sign::of(class, item.result.sent.is_some()));
        (self.up[last], self.down[last]) = (self.tally.is_up, self.tally.down);
        let wait = match &item.transition {
            Transition::Delivered => {
                self.pushed[last] = true;
                self.failing[last] = Some(false);
                None
            }
            Transition::Dead { throttle, .. } => {
                self.failing[last] = Some(true);
                *throttle
            }
            Transition::Retry { after, waits, throttle, .. } => {
                // It neither dies nor arrives, however long it waits.
                if *waits >= WAITS_FAILING {
                    self.failing[last] = Some(true);
                }
                throttle.then_some(*after)
            }
            Transition::Skipped { .. } => None,
        };
        self.throttle[last] = self.throttle[last].max(wait.map(span));
    }
}

fn span(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
