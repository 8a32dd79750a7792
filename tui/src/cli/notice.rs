//! `leadline notice`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, list_page,
    output_types::{Notice, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Notices tell an integration that was created with --notices what operators should hear of: an integration that fails
or has recovered, credentials that are refused, an old secret whose grace ends, a company without leads for as long as
`company update --quiet-hours` says. Each change is told once, as a signed event of its own.

Examples:
  leadline notice list --company 7
  leadline notice list -o json | jq '.[] | select(.state != \"delivered\")'")]
pub(crate) enum NoticeVerb {
    /// List what was told, newest first; kept for 30 days
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
}

impl NoticeVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let Self::List { company, page } = self;
        let client = context.client().await?;
        let request = v1::ListNoticesRequest {
            company: company.unwrap_or_default(),
            page_size: page.limit,
            page_token: page.token(),
        };
        let answer = client.list_notices(request).await?;
        let notices: Vec<Notice> = shapes(answer.notices);
        list_page(context, &notices, &answer.next_page_token)
    }
}
