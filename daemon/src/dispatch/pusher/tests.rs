//! Pushes that end in ways that no target brings about. No database is asked anything.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{
    connectors::{Abilities, Conversation, Pace, Prepared, Push},
    dispatch::{quota::Quotas, session::Session},
    domain::{
        address::EgressPolicy,
        ids::{CompanyId, IntegrationId},
        integration::{EventKind, Integration, SigningSecret},
        moment::Moment,
    },
    push::Pool,
};

/// A connector with a fault.
struct Faulty;

#[async_trait]
impl Prepared for Faulty {
    async fn push(&self, _: &Push<'_>, _: &mut Conversation<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        panic!("a fault of the daemon's own")
    }
}

struct Scene {
    pusher: Arc<Pusher>,
    completions: mpsc::Receiver<Completed>,
    events: mpsc::UnboundedReceiver<Event>,
    /// How heavy the templates are of what is claimed.
    template_weight: usize,
}

impl Scene {
    fn new() -> Self {
        let short = Duration::from_millis(50);
        let (store, compute) = (Store::unconnected(), Compute::with_threads(4, short, short));
        let (events, heard) = mpsc::unbounded_channel();
        let (completions, to_write) = mpsc::channel(8);
        let client = Client::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
        let pusher = Pusher {
            context: Arc::new(PushContext::of(client, store.clone())),
            compute: compute.clone(),
            traces: Default::default(),
            lease: Arc::new(DaemonLease::of(1)),
            integrations: Arc::new(IntegrationCache::new(
                store.clone(),
                compute,
                "Test".into(),
                Moment::EPOCH,
            )),
            store,
            events,
            completions,
            max_retry_after: Duration::from_secs(3600),
        };
        Self { pusher: Arc::new(pusher), completions: to_write, events: heard, template_weight: 0 }
    }

    /// Puts an integration into the cache that is prepared like this, and claims a delivery of it.
    async fn claimed(
        &self,
        prepare: impl FnOnce(&Integration) -> Result<Box<dyn Prepared>, Failure>,
        pace: Option<Pace>,
    ) -> (Arc<PreparedIntegration>, Claimed) {
        let secret =
            SigningSecret { version: 1, secret: "whsec_c2VjcmV0".into(), expires_at: None, staged: false };
        let integration = Integration {
            company: CompanyId(7),
            company_name: "Barn".into(),
            id: IntegrationId::generate(),
            name: "crm".into(),
            connector: "webhook".into(),
            enabled: true,
            config: json!({ "url": "https://crm.example/" }),
            credentials: Value::Null,
            mapping: json!({}),
            payload: "v1".into(),
            version: 1,
            credentials_for: None,
            brand: None,
            telling: Default::default(),
            secrets: vec![secret],
        };
        let (company, id) = (integration.company, integration.id);
        let ready = Arc::new(PreparedIntegration {
            prepared: prepare(&integration),
            policy: Policy::default(),
            template_weight: self.template_weight,
            session: Arc::new(Session::default()),
            login: None,
            is_tried: false,
            quota: Quotas::default().of("webhook", "account", pace, None),
            pool: Arc::new(Pool::new(1)),
            integration,
        });
        self.pusher.integrations.insert(Arc::clone(&ready)).await;
        let body = lead::event_text(&lead::sample(company, "Barn"), EventKind::Created);
        let item = Claimed::first(LaneId::new(company, id), Some(PendingDelivery::new(body)));
        (ready, item)
    }

    /// What the finisher gets, and whether the engine was told that there is room again.
    async fn completed(&mut self) -> (Completed, bool) {
        let completed = self.completions.recv().await.unwrap();
        (completed, matches!(self.events.recv().await, Some(Event::Ended { .. })))
    }
}

#[tokio::test]
async fn a_push_that_panics_is_an_attempt_without_an_answer_and_gives_its_room_back() {
    let mut scene = Scene::new();
    let (_, item) = scene.claimed(|_| Ok(Box::new(Faulty)), None).await;
    scene.pusher.push(item).await;
    let (Completed::Attempt(finished), true) = scene.completed().await else {
        panic!("it is lost, or keeps its room")
    };
    let failure = finished.result.outcome.failure().unwrap().clone();
    assert_eq!(failure.class, FailureClass::Unknown);
    assert!(failure.error.starts_with("this push ended by a fault of the daemon: maybe delivered"));
    assert!(matches!(finished.transition, Transition::Retry { retries: 1, .. }));
}

#[tokio::test]
async fn a_push_that_waited_for_its_turn_past_the_lease_goes_back_to_the_queue() {
    let mut scene = Scene::new();
    let webhook = connectors::find("webhook").unwrap();
    let pace = Some(Pace { calls: 1, per: Duration::ZERO });
    let (ready, item) = scene.claimed(|integration| webhook.prepare(integration, "Test"), pace).await;
    let permit = ready.quota.permit().await;
    let lapse = async {
        // The push waits by now: what runs beside it is polled after it.
        scene.pusher.lease.lapse();
        drop(permit);
    };
    tokio::join!(scene.pusher.push(item), lapse);
    let completed = scene.completed().await;
    assert!(matches!(completed, (Completed::Requeue(_, Duration::ZERO), true)), "{completed:?}");
}

/// A webhook whose templates do not end until the other end is dropped.
struct Hung {
    webhook: Box<dyn Prepared>,
    until: Mutex<std::sync::mpsc::Receiver<()>>,
}

#[async_trait]
impl Prepared for Hung {
    fn render(&self, _: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        assert!(self.until.lock().unwrap().recv().is_err());
        Ok(None)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.webhook.push(push, ctx).await
    }
}

#[tokio::test]
async fn templates_that_hang_cost_one_delivery_its_push_and_keep_nobody_waiting() {
    let mut scene = Scene::new();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", target.local_addr().unwrap());
    let (hang, hung) = std::sync::mpsc::channel();
    let prepare = |integration: &Integration| {
        let integration = Integration { config: json!({ "url": url }), ..integration.clone() };
        let webhook = connectors::find("webhook").unwrap().prepare(&integration, "Test")?;
        Ok(Box::new(Hung { webhook, until: Mutex::new(hung) }) as Box<dyn Prepared>)
    };
    scene.template_weight = usize::MAX;
    let (_, first) = scene.claimed(prepare, None).await;
    scene.template_weight = 0;
    let refused = |_: &Integration| Err(Failure::new(FailureClass::Credentials, "no credentials"));
    let (_, second) = scene.claimed(refused, None).await;
    // There is one async worker: if it rendered them, neither would ever end.
    tokio::join!(scene.pusher.push(first), scene.pusher.push(second));
    let mut failures = Vec::new();
    for _ in 0..2 {
        let (Completed::Attempt(finished), true) = scene.completed().await else { panic!("one is lost") };
        let failure = finished.result.outcome.failure().unwrap().clone();
        failures.push((failure.class, failure.error));
    }
    failures.sort_by_key(|(class, _)| class.as_str());
    let error = "its templates could not be rendered: it took longer than 2 s; nothing was sent";
    assert_eq!(failures[0].0, FailureClass::Credentials);
    assert_eq!(failures[1], (FailureClass::Mapping, error.to_owned()));

    // What is given up is not sent, though it ends later.
    drop(hang);
    while scene.pusher.compute.run(CompanyId(7), || ()).await.is_err() {}
    assert!(target.accept().now_or_never().is_none(), "it was sent");
}
