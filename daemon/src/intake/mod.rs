//! The HTTP door: authenticates, validates everything, commits, answers.

use std::{fmt, sync::Arc};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::Store;

mod accept;
mod batch;
mod body;
mod flusher;
mod ledger;
mod patient;
mod problem;
mod rates;
mod refusals;
mod routes;
mod server;
mod status;
#[cfg(test)]
mod tests;
mod views;

use flusher::{Flusher, Queue};
use ledger::Ledger;
use rates::Rates;
use refusals::Refusals;
use views::Views;

/// Whether the rest of the daemon is up; the database is asked by intake itself.
pub type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the intake is built from.
#[derive(Clone)]
pub struct IntakeDeps {
    pub store: Store,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    pub ready: Readiness,
}

impl fmt::Debug for IntakeDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntakeDeps").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The intake ended while it should serve.
#[derive(Debug, thiserror::Error)]
#[error("the intake cannot commit leads any more: restart the daemon; its log says what happened")]
pub struct ServeError;

/// Serves until told to stop; then no connection is accepted, and every request that came in still gets its answer.
pub async fn serve(
    listener: TcpListener,
    deps: IntakeDeps,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    run(listener, Arc::new(deps.store), deps.metrics, deps.ready, stop).await
}

async fn run<L: Ledger>(
    listener: TcpListener,
    ledger: Arc<L>,
    metrics: PrometheusHandle,
    ready: Readiness,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    describe_metrics();
    let (queue, flusher) = Flusher::new(Arc::clone(&ledger));
    let (refusals, refused) = Refusals::new();
    let mut flushing = JoinSet::new();
    flushing.spawn(flusher.run());
    let mut keeping = JoinSet::new();
    keeping.spawn(refusals::write(Arc::clone(&ledger), refused));
    let lines = TaskTracker::new();
    let app = App::new(ledger, queue, refusals, metrics, ready, lines.clone(), stop.clone());
    let app = Arc::new(app);
    tokio::select! {
        // The router owns the last queue, so the flusher goes on until the server has ended.
        () = server::run(listener, routes::router(app), stop) => {}
        _ = flushing.join_next() => return Err(ServeError),
    }
    // Lines of batches whose sender is gone are committed all the same.
    lines.close();
    lines.wait().await;
    let kept = keeping.join_next().await;
    match (flushing.join_next().await, kept) {
        (Some(Err(_)), _) | (_, Some(Err(_))) => Err(ServeError),
        _ => Ok(()),
    }
}

fn describe_metrics() {
    metrics::describe_counter!(
        "leadline_intake_leads_total",
        "Leads that were committed or known, by status"
    );
    metrics::describe_counter!(
        "leadline_intake_refusals_total",
        "Posted leads that were refused, by HTTP status"
    );
    metrics::describe_histogram!("leadline_intake_flush_leads", "Leads that were committed together");
    metrics::describe_histogram!(
        "leadline_intake_flush_seconds",
        metrics::Unit::Seconds,
        "How long a commit of leads took"
    );
}

/// What every request can reach.
struct App<L> {
    ledger: Arc<L>,
    views: Views<L>,
    queue: Queue,
    metrics: PrometheusHandle,
    ready: Readiness,
    rates: Rates,
    refusals: Refusals,
    /// The work on lines of batches, which goes on while their sender does not read.
    lines: TaskTracker,
    /// How many of them are worked on at once.
    lines_room: Semaphore,
    stop: CancellationToken,
}

/// So many lines of batches are worked on at once, whatever the number of batches: single leads must find room too.
const LINES_AT_ONCE: usize = 256;

impl<L: Ledger> App<L> {
    fn new(
        ledger: Arc<L>,
        queue: Queue,
        refusals: Refusals,
        metrics: PrometheusHandle,
        ready: Readiness,
        lines: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            views: Views::new(Arc::clone(&ledger)),
            ledger,
            queue,
            metrics,
            ready,
            rates: Rates::default(),
            refusals,
            lines,
            lines_room: Semaphore::new(LINES_AT_ONCE),
            stop,
        }
    }
}
