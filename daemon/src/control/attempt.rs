//! Attempts: lists, one with its detail, and waiting for one to finish.

use std::time::Duration;

use leadline_proto::v1::{self, attempt_service_server::AttemptService};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time,
};
use tonic::{Code, Request, Response, Status};

use super::{Control, Reply, check, convert, status, watch::AttemptStream, words};
use crate::{
    domain::{
        delivery::State,
        ids::{AttemptId, CompanyId, DeliveryId, IntegrationId},
        why,
    },
    store::{
        Change,
        delivery::{
            attempt_list::{AttemptFilter, AttemptState},
            attempts::{AttemptDetail, AttemptView},
        },
        operator::{
            command::Refusal,
            refusal::{Known, RefusalReason},
        },
    },
};

/// How long a call waits for an attempt at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks without being told: another daemon may do the push.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[tonic::async_trait]
impl AttemptService for Control {
    async fn list_attempts(
        &self,
        request: Request<v1::ListAttemptsRequest>,
    ) -> Reply<v1::ListAttemptsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let filter = AttemptFilter { after, ..self.attempt_filter(&request).await? };
        let page = self.store.for_lists().await.attempt_list(&filter, limit).await?;
        Ok(Response::new(v1::ListAttemptsResponse {
            next_page_token: words::next_of(&page, limit, |attempt| attempt.id),
            searched_back_to: page.stopped.map(|place| convert::time(place.made_at().into())),
            attempts: page.rows.into_iter().map(v1::Attempt::from).collect(),
        }))
    }

    async fn get_attempt(&self, request: Request<v1::GetAttemptRequest>) -> Reply<v1::GetAttemptResponse> {
        let id = check::id("attempt", &request.get_ref().id)?;
        let (attempt, detail) =
            self.store.attempt(id).await?.ok_or_else(|| Refusal::unknown("attempt", id))?;
        let (attempt, detail) = convert::attempt_answer(attempt, detail);
        Ok(Response::new(v1::GetAttemptResponse { attempt: Some(attempt), detail: Some(detail) }))
    }

    type WatchAttemptsStream = AttemptStream;

    async fn watch_attempts(
        &self,
        request: Request<v1::WatchAttemptsRequest>,
    ) -> Reply<Self::WatchAttemptsStream> {
        self.attempts_as_they_happen(request).await
    }

    async fn await_attempt(
        &self,
        request: Request<v1::AwaitAttemptRequest>,
    ) -> Reply<v1::AwaitAttemptResponse> {
        let request = request.into_inner();
        // Listens before it looks, so that nothing can finish unnoticed in between.
        let mut changes = self.store.wake_ups().watch();
        let awaited = match (&*request.attempt, &*request.delivery) {
            (attempt, "") => Awaited::Attempt(check::id("attempt", attempt)?),
            ("", delivery) => {
                let delivery = self.store.delivery_view(check::id("delivery", delivery)?).await?;
                let number = i32::try_from(request.after_number).unwrap_or(i32::MAX);
                Awaited::Behind(delivery.company, delivery.id, number)
            }
            _ => check::invalid("send either an attempt or a delivery, not both")?,
        };
        let deadline = time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            let integration = match self.look(&awaited).await? {
                Awaiting::Finished(found) => {
                    let (attempt, detail) = *found;
                    let (attempt, detail) = convert::attempt_answer(attempt, detail);
                    let answer = v1::AwaitAttemptResponse { attempt: Some(attempt), detail: Some(detail) };
                    return Ok(Response::new(answer));
                }
                Awaiting::Waits(integration) => integration,
            };
            tokio::select! {
                () = changed(&mut changes, integration) => {}
                () = time::sleep(LOOK_AGAIN) => {}
                () = &mut deadline => {
                    let message = "no attempt finished in 60 s: ask again to wait on";
                    return Err(status::refused(Code::DeadlineExceeded, "STILL_WAITING", message));
                }
                () = self.stop.cancelled() => return Err(stopping()),
            }
        }
    }
}

/// What a call waits for.
#[derive(Clone, Copy)]
enum Awaited {
    Attempt(AttemptId),
    Behind(CompanyId, DeliveryId, i32),
}

/// What a look at it found.
enum Awaiting {
    Finished(Box<(AttemptView, AttemptDetail)>),
    /// Not yet; it is pushed by this integration.
    Waits(IntegrationId),
}

impl Control {
    /// A filter with its references looked up.
    async fn attempt_filter(&self, asked: &v1::ListAttemptsRequest) -> Result<AttemptFilter, Refusal> {
        let at = asked.at.unwrap_or_default();
        let states = words::read_attempt_states(&asked.states)?.into_iter().filter_map(|state| match state {
            v1::AttemptState::Running => Some(AttemptState::Running),
            v1::AttemptState::Delivered => Some(AttemptState::Delivered),
            v1::AttemptState::Failed => Some(AttemptState::Failed),
            v1::AttemptState::Unspecified => None,
        });
        let status = asked.status_code;
        if status > 999 {
            check::invalid(format!("status_code {status}: give a status of HTTP, or 0 for any"))?;
        }
        let mut filter = AttemptFilter {
            company: self.store.find_optional_company(check::optional(&asked.company)).await?,
            lead: check::optional_id("lead", &asked.lead)?,
            classes: words::read_failure_classes(&asked.failure_classes)?,
            states: states.collect(),
            status: i16::try_from(status).ok().filter(|status| *status > 0),
            since: convert::read_time("since", at.since.as_ref())?,
            until: convert::read_time("until", at.until.as_ref())?,
            ..AttemptFilter::default()
        };
        match (&*asked.integration, &*asked.delivery) {
            ("", "") => {}
            (integration, "") => {
                let lane = self.store.find_integration(check::optional(&asked.company), integration).await?;
                filter.company = Some(lane.company);
                filter.integrations = vec![lane.integration];
            }
            ("", delivery) => {
                let delivery = self.store.delivery_view(check::id("delivery", delivery)?).await?;
                filter.company = Some(delivery.company);
                filter.delivery = Some(delivery.id);
            }
            _ => check::invalid("send either an integration or a delivery, not both")?,
        }
        Ok(filter)
    }

    async fn look(&self, awaited: &Awaited) -> Result<Awaiting, Refusal> {
        match *awaited {
            Awaited::Attempt(id) => {
                // The probe first: it goes in the transaction that writes its attempt.
                let probed = self.store.probed_integration(id).await?;
                match self.store.attempt(id).await? {
                    Some(found) if found.0.finished.is_some() => Ok(Awaiting::Finished(Box::new(found))),
                    Some(found) => Ok(Awaiting::Waits(found.0.integration)),
                    None => probed.map(Awaiting::Waits).ok_or_else(|| Refusal::unknown("attempt", id)),
                }
            }
            Awaited::Behind(company, id, number) => {
                // The delivery first: its state changes in the transaction that writes the attempt.
                let delivery = self.store.delivery_view(id).await?;
                if let Some(attempt) = self.store.attempt_behind(company, id, number).await?
                    && let Some(found) = self.store.attempt(attempt).await?
                {
                    return Ok(Awaiting::Finished(Box::new(found)));
                }
                if delivery.state == State::Pending {
                    return match why::idle_reason(&self.store.facts(id).await?) {
                        None => Ok(Awaiting::Waits(delivery.integration)),
                        Some(why) => {
                            let message =
                                format!("delivery {id} is in the queue, not pushed yet: {}", why.text);
                            let idle = Known::new(RefusalReason::DeliveryWaits, message);
                            Err(idle.about("delivery", id).with_next(&why).into())
                        }
                    };
                }
                Err(Refusal::State(format!(
                    "delivery {id} is {} after {} attempts and is not being pushed: retry or release it",
                    delivery.state, delivery.attempts
                )))
            }
        }
    }
}

/// The end of a call or a stream when the daemon stops.
pub(super) fn stopping() -> Status {
    status::refused(Code::Unavailable, "STOPPING", "the daemon stops: try again in a moment")
}

/// Waits until something about an integration changes, or may have.
pub(super) async fn changed(changes: &mut Receiver<Change>, integration: IntegrationId) {
    loop {
        match changes.recv().await {
            Ok(change) if change.lane.integration != integration => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_when_the_daemon_stops_is_told_to_come_back() {
        assert_eq!(stopping().message(), "the daemon stops: try again in a moment");
    }
}
