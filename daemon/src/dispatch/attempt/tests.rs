//! What an attempt holds while it runs, and how large it is.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::*;
use crate::{
    connectors::Pace,
    dispatch::{pusher::Pusher, quota::Quotas, session::Session},
    domain::{
        address::EgressPolicy,
        ids::{CompanyId, IntegrationId},
        integration::{Integration, Policy},
    },
    push::Pool,
    store::queue::claim::Claimed,
};

/// How large the future is that a function returns.
fn future_size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_future_of_a_push_is_small() {
    type Inputs = (&'static Client, &'static Store, &'static PreparedIntegration, PushRequest);
    let own = future_size(|(client, store, ready, request): Inputs| {
        attempt(client, store, ready, request, Past::default(), false)
    });
    let whole = future_size(|(pusher, item): (&'static Pusher, Claimed)| pusher.push(item));
    // Each push copies it several times before it runs: what is rare or large is boxed.
    assert!(own <= 1536 && whole <= 6144, "an attempt takes {own} bytes, a push {whole}");
}

/// An integration whose account takes one call at a time.
struct Scene {
    ready: PreparedIntegration,
    client: Client,
    store: Store,
}

impl Scene {
    fn new() -> Self {
        let pace = Some(Pace { calls: 1, per: Duration::from_secs(3600) });
        let ready = PreparedIntegration {
            prepared: Err(Failure::new(FailureClass::Mapping, "nothing is rendered")),
            policy: Policy::default(),
            template_weight: 0,
            session: Arc::new(Session::default()),
            login: Some([7; 32]),
            quota: Quotas::default().of("hubspot", "account", pace, None),
            pool: Arc::new(Pool::new(1)),
            integration: Integration {
                company: CompanyId(7),
                company_name: "Barn".into(),
                id: IntegrationId::generate(),
                name: "crm".into(),
                connector: "hubspot".into(),
                enabled: true,
                config: json!({}),
                credentials: Value::Null,
                mapping: json!({}),
                payload: "v1".into(),
                version: 1,
                credentials_for: None,
                brand: None,
                telling: Default::default(),
                secrets: Vec::new(),
            },
        };
        let client = Client::new(EgressPolicy::default()).unwrap();
        Self { ready, client, store: Store::unconnected() }
    }

    fn network(&self) -> Network<'_> {
        Network::new(&self.client, &self.store, &self.ready, Moment::EPOCH, PUSH_CAP, None)
    }
}

#[tokio::test]
async fn a_login_has_its_turn_at_the_quota_before_it_begins() {
    let scene = Scene::new();
    let (mut first, mut second) = (scene.network(), scene.network());
    // The database does not answer: neither comes further than to ask it.
    assert!(first.begin_refresh(&"own".into()).now_or_never().is_none());
    assert!(first.turn.is_some());
    assert!(second.begin_refresh(&"own".into()).now_or_never().is_none());
    assert!(second.turn.is_none());
}
