//! Traces: one from the sender's post over the push to the receiver, seen at a collector.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Daemon, Database, Scene, http, wait_until};
use leadlined::telemetry::{self, TraceSettings};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// What a sender says that traces, and records it.
const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that keeps what it is told.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|one| one.scope_spans).flat_map(|one| one.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Collects until the set is dropped.
    pub(crate) async fn start(&self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        address
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }

    /// The one span of this name.
    fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let mut named = spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}")).clone();
        assert!(named.next().is_none(), "{name} is there twice: {spans:#?}");
        span
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

async fn traced_scene(collector: SocketAddr, share: f64, behaviour: Behaviour) -> Scene {
    let database = Database::create().await;
    let daemon = Daemon::start_with(&database, |config| {
        config.traces = Some(TraceSettings { endpoint: format!("http://{collector}"), share });
    })
    .await;
    Scene::set().daemon(daemon).behaviour(behaviour).start().await
}

async fn post(scene: &Scene, number: usize, traceparent: Option<&str>) {
    let mut request =
        http().post(scene.daemon.url("/v1/leads")).bearer_auth(&scene.key).json(&sample_lead(number));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    assert_eq!(request.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn one_trace_reaches_from_the_sender_over_the_push_to_the_receiver() {
    let (collector, mut tasks) = (Collector::default(), JoinSet::new());
    let address = collector.start(&mut tasks).await;
    let scene = traced_scene(address, 0.0, Behaviour::RefuseAll(422, "no".into())).await;
    post(&scene, 1, Some(SENDER)).await;
    let received = scene.receiver.wait_for(1).await.remove(0);
    wait_until("the attempt is written", async || {
        scene.operator.deliveries_of(&scene.integration).await[0].state().word() == "dead"
    })
    .await;
    // Spans are exported in batches, the last ones when the daemon stops.
    let (integration, _) = (scene.integration.clone(), scene.end().await);

    let [intake, push, call] = ["POST /v1/leads", "push", "POST"].map(|name| collector.span(name));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for span in [&intake, &push, &call] {
        assert_eq!(hex::encode(&span.trace_id), trace, "{span:#?}");
    }
    assert_eq!(hex::encode(&intake.parent_span_id), "00f067aa0ba902b7", "the sender's span is above");
    assert_eq!(push.parent_span_id, intake.span_id);
    assert_eq!(call.parent_span_id, push.span_id);
    let given = received.header("traceparent").unwrap();
    assert_eq!(
        given,
        format!("00-{trace}-{}-01", hex::encode(&call.span_id)),
        "the receiver's span is below"
    );

    assert_eq!(attribute(&intake, "leadline.status").unwrap(), "accepted");
    assert_eq!(attribute(&push, "leadline.integration").unwrap(), integration);
    assert_eq!(attribute(&push, "error.type").unwrap(), "rejected");
    assert_eq!(attribute(&call, "http.response.status_code").unwrap(), "422");
    let told = format!("{:?}", collector.spans());
    let lead = sample_lead(1);
    for field in ["name", "email"] {
        assert!(!told.contains(lead["lead"][field].as_str().unwrap()), "a trace tells a person's {field}");
    }
}

#[tokio::test]
async fn who_says_nothing_is_traced_by_the_share_and_a_bad_traceparent_costs_nothing() {
    let (collector, mut tasks) = (Collector::default(), JoinSet::new());
    let address = collector.start(&mut tasks).await;
    let scene = traced_scene(address, 0.0, Behaviour::Good).await;
    post(&scene, 1, None).await;
    post(&scene, 2, Some("nonsense")).await;
    let not_recorded = SENDER.replace("-01", "-00");
    post(&scene, 3, Some(&not_recorded)).await;
    let received = scene.receiver.wait_for(3).await;
    let flags: Vec<_> =
        received.iter().map(|one| one.header("traceparent").unwrap()[53..].to_owned()).collect();
    assert_eq!(flags, ["00", "00", "00"], "nobody records these");
    scene.end().await;
    assert_eq!(collector.spans(), [], "nothing of the share 0 is exported");
}

/// How many spans this process has lost.
fn lost() -> u64 {
    let metrics = telemetry::recorder().unwrap().render();
    metrics.lines().find_map(|line| line.strip_prefix("leadline_spans_lost_total ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn spans_that_nobody_takes_are_counted_and_cost_no_lead() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let scene = traced_scene(address, 1.0, Behaviour::Good).await;
    let before = lost();
    post(&scene, 1, None).await;
    scene.receiver.wait_for(1).await;
    scene.end().await;
    wait_until("the post, the push and its call are counted", async || lost() >= before + 3).await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_handed_on() {
    let scene = Scene::with(Behaviour::Good).await;
    post(&scene, 1, Some(SENDER)).await;
    let received = scene.receiver.wait_for(1).await.remove(0);
    assert_eq!(received.header("traceparent"), None);
    scene.end().await;
}
