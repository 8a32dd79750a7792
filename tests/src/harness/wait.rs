//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Far beyond what a busy machine takes: only a test that fails waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const GAP: Duration = Duration::from_millis(20);

/// Waits until a condition holds; panics, naming it, if it never does.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", PATIENCE.as_secs());
        sleep(GAP).await;
    }
}
