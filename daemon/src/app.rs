//! The composition root: builds a daemon from its configuration, starts it and stops it, each in a told order.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures::future::LocalBoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret as _;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    compute::Compute,
    config::Config,
    connectors, control,
    dispatch::{self, Dispatch},
    domain::address::EgressPolicy,
    doors::tls::Tls,
    intake,
    postgres::{
        data_dir::DataDir,
        embedded::Cluster,
        hosts::Hosts,
        setup::{self, SetupError},
    },
    push,
    secrets::master_key,
    store::{Store, WakeUps, delivery::retention, ensure_partitions, tend},
    telemetry::{self, Traces},
};

pub mod backup;
pub mod doctor;
pub mod doors;
mod gauges;
pub mod own_user;
mod parts;
pub mod rotate;

use self::{doors::Doors, parts::RunningParts};

/// What keeps house has nothing to finish.
const HOUSEKEEPING_GRACE: Duration = Duration::from_secs(5);
/// How often house is kept.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
/// How long calls of operators may take to end.
const CONTROL_GRACE: Duration = Duration::from_secs(10);
/// How long pushes in flight may take to end when the daemon stops.
const PUSH_GRACE: Duration = Duration::from_secs(30);
/// How long requests that came in may take to be answered when the daemon stops.
const INTAKE_GRACE: Duration = Duration::from_secs(15);
/// How long connections may take to come back to the pool once nothing uses it.
const POOL_GRACE: Duration = Duration::from_secs(5);

/// A daemon that runs.
#[derive(Debug)]
pub struct Running {
    /// Where leads are taken in.
    pub intake: SocketAddr,
    /// Where health in detail and metrics are asked for.
    pub admin: Option<SocketAddr>,
    /// The socket of the control API.
    pub control: PathBuf,
    /// Where else the control API is, over the network.
    pub control_remote: Option<SocketAddr>,
    parts: RunningParts,
    pool: PgPool,
    store: Store,
    traces: Traces,
    cluster: Option<Cluster>,
    /// Declared last, because it is to be given up last: whoever has it owns what stands in it.
    _data: DataDir,
}

/// Starts a daemon. When this resolves, it takes leads in, pushes them and answers operators.
///
/// Boxed here, the daemon is compiled with this library: an `async fn` would be compiled anew with whatever awaits it.
#[must_use]
pub fn start(config: Config) -> LocalBoxFuture<'static, anyhow::Result<Running>> {
    Box::pin(start_parts(config))
}

async fn start_parts(config: Config) -> anyhow::Result<Running> {
    let metrics = telemetry::recorder()?;
    let traces = Traces::start(config.traces.as_ref()).context("cannot start to export traces")?;
    let (data, doors) = take_places(&config).await?;
    // Whatever tells who we are to a database is read from here on, when that is settled.
    master_key::load(&config.master_key)?;
    let hosts = hosts(&config)?;
    let (options, cluster) = database(&config, &data).await?;
    let pool = setup::connect_with(&options, config.connections_max).await?;
    let sealer = setup::unseal(&pool, &config.master_key).await?;
    ensure_partitions(&pool).await.context("cannot make the partitions of the coming days")?;
    let (wake_ups, due) = WakeUps::new();
    let store = store(&config, Store::new(pool.clone(), sealer, Arc::new(wake_ups)));
    let store = store.read_from(replica(&config)?.as_ref().map(setup::replica));
    store.follow_clock().await.context("the database does not tell the time")?;

    // Parts stop in the reverse of this order: intake first, then dispatch with its pushes in flight, then control.
    let mut parts = RunningParts::default();
    start_keepers(&mut parts, cluster.as_ref(), &store, metrics.clone());
    if let Some(hosts) = hosts {
        follow_hosts(&mut parts, hosts, store.clone());
    }
    let egress = EgressPolicy::new(config.allow_egress);
    let brand = config.brand.as_str().to_owned();
    let compute = Compute::default();
    let deps = control::ControlDeps {
        store: store.clone(),
        egress: egress.clone(),
        brand: brand.clone(),
        compute: compute.clone(),
        groups: config.control_groups,
    };
    let (addresses, tls) = (doors.addresses()?, doors.tls());
    keep_certificates(&mut parts, tls);
    start_control(&mut parts, doors.control, deps);
    let deps = dispatch::DispatchParts {
        store: store.clone(),
        compute: Compute::default(),
        client: push::Client::new(egress).context("cannot build the client that pushes")?,
        brand,
        hints: due,
        sweep_interval: config.sweep.interval,
        max_retry_after: config.max_retry_after,
        is_sole: cluster.is_some(),
        traces: traces.clone(),
    };
    start_dispatch(&mut parts, deps).await?;
    let trusted_proxies = config.trusted_proxies;
    let deps = intake::IntakeDeps {
        store: store.clone(),
        metrics,
        ready: Arc::new(|| true),
        compute,
        traces: traces.clone(),
        trusted_proxies,
    };
    start_intake(&mut parts, doors.intake, deps);
    addresses.announce(&data)?;
    tracing::info!(event = "daemon_ready", intake = %addresses.intake, control = %config.control.display(), "ready");
    Ok(Running {
        intake: addresses.intake,
        admin: addresses.admin,
        control: config.control,
        control_remote: addresses.control,
        parts,
        pool,
        store,
        traces,
        cluster,
        _data: data,
    })
}

/// The data directory and the doors, and root's rights given up where they were needed for these alone.
///
/// Taken before the database is started, which takes a second, so that a port in use is told at once. So are the other
/// things that only another configuration mends: nothing is made before they are found right.
async fn take_places(config: &Config) -> anyhow::Result<(DataDir, Doors)> {
    let Some(own) = own_user::prepare(config)? else {
        let data = DataDir::open(&config.data_dir)?;
        return Ok((data, doors::open(config).await?.with_socket(config).await?));
    };
    let network = doors::open(config).await?;
    own_user::assume(config, &own)?;
    // From here on the daemon is what it is when its own user starts it.
    let data = DataDir::open(&config.data_dir)?;
    Ok((data, network.with_socket(config).await?))
}

/// A store that goes by the configuration.
fn store(config: &Config, store: Store) -> Store {
    store
        .sweeping(config.sweep)
        .keeping(config.keep_attempts, config.keep_leads)
        .keeping_readings(config.keep_readings)
        .limited_by(connectors::policy)
}

fn start_control(parts: &mut RunningParts, listeners: control::Listeners, deps: control::ControlDeps) {
    parts.start("control", CONTROL_GRACE, |stop| async move {
        control::serve(listeners, deps, stop).await.context("control")
    });
}

async fn start_dispatch(parts: &mut RunningParts, deps: dispatch::DispatchParts) -> anyhow::Result<()> {
    let dispatch = dispatch::start(deps).await.context("cannot start to push")?;
    parts.start("dispatch", PUSH_GRACE + HOUSEKEEPING_GRACE, |stop| run_dispatch(dispatch, stop));
    Ok(())
}

fn start_intake(parts: &mut RunningParts, listeners: intake::Listeners, deps: intake::IntakeDeps) {
    parts.start("intake", INTAKE_GRACE, |stop| async move {
        intake::serve(listeners, deps, stop).await.context("intake")
    });
}

/// Starts what takes changed certificates anew.
fn keep_certificates(parts: &mut RunningParts, tls: Vec<Arc<Tls>>) {
    parts.start("certificates", HOUSEKEEPING_GRACE, |stop| async move {
        futures::future::join_all(tls.iter().map(|tls| tls.keep_current(stop.clone()))).await;
        // Without any, there is nothing to look after.
        stop.cancelled().await;
        Ok(())
    });
}

/// Starts what finds the server that takes writes, where several are named.
fn follow_hosts(parts: &mut RunningParts, hosts: Hosts, store: Store) {
    parts.start("server watch", HOUSEKEEPING_GRACE, |stop| async move {
        hosts.follow(&store.pools(), stop).await;
        Ok(())
    });
}

/// Starts what keeps the rest well: the server, the word on whether it answers, the metrics, and the house.
fn start_keepers(
    parts: &mut RunningParts,
    cluster: Option<&Cluster>,
    store: &Store,
    metrics: PrometheusHandle,
) {
    if let Some(cluster) = cluster {
        let supervisor = cluster.supervisor();
        parts.start("the private PostgreSQL", HOUSEKEEPING_GRACE, |stop| async move {
            supervisor.keep_running(stop).await.context("it cannot be started again")
        });
    }
    parts.start("database watch", HOUSEKEEPING_GRACE, {
        let store = store.clone();
        |stop| async move {
            // It ends only by being stopped.
            stop.run_until_cancelled(store.watch_database()).await;
            Ok(())
        }
    });
    parts.start("metrics", HOUSEKEEPING_GRACE, {
        let store = store.clone();
        |stop| async move {
            tokio::join!(telemetry::keep_up(metrics, stop.clone()), gauges::measure(store, stop));
            Ok(())
        }
    });
    parts.start("housekeeping", HOUSEKEEPING_GRACE, {
        let store = store.clone();
        |stop| async move {
            let housekeeping = stop.run_until_cancelled(keep_house(store.clone()));
            tokio::join!(
                retention::keep(store.clone(), stop.clone()),
                tend::tend(store, stop.clone()),
                housekeeping
            );
            Ok(())
        }
    });
}

/// Goes on with deletions that a stop interrupted, and forgets requests that are too old to be repeated. All of it goes
/// on where a stop broke it off.
async fn keep_house(store: Store) {
    loop {
        if let Err(error) = store.finish_deletions().await {
            tracing::warn!(
                event = "deletion_failed",
                error = telemetry::causes(&error),
                "deleted integrations could not be removed"
            );
        }
        if let Err(error) = store.finish_erasures().await {
            tracing::warn!(
                event = "erasure_failed",
                error = telemetry::causes(&error),
                "erased leads could not be cleaned up"
            );
        }
        if let Err(error) = store.forget_requests().await {
            tracing::warn!(
                event = "request_cleanup_failed",
                error = telemetry::causes(&error),
                "old requests could not be forgotten"
            );
        }
        if let Err(error) = store.forget_signed_posts().await {
            tracing::warn!(
                event = "signed_post_cleanup_failed",
                error = telemetry::causes(&error),
                "old signed posts could not be forgotten"
            );
        }
        tokio::time::sleep(HOUSEKEEPING_EVERY).await;
    }
}

/// Dispatch until it is told to stop, or one of its parts ends by itself.
async fn run_dispatch(dispatch: Dispatch, stop: CancellationToken) -> anyhow::Result<()> {
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        part = dispatch.failed() => Some(part),
    };
    if let Some(part) = failed {
        bail!("{part} ended by itself");
    }
    dispatch.stop(PUSH_GRACE).await.context("what was in flight could not be given back")
}

/// The servers that the configuration names, if it names any.
fn hosts(config: &Config) -> anyhow::Result<Option<Hosts>> {
    let password = config.database_password.as_ref().map(|password| password.expose_secret());
    let hosts = config.database_url.as_ref().map(|url| Hosts::of(url.expose_secret(), password));
    Ok(hosts.transpose()?)
}

/// The replica that the configuration names, if it names any; its password is that of the database.
fn replica(config: &Config) -> Result<Option<PgConnectOptions>, SetupError> {
    let Some(url) = &config.read_url else { return Ok(None) };
    let options = setup::parse_url(url.expose_secret())?;
    Ok(Some(match &config.database_password {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    }))
}

/// The database that the configuration names, or our own.
async fn database(config: &Config, data: &DataDir) -> anyhow::Result<(PgConnectOptions, Option<Cluster>)> {
    if let Some(hosts) = hosts(config)? {
        return Ok((hosts.writable().await?, None));
    }
    let cluster = Cluster::start(data).await?;
    Ok((cluster.connect_options(cluster.database()), Some(cluster)))
}

impl Running {
    /// Waits for a part that ends by itself, which is always a failure, and tells why.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.parts.ended().await
    }

    /// Stops: no new leads, then no new pushes, what is in flight, operators, the pool, the private database.
    pub async fn stop(self) -> anyhow::Result<()> {
        let parts = self.parts.stop().await;
        // Exporting waits for the collector, and blocks a thread.
        let traces = self.traces;
        let exported = tokio::task::spawn_blocking(move || traces.stop()).await;
        if let Err(error) = exported {
            tracing::error!(
                event = "traces_panicked",
                error = telemetry::causes(&error),
                "the export of traces panicked"
            );
        }
        let close = async {
            self.store.close().await;
            self.pool.close().await;
        };
        if timeout(POOL_GRACE, close).await.is_err() {
            tracing::warn!(
                event = "connections_in_use_at_stop",
                "connections to the database were still in use"
            );
        }
        let cluster = match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        };
        parts?;
        cluster?;
        Ok(())
    }
}
