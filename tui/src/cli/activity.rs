//! `leadline activity`.

use clap::Args;
use futures::StreamExt as _;
use leadline_proto::v1;

use super::{CliError, Context, note_more, output_types, watch::ended};

/// What to list or to follow.
#[derive(Debug, Args)]
#[command(after_help = "\
Newest first; with --follow oldest first, so that what happens next stands below.
With -o json each line is an object: an attempt has `attempt`, an operator's act has `act`.

Examples:
  leadline activity --limit 20
  leadline activity --follow --company 7             as it happens, until Ctrl-C")]
pub(crate) struct ActivityOptions {
    /// Only of this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// Go on as things happen
    #[arg(long, short)]
    follow: bool,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Continue before this: what the list before said
    #[arg(long, value_name = "TOKEN", conflicts_with = "follow")]
    after: Option<String>,
}

impl ActivityOptions {
    /// Prints what happened, newest first; where it is followed, oldest first, and then what happens.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let company = self.company.unwrap_or_default();
        if !self.follow {
            let page_token = self.after.unwrap_or_default();
            let request =
                v1::ListActivityRequest { company, page_size: self.limit, page_token, ..Default::default() };
            let answer = client.list_activity(request).await?;
            answer.activities.into_iter().try_for_each(|activity| line(context, activity))?;
            note_more(context, &answer.next_page_token);
            return Ok(());
        }
        let mut changes = client.watch_activity(&company).await?;
        while let Some(message) = changes.next().await {
            let message = message.map_err(|error| ended(&client, error))?;
            if message.has_gap {
                context.out.note("More happened than is told here");
            }
            message.activities.into_iter().try_for_each(|activity| line(context, activity))?;
        }
        Err(client.gone().into())
    }
}

/// One line for one thing that happened.
fn line(context: &Context, activity: v1::Activity) -> Result<(), CliError> {
    context.out.line(&output_types::Activity::from(activity))
}
