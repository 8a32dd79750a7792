//! `leadline system`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{CliError, Context, output_types::System};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline system show -o json | jq .queue")]
pub(crate) enum SystemVerb {
    /// Show the daemons, the queue, rates and the database
    Show,
}

impl SystemVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let Self::Show = self;
        context.out.object(&System::from(client.get_system(v1::GetSystemRequest {}).await?))
    }
}
