//! `leadline flow`.

use clap::{Args, Subcommand};
use leadline_client::Client;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, list_page,
    output_types::{Flow, FlowDeleted, FlowTest, FlowsAsked, shapes},
};
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A flow sends the leads that meet its condition to its integrations. Integrations made with
--routing flows take only those; the others take every lead, whatever flows say.

A condition is CEL over event, lead, quote, viewing, location and company:
  lead.guest_count >= 100
  lead.event_type in ['wedding', 'birthday'] && lead.gdpr_consent
  has(quote.total_pence) && quote.total_pence > 500000
  lead.email.endsWith('@example.com') || lead[\"budget\"] > 10000
  event.type == 'lead.created'
What may be absent is asked for with has(…) first: a condition that cannot be evaluated holds
the lead. A lead that no flow sends leaves a skipped delivery that names the flows.

Examples:
  leadline flow create --company 7 --name large --when 'lead.guest_count >= 100' --then crm mail
  leadline flow test --company 7 --when 'lead.guest_count >= 100' --last 500
  leadline flow test large                      how many of the last leads it would have sent
  leadline flow update large --when 'lead.guest_count >= 80' --position 1
  leadline flow update large --disable
  leadline flow ask-again --company 7           once a condition is mended: what it held goes its way")]
pub(crate) enum FlowVerb {
    /// Make a flow
    Create(CreateFlow),
    /// List flows, in the order in which they are asked
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show one flow
    Show(FlowReference),
    /// Change what is named; the rest stays
    Update(UpdateFlow),
    /// Ask a condition about stored leads: how many it would have sent; changes nothing
    Test(Test),
    /// Ask the flows of a company again about the deliveries that they hold
    AskAgain {
        /// The company
        #[arg(long, value_name = "ID")]
        company: String,
        /// Only count
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a flow
    Delete(FlowReference),
}

/// The flow meant.
#[derive(Debug, Args)]
pub(crate) struct FlowReference {
    /// Its id, or its name if that is unique
    #[arg(value_name = "ID")]
    flow: String,
}

/// What a flow is made of.
#[derive(Debug, Args)]
pub(crate) struct CreateFlow {
    /// The company whose leads it sends
    #[arg(long, value_name = "ID")]
    company: String,
    /// Its name, unique in the company; skipped deliveries show it
    #[arg(long)]
    name: String,
    /// The condition, in CEL; `true` sends every lead
    #[arg(long, value_name = "EXPR")]
    when: String,
    /// The integrations that its leads go to
    #[arg(long, value_name = "ID", required = true, num_args = 1.., value_delimiter = ',')]
    then: Vec<String>,
    /// Make it, but let it send nothing yet
    #[arg(long)]
    disabled: bool,
    /// Do not ask the flows behind it about the leads it takes
    #[arg(long)]
    stop: bool,
    /// Its place in the order [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    position: Option<u32>,
}

/// A flow and what to change in it.
#[derive(Debug, Args)]
pub(crate) struct UpdateFlow {
    #[command(flatten)]
    reference: FlowReference,
    #[command(flatten)]
    changes: FlowChanges,
}

/// What to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true,
    args = ["new_name", "when", "then", "enable", "disable", "stop", "no_stop", "position"])]
struct FlowChanges {
    /// The new name
    #[arg(long = "name", id = "new_name", value_name = "NAME")]
    name: Option<String>,
    /// The new condition
    #[arg(long, value_name = "EXPR")]
    when: Option<String>,
    /// The integrations that its leads go to from now on, all of them
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    then: Vec<String>,
    /// Let it send
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let it send nothing
    #[arg(long)]
    disable: bool,
    /// Do not ask the flows behind it about the leads it takes
    #[arg(long, conflicts_with = "no_stop")]
    stop: bool,
    /// Ask the flows behind it too
    #[arg(long)]
    no_stop: bool,
    /// Its new place in the order
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    position: Option<u32>,
}

/// What to ask, and about how many leads.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// A flow, by its id or its name if that is unique
    #[arg(value_name = "ID", required_unless_present = "company")]
    flow: Option<String>,
    /// The company whose leads to ask about, where no flow is named
    #[arg(long, value_name = "ID", conflicts_with = "flow", requires = "when")]
    company: Option<String>,
    /// The condition to ask, instead of the flow's own
    #[arg(long, value_name = "EXPR")]
    when: Option<String>,
    /// About how many of the newest leads
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    last: u32,
}

impl FlowVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request_id = String::new();
        let flow = match self {
            Self::Create(create) => client.create_flow(create.request()).await?,
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request =
                    v1::ListFlowsRequest { company, page_size: page.limit, page_token: page.token() };
                let answer = client.list_flows(request).await?;
                let flows: Vec<Flow> = shapes(answer.flows);
                return list_page(context, &flows, &answer.next_page_token);
            }
            Self::Show(FlowReference { flow }) => client.get_flow(v1::GetFlowRequest { flow }).await?,
            Self::Update(update) => client.update_flow(update.request()).await?,
            Self::AskAgain { company, dry_run } => {
                let request = v1::AskFlowsAgainRequest { request_id, company, dry_run };
                return context.out.object(&FlowsAsked::from(client.ask_flows_again(request).await?));
            }
            Self::Test(test) => return test.run(context, &client).await,
            Self::Delete(FlowReference { flow }) => {
                let deleted = client.delete_flow(v1::DeleteFlowRequest { request_id, flow }).await?;
                context.out.object(&FlowDeleted { id: deleted.id })?;
                warn(context, &deleted.warnings);
                return Ok(());
            }
        };
        let warnings = flow.warnings.clone();
        context.out.object(&Flow::from(flow))?;
        warn(context, &warnings);
        Ok(())
    }
}

/// Programs find them in the JSON.
fn warn(context: &Context, warnings: &[String]) {
    for warning in warnings {
        context.out.note(&format!("Note: {warning}"));
    }
}

impl CreateFlow {
    fn request(self) -> v1::CreateFlowRequest {
        v1::CreateFlowRequest {
            request_id: String::new(),
            company: self.company,
            name: self.name,
            when: self.when,
            then: self.then,
            disabled: self.disabled,
            stop: self.stop,
            position: self.position.unwrap_or_default(),
        }
    }
}

impl UpdateFlow {
    fn request(self) -> v1::UpdateFlowRequest {
        let FlowChanges { name, when, then, enable, disable, stop, no_stop, position } = self.changes;
        let either = |on: bool, off: bool| (on || off).then_some(on);
        v1::UpdateFlowRequest {
            request_id: String::new(),
            flow: self.reference.flow,
            name,
            when,
            then,
            enabled: either(enable, disable),
            stop: either(stop, no_stop),
            position,
        }
    }
}

impl Test {
    async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let request = v1::TestFlowRequest {
            flow: self.flow.unwrap_or_default(),
            company: self.company.unwrap_or_default(),
            when: self.when.unwrap_or_default(),
            last: self.last,
        };
        let report = client.test_flow(request).await?;
        let (sent, tested, failed) = (report.sent, report.tested, report.failed);
        context.out.object(&FlowTest::from(report))?;
        context.out.note(&format!("This flow would have sent {sent} of the last {tested} leads."));
        if failed > 0 {
            context.out.note(&format!("It cannot be evaluated for {failed}, which would be held."));
        }
        Ok(())
    }
}
