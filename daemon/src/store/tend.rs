//! What is done behind the flushes so that triage finds it: who new leads are is indexed, causes are named, and counts
//! are compared with what they count.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Error, Store, lead::person::ensure_trigrams};

/// How often it looks for what is new.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks counts are compared, and the index is looked for: an hour's worth.
const CHECK_EVERY: u32 = 3600;

/// Tends to what triage reads, until stopped.
pub async fn tend(store: Store, stop: CancellationToken) {
    let mut looks = 0;
    while stop.run_until_cancelled(round(&store, looks)).await.is_some() {
        looks = (looks + 1) % CHECK_EVERY;
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

/// One look. A failure is tried again with the next.
async fn round(store: &Store, looks: u32) {
    let done = async {
        if looks == 0 {
            ensure_trigrams(store).await?;
            let mended = store.check_causes().await?;
            if mended > 0 {
                tracing::warn!(mended, "counts of causes were wrong and are mended");
            }
        }
        while store.move_people().await? > 0 {}
        while store.name_causes().await? {}
        Ok::<_, Error>(())
    };
    if let Err(error) = done.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what triage reads could not be brought up to date; trying again"
        );
    }
}
