//! What an attempt holds while it runs, and how large it is.

use futures::{FutureExt as _, poll};
use serde_json::{Value, json};

use super::*;
use crate::{
    connectors::Pace,
    dispatch::{
        holding::{AccountRows as _, AccountTask, fake::FakeDaemon},
        pusher::Pusher,
        quota::Quotas,
        session::Session,
    },
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

/// A daemon, and an integration whose account it shares with others.
struct Scene {
    daemon: FakeDaemon,
    quotas: Quotas,
    ready: PreparedIntegration,
    client: Client,
    store: Store,
}

impl Scene {
    fn new() -> Self {
        let daemon = FakeDaemon::new();
        let quotas = Quotas::among(daemon.holding.clone());
        let pace = Some(Pace { calls: 1, per: Duration::from_secs(3600) });
        let ready = PreparedIntegration {
            prepared: Err(Failure::new(FailureClass::Mapping, "nothing is rendered")),
            policy: Policy::default(),
            template_weight: 0,
            session: Arc::new(Session::default()),
            login: Some([7; 32]),
            quota: quotas.of("hubspot", "account", pace, None),
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
        Self { daemon, quotas, ready, client, store: Store::unconnected() }
    }

    /// An attempt of what daemon 1 claimed.
    fn network(&self) -> Network<'_> {
        let mut network = Network::new(&self.client, &self.store, &self.ready, Moment::EPOCH, PUSH_CAP, None);
        network.lease = Some((&*self.daemon.lease, 1));
        network
    }
}

#[tokio::test]
async fn who_locked_somebody_without_the_account_does_not_wait_for_it() {
    let scene = Scene::new();
    scene.daemon.rows.fail(true);
    let mut network = scene.network();
    network.lock_person("ada").await;
    assert!(network.person.is_some() && network.account.is_none());
    scene.daemon.rows.fail(false);
    network.hold_account().await;
    network.lock_person("bob").await;
    assert!(network.account.is_none(), "whoever gives it away would wait for those who wait for her");
    assert_eq!(scene.daemon.rows.asked(), 1);
    let mut next = scene.network();
    next.lock_person("ada").await;
    assert!(next.account.is_some());
}

#[tokio::test]
async fn an_account_is_given_away_though_somebody_was_locked_without_it() {
    let scene = Scene::new();
    scene.daemon.rows.fail(true);
    let mut without = scene.network();
    without.lock_person("ada").await;
    scene.daemon.rows.fail(false);
    let mut with = scene.network();
    with.hold_account().await;
    let mut waits = Box::pin(with.lock_person("ada"));
    assert!(poll!(&mut waits).is_pending());
    let (account, term) = scene.daemon.news.held(1)[0];
    assert!(scene.daemon.rows.take(&account, 2, None, &[]).await.unwrap().is_none());
    let mut gives = Box::pin(scene.quotas.see_to(AccountTask::Give(account, term)));
    // From when it is about to be given away nobody begins.
    while scene.network().hold_account().now_or_never().is_some() {
        assert!(poll!(&mut gives).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(without.hold_account().now_or_never().is_some(), "its next call waits for itself");
    drop(without);
    waits.await;
    drop(with);
    gives.await;
    assert_eq!(scene.daemon.rows.holder(), None);
}

#[tokio::test]
async fn nobody_is_locked_for_what_another_daemon_may_have() {
    let scene = Scene::new();
    let mut network = scene.network();
    scene.daemon.lease.restart(2);
    assert!(!network.lock_person("ada").await && network.person.is_none());
    assert_eq!(scene.daemon.rows.asked(), 0);
    scene.daemon.lease.restart(1);
    assert!(network.is_void && !network.may_go_on(), "that it is trusted again comes too late");

    // Nor for what goes back to the queue as the daemon stops.
    assert!(scene.daemon.rows.take(&[7; 32], 2, None, &[]).await.unwrap().is_some());
    scene.daemon.stopping.cancel();
    let mut network = scene.network();
    assert!(!network.lock_person("ada").await && network.person.is_none());
    assert!(network.is_void);
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
