//! The HTTP door: authenticates, validates everything, commits, answers.

use std::{fmt, sync::Arc};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

mod accept;
mod body;
mod flusher;
mod ledger;
mod problem;
mod routes;
mod server;
mod status;
#[cfg(test)]
mod tests;
mod views;

use flusher::{Flusher, Queue};
use ledger::Ledger;
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
    let app = Arc::new(App { views: Views::new(Arc::clone(&ledger)), ledger, queue, metrics, ready });
    let mut flushing = JoinSet::new();
    flushing.spawn(flusher.run());
    tokio::select! {
        // The router owns the last queue, so the flusher goes on until the server has ended.
        () = server::run(listener, routes::router(app), stop) => {}
        _ = flushing.join_next() => return Err(ServeError),
    }
    match flushing.join_next().await {
        Some(Err(_)) => Err(ServeError),
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
}
