//! `leadline lead`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, Page,
    import::Import,
    input, push,
    shape::{Erased, Lead, LeadShown, Trace, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline lead list --company 7 --limit 10
  leadline lead list --company 7 --state unsynced    those of which nothing has arrived anywhere
  leadline lead push --company 7 --unsynced
  leadline lead show 01J8H6KQH4YG3XR8RWM6T6XFQE -o json | jq .deliveries
  leadline lead trace 01J8H6KQH4YG3XR8RWM6T6XFQE     everything that happened to it
  leadline lead erase 01J8H6KQH4YG3XR8RWM6T6XFQE")]
pub(crate) enum Verb {
    /// List leads, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// Only in this state
        #[arg(long, value_parser = ["unsynced", "pushed", "complete"])]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Push leads that are known already: one, or all of a company that are not synced
    Push(push::Push),
    /// Show a lead: its event as it is pushed, and what became of it
    Show {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
    },
    /// Tell a lead's whole story: what came in, each delivery, each attempt, in the order of time
    Trace {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
    },
    /// Take in the leads of a file
    Import(Import),
    /// Remove a person: what came in, what was pushed and what came back; counts stay
    #[command(after_help = "\
What is not delivered yet is skipped with the reason `erased`. A push that is under way may still arrive; what it
leaves behind is removed when it ends. The uuid is not taken in again. What integrations received is theirs to
remove: `leadline lead trace UUID` says which.")]
    Erase {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Verb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::Push(push) => push.run(context).await,
            Self::List { company, state, page } => {
                let limit = page.limit;
                let state = match state.as_deref() {
                    Some("unsynced") => v1::LeadState::Unsynced,
                    Some("pushed") => v1::LeadState::Pushed,
                    Some(_) => v1::LeadState::Complete,
                    None => v1::LeadState::Unspecified,
                };
                let company = company.unwrap_or_default();
                let request = v1::ListLeadsRequest { company, page: Some(page.into()), state: state.into() };
                let leads: Vec<Lead> = shapes(client.list_leads(request).await?.leads);
                context.out.page(&leads, limit, "uuid")
            }
            Self::Show { uuid, company } => {
                let company = company.unwrap_or_default();
                let lead = client.get_lead(v1::GetLeadRequest { uuid, company }).await?;
                let event = lead.event.clone();
                context.out.object_with_json(&LeadShown::from(lead), "event", &event)
            }
            Self::Import(import) => import.run(context).await,
            Self::Trace { uuid, company } => {
                let company = company.unwrap_or_default();
                let trace = client.trace_lead(v1::TraceLeadRequest { uuid, company }).await?;
                context.out.object(&Trace::from(trace))
            }
            Self::Erase { uuid, company, yes } => {
                let company = company.unwrap_or_default();
                if !yes {
                    let request = v1::GetLeadRequest { uuid: uuid.clone(), company: company.clone() };
                    let lead = client.get_lead(request).await?;
                    let deliveries = lead.deliveries.len();
                    let question = format!(
                        "This removes lead {uuid} for good, with what its {deliveries} deliveries sent and received."
                    );
                    input::confirm(&question, &uuid)?;
                }
                let request = v1::EraseLeadRequest { request_id: String::new(), uuid, company };
                context.out.object(&Erased::from(client.erase_lead(request).await?))
            }
        }
    }
}
