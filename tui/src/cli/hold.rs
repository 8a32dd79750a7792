//! `leadline delivery hold`, `release`, `skip` and `why`.

use clap::{Args, ValueEnum};
use leadline_proto::v1;

use super::{
    CliError, Context,
    delivery::Filter,
    shape::{Explained, Moved},
};

/// What is done to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Move {
    Hold,
    Release,
    Skip,
}

/// Deliveries by id or by filter.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The deliveries' ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Change nothing; say how many
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    /// Either ids or a filter: both would be a guess at what is meant, neither would be everything.
    fn split(self) -> Result<(Vec<String>, Option<v1::DeliveryFilter>, bool), CliError> {
        let filter = self.filter.into_proto(false);
        let filtered = filter != v1::DeliveryFilter::default();
        if self.ids.is_empty() != filtered {
            let hint =
                "name deliveries by ID, or find them with --integration, --company, --lead and the like";
            return Err(CliError::Usage(format!("{hint}; not both, not neither")));
        }
        Ok((self.ids, filtered.then_some(filter), self.dry_run))
    }

    /// Moves them, or counts what would be moved.
    pub(crate) async fn run(self, context: &Context, how: Move) -> Result<(), CliError> {
        let (ids, filter, dry_run) = self.split()?;
        let client = context.client().await?;
        let request_id = String::new();
        let moved = match how {
            Move::Hold => {
                let request = v1::HoldDeliveriesRequest { request_id, ids, filter, dry_run };
                client.hold_deliveries(request).await?
            }
            Move::Release => {
                let request = v1::ReleaseDeliveriesRequest { request_id, ids, filter, dry_run };
                client.release_deliveries(request).await?
            }
            Move::Skip => {
                let request = v1::SkipDeliveriesRequest { request_id, ids, filter, dry_run };
                client.skip_deliveries(request).await?
            }
        };
        let running = if dry_run { 0 } else { moved.running };
        context.out.object(&Moved::from(moved))?;
        match how {
            _ if running == 0 => {}
            Move::Hold => {
                context.out.note(&format!("{running} are being pushed: they stay held if that fails."))
            }
            Move::Release | Move::Skip => context.out.note(&format!(
                "{running} are being pushed and were left alone: ask again when that has ended."
            )),
        }
        Ok(())
    }
}

/// Prints the sentence.
pub(crate) async fn why(context: &Context, id: String) -> Result<(), CliError> {
    let client = context.client().await?;
    let explained = client.explain_delivery(v1::ExplainDeliveryRequest { id }).await?;
    context.out.object(&Explained::from(explained))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_or_a_filter() {
        let which = |ids: &[&str], filter| Which {
            ids: ids.iter().map(ToString::to_string).collect(),
            filter,
            dry_run: false,
        };
        assert!(which(&["D"], Filter::default()).split().is_ok());
        assert!(which(&[], Filter::of_integration("hook")).split().is_ok());
        assert_eq!(which(&[], Filter::default()).split().unwrap_err().exit_code(), 2);
        assert_eq!(which(&["D"], Filter::of_integration("hook")).split().unwrap_err().exit_code(), 2);
    }
}
