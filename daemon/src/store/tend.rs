//! What is done behind the flushes so that triage finds it: who new leads are is indexed, causes are named, and counts
//! are compared with what they count.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    Error, Store,
    lead::{person::ensure_trigrams, recent::FirstPage},
};
use crate::telemetry;

/// How often it looks for what is new, at most, and where nobody told of anything.
const LOOK: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(30);
/// When no lead has come in for so long, the newest are indexed, however few they are.
const QUIET: Duration = Duration::from_secs(2);
/// How often counts are compared, and the index is looked for.
const CHECK_EVERY: Duration = Duration::from_secs(3600);

/// Tends to what triage reads, until stopped.
pub async fn tend(store: Store, stop: CancellationToken) {
    let mut checked: Option<Instant> = None;
    let mut last_lead: Option<Instant> = None;
    let mut first = FirstPage::default();
    let mut changes = store.wake_ups().watch();
    let work = async {
        loop {
            let is_check = checked.is_none_or(|checked| checked.elapsed() >= CHECK_EVERY);
            if is_check {
                checked = Some(Instant::now());
            }
            // What was told until now, the look finds.
            changes = changes.resubscribe();
            let is_quiet = last_lead.is_none_or(|at| at.elapsed() >= QUIET);
            let is_some_left = round(&store, is_check, is_quiet, &mut first).await;
            tokio::time::sleep(LOOK).await;
            tokio::select! {
                // Leads first: what changes with them must not hide them.
                biased;
                () = store.wake_ups().leads.notified() => last_lead = Some(Instant::now()),
                // Also that some were missed is news.
                _ = changes.recv() => {}
                () = tokio::time::sleep(if is_some_left { QUIET } else { REST }) => {}
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// One look. Answers whether new leads are left for later. A failure is tried again with the next.
async fn round(store: &Store, is_check: bool, is_quiet: bool, first: &mut FirstPage) -> bool {
    let done = async {
        if is_check {
            ensure_trigrams(&store.pool).await?;
            let mended = store.check_causes().await?;
            if mended > 0 {
                tracing::warn!(
                    event = "cause_counts_mended",
                    mended,
                    "counts of causes were wrong and are mended"
                );
            }
        }
        let is_some_left = store.move_people(is_quiet, first).await?;
        store.name_causes().await?;
        Ok::<_, Error>(is_some_left)
    };
    done.await.unwrap_or_else(|error| {
        tracing::warn!(
            event = "tending_failed",
            error = telemetry::causes(&error),
            "what triage reads could not be brought up to date; trying again"
        );
        true
    })
}
