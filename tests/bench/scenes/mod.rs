//! What the benchmark does, a scene each.

mod daemons;
mod fair;
mod gates;
mod idle;
mod intake;
mod load;
mod triage;
mod wal;

use std::path::Path;

use super::{Options, Report};

/// Plays a scene with daemons of its own.
pub(super) async fn play(scene: &str, executable: &Path, options: &Options, report: &mut Report) {
    match scene {
        "load" => load::flood(executable, options, report).await,
        "variants" => load::variants(executable, options, report).await,
        "trickle" => load::trickle(executable, options, report).await,
        "fair" => fair::backlog(executable, options, report).await,
        "hung" => fair::hung(executable, options, report).await,
        "snapshot" => fair::snapshot(executable, options, report).await,
        "triage" => triage::look(executable, options, report).await,
        "idle" => idle::rest(executable, options, report).await,
        "daemons" => daemons::share(executable, options, report).await,
        "batch" => intake::batch(executable, options, report).await,
        "wal" => wal::written(executable, options, report).await,
        "import" => intake::import(executable, options, report).await,
        other => panic!(
            "there is no scene {other}: load, wal, variants, trickle, fair, hung, snapshot, triage, idle, daemons, batch, import"
        ),
    }
}
