//! The daemon behind the connection, spoken to through `client`.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use leadline_client::{Client, ClientError, Reach};
use leadline_proto::v1::{self, watch_integrations_response::Message};

use super::{CallFailure, DaemonSession, Dial, Followed, Fresh, PendingCall, Watched, ask, change, convert};
use crate::console::data::{Answer, Done, Mutation, Query};
use crate::console::msg::{Follow, Msg};

/// A daemon to connect to.
#[derive(Clone, Debug)]
pub struct GrpcDaemon {
    reach: Reach,
}

impl GrpcDaemon {
    /// The daemon where the command line or the environment says.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

impl Dial for GrpcDaemon {
    fn dial(&self) -> PendingCall<Arc<dyn DaemonSession>> {
        let reach = self.reach.clone();
        Box::pin(async move {
            let client = Client::find_for_screen(&reach).await?;
            Ok(Arc::new(client) as Arc<dyn DaemonSession>)
        })
    }
}

impl From<ClientError> for CallFailure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Unreachable { .. } | ClientError::Silent { .. } => Self::Away(text),
            // The database is away: the daemon asks to try again.
            ClientError::Refused { code: "unavailable", .. } => Self::Away(text),
            ClientError::Refused { code: "unimplemented", .. } => {
                Self::Incompatible(format!("{text}: the daemon is of another version"))
            }
            ClientError::Forbidden { .. } | ClientError::Untrusted { .. } => Self::Denied(text),
            ClientError::Refused { code: "unauthenticated", .. } => Self::Denied(text),
            ClientError::Usage(_) | ClientError::Refused { .. } => Self::Refused(text),
        }
    }
}

impl DaemonSession for Client {
    fn watch(&self, cursor: String) -> PendingCall<BoxStream<'static, Watched>> {
        let client = self.clone();
        Box::pin(async move {
            // A daemon of before knows no such question, and lets admins in only.
            let who = client.who_am_i(v1::WhoAmIRequest {}).await.ok().map(|who| Msg::Who(convert::who(who)));
            let who = stream::iter(who.map(|who| Ok(Some((cursor.clone(), who)))));
            let request = v1::WatchIntegrationsRequest { cursor, heartbeat: true, ..Default::default() };
            let stream = Self::watch(&client, request).await.map_err(|error| match error {
                ClientError::Refused { credential: true, message, .. } => CallFailure::Denied(message),
                other => other.into(),
            })?;
            Ok(who.chain(stream.map(watched)).boxed())
        })
    }

    fn follow(&self, what: Follow) -> PendingCall<Followed> {
        let client = self.clone();
        Box::pin(async move {
            Ok(match what {
                Follow::Integration(integration) => {
                    let stream = client.watch_attempts(&integration).await?;
                    let attempts = |reply: v1::WatchAttemptsResponse| {
                        Fresh::Attempts(reply.attempts.into_iter().map(convert::attempt).collect())
                    };
                    stream.map(move |item| item.map(attempts).map_err(CallFailure::from)).boxed()
                }
                Follow::Activity(company) => {
                    let company = company.map(|id| id.to_string()).unwrap_or_default();
                    let stream = client.watch_activity(&company).await?;
                    stream.map(|item| item.map(|_| Fresh::Activity).map_err(CallFailure::from)).boxed()
                }
            })
        })
    }

    fn ask(&self, query: Query) -> PendingCall<Answer> {
        let client = self.clone();
        Box::pin(async move { ask::ask(&client, query).await })
    }

    fn mutate(&self, request_id: String, mutation: Mutation) -> PendingCall<Done> {
        let client = self.clone();
        Box::pin(async move { change::mutate(&client, request_id, mutation).await })
    }
}

/// A message without content says that the daemon runs.
fn watched(item: Result<v1::WatchIntegrationsResponse, ClientError>) -> Watched {
    let response = item?;
    let all = |list: Vec<v1::Integration>| list.into_iter().map(convert::integration).collect();
    Ok(response.message.map(|message| {
        let msg = match message {
            Message::Snapshot(told) => {
                Msg::Snapshot { version: told.daemon_version, integrations: all(told.integrations) }
            }
            Message::Changes(told) => Msg::Changes { changed: all(told.changed), removed: told.removed },
        };
        (response.cursor, msg)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::data::{BulkTarget, DeliveryState};
    use crate::fake::FakeDaemon;

    #[tokio::test]
    async fn a_dry_run_counts_and_the_retry_keeps_its_id() {
        let daemon = FakeDaemon::start().await;
        let client = daemon.client.clone();
        let dead = BulkTarget::Dead { integration: "01I1".to_owned() };
        let retry = Mutation::retry(dead, false);
        DaemonSession::ask(&client, Query::Estimate(Box::new(retry))).await.unwrap();
        for _ in 0..2 {
            let target = BulkTarget::Ids(vec!["01D1".to_owned()]);
            let retry = Mutation::retry(target, false);
            DaemonSession::mutate(&client, "01REQ".to_owned(), retry).await.unwrap();
        }
        let asked = daemon.stop().await;
        let [dry, first, again] = &asked[..] else { panic!("{asked:?}") };
        let filter = dry.filter.clone().unwrap();
        assert!(dry.dry_run && dry.ids.is_empty());
        assert_eq!((filter.integration.as_str(), filter.states.len()), ("01I1", 1), "the dead ones of it");
        assert!(!first.dry_run && first.filter.is_none());
        assert_eq!((first.request_id.as_str(), &first.ids[..]), ("01REQ", &["01D1".to_owned()][..]));
        assert_eq!(first, again);
    }

    #[tokio::test]
    async fn a_delivery_and_why_are_of_one_reading() {
        let daemon = FakeDaemon::start().await;
        let client = daemon.client.clone();
        // It was pending when the lead was read, and had died when it was explained.
        let delivery = |id: &str| v1::Delivery {
            id: id.to_owned(),
            state: v1::DeliveryState::Pending.into(),
            ..v1::Delivery::default()
        };
        let explained = ask::explained(&client, delivery("01D1")).await;
        assert_eq!((explained.delivery.state, &*explained.why), (DeliveryState::Dead, "It died: retry it."));
        let gone = ask::explained(&client, delivery("missing")).await;
        assert_eq!(
            (gone.delivery.state, &*gone.why),
            (DeliveryState::Pending, ""),
            "no sentence beats a wrong one"
        );
        daemon.stop().await;
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let daemon = FakeDaemon::start().await;
        let client = daemon.client.clone();
        let watch = |client: Client| async move { DaemonSession::watch(&client, String::new()).await.err() };
        assert!(
            matches!(watch(client.clone()).await, Some(CallFailure::Incompatible(_))),
            "it has no such service"
        );
        let detail = DaemonSession::ask(&client, Query::Detail { attempt: "01A".to_owned() }).await;
        assert!(matches!(detail, Err(CallFailure::Refused(_))));
        daemon.stop().await;
        assert!(matches!(watch(client).await, Some(CallFailure::Away(_))));
    }
}
