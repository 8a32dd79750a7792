//! `leadline attempt`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, input,
    moment::moment,
    output_types::{Attempt, AttemptShown, shapes},
    read_on::{ListOrder, ListPart, read_on},
};
use crate::moment::reported as time;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline attempt list --integration hook           the last 50 pushes, newest first
  leadline attempt list --class credentials --since 2h   what failed so anywhere
  leadline attempt list --lead 01J8H6KQH4YG3XR8RWM6T6XFQE
  leadline attempt show 01J8H6KQH4YG3XR8RWM6T6XFQE     what was sent and what came back")]
pub(crate) enum AttemptVerb {
    /// List attempts, newest first, those in flight included
    List {
        #[command(flatten)]
        filter: Box<AttemptSelection>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show an attempt with its request and response
    Show {
        /// The attempt's id
        id: String,
    },
}

/// Which attempts.
#[derive(Debug, Args)]
pub(crate) struct AttemptSelection {
    /// Of this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// To this integration
    #[arg(long, value_name = "ID", conflicts_with = "delivery")]
    integration: Option<String>,
    /// Of this delivery
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
    /// Of this lead
    #[arg(long, value_name = "UUID")]
    lead: Option<String>,
    /// That failed so
    #[arg(long = "class", value_name = "CLASS", value_delimiter = ',', value_parser = input::one_of(v1::FailureClass::ALL, v1::FailureClass::word))]
    classes: Vec<v1::FailureClass>,
    /// In one of these states
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = input::one_of(v1::AttemptState::ALL, v1::AttemptState::word))]
    states: Vec<v1::AttemptState>,
    /// Answered with this HTTP status
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u32).range(100..=999))]
    status: Option<u32>,
    /// Started since then: a time, or how long ago (2h, 3d)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,
    /// Started before then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,
}

impl AttemptSelection {
    fn into_proto(self) -> Result<v1::ListAttemptsRequest, CliError> {
        Ok(v1::ListAttemptsRequest {
            company: self.company.unwrap_or_default(),
            integration: self.integration.unwrap_or_default(),
            delivery: self.delivery.unwrap_or_default(),
            lead: self.lead.unwrap_or_default(),
            failure_classes: self.classes.into_iter().map(i32::from).collect(),
            states: self.states.into_iter().map(i32::from).collect(),
            status_code: self.status.unwrap_or_default(),
            at: input::window(self.since, self.until)?,
            ..Default::default()
        })
    }
}

impl AttemptVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::List { filter, page } => {
                let filter = filter.into_proto()?;
                let ask = async |page_size, page_token| {
                    let request = v1::ListAttemptsRequest { page_size, page_token, ..filter.clone() };
                    let answer = client.list_attempts(request).await?;
                    let reached = time(answer.searched_back_to);
                    Ok(ListPart { rows: answer.attempts, next: answer.next_page_token, reached })
                };
                let print = |attempts| context.out.list::<Attempt>(&shapes(attempts));
                read_on(context, page, ListOrder::Back, ask, print).await
            }
            Self::Show { id } => {
                let answer = client.get_attempt(v1::GetAttemptRequest { id }).await?;
                context.out.object(&AttemptShown::from(answer))
            }
        }
    }
}
