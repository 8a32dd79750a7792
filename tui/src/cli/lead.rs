//! `leadline lead`.

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use leadline_client::Client;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions,
    import::Import,
    input, note_more,
    output_types::{Erased, ErasedPerson, Found, FoundAnywhere, Lead, LeadShown, Revealed, Trace, shapes},
    push,
    read_on::{ListOrder, ListPart, read_on},
};
use crate::moment::reported as time;
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline lead list --company 7 --limit 10
  leadline lead list --company 7 --state unsynced    those of which nothing has arrived anywhere
  leadline lead find sarah                           any part of name, e-mail address, phone number or uuid
  leadline lead find 'string quartet' --anywhere     what any of the newest leads says
  leadline lead evidence 01J8H6KQH4YG3XR8RWM6T6XFQE --mask   for a ticket
  leadline lead export --email sarah@example.com     everything that is kept of a person
  leadline lead push --company 7 --unsynced
  leadline lead show 01J8H6KQH4YG3XR8RWM6T6XFQE -o json | jq .deliveries
  leadline lead trace 01J8H6KQH4YG3XR8RWM6T6XFQE     everything that happened to it
  leadline lead erase 01J8H6KQH4YG3XR8RWM6T6XFQE
  leadline lead erase --email sarah@example.com      all leads of that person")]
pub(crate) enum LeadVerb {
    /// List leads, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// Only in this state
        #[arg(long, value_parser = input::one_of(v1::LeadState::ALL, v1::LeadState::word))]
        state: Option<v1::LeadState>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Find leads by any part of name, e-mail address, phone number or uuid, newest first
    #[command(after_help = "\
With --anywhere each word of TEXT, three characters together at least, may stand in any value that the lead has. No
index has all that leads say, so this looks through the newest 5,000; `--after` looks further back.")]
    Find {
        /// What to look for: case and accents do not matter
        text: String,
        /// Look through everything that the newest leads say, and show where it stands
        #[arg(long)]
        anywhere: bool,
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Tell what happened to a lead as a document for a ticket
    Evidence {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// In which form
        #[arg(long, default_value = "markdown", value_parser = ["markdown", "json"])]
        format: String,
        /// Show the form of the person's own values only
        #[arg(long)]
        mask: bool,
    },
    /// Show who a lead is where people are masked for you; each look is audited
    Reveal {
        /// The lead's uuid
        uuid: String,
        /// Needed only if several companies know this uuid
        #[arg(long, value_name = "ID")]
        company: Option<String>,
    },
    /// Print everything that is kept of a person, as JSON
    Export {
        /// The person's e-mail address
        #[arg(long)]
        email: String,
        /// Only at this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
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
    Erase(Erase),
}

/// Whom to erase.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The lead's uuid
    #[arg(required_unless_present = "email", conflicts_with = "email")]
    uuid: Option<String>,
    /// All leads of the person with this e-mail address
    #[arg(long)]
    email: Option<String>,
    /// Only at this company; with a uuid, needed only if several companies know it
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl LeadVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::Push(push) => push.run(context).await,
            Self::List { company, state, page } => {
                let (company, state) = (company.unwrap_or_default(), state.unwrap_or_default().into());
                let ask = async |page_size, page_token| {
                    let company = company.clone();
                    let request = v1::ListLeadsRequest { company, page_size, page_token, state };
                    let answer = client.list_leads(request).await?;
                    let reached = time(answer.searched_back_to);
                    Ok(ListPart { rows: answer.leads, next: answer.next_page_token, reached })
                };
                let print = |leads| context.out.list::<Lead>(&shapes(leads));
                read_on(context, page, ListOrder::Back, ask, print).await
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
            Self::Find { text, anywhere: true, company, page } => {
                let company = company.unwrap_or_default();
                find_anywhere(context, &client, text, company, page).await
            }
            Self::Find { text, company, page, .. } => {
                let company = company.unwrap_or_default();
                let request =
                    v1::FindLeadsRequest { text, company, page_size: page.limit, page_token: page.token() };
                let answer = client.find_leads(request).await?;
                let leads: Vec<Found> = shapes(answer.leads);
                context.out.list(&leads)?;
                note_more(context, &answer.next_page_token);
                if answer.is_scan {
                    context.out.note(
                        "Every lead was looked through: PostgreSQL's extension pg_trgm makes this fast",
                    );
                }
                Ok(())
            }
            Self::Evidence { uuid, company, format, mask } => {
                let company = company.unwrap_or_default();
                let is_json = format == "json" || context.out.is_json();
                let format = if is_json { v1::EvidenceFormat::Json } else { v1::EvidenceFormat::Markdown };
                let request = v1::GetEvidenceRequest { uuid, company, format: format.into(), mask };
                let document = client.get_evidence(request).await?.document;
                let document = String::from_utf8_lossy(&document);
                if is_json { context.out.json_text(&document) } else { context.out.document(&document) }
            }
            Self::Reveal { uuid, company } => reveal(context, &client, uuid, company).await,
            Self::Export { email, company } => {
                let company = company.unwrap_or_default();
                export(context, &client, v1::ExportPersonRequest { email, company }).await
            }
            Self::Erase(erase) => erase.run(context, &client).await,
        }
    }
}

impl Erase {
    async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let (company, yes) = (self.company.unwrap_or_default(), self.yes);
        if let Some(email) = self.email {
            return erase_person(context, client, email, company, yes).await;
        }
        let uuid = self.uuid.unwrap_or_default();
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

async fn erase_person(
    context: &Context,
    client: &Client,
    email: String,
    company: String,
    yes: bool,
) -> Result<(), CliError> {
    let request = v1::ErasePersonRequest { email: email.clone(), company, ..Default::default() };
    if !yes {
        let plan = v1::ErasePersonRequest { dry_run: true, ..request.clone() };
        let leads = client.erase_person(plan).await?.uuids.len();
        let question =
            format!("This removes the {leads} leads of {email} for good, with what they sent and received.");
        input::confirm(&question, &email)?;
    }
    context.out.object(&ErasedPerson::from(client.erase_person(request).await?))
}

/// Prints which of the newest leads say a text, and how far it was looked back.
async fn find_anywhere(
    context: &Context,
    client: &Client,
    text: String,
    company: String,
    page: PageOptions,
) -> Result<(), CliError> {
    let is_further_back = page.after.is_some();
    let request =
        v1::FindLeadsAnywhereRequest { text, company, page_size: page.limit, page_token: page.token() };
    let answer = client.find_leads_anywhere(request).await?;
    let leads: Vec<FoundAnywhere> = shapes(answer.matches);
    context.out.list(&leads)?;
    let back_to = time(answer.searched_back_to).map(|at| context.out.time(&at.to_string()));
    let reach = reach(answer.searched, back_to, &answer.next_page_token, is_further_back);
    // A program has to know, too, that not all leads were looked through.
    let further = further_back(&answer.next_page_token);
    match further {
        None => context.out.note(&reach),
        Some(further) if context.out.is_json() => context.out.remark(&format!("{reach} {further}")),
        Some(further) => [reach, further].iter().for_each(|line| context.out.remark(line)),
    }
    Ok(())
}

/// How to look further.
fn further_back(next: &str) -> Option<String> {
    (!next.is_empty()).then(|| format!("Further back: --after {next}"))
}

/// How many leads were looked through, and how far back.
fn reach(searched: u32, back_to: Option<String>, next: &str, is_further_back: bool) -> String {
    match (back_to, next) {
        (None, _) if is_further_back => "There are no leads further back.".to_owned(),
        (None, _) => "There are no leads.".to_owned(),
        (Some(back_to), "") if is_further_back => {
            format!("Looked through the last {searched} leads, back to {back_to}.")
        }
        (Some(back_to), "") => format!("Looked through all {searched} leads, back to {back_to}."),
        (Some(back_to), _) => format!("Looked through {searched} leads, back to {back_to}."),
    }
}

/// Prints everything that is kept of a person, piece by piece. A letter may stand on both sides of a seam.
async fn export(
    context: &Context,
    client: &Client,
    request: v1::ExportPersonRequest,
) -> Result<(), CliError> {
    let mut pieces = client.export_person(request).await?;
    let mut held = Vec::new();
    while let Some(piece) = pieces.next().await {
        held.extend(piece?.json);
        let whole = whole_letters(&held);
        context.out.json_text(&String::from_utf8_lossy(&held[..whole]))?;
        held.drain(..whole);
    }
    context.out.json_text(&String::from_utf8_lossy(&held))
}

/// How many bytes are letters that do not go on in what follows.
fn whole_letters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// Shows who a lead is.
async fn reveal(
    context: &Context,
    client: &Client,
    uuid: String,
    company: Option<String>,
) -> Result<(), CliError> {
    let request = v1::RevealRequest { uuid, company: company.unwrap_or_default() };
    context.out.object(&Revealed::from(client.reveal(request).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_says_how_far_it_looked() {
        let at = || Some("2026-11-02 10:00:00 UTC".to_owned());
        let first = |searched, at, next| reach(searched, at, next, false);
        assert_eq!(first(0, None, ""), "There are no leads.");
        assert_eq!(first(3, at(), ""), "Looked through all 3 leads, back to 2026-11-02 10:00:00 UTC.");
        assert_eq!(
            first(5000, at(), "1.7.01J8"),
            "Looked through 5000 leads, back to 2026-11-02 10:00:00 UTC."
        );
        assert_eq!(further_back("1.7.01J8").as_deref(), Some("Further back: --after 1.7.01J8"));
        assert_eq!(further_back(""), None);
        assert_eq!(reach(0, None, "", true), "There are no leads further back.");
        assert_eq!(
            reach(300, at(), "", true),
            "Looked through the last 300 leads, back to 2026-11-02 10:00:00 UTC."
        );
    }

    #[test]
    fn a_letter_on_a_seam_waits_for_its_rest() {
        let text = "Zoë".as_bytes();
        for (bytes, whole) in [(text, 4), (&text[..3], 2), (&[][..], 0), (&[b'a', 0xff][..], 2)] {
            assert_eq!(whole_letters(bytes), whole, "{bytes:?}");
        }
    }
}
