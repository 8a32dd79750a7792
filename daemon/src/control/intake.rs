//! What the intake refused, what happened to a lead, and what is cleaned up behind removals.

use std::time::Duration;

use leadline_proto::v1;

use super::{
    Control,
    convert::{failure_class, small, time},
    words,
};
use crate::{
    store::{
        Error,
        company::refusal::RefusalView,
        lead::{
            erase::Erased,
            trace::{StepState, TraceStep},
        },
    },
    telemetry,
};

/// How often it is looked whether the pushes of what is to go have ended; housekeeping looks on after that.
const CLEANINGS: usize = 120;
const CLEANING_GAP: Duration = Duration::from_millis(500);

impl Control {
    /// Cleans up behind pushes that were under way when their lead was erased.
    pub(super) fn clean_up_erasures(&self) {
        let store = self.store.clone();
        self.spawn_after(async move {
            until_none_is_left("erased leads", || store.finish_erasures()).await;
        });
    }

    /// Removes what is left of deleted integrations, once the pushes to them have ended.
    pub(super) fn clean_up_deletions(&self) {
        let store = self.store.clone();
        self.spawn_after(async move {
            until_none_is_left("deleted integrations", || store.finish_deletions()).await;
        });
    }
}

/// Cleans up until nothing is left, which waits for pushes that are under way.
async fn until_none_is_left<F>(what: &'static str, clean_up: impl Fn() -> F)
where
    F: Future<Output = Result<usize, Error>>,
{
    for _ in 0..CLEANINGS {
        match clean_up().await {
            Ok(0) => return,
            Ok(left) => tracing::debug!(what, left, "what is to go is still being pushed"),
            Err(error) => {
                tracing::warn!(
                    event = "cleanup_deferred",
                    what,
                    error = telemetry::causes(&error),
                    "what is to go is cleaned up later"
                )
            }
        }
        tokio::time::sleep(CLEANING_GAP).await;
    }
}

impl From<RefusalView> for v1::Refused {
    fn from(view: RefusalView) -> Self {
        let errors = view.errors.into_iter();
        Self {
            id: view.id.to_string(),
            at: Some(time(view.at)),
            path: view.path,
            status: u32::try_from(view.status).unwrap_or_default(),
            detail: view.detail,
            errors: errors.map(|(pointer, detail)| v1::FieldProblem { pointer, detail }).collect(),
            body: view.body.unwrap_or_default(),
        }
    }
}

impl From<Erased> for v1::EraseLeadResponse {
    fn from(erased: Erased) -> Self {
        Self {
            uuid: erased.uuid,
            skipped: erased.skipped,
            deliveries: erased.deliveries,
            attempts: erased.attempts,
            running: erased.running,
        }
    }
}

impl From<TraceStep> for v1::TraceStep {
    fn from(step: TraceStep) -> Self {
        let (delivery_id, integration_id, integration_name) = match step.delivery {
            Some((delivery, integration, name)) => (delivery.to_string(), integration.to_string(), name),
            None => Default::default(),
        };
        let kind = v1::TraceStepKind::from_word(step.what.as_str()).unwrap_or_default();
        let (delivery_state, attempt_state) = match step.state {
            Some(StepState::Delivery(state)) => {
                let state = v1::DeliveryState::from_word(state.as_str()).unwrap_or_default();
                (state, v1::AttemptState::Unspecified)
            }
            Some(StepState::Arrived) => (v1::DeliveryState::Unspecified, v1::AttemptState::Delivered),
            Some(StepState::Failed) => (v1::DeliveryState::Unspecified, v1::AttemptState::Failed),
            None => Default::default(),
        };
        let told = Self {
            at: Some(time(step.at)),
            kind: kind.into(),
            event: step
                .event
                .and_then(|event| v1::Event::from_word(event.as_str()))
                .unwrap_or_default()
                .into(),
            delivery_id,
            integration_id,
            integration_name,
            delivery_state: delivery_state.into(),
            attempt_state: attempt_state.into(),
            reason: step.reason.unwrap_or_default(),
            ..Self::default()
        };
        let Some(attempt) = step.attempt else { return told };
        Self {
            attempt_id: attempt.id.to_string(),
            number: small(attempt.number),
            attempt_trigger: v1::AttemptTrigger::from_word(attempt.trigger.as_str())
                .unwrap_or_default()
                .into(),
            status_code: attempt.end.status_code.map(|code| small(code.into())),
            failure_class: failure_class(attempt.end.class.as_ref()),
            error: attempt.end.error.unwrap_or_default(),
            duration: Some(words::millis(small(attempt.end.duration_ms))),
            ..told
        }
    }
}
