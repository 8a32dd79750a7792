//! What the database alone can tell of the queue, measured now and then for the metrics.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    store::{Store, system::System},
    telemetry,
};

/// Counting what is due reads the queue's index, so it is not done for every fetch of the metrics.
const EVERY: Duration = Duration::from_secs(15);

/// Measures until it is stopped. While the database is away the last values stand; that it is away is a metric too.
pub(super) async fn measure(store: Store, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(store.system()).await {
            None => return,
            Some(Ok(system)) => set(&system),
            Some(Err(error)) => {
                tracing::debug!(error = telemetry::causes(&error), "the queue cannot be measured")
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

fn set(system: &System) {
    let queue = &system.queue;
    for (state, count) in [
        ("due", queue.due),
        ("later", queue.later),
        ("running", queue.running),
        ("held", queue.held),
        ("dead", queue.dead),
    ] {
        metrics::gauge!("leadline_deliveries", "state" => state).set(count as f64);
    }
    let age = |since: Option<jiff::Timestamp>| {
        since.map_or(0.0, |since| system.at.duration_since(since).as_secs_f64().max(0.0))
    };
    metrics::gauge!("leadline_oldest_due_seconds").set(age(queue.oldest_due_at));
    metrics::gauge!("leadline_oldest_undelivered_seconds").set(age(queue.oldest_undelivered_at));
    metrics::gauge!("leadline_database_size_bytes").set(system.database.bytes as f64);
}
