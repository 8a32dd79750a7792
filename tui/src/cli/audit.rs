//! `leadline audit`.

use clap::Subcommand;
use jiff::Timestamp;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, input, list_page,
    moment::moment,
    output_types::{AuditLine, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline audit list --company 7 --since 2d
  leadline audit list --operator 'uid 0' -o json     with what was before and after
  leadline audit list --readings --lead UUID         who read one lead, and when")]
pub(crate) enum AuditVerb {
    /// List what operators changed, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// Only by this operator, as the list names them
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
        /// Who read leads, instead of what was changed: by intake keys counted by the hour, and each lead that was revealed
        /// or exported
        #[arg(long)]
        readings: bool,
        /// Only of this lead
        #[arg(long, value_name = "UUID")]
        lead: Option<String>,
        /// Since then: a time, or how long ago (2h, 3d)
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<Timestamp>,
        /// Before then
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        until: Option<Timestamp>,
        #[command(flatten)]
        page: PageOptions,
    },
}

impl AuditVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let Self::List { company, operator, readings, lead, since, until, page } = self;
        let client = context.client().await?;
        let request = v1::ListAuditRequest {
            company: company.unwrap_or_default(),
            operator: operator.unwrap_or_default(),
            at: input::window(since, until)?,
            page_size: page.limit,
            page_token: page.token(),
            readings,
            lead: lead.unwrap_or_default(),
        };
        let answer = client.list_audit(request).await?;
        let lines: Vec<AuditLine> = shapes(answer.lines);
        list_page(context, &lines, &answer.next_page_token)
    }
}
