//! `leadline integration rotate-secret`.

use std::time::Duration;

use clap::Args;
use leadline_client::{Client, span};
use leadline_proto::v1;

use super::{CliError, Context, input, integration::IntegrationReference, output_types::SecretRotated};
/// How a new secret comes in.
#[derive(Debug, Args)]
#[command(after_help = "\
Now (a leak): the new secret signs at once; receivers of the simple signature header must change at once,
those of `webhook-signature` within the grace.
Staged: the new secret only joins `webhook-signature`, and signs what `integration test` pushes, until
`integration cut-over`. A receiver that knows one secret at a time needs --hold: pushes wait until then.")]
pub(crate) struct Rotate {
    #[command(flatten)]
    reference: IntegrationReference,
    /// How long the old secret stays valid in `webhook-signature`: 0s to 7d [default: 24h]
    #[arg(long, value_name = "SPAN", value_parser = input::seconds, conflicts_with = "staged")]
    grace: Option<u32>,
    /// Let the old one sign until `integration cut-over`
    #[arg(long)]
    staged: bool,
    /// Push nothing until then
    #[arg(long, requires = "staged")]
    hold: bool,
    /// Bring an existing secret: it is read from stdin
    #[arg(long)]
    secret_stdin: bool,
}

impl Rotate {
    /// Makes the secret and shows it.
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let signing_secret = if self.secret_stdin { input::secret()? } else { String::new() };
        let request = v1::RotateSecretRequest {
            request_id: String::new(),
            integration: self.reference.integration,
            grace: self.grace.map(|grace| span(Duration::from_secs(grace.into()))),
            signing_secret,
            staged: self.staged,
            hold: self.hold,
        };
        let answer = client.rotate_secret(request).await?;
        let integration = answer.integration.unwrap_or_default();
        let id = integration.id.clone();
        context.out.object(&SecretRotated::new(integration, answer.signing_secret))?;
        context.out.note(&match (self.staged, self.hold) {
            (false, _) => "The new secret signs from now on. Receivers of the simple signature header must change \
                           at once; `webhook-signature` carries both until the grace ends."
                .to_owned(),
            (true, false) => format!(
                "The old secret signs until `leadline integration cut-over {id}`; `webhook-signature` carries both. \
                 `leadline integration test {id}` shows whether the receiver knows the new one."
            ),
            (true, true) => format!(
                "Nothing is pushed until `leadline integration cut-over {id}`. Wait until the pushes in flight have \
                 ended, give the receiver the new secret, try it with `leadline integration test {id}`, then cut over."
            ),
        });
        Ok(())
    }
}
