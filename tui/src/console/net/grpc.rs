//! The daemon behind the connection, spoken to through `client`.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use leadline_proto::v1::{self, watch_response::Message};

use super::{Attempts, Call, Dial, Failure, Session, Watched, ask, change, convert};
use crate::client::{Client, ClientError};
use crate::console::data::{Answer, Done, Mutation, Query};
use crate::console::msg::Msg;

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
