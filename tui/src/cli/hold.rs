//! `leadline delivery hold`, `release`, `skip`, `unskip` and `why`.

use clap::Args;
use leadline_client::Client;
use leadline_proto::v1;

use super::{
    CliError, Context,
    delivery::{DeliverySelection, named_or_found},
    input,
    output_types::{Explained, MoveResult, Unskipped},
};
/// What is done to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Hold,
    Release,
    Skip { yes: bool },
}

/// Deliveries by id or by filter.
#[derive(Debug, Args)]
pub(crate) struct HoldSelection {
    /// The deliveries' ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: DeliverySelection,
    /// Change nothing; say how many
    #[arg(long)]
    dry_run: bool,
}

impl HoldSelection {
    /// Moves them, or counts what would be moved.
    pub(crate) async fn run(self, context: &Context, how: Move) -> Result<(), CliError> {
        let dry_run = self.dry_run;
        let (ids, filter) = named_or_found(self.ids, self.filter.into_proto(false)?)?;
        let client = context.client().await?;
        let request_id = String::new();
        let moved: MoveResult = match how {
            Move::Hold => {
                let request = v1::HoldDeliveriesRequest { request_id, ids, filter, dry_run };
                client.hold_deliveries(request).await?.into()
            }
            Move::Release => {
                let request = v1::ReleaseDeliveriesRequest { request_id, ids, filter, dry_run };
                client.release_deliveries(request).await?.into()
            }
            Move::Skip { yes } => {
                let request = v1::SkipDeliveriesRequest { request_id, ids, filter, dry_run };
                if !yes && !dry_run && request.filter.is_some() {
                    confirm_skip(&client, &request).await?;
                }
                client.skip_deliveries(request).await?.into()
            }
        };
        let running = if dry_run { 0 } else { moved.running };
        context.out.object(&moved)?;
        match how {
            _ if running == 0 => {}
            Move::Hold => {
                context.out.note(&format!("{running} are being pushed: they stay held if that fails."))
            }
            Move::Release | Move::Skip { .. } => context.out.note(&format!(
                "{running} are being pushed and were left alone: ask again when that has ended."
            )),
        }
        note_undo(context, moved.job_id.as_deref());
        Ok(())
    }
}

/// Says how a bulk skip is undone.
pub(super) fn note_undo(context: &Context, job: Option<&str>) {
    if let Some(job) = job {
        context.out.note(&format!("For 24 hours `leadline delivery unskip --job {job}` undoes this."));
    }
}

/// Asks before a filter skips, because what it means is not in sight.
async fn confirm_skip(client: &Client, request: &v1::SkipDeliveriesRequest) -> Result<(), CliError> {
    let look = v1::SkipDeliveriesRequest { dry_run: true, ..request.clone() };
    let count = client.skip_deliveries(look).await?.count;
    if count == 0 {
        return Ok(());
    }
    let question = format!("This skips {count} deliveries: they are not pushed any more.");
    input::confirm_by(&question, "their number", &count.to_string())
}

/// Which skips to undo.
#[derive(Debug, Args)]
pub(crate) struct Unskip {
    /// The deliveries' ids
    #[arg(value_name = "ID", required_unless_present = "job", conflicts_with = "job")]
    ids: Vec<String>,
    /// All that this bulk skip skipped, by the id that its answer and `job list` name
    #[arg(long, value_name = "ID")]
    job: Option<String>,
}

impl Unskip {
    /// Undoes skips.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let request = v1::UnskipDeliveriesRequest {
            ids: self.ids,
            job_id: self.job.unwrap_or_default(),
            ..Default::default()
        };
        let client = context.client().await?;
        let undone = client.unskip_deliveries(request).await?;
        let left_alone = undone.left_alone;
        context.out.object(&Unskipped::from(undone))?;
        if left_alone > 0 {
            context.out.note(&format!(
                "{left_alone} stay skipped: something newer of their lead went there since, or it was erased."
            ));
        }
        Ok(())
    }
}

/// Prints the sentence.
pub(crate) async fn why(context: &Context, id: String) -> Result<(), CliError> {
    let client = context.client().await?;
    let explained = client.explain_delivery(v1::ExplainDeliveryRequest { id }).await?;
    let explained = Explained::from(explained);
    context.out.object_or(&explained, &explained.clone().for_people())
}
