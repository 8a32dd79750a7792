//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Far beyond what a busy machine takes: only a test that fails waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The gaps between two looks: short at first, because most waits are; then longer, because a look is work for the
/// daemon that is waited for.
const GAP_MIN: Duration = Duration::from_millis(5);
const GAP_MAX: Duration = Duration::from_millis(50);

/// Waits until a condition holds; panics, naming it, if it never does.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut gap = GAP_MIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", PATIENCE.as_secs());
        sleep(gap).await;
        gap = (gap * 5 / 4).min(GAP_MAX);
    }
}
