//! A daemon in the test's own process: enough of the control API to wait for retries and to go away.

use std::sync::{Arc, Mutex};

use futures::stream::Pending;
use leadline_client::{Address, Client, ClientError, PAGE_MAX};
use leadline_proto::v1::{
    self,
    attempt_service_server::{AttemptService, AttemptServiceServer},
    delivery_service_server::{DeliveryService, DeliveryServiceServer},
};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinSet};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};

/// Every delivery it knows had four attempts; `bad` fails again, `missing` is not there, `long` has much to say.
pub(crate) struct FakeDaemon {
    /// Connected to it.
    pub(crate) client: Client,
    service: Service,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
    _dir: TempDir,
}

#[derive(Clone, Default)]
struct Service {
    retried: Arc<Mutex<Vec<v1::RetryDeliveriesRequest>>>,
}

impl FakeDaemon {
    /// How many deliveries any filter finds: a page and one more.
    pub(crate) const DEAD: usize = PAGE_MAX as usize + 1;
    /// How long the error of `long` is: longer than tonic takes by itself.
    const LONG: usize = 5 * 1024 * 1024;

    /// Starts it on a socket of its own.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::in_data_dir(dir.path());
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let (service, stopping) = (Service::default(), CancellationToken::new());
        let server = Server::builder()
            .add_service(DeliveryServiceServer::new(service.clone()))
            .add_service(AttemptServiceServer::new(service.clone()))
            .serve_with_incoming_shutdown(
                UnixListenerStream::new(listener),
                stopping.clone().cancelled_owned(),
            );
        let mut tasks = JoinSet::new();
        tasks.spawn(async { server.await.unwrap() });
        let client = Client::connect(address).await.unwrap();
        Self { client, service, stopping, tasks, _dir: dir }
    }

    /// Stops it and tells which retries were asked for.
    pub(crate) async fn stop(mut self) -> Vec<v1::RetryDeliveriesRequest> {
        self.stopping.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.service.retried.lock().unwrap().clone()
    }
}

type Reply<T> = Result<Response<T>, Status>;

fn delivery(id: &str) -> v1::Delivery {
    v1::Delivery {
        id: id.to_owned(),
        state: v1::DeliveryState::Dead.into(),
        attempts: 4,
        ..Default::default()
    }
}

/// It retries and explains, and moves nothing.
#[tonic::async_trait]
impl DeliveryService for Service {
    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        let request = request.into_inner();
        let first = request.page_token.parse::<usize>().unwrap_or_default();
        let end = FakeDaemon::DEAD.min(first + request.page_size as usize);
        let deliveries = (first..end).map(|id| delivery(&id.to_string())).collect();
        let next_page_token = if end < FakeDaemon::DEAD { end.to_string() } else { String::new() };
        Ok(Response::new(v1::ListDeliveriesResponse { deliveries, next_page_token, ..Default::default() }))
    }

    async fn get_delivery(
        &self,
        request: Request<v1::GetDeliveryRequest>,
    ) -> Result<Response<v1::GetDeliveryResponse>, Status> {
        match request.into_inner().id.as_str() {
            "missing" => Err(Status::not_found("no delivery 'missing'")),
            "long" => {
                let delivery = Some(v1::Delivery { error: "x".repeat(FakeDaemon::LONG), ..delivery("long") });
                Ok(Response::new(v1::GetDeliveryResponse { delivery, ..Default::default() }))
            }
            id => {
                let delivery = Some(delivery(id));
                Ok(Response::new(v1::GetDeliveryResponse { delivery, ..Default::default() }))
            }
        }
    }

    async fn retry_deliveries(
        &self,
        request: Request<v1::RetryDeliveriesRequest>,
    ) -> Result<Response<v1::RetryDeliveriesResponse>, Status> {
        self.retried.lock().unwrap().push(request.into_inner());
        Ok(Response::new(v1::RetryDeliveriesResponse::default()))
    }

    async fn hold_deliveries(
        &self,
        _: Request<v1::HoldDeliveriesRequest>,
    ) -> Reply<v1::HoldDeliveriesResponse> {
        Err(Status::unimplemented("nothing is held here"))
    }

    async fn release_deliveries(
        &self,
        _: Request<v1::ReleaseDeliveriesRequest>,
    ) -> Reply<v1::ReleaseDeliveriesResponse> {
        Err(Status::unimplemented("nothing is held here"))
    }

    async fn skip_deliveries(
        &self,
        _: Request<v1::SkipDeliveriesRequest>,
    ) -> Reply<v1::SkipDeliveriesResponse> {
        Err(Status::unimplemented("nothing is skipped here"))
    }

    async fn unskip_deliveries(
        &self,
        _: Request<v1::UnskipDeliveriesRequest>,
    ) -> Result<Response<v1::UnskipDeliveriesResponse>, Status> {
        Err(Status::unimplemented("nothing is skipped here"))
    }

    async fn explain_delivery(
        &self,
        request: Request<v1::ExplainDeliveryRequest>,
    ) -> Result<Response<v1::ExplainDeliveryResponse>, Status> {
        let (id, state) = (request.into_inner().id, v1::DeliveryState::Dead.into());
        let next_steps = vec![v1::NextStep { act: v1::NextAct::RetryDelivery.into(), id: id.clone() }];
        Ok(Response::new(v1::ExplainDeliveryResponse { id, state, why: "It died.".to_owned(), next_steps }))
    }
}

#[tonic::async_trait]
impl AttemptService for Service {
    async fn list_attempts(
        &self,
        _: Request<v1::ListAttemptsRequest>,
    ) -> Result<Response<v1::ListAttemptsResponse>, Status> {
        Err(Status::unavailable("the database is away; try again"))
    }

    async fn get_attempt(
        &self,
        _: Request<v1::GetAttemptRequest>,
    ) -> Result<Response<v1::GetAttemptResponse>, Status> {
        Err(Status::permission_denied("a viewer may not"))
    }

    type WatchAttemptsStream = Pending<Result<v1::WatchAttemptsResponse, Status>>;

    async fn watch_attempts(&self, _: Request<v1::WatchAttemptsRequest>) -> Reply<Self::WatchAttemptsStream> {
        Err(Status::unimplemented("nothing happens here"))
    }

    async fn await_attempt(
        &self,
        request: Request<v1::AwaitAttemptRequest>,
    ) -> Result<Response<v1::AwaitAttemptResponse>, Status> {
        let request = request.into_inner();
        let is_bad = request.delivery == "bad";
        let state = if is_bad { v1::AttemptState::Failed } else { v1::AttemptState::Delivered };
        let attempt = Some(v1::Attempt {
            delivery_id: request.delivery,
            number: request.after_number + 1,
            state: state.into(),
            ..Default::default()
        });
        Ok(Response::new(v1::AwaitAttemptResponse { attempt, detail: None }))
    }
}

#[tokio::test]
async fn refusals_and_a_daemon_that_goes_are_told_apart() {
    let daemon = FakeDaemon::start().await;
    let client = daemon.client.clone();
    let away = client.list_attempts(v1::ListAttemptsRequest::default()).await.unwrap_err();
    assert_eq!((away.exit_code(), away.code()), (1, "unavailable"), "the database is not the daemon");
    let refused = client.get_attempt(v1::GetAttemptRequest::default()).await.unwrap_err();
    assert_eq!((refused.exit_code(), refused.code()), (77, "permission_denied"));
    daemon.stop().await;
    let gone = client.get_attempt(v1::GetAttemptRequest::default()).await.unwrap_err();
    assert!(gone.is_away() && gone.exit_code() == 69, "{gone}");
    assert!(gone.to_string().contains("control.sock"), "{gone}");
}

#[tokio::test]
async fn an_answer_may_be_as_long_as_what_it_tells() {
    let daemon = FakeDaemon::start().await;
    let request = v1::GetDeliveryRequest { id: "long".to_owned() };
    let answer = daemon.client.get_delivery(request).await.unwrap();
    assert_eq!(answer.delivery.unwrap().error.len(), FakeDaemon::LONG);
    daemon.stop().await;
}

#[tokio::test]
async fn nobody_at_the_socket_and_a_stale_socket_are_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let address = Address::in_data_dir(dir.path());
    let cause = |error: ClientError| match error {
        ClientError::Unreachable { tried, cause } if tried == address.to_string() => cause,
        other => panic!("{other}"),
    };
    assert_eq!(cause(Client::connect(address.clone()).await.unwrap_err()), "no such socket");
    drop(UnixListener::bind(dir.path().join("control.sock")).unwrap());
    assert_eq!(cause(Client::connect(address.clone()).await.unwrap_err()), "nobody listens");
}
