//! `leadline failure`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leadline_proto::v1;

use super::{
    CliError, Context, input, note_more,
    output_types::{Failure, Snoozed, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline failure list                              what fails, most deliveries first
  leadline failure list --since 2h --company 7
  leadline failure show 6xq0m2k4v9tz                 with what changed before it began
  leadline delivery retry --cause 6xq0m2k4v9tz       once it is mended
  leadline failure snooze 6xq0m2k4v9tz --for 4h")]
pub(crate) enum FailureVerb {
    /// List the causes of what is dead or waits for a retry, most deliveries first
    List(Box<CauseSelection>),
    /// Show one cause: where, since when, what changed before, and what to do
    Show {
        /// The cause's id, as the list shows it
        cause: String,
        /// Only what fails of it at this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
    },
    /// Take a cause off the list for a time; nothing about its deliveries changes
    Snooze(SnoozeOptions),
}

/// Which causes.
#[derive(Debug, Args)]
pub(crate) struct CauseSelection {
    /// Of this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// At this integration
    #[arg(long, value_name = "ID")]
    integration: Option<String>,
    /// Of these failure classes
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = input::one_of(v1::FailureClass::ALL, v1::FailureClass::word))]
    classes: Vec<v1::FailureClass>,
    /// Only causes of which something failed since then: a time, or how long ago (2h, 3d)
    #[arg(long, value_name = "WHEN", value_parser = super::moment::moment)]
    since: Option<Timestamp>,
    /// Snoozed ones too
    #[arg(long)]
    snoozed: bool,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Continue behind so many, as the list before says
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
}

/// Until when.
#[derive(Debug, Args)]
pub(crate) struct SnoozeOptions {
    /// The cause's id
    cause: String,
    /// Until this time, the next one of its kind: 14:00, tomorrow 8:00, '2026-11-28 13:30'
    #[arg(long, value_name = "WHEN", value_parser = super::moment::ahead, required_unless_present_any = ["span", "end"], conflicts_with_all = ["span", "end"])]
    until: Option<Timestamp>,
    /// For so long: 30m, 4h, 7d
    #[arg(long = "for", value_name = "SPAN", value_parser = input::seconds, conflicts_with = "end")]
    span: Option<u32>,
    /// End the snooze
    #[arg(long)]
    end: bool,
}

impl FailureVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::List(which) => {
                let answer = client.list_failures(which.into_proto()).await?;
                let (more, snoozed) = (answer.next_page_token, answer.snoozed);
                let failures: Vec<Failure> = shapes(answer.failures);
                context.out.list(&failures)?;
                note_more(context, &more);
                if snoozed > 0 {
                    context.out.note(&format!("Snoozed: {snoozed}; --snoozed shows them"));
                }
                Ok(())
            }
            Self::Show { cause, company } => {
                let request = v1::GetFailureRequest { cause, company: company.unwrap_or_default() };
                let answer = client.get_failure(request).await?;
                context.out.object(&Failure::from(answer.failure.unwrap_or_default()))
            }
            Self::Snooze(snooze) => {
                let request = v1::SnoozeFailureRequest {
                    request_id: String::new(),
                    cause: snooze.cause,
                    until: snooze.until.map(input::proto_time),
                    span: snooze.span.map(|span| prost_types::Duration { seconds: span.into(), nanos: 0 }),
                };
                context.out.object(&Snoozed::from(client.snooze_failure(request).await?))
            }
        }
    }
}

impl CauseSelection {
    fn into_proto(self) -> v1::ListFailuresRequest {
        v1::ListFailuresRequest {
            company: self.company.unwrap_or_default(),
            integration: self.integration.unwrap_or_default(),
            since: self.since.map(input::proto_time),
            failure_classes: self.classes.into_iter().map(i32::from).collect(),
            include_snoozed: self.snoozed,
            page_size: self.limit,
            page_token: self.after.unwrap_or_default(),
        }
    }
}
