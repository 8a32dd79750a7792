//! `leadline delivery`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions,
    hold::{HoldSelection, Move, Unskip, why},
    input,
    moment::moment,
    output_types::{Delivery, DeliveryShown, shapes},
    read_on::{ListOrder, ListPart, read_on},
    wait,
};
use crate::moment::reported as time;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline delivery list --undelivered               what is stuck, oldest first
  leadline delivery retry 01J8H6KQH4YG3XR8RWM6T6XFQE   push one again and wait for the outcome
  leadline delivery retry --integration hook --dry-run
  leadline delivery retry --integration hook --class credentials
  leadline delivery retry --integration crm --state delivered --since 3d   the CRM lost Tuesday
  leadline delivery retry --cause 6xq0m2k4v9tz         all that died of one cause
  leadline delivery list --job 01J8H6KQH4YG3XR8RWM6T6XFQE   what a job touched
  leadline delivery retry --waiting --integration crm  what waits for its retry, now
  leadline delivery retry --integration crm --per-second 2   slowly; `leadline job cancel` stops it
  leadline delivery why 01J8H6KQH4YG3XR8RWM6T6XFQE     what it waits for, and who lets it go
  leadline delivery hold --integration crm             push nothing that waits, until it is released
  leadline delivery skip --integration crm --state dead --class rejected   asks, and can be undone for 24 hours
  leadline delivery retry --integration crm --class mapping --re-render   once it is mended

A filter starts a job, which is followed to its end: oldest first, each integration at its own
pace. Ctrl-C brings back no more, and what is in the queue already goes on. A retry repeats the
same bytes under the same id; with --re-render it is a new delivery that replaces the old one.")]
pub(crate) enum DeliveryVerb {
    /// List deliveries, newest first
    List {
        #[command(flatten)]
        filter: DeliverySelection,
        /// Only pending, held and dead ones, oldest first
        #[arg(long, conflicts_with = "states")]
        undelivered: bool,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show a delivery with its attempts
    Show {
        /// The delivery's id
        id: String,
    },
    /// Say why a delivery stands where it does: what it waits for, since when, who or what moves it
    Why {
        /// The delivery's id
        id: String,
    },
    /// Keep pending ones from being pushed until they are released; new leads are not held
    #[command(
        after_help = "What is being pushed ends first; if that fails, no retry follows until it is released."
    )]
    Hold(HoldSelection),
    /// Let held ones go, whatever they were held for
    Release(HoldSelection),
    /// Push them never: pending, held and dead ones become final, the rest of their lead goes on
    #[command(after_help = "What is being pushed is left alone: it cannot be taken back.")]
    Skip {
        #[command(flatten)]
        which: HoldSelection,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Undo skips of the last 24 hours: their deliveries stand again where they stood
    #[command(
        after_help = "Pending ones are pushed again, in their place behind earlier events of their lead. One of whose lead \
something newer went to the integration since stays skipped."
    )]
    Unskip(Unskip),
    /// Push again: those named, or the dead ones that a filter finds, as a job
    Retry {
        /// The deliveries' ids
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        filter: DeliverySelection,
        /// Those that wait: for their retry, the breaker or a target's pause. They are pushed now
        #[arg(long, conflicts_with_all = ["states", "ids", "re_render"])]
        waiting: bool,
        /// Change nothing; say how many and how long
        #[arg(long)]
        dry_run: bool,
        /// Render anew, as a delivery with an id of its own that replaces the old one
        #[arg(long)]
        re_render: bool,
        /// So many a second at most, for each integration; needs a filter. 0.5 is one every two seconds
        #[arg(long, value_name = "N", conflicts_with = "ids")]
        per_second: Option<f64>,
        /// Do not wait for the outcome
        #[arg(long)]
        no_wait: bool,
    },
}

/// Which deliveries.
#[derive(Debug, Args)]
pub(crate) struct DeliverySelection {
    /// Of every company and integration, as far as nothing else narrows it
    #[arg(long)]
    all: bool,
    /// Of this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// To this integration: its id, its name, or COMPANY/NAME
    #[arg(long, value_name = "ID")]
    integration: Option<String>,
    /// Of this lead
    #[arg(long, value_name = "UUID")]
    lead: Option<String>,
    /// In one of these states
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = input::one_of(v1::DeliveryState::ALL, v1::DeliveryState::word))]
    states: Vec<v1::DeliveryState>,
    /// Whose last attempt failed so
    #[arg(long, value_parser = input::one_of(v1::FailureClass::ALL, v1::FailureClass::word))]
    class: Option<v1::FailureClass>,
    /// Whose last error contains this
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Dead of this cause, as `failure list` shows it
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// What this job last brought back, made or skipped
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// That died since then: 14:00, yesterday, '2026-11-28 13:30', 2h (ago)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    died_since: Option<Timestamp>,
    /// Since then, as above. Delivered ones go by when they were delivered, others by when they came
    /// to be
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before then, of the same times
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,
}

impl DeliverySelection {
    pub(super) fn into_proto(self, undelivered: bool) -> Result<v1::DeliveryFilter, CliError> {
        let at = input::window(self.since, self.until)?;
        Ok(v1::DeliveryFilter {
            company: self.company.unwrap_or_default(),
            integration: self.integration.unwrap_or_default(),
            lead: self.lead.unwrap_or_default(),
            states: self.states.into_iter().map(i32::from).collect(),
            undelivered,
            failure_class: self.class.unwrap_or_default().into(),
            error: self.error.unwrap_or_default(),
            at,
            all: self.all,
            waiting: false,
            cause: self.cause.unwrap_or_default(),
            job_id: self.job.unwrap_or_default(),
            died: input::window(self.died_since, None)?,
        })
    }
}

impl DeliveryVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List { filter, undelivered, page } => {
                let filter = filter.into_proto(undelivered)?;
                let client = context.client().await?;
                let ask = async |page_size, page_token| {
                    let filter = Some(filter.clone());
                    let request = v1::ListDeliveriesRequest { filter, page_size, page_token };
                    let answer = client.list_deliveries(request).await?;
                    let reached = time(answer.searched_back_to);
                    Ok(ListPart { rows: answer.deliveries, next: answer.next_page_token, reached })
                };
                let way = if undelivered { ListOrder::Forward } else { ListOrder::Back };
                let print = |deliveries| context.out.list::<Delivery>(&shapes(deliveries));
                read_on(context, page, way, ask, print).await
            }
            Self::Show { id } => {
                let client = context.client().await?;
                let delivery = client.get_delivery(v1::GetDeliveryRequest { id }).await?;
                context.out.object(&DeliveryShown::from(delivery))
            }
            Self::Why { id } => why(context, id).await,
            Self::Hold(which) => which.run(context, Move::Hold).await,
            Self::Release(which) => which.run(context, Move::Release).await,
            Self::Skip { which, yes } => which.run(context, Move::Skip { yes }).await,
            Self::Unskip(unskip) => unskip.run(context).await,
            Self::Retry { ids, filter, waiting, dry_run, re_render, per_second, no_wait } => {
                let filter = v1::DeliveryFilter { waiting, ..filter.into_proto(false)? };
                let mut request = retry_request(ids, filter)?;
                (request.re_render, request.per_second) = (re_render, per_second);
                let client = context.client().await?;
                if dry_run {
                    wait::dry_run(context, &client, request).await
                } else if no_wait {
                    wait::start(context, &client, request).await
                } else if request.filter.is_some() {
                    wait::retry_found(context, &client, request).await
                } else {
                    wait::retry(context, &client, request).await
                }
            }
        }
    }
}

/// Either ids or a filter that says whose deliveries it means: both would be a guess at what is meant, neither would be
/// everything.
pub(super) fn named_or_found(
    ids: Vec<String>,
    filter: v1::DeliveryFilter,
) -> Result<(Vec<String>, Option<v1::DeliveryFilter>), CliError> {
    let is_filtered = filter != v1::DeliveryFilter::default();
    if !ids.is_empty() && is_filtered {
        return Err(CliError::Usage("name deliveries by ID or find them by a filter, not both".to_owned()));
    }
    let has_scope = filter.all
        || [&filter.company, &filter.integration, &filter.lead, &filter.cause, &filter.job_id]
            .into_iter()
            .any(|name| !name.is_empty());
    if ids.is_empty() && !has_scope {
        return Err(CliError::Usage(
            "say which deliveries: by ID, --company, --integration or --lead; --all means every one"
                .to_owned(),
        ));
    }
    Ok((ids, is_filtered.then_some(filter)))
}

fn retry_request(
    ids: Vec<String>,
    filter: v1::DeliveryFilter,
) -> Result<v1::RetryDeliveriesRequest, CliError> {
    let (ids, mut filter) = named_or_found(ids, filter)?;
    if let Some(filter) = &mut filter
        && filter.states.is_empty()
        && !filter.waiting
    {
        filter.states.push(v1::DeliveryState::Dead.into());
    }
    Ok(v1::RetryDeliveriesRequest { ids, filter, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_acts_name_ids_or_a_filter_with_a_scope() {
        let some = || v1::DeliveryFilter { integration: "hook".into(), ..Default::default() };
        let none = v1::DeliveryFilter::default;
        let named = retry_request(vec!["D".into()], none()).unwrap();
        assert_eq!((named.ids, named.filter), (vec!["D".to_owned()], None));
        let found = retry_request(vec![], some()).unwrap();
        assert_eq!(found.filter.unwrap().states, [v1::DeliveryState::Dead as i32]);
        let waiting = retry_request(vec![], v1::DeliveryFilter { waiting: true, ..some() }).unwrap();
        assert!(waiting.filter.unwrap().states.is_empty());
        assert!(retry_request(vec![], v1::DeliveryFilter { all: true, ..none() }).is_ok());
        let unbounded = || v1::DeliveryFilter { states: vec![v1::DeliveryState::Dead.into()], ..none() };
        for (ids, filter, reported) in [
            (
                vec![],
                none(),
                "say which deliveries: by ID, --company, --integration or --lead; --all means every one",
            ),
            (
                vec![],
                unbounded(),
                "say which deliveries: by ID, --company, --integration or --lead; --all means every one",
            ),
            (vec!["D".to_owned()], some(), "name deliveries by ID or find them by a filter, not both"),
        ] {
            let error = named_or_found(ids, filter).unwrap_err();
            assert_eq!((error.exit_code(), &*error.to_string()), (2, reported));
        }
    }
}
