//! `leadline attempt`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, Page,
    shape::{Attempt, AttemptShown, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline attempt list --integration hook           the last 50 pushes, newest first
  leadline attempt show 01J8H6KQH4YG3XR8RWM6T6XFQE     what was sent and what came back")]
pub(crate) enum Verb {
    /// List attempts, newest first, those in flight included
    List {
        /// Of this integration
        #[arg(long, value_name = "ID", required_unless_present = "delivery", conflicts_with = "delivery")]
        integration: Option<String>,
        /// Of this delivery
        #[arg(long, value_name = "ID")]
        delivery: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show an attempt with its request and response
    Show {
        /// The attempt's id
        id: String,
    },
}

impl Verb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::List { integration, delivery, page } => {
                let limit = page.limit;
                let request = v1::ListAttemptsRequest {
                    integration: integration.unwrap_or_default(),
                    delivery: delivery.unwrap_or_default(),
                    page: Some(page.into()),
                };
                let attempts: Vec<Attempt> = shapes(client.list_attempts(request).await?.attempts);
                context.out.page(&attempts, limit, "id")
            }
            Self::Show { id } => {
                let answer = client.get_attempt(v1::GetAttemptRequest { id }).await?;
                context.out.object(&AttemptShown::from(answer))
            }
        }
    }
}
