//! HTTP in: authenticates, validates everything, commits, answers.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    compute::Compute,
    domain::ids::KeyId,
    doors::{security::Security, tls::Tls},
    store::Store,
    telemetry::{self, FaultCounts, Traces},
};

mod accept;
mod admin;
mod batch;
mod body;
mod client;
mod connections;
mod flusher;
mod forms;
mod intake_store;
mod places;
mod problem;
mod rates;
mod readings;
mod refusals;
mod routes;
mod server;
mod signed;
mod status;
mod strict_lines;
#[cfg(test)]
mod tests;
mod used_keys;
mod views;
mod write_timeout;

use client::TrustedProxies;
use flusher::{CommitQueue, Flusher};
use intake_store::IntakeStore;
use places::Places;
use rates::Rates;
use readings::Readings;
use refusals::Refusals;
use used_keys::UsedKeys;
use views::Views;

/// Whether the rest of the daemon is up; the database is asked by intake itself.
pub type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where the intake listens.
#[derive(Debug)]
pub struct Listeners {
    /// For those who send leads.
    pub public: TcpListener,
    /// Its TLS; without it, what comes is plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// For operators' machines: health in detail and metrics.
    pub admin: Option<TcpListener>,
}

/// What the intake is built from.
#[derive(Clone)]
pub struct IntakeDeps {
    pub store: Store,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    pub ready: Readiness,
    pub compute: Compute,
    pub traces: Traces,
    /// Whose word is taken on who the client is.
    pub trusted_proxies: Vec<IpNet>,
}

impl fmt::Debug for IntakeDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntakeDeps").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What the intake is told, store aside.
struct IntakeSettings {
    metrics: PrometheusHandle,
    ready: Readiness,
    faults: fn() -> FaultCounts,
    compute: Compute,
    traces: Traces,
    proxies: TrustedProxies,
}

/// The intake ended while it should serve.
#[derive(Debug, thiserror::Error)]
#[error("the intake cannot commit leads any more: restart the daemon; its log says what happened")]
pub struct IntakeError;

/// Serves until told to stop; then no connection is accepted, and every request that came in still gets its answer.
pub async fn serve(
    listeners: Listeners,
    deps: IntakeDeps,
    stop: CancellationToken,
) -> Result<(), IntakeError> {
    let settings = IntakeSettings {
        metrics: deps.metrics,
        ready: deps.ready,
        faults: telemetry::fault_counts,
        compute: deps.compute,
        traces: deps.traces,
        proxies: TrustedProxies(deps.trusted_proxies),
    };
    run(listeners, Arc::new(deps.store), settings, stop).await
}

async fn run<S: IntakeStore>(
    listeners: Listeners,
    store: Arc<S>,
    settings: IntakeSettings,
    stop: CancellationToken,
) -> Result<(), IntakeError> {
    let (queue, flusher) = Flusher::new(Arc::clone(&store));
    let (refusals, refused) = Refusals::new();
    let (used_keys, used) = UsedKeys::new();
    let (readings, read) = Readings::new();
    let mut flushing = JoinSet::new();
    flushing.spawn(flusher.run());
    let mut keeping = JoinSet::new();
    keeping.spawn(refusals::write(Arc::clone(&store), refused));
    keeping.spawn(used_keys::write(Arc::clone(&store), used));
    keeping.spawn(readings::write(Arc::clone(&store), read));
    let notes = Notes { refusals, used_keys, readings };
    let lines = TaskTracker::new();
    let proxies = settings.proxies.clone();
    let app = Arc::new(IntakeApp::new(store, queue, notes, settings, lines.clone(), stop.clone()));
    let admin = async {
        if let Some(listener) = listeners.admin {
            let router = admin::router(Arc::clone(&app));
            server::run(listener, None, router, TrustedProxies::default(), stop.clone()).await;
        }
    };
    let router = routes::router(Arc::clone(&app));
    let public = server::run(listeners.public, listeners.tls, router, proxies, stop.clone());
    tokio::select! {
        _ = async { tokio::join!(public, admin) } => {}
        _ = flushing.join_next() => return Err(IntakeError),
    }
    // It owns the last queue, so the flusher goes on until here.
    drop(app);
    // Lines of batches whose sender is gone are committed all the same.
    lines.close();
    lines.wait().await;
    let mut is_lost = matches!(flushing.join_next().await, Some(Err(_)));
    while let Some(kept) = keeping.join_next().await {
        is_lost |= kept.is_err();
    }
    if is_lost { Err(IntakeError) } else { Ok(()) }
}

/// Where is handed in what is written beside the leads.
struct Notes {
    refusals: Refusals,
    used_keys: UsedKeys,
    readings: Readings,
}

/// What every request can reach.
struct IntakeApp<S> {
    store: Arc<S>,
    settings: IntakeSettings,
    views: Views<S>,
    queue: CommitQueue,
    places: Places,
    /// Of leads, by their key.
    rates: Rates<KeyId>,
    /// Of posts of a form, by its client.
    form_rates: Rates<(KeyId, IpAddr)>,
    /// Of reading, by the key.
    read_rates: Rates<KeyId>,
    security: Security,
    refusals: Refusals,
    used_keys: UsedKeys,
    readings: Readings,
    /// The work on lines of batches, which goes on while their sender does not read.
    lines: TaskTracker,
    stop: CancellationToken,
}

impl<S: IntakeStore> IntakeApp<S> {
    fn new(
        store: Arc<S>,
        queue: CommitQueue,
        Notes { refusals, used_keys, readings }: Notes,
        settings: IntakeSettings,
        lines: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            views: Views::new(Arc::clone(&store)),
            store,
            settings,
            queue,
            places: Places::default(),
            rates: Rates::default(),
            form_rates: Rates::default(),
            read_rates: Rates::default(),
            security: Security::default(),
            refusals,
            used_keys,
            readings,
            lines,
            stop,
        }
    }
}
