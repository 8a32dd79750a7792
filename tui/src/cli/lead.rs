//! `leadline lead`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, Page,
    shape::{Lead, LeadShown, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline lead list --company 7 --limit 10
  leadline lead show 01J8H6KQH4YG3XR8RWM6T6XFQE -o json | jq .deliveries")]
pub(crate) enum Verb {
    /// List leads, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a lead: its event as it is pushed, and what became of it
    Show {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
    },
}

impl Verb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request = v1::ListLeadsRequest { company, page: Some(page.into()) };
                let leads: Vec<Lead> = shapes(client.list_leads(request).await?.leads);
                context.out.list(&leads, &["uuid", "company_id", "state", "received_at", "updated_at"])
            }
            Self::Show { uuid, company } => {
                let company = company.unwrap_or_default();
                let lead = client.get_lead(v1::GetLeadRequest { uuid, company }).await?;
                let event = lead.event.clone();
                context.out.object_with_json(&LeadShown::from(lead), "event", &event)
            }
        }
    }
}
