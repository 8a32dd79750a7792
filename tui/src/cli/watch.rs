//! `leadline watch`.

use clap::Args;
use futures::StreamExt as _;
use leadline_client::{Client, ClientError};
use leadline_proto::v1::{self, watch_integrations_response::Message};

use super::{CliError, Context, output_types::WatchLine};
/// What to watch.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line is an object: {\"change\": \"snapshot\" | \"changed\", \"integration\": {…}} or {\"change\": \"removed\", \"id\": …}.
It begins with how every integration stands.

Examples:
  leadline watch | jq -r 'select(.integration.badge == \"failing\") | .integration.name'")]
pub(crate) struct WatchOptions {
    /// Only this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
}

impl WatchOptions {
    /// Prints until the reader or the daemon goes away.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let company = self.company.unwrap_or_default();
        let request = v1::WatchIntegrationsRequest { company, with_skipped: true, ..Default::default() };
        let mut changes = client.watch(request).await?;
        while let Some(change) = changes.next().await {
            for line in lines(change.map_err(|error| ended(&client, error))?.message) {
                context.out.json_line(&line)?;
            }
        }
        Err(client.gone().into())
    }
}

/// A daemon that says goodbye is away no less than one that does not.
pub(super) fn ended(client: &Client, error: ClientError) -> ClientError {
    match error {
        ClientError::Refused { code: "unavailable", message, .. } => {
            ClientError::Unreachable { tried: client.address().to_string(), cause: message }
        }
        other => other,
    }
}

fn lines(message: Option<Message>) -> Vec<WatchLine> {
    match message {
        Some(Message::Snapshot(snapshot)) => snapshot
            .integrations
            .into_iter()
            .map(|integration| WatchLine::Snapshot { integration: Box::new(integration.into()) })
            .collect(),
        Some(Message::Changes(changes)) => {
            let changed = changes
                .changed
                .into_iter()
                .map(|integration| WatchLine::Changed { integration: Box::new(integration.into()) });
            changed.chain(changes.removed.into_iter().map(|id| WatchLine::Removed { id })).collect()
        }
        None => Vec::new(),
    }
}
