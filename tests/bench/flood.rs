//! A stand-in for the daemon, for what a real one could not do beside its console on the same cores: integrations that
//! change at a steady rate, whatever the machine is busy with.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use leadline_proto::v1::{
    self,
    integration_service_server::{IntegrationService, IntegrationServiceServer},
    watch_integrations_response::Message,
};
use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::{Request, Response, Status, transport::Server};

/// How often changes leave: what falls due meanwhile leaves one by one, each a message of its own.
const BEAT: Duration = Duration::from_millis(10);

/// The stand-in. It ends when it is dropped.
pub(crate) struct Flood {
    /// Where a console finds it.
    pub(crate) server: String,
    sent: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
    _dir: TempDir,
}

impl Flood {
    /// So many integrations, so many changes a second.
    pub(crate) fn start(integrations: u64, per_second: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let service = Changes { integrations, per_second, sent: Arc::clone(&sent) };
        let incoming = stream::unfold(listener, |listener| async move {
            let (socket, _) = listener.accept().await.unwrap();
            Some((Ok::<_, Infallible>(socket), listener))
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = Server::builder().add_service(IntegrationServiceServer::new(service));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { server: format!("unix:{}", socket.display()), sent, _tasks: tasks, _dir: dir }
    }

    /// How many changes a console has been sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

struct Changes {
    integrations: u64,
    per_second: u64,
    sent: Arc<AtomicU64>,
}

/// An integration as it is after its n-th change.
fn integration(id: u64, n: u64) -> v1::Integration {
    let health = v1::Health {
        badge: if id.is_multiple_of(10) { v1::Badge::Failing } else { v1::Badge::Ok }.into(),
        failure_count: n,
        dead: n % 7,
        pending: n % 90,
        last_error: if id.is_multiple_of(10) {
            format!("503 upstream {n}: out of order")
        } else {
            String::new()
        },
        ..v1::Health::default()
    };
    v1::Integration {
        id: format!("01FLOOD{id:019}"),
        company_id: 1 + i64::try_from(id % 40).unwrap(),
        company_name: format!("Barn no. {}", 1 + id % 40),
        name: format!("hook-{id:03}"),
        connector: "webhook".to_owned(),
        enabled: true,
        health: Some(health),
        ..v1::Integration::default()
    }
}

fn response(cursor: u64, message: Message) -> Result<v1::WatchIntegrationsResponse, Status> {
    Ok(v1::WatchIntegrationsResponse { cursor: cursor.to_string(), message: Some(message) })
}

/// The service with what it does, and what it does not.
macro_rules! stand_in {
    ({ $($own:tt)* } $($name:ident($request:ident) -> $answer:ident;)*) => {
        #[tonic::async_trait]
        impl IntegrationService for Changes {
            $($own)*
            $(
                async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$answer>, Status> {
                    Err(Status::unimplemented("integrations only change here"))
                }
            )*
        }
    };
}

stand_in! {
    {
        type WatchIntegrationsStream = BoxStream<'static, Result<v1::WatchIntegrationsResponse, Status>>;

        async fn watch_integrations(
            &self,
            _: Request<v1::WatchIntegrationsRequest>,
        ) -> Result<Response<Self::WatchIntegrationsStream>, Status> {
            let (count, sent) = (self.integrations, Arc::clone(&self.sent));
            let snapshot = v1::Snapshot {
                integrations: (0..count).map(|id| integration(id, 0)).collect(),
                daemon_version: "0.0.0".to_owned(),
            };
            let mut beat = interval(BEAT);
            // What is late is made up for: the rate is a promise.
            beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let a_beat = self.per_second * u64::try_from(BEAT.as_millis()).unwrap() / 1000;
            let beats = stream::unfold(beat, |mut beat| async move {
                beat.tick().await;
                Some(((), beat))
            });
            let changes = beats.flat_map(move |()| stream::iter(0..a_beat)).map(move |_| {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                // Neighbours in the list change together, and all of them in turn.
                let changed = vec![integration(n * 7 % count, n)];
                response(n, Message::Changes(v1::Changes { changed, removed: Vec::new() }))
            });
            let first = stream::iter([response(0, Message::Snapshot(snapshot))]);
            Ok(Response::new(first.chain(changes).boxed()))
        }
    }
    create_integration(CreateIntegrationRequest) -> CreateIntegrationResponse;
    list_integrations(ListIntegrationsRequest) -> ListIntegrationsResponse;
    get_integration(GetIntegrationRequest) -> GetIntegrationResponse;
    update_integration(UpdateIntegrationRequest) -> UpdateIntegrationResponse;
    enable_integration(EnableIntegrationRequest) -> EnableIntegrationResponse;
    disable_integration(DisableIntegrationRequest) -> DisableIntegrationResponse;
    delete_integration(DeleteIntegrationRequest) -> DeleteIntegrationResponse;
    reset_integration(ResetIntegrationRequest) -> ResetIntegrationResponse;
    test_integration(TestIntegrationRequest) -> TestIntegrationResponse;
    check_integration(CheckIntegrationRequest) -> CheckIntegrationResponse;
    preview_integration(PreviewIntegrationRequest) -> PreviewIntegrationResponse;
    set_credentials(SetCredentialsRequest) -> SetCredentialsResponse;
    rotate_secret(RotateSecretRequest) -> RotateSecretResponse;
    cut_over(CutOverRequest) -> CutOverResponse;
    revoke_secret(RevokeSecretRequest) -> RevokeSecretResponse;
}
