//! The daemon behind the connection, spoken to through `client`.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use leadline_proto::v1::{self, watch_response::Message};

use super::{Attempts, Call, Dial, Failure, Session, Watched, convert};
use crate::client::{Client, ClientError};
use crate::model::data::{Detail, Done, Entry, Estimate, Mutation, Retry, Secret};
use crate::msg::Msg;

/// A daemon to connect to.
#[derive(Clone, Debug)]
pub struct Daemon {
    server: Option<String>,
}

impl Daemon {
    /// The daemon where `server` or the environment says.
    pub fn new(server: Option<String>) -> Self {
        Self { server }
    }
}

impl Dial for Daemon {
    fn dial(&self) -> Call<Arc<dyn Session>> {
        let server = self.server.clone();
        Box::pin(async move {
            let client = Client::find(server.as_deref()).await?;
            Ok(Arc::new(client) as Arc<dyn Session>)
        })
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Unreachable { .. } | ClientError::Silent { .. } => Self::Away(text),
            // The database is away: the daemon asks to try again.
            ClientError::Refused { code: "unavailable", .. } => Self::Away(text),
            ClientError::Refused { code: "unimplemented", .. } => {
                Self::Incompatible(format!("{text}: the daemon is of another version"))
            }
            ClientError::Forbidden { .. } => Self::Denied(text),
            ClientError::Usage(_) | ClientError::Refused { .. } => Self::Refused(text),
        }
    }
}

impl Session for Client {
    fn watch(&self, cursor: String) -> Call<BoxStream<'static, Watched>> {
        let client = self.clone();
        Box::pin(async move {
            let stream = Self::watch(&client, "", &cursor).await.map_err(|error| match error {
                ClientError::Refused { credential: true, message, .. } => Failure::Denied(message),
                other => other.into(),
            })?;
            Ok(stream.filter_map(|item| std::future::ready(watched(item))).boxed())
        })
    }

    fn attempts(&self, integration: String) -> Call<Attempts> {
        let client = self.clone();
        Box::pin(async move {
            let stream = client.watch_attempts(&integration).await?;
            let attempts = |told: v1::WatchAttemptsResponse| {
                told.attempts.into_iter().map(convert::attempt).collect::<Vec<_>>()
            };
            Ok(stream.map(move |item| item.map(attempts).map_err(Failure::from)).boxed())
        })
    }

    fn detail(&self, attempt: String) -> Call<Detail> {
        let client = self.clone();
        Box::pin(async move {
            let told = client.get_attempt(v1::GetAttemptRequest { id: attempt }).await?;
            Ok(convert::detail(told.detail.unwrap_or_default()))
        })
    }

    fn estimate(&self, retry: Retry) -> Call<Estimate> {
        let client = self.clone();
        Box::pin(async move {
            let request = v1::RetryDeliveriesRequest { dry_run: true, ..retry_request(retry) };
            Ok(convert::estimate(&client.retry_deliveries(request).await?))
        })
    }

    fn mutate(&self, request_id: String, mutation: Mutation) -> Call<Done> {
        let client = self.clone();
        Box::pin(async move { mutate(&client, request_id, mutation).await })
    }
}

/// A message without content says nothing, and is passed over.
fn watched(item: Result<v1::WatchResponse, ClientError>) -> Option<Watched> {
    let response = match item {
        Ok(response) => response,
        Err(error) => return Some(Err(error.into())),
    };
    let all = |list: Vec<v1::Integration>| list.into_iter().map(convert::integration).collect();
    let msg = match response.message? {
        Message::Snapshot(told) => {
            Msg::Snapshot { version: told.daemon_version, integrations: all(told.integrations) }
        }
        Message::Changes(told) => Msg::Changes { changed: all(told.changed), removed: told.removed },
    };
    Some(Ok((response.cursor, msg)))
}

fn retry_request(retry: Retry) -> v1::RetryDeliveriesRequest {
    match retry {
        Retry::Deliveries(ids) => v1::RetryDeliveriesRequest { ids, ..Default::default() },
        Retry::DeadOf { integration } => v1::RetryDeliveriesRequest {
            filter: Some(v1::DeliveryFilter { integration, ..Default::default() }),
            ..Default::default()
        },
    }
}

async fn mutate(client: &Client, request_id: String, mutation: Mutation) -> Result<Done, Failure> {
    let known = |it: Option<v1::Integration>| {
        it.map(convert::integration)
            .ok_or_else(|| Failure::Incompatible("the daemon's answer names no integration".to_owned()))
    };
    Ok(match mutation {
        Mutation::Retry(retry) => {
            let request = v1::RetryDeliveriesRequest { request_id, ..retry_request(retry) };
            Done::Retried { count: client.retry_deliveries(request).await?.count }
        }
        Mutation::Enable { integration, held } => {
            let held = held.word().to_owned();
            let request = v1::EnableIntegrationRequest { request_id, integration, held };
            let told = client.enable_integration(request).await?;
            Done::Enabled { integration: known(told.integration)?, held: told.held }
        }
        Mutation::Disable { integration } => {
            let request = v1::DisableIntegrationRequest { request_id, integration };
            Done::Changed(convert::integration(client.disable_integration(request).await?))
        }
        Mutation::Reset { integration } => {
            let request = v1::ResetIntegrationRequest { request_id, integration };
            Done::Changed(convert::integration(client.reset_integration(request).await?))
        }
        Mutation::Test { integration } => test(client, request_id, integration).await?,
        Mutation::CutOver { integration } => {
            let request = v1::CutOverRequest { request_id, integration };
            Done::Changed(convert::integration(client.cut_over(request).await?))
        }
        Mutation::Revoke { integration } => {
            let request = v1::RevokeSecretRequest { request_id, integration };
            Done::Changed(convert::integration(client.revoke_secret(request).await?))
        }
        Mutation::Rotate { integration, entry } => {
            let (grace_seconds, staged, hold) = match entry {
                Entry::Now { grace_seconds } => (Some(grace_seconds), false, false),
                Entry::Staged { hold } => (None, true, hold),
            };
            let signing_secret = String::new();
            let request = v1::RotateSecretRequest {
                request_id,
                integration,
                grace_seconds,
                signing_secret,
                staged,
                hold,
            };
            let told = client.rotate_secret(request).await?;
            let secret = Some(told.signing_secret).filter(|secret| !secret.is_empty()).map(Secret::new);
            Done::Rotated { integration: known(told.integration)?, secret }
        }
    })
}

async fn test(client: &Client, request_id: String, integration: String) -> Result<Done, Failure> {
    let request = v1::TestIntegrationRequest { request_id, integration };
    let attempt = client.test_integration(request).await?.attempt_id;
    let request = v1::AwaitAttemptRequest { attempt, ..Default::default() };
    let told = client.await_attempt(request).await?.attempt.unwrap_or_default();
    let attempt = convert::attempt(told);
    Ok(Done::Tested {
        state: attempt.state,
        status: attempt.status,
        duration_ms: attempt.duration_ms,
        error: attempt.error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::FakeDaemon;

    #[tokio::test]
    async fn a_dry_run_counts_and_the_retry_keeps_its_id() {
        let daemon = FakeDaemon::start().await;
        let client = daemon.client.clone();
        let dead = Retry::DeadOf { integration: "01I1".to_owned() };
        Session::estimate(&client, dead).await.unwrap();
        for _ in 0..2 {
            let retry = Mutation::Retry(Retry::Deliveries(vec!["01D1".to_owned()]));
            Session::mutate(&client, "01REQ".to_owned(), retry).await.unwrap();
        }
        let asked = daemon.stop().await;
        let [dry, first, again] = &asked[..] else { panic!("{asked:?}") };
        let filter = dry.filter.clone().unwrap();
        assert!(dry.dry_run && dry.ids.is_empty());
        assert_eq!(
            (filter.integration.as_str(), filter.states.len()),
            ("01I1", 0),
            "none named means dead ones"
        );
        assert!(!first.dry_run && first.filter.is_none());
        assert_eq!((first.request_id.as_str(), &first.ids[..]), ("01REQ", &["01D1".to_owned()][..]));
        assert_eq!(first, again);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let daemon = FakeDaemon::start().await;
        let client = daemon.client.clone();
        let watch = |client: Client| async move { Session::watch(&client, String::new()).await.err() };
        assert!(
            matches!(watch(client.clone()).await, Some(Failure::Incompatible(_))),
            "it has no such service"
        );
        let detail = Session::detail(&client, "01A".to_owned()).await;
        assert!(matches!(detail, Err(Failure::Refused(_))));
        daemon.stop().await;
        assert!(matches!(watch(client).await, Some(Failure::Away(_))));
    }
}
