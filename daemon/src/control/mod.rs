//! The gRPC control API: reads and edits rows, and streams what changes. It pushes nothing itself; what an operator
//! commands is a row change that dispatch notices.

use std::{io, os::unix::fs::MetadataExt as _, sync::Arc};

use leadline_proto::v1::{
    activity_service_server::ActivityServiceServer, attempt_service_server::AttemptServiceServer,
    audit_service_server::AuditServiceServer, company_service_server::CompanyServiceServer,
    connector_service_server::ConnectorServiceServer, delivery_service_server::DeliveryServiceServer,
    failure_service_server::FailureServiceServer, flow_service_server::FlowServiceServer,
    form_service_server::FormServiceServer, intake_key_service_server::IntakeKeyServiceServer,
    integration_service_server::IntegrationServiceServer, job_service_server::JobServiceServer,
    lead_service_server::LeadServiceServer, notice_service_server::NoticeServiceServer,
    system_service_server::SystemServiceServer, token_service_server::TokenServiceServer,
};
use tokio::{net::UnixListener, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Response, Status, transport::Server};

use crate::{
    compute::{Compute, ComputeError},
    domain::{address::EgressPolicy, ids::CompanyId},
    shares::Shares,
    store::{Store, operator::command::Refusal},
};

mod access;
mod activity;
mod anywhere;
mod ask_again;
mod attempt;
mod audit;
mod authority;
mod bind;
mod change_log;
mod check;
mod company;
mod connection;
mod connector;
mod convert;
mod delivery;
mod failure;
mod flow;
mod form;
mod hold;
mod import;
mod intake;
mod integration;
mod job;
mod key;
mod lead;
mod mutate;
mod notice;
mod pending_audit;
mod preview;
mod push;
mod record;
mod retry;
mod secret;
mod status;
mod system;
mod targets;
mod token;
mod unskip;
mod watch;
mod words;

pub use access::{Damaged, GroupRole};
pub use bind::{BindError, bind};
pub use connection::Remote;

use access::{Gate, GateLayer, Identity, Users};

/// What the control API works with.
#[derive(Debug)]
pub struct ControlDeps {
    pub store: Store,
    /// What integrations are checked against when they are saved.
    pub egress: EgressPolicy,
    /// The daemon's own brand: companies without one use it.
    pub brand: String,
    /// Where conditions and templates are tried.
    pub compute: Compute,
    /// The groups of the machine's users that may call, too.
    pub groups: Vec<GroupRole>,
}

/// Where the control API listens.
#[derive(Debug)]
pub struct Listeners {
    pub socket: UnixListener,
    pub remote: Option<Remote>,
}

/// Why the control API stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the control socket cannot be used: {0}")]
    Socket(#[from] io::Error),
    #[error("the control API failed")]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Damaged(#[from] access::Damaged),
    #[error("the control API's descriptors are damaged: build it anew")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Every service, over the same state.
#[derive(Clone, Debug)]
struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    egress: EgressPolicy,
    brand: String,
    compute: Compute,
    /// Room for searches through what leads say.
    searches: Shares<(Identity, CompanyId)>,
    skipped: integration::SkippedCounts,
    tracker: TaskTracker,
    change_log: Arc<change_log::ChangeLog>,
    gate: Gate,
    stop: CancellationToken,
}

impl std::ops::Deref for Control {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Control {
    /// Checks a configuration beside the async workers: its templates are tried out.
    async fn check_templates<T: Send + 'static>(
        &self,
        company: CompanyId,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.compute.run(company, check).await.map_err(unchecked)
    }

    /// Goes on with work behind an answer. A stop breaks it off: housekeeping does what is left of it.
    fn spawn_after(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled(work).await });
    }
}

fn unchecked(error: ComputeError) -> Refusal {
    Refusal::State(format!("the templates could not be tried: {error}"))
}

type Reply<T> = Result<Response<T>, Status>;

/// Says of each service that it answers.
async fn announce(health: &tonic_health::server::HealthReporter) {
    health.set_serving::<CompanyServiceServer<Control>>().await;
    health.set_serving::<IntakeKeyServiceServer<Control>>().await;
    health.set_serving::<ConnectorServiceServer<Control>>().await;
    health.set_serving::<IntegrationServiceServer<Control>>().await;
    health.set_serving::<LeadServiceServer<Control>>().await;
    health.set_serving::<DeliveryServiceServer<Control>>().await;
    health.set_serving::<AuditServiceServer<Control>>().await;
    health.set_serving::<NoticeServiceServer<Control>>().await;
    health.set_serving::<AttemptServiceServer<Control>>().await;
    health.set_serving::<FlowServiceServer<Control>>().await;
    health.set_serving::<FormServiceServer<Control>>().await;
    health.set_serving::<JobServiceServer<Control>>().await;
    health.set_serving::<FailureServiceServer<Control>>().await;
    health.set_serving::<ActivityServiceServer<Control>>().await;
    health.set_serving::<SystemServiceServer<Control>>().await;
    health.set_serving::<TokenServiceServer<Control>>().await;
}

/// Serves at these doors until told to stop: calls in flight finish, streams end with UNAVAILABLE.
pub async fn serve(
    listeners: Listeners,
    deps: ControlDeps,
    stop: CancellationToken,
) -> Result<(), ControlError> {
    // The socket is ours, so its owner is who we are.
    let address = listeners.socket.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?;
    let own_uid = std::fs::metadata(path)?.uid();
    let gate = Gate::new(Users { own_uid, groups: deps.groups }, deps.store.clone())?;
    let change_log = Arc::new(change_log::ChangeLog::new());
    let tracker = TaskTracker::new();
    tracker.spawn(Arc::clone(&change_log).keep(deps.store.clone(), stop.clone()));
    let control = Control {
        inner: Arc::new(Inner {
            store: deps.store,
            egress: deps.egress,
            brand: deps.brand,
            compute: deps.compute,
            searches: Shares::new(anywhere::AT_ONCE, 1),
            skipped: integration::SkippedCounts::default(),
            tracker: tracker.clone(),
            change_log,
            gate: gate.clone(),
            stop: stop.clone(),
        }),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    announce(&health).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(leadline_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Published clients still ask for the version before.
    let (reflection, reflection_before) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let mut accepting = JoinSet::new();
    let connections = connection::connections(listeners, gate.security(), &mut accepting, stop.clone());
    // tonic takes in at most 4 MB a message unless told otherwise, and sets no limit to what goes out.
    Server::builder()
        .layer(GateLayer(gate))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(reflection_before)
        .add_service(CompanyServiceServer::new(control.clone()))
        .add_service(IntakeKeyServiceServer::new(control.clone()))
        .add_service(ConnectorServiceServer::new(control.clone()))
        .add_service(IntegrationServiceServer::new(control.clone()))
        .add_service(LeadServiceServer::new(control.clone()))
        .add_service(DeliveryServiceServer::new(control.clone()))
        .add_service(AuditServiceServer::new(control.clone()))
        .add_service(NoticeServiceServer::new(control.clone()))
        .add_service(AttemptServiceServer::new(control.clone()))
        .add_service(FlowServiceServer::new(control.clone()))
        .add_service(FormServiceServer::new(control.clone()))
        .add_service(JobServiceServer::new(control.clone()))
        .add_service(FailureServiceServer::new(control.clone()))
        .add_service(ActivityServiceServer::new(control.clone()))
        .add_service(SystemServiceServer::new(control.clone()))
        .add_service(TokenServiceServer::new(control.clone()))
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await?;
    while accepting.join_next().await.is_some() {}
    tracker.close();
    tracker.wait().await;
    Ok(())
}
