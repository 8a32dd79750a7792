//! What situations begin with: the same scene is played with keys and with commands, each amid a crowd.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use leadline_fakes::vendor::Quota;

use super::{
    crowd::{crowd, key_of, leads_of},
    *,
};

/// How many leads of its forms are refused at each of two companies, and for what.
const REFUSED: usize = 30;
const REASONS: [u16; 5] = [400, 404, 409, 410, 422];

/// A company whose leads go to HubSpot, or what stands for it.
pub(super) struct Crm {
    set: Scene,
    pub(super) fake: Fake<Hubspot>,
}

/// Another company, whose leads go there too.
pub(super) struct Other {
    key: &'static str,
    pub(super) integration: String,
}

leadline_tests::stands_on_scene!(Crm, set);

impl Crm {
    pub(super) async fn start() -> Self {
        Self::mapped(Value::Null).await
    }

    /// With this laid over the connector's mapping.
    pub(super) async fn mapped(mapping: Value) -> Self {
        let mut set = crowd().await.no_webhook().start().await;
        let fake = Fake::start(Hubspot::default()).await.unwrap();
        fake.with(|hubspot| hubspot.quota = Quota::unlimited());
        set.integration = hubspot(&set.operator, &fake, 7, TOKEN, mapping).await;
        Self { set, fake }
    }

    /// Company 10.
    pub(super) async fn other(&self) -> Other {
        let integration = hubspot(&self.operator, &self.fake, 10, TOKEN, Value::Null).await;
        Other { key: key_of(10).await, integration }
    }

    /// Its token is revoked; another one is good.
    pub(super) fn revoke_token(&self) {
        self.fake.with(|hubspot| {
            let scopes = hubspot.keys.remove(TOKEN).unwrap();
            hubspot.keys.insert("pat-eu1-second".to_owned(), scopes);
        });
    }

    /// Leads of both companies died because a property was missing, which is there again.
    pub(super) async fn missed_a_property(
        &self,
        of_own: Range<usize>,
        other: Option<(&Other, Range<usize>)>,
    ) {
        let kind = self.fake.with(|hubspot| hubspot.properties.remove("firstname")).unwrap();
        die(self, of_own).await;
        if let Some((other, leads)) = other {
            let count = leads.len();
            post_all(&self.daemon, other.key, leads).await;
            wait_state(self, &other.integration, "dead", count).await;
        }
        self.fake.with(|hubspot| hubspot.properties.insert("firstname".to_owned(), kind));
    }

    /// The newest lead whose name is that of the first is another company's, and is well.
    pub(super) async fn somebody_of_the_same_name(&self) {
        post_all(&self.daemon, key_of(11).await, 132..133).await;
        let arrived = "SELECT NOT EXISTS (SELECT FROM delivery WHERE company_id = 11 AND state = 'pending')";
        self.wait_until(arrived).await;
    }

    /// Of both companies' leads 312 died of one cause; beside them each has a form that refused thirty, for five reasons.
    pub(super) async fn one_cause_among_others() -> (Self, Other) {
        let scene = Self::start().await;
        let other = scene.other().await;
        scene.receiver.set(Behaviour::Judged(picky()));
        for company in [7, 10] {
            let url = scene.receiver.url(&format!("/{company}"));
            scene.operator.webhook(company, "form", &url, json!({})).await;
        }
        scene.missed_a_property(0..200, Some((&other, 200..312))).await;
        scene.wait_until(FORMS_REFUSED).await;
        scene.receiver.wait_for(312).await;
        (scene, other)
    }

    /// In how many contacts the mapped property arrived.
    pub(super) fn guests(&self) -> usize {
        let arrived = |hubspot: &mut Hubspot| {
            hubspot.contacts.values().filter(|contact| contact.properties.contains_key("guests")).count()
        };
        self.fake.with(arrived)
    }

    pub(super) async fn end(self) {
        self.set.end().await;
        self.fake.stop().await;
    }
}

/// What the forms of two companies refused is dead, and stays so.
pub(super) const FORMS_REFUSED: &str = "SELECT count(*) = 60 FROM delivery d JOIN integration i
    ON i.company_id = d.company_id AND i.id = d.integration_id WHERE i.name = 'form' AND d.state = 'dead'";

/// Refuses the first leads at each of its paths, for one reason after the other.
fn picky() -> Judge {
    let seen = Mutex::new(BTreeMap::<String, usize>::new());
    Judge::new(move |request| {
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(request.path.clone()).or_default();
        *count += 1;
        if *count <= REFUSED { REASONS[*count % REASONS.len()] } else { 200 }
    })
}

/// Posts leads, and waits until they are dead.
pub(super) async fn die(scene: &Scene, leads: Range<usize>) {
    let count = leads.len();
    post_all(&scene.daemon, &scene.key, leads).await;
    wait_state(scene, &scene.integration, "dead", count).await;
}

/// A webhook that takes what comes.
pub(super) async fn hook() -> Scene {
    crowd().await.webhook("hook", "/hook").start().await
}

/// What a receiver knows that takes the signatures of one secret, and refuses all others.
pub(super) struct Knows {
    secret: Arc<Mutex<String>>,
    refused: Arc<AtomicUsize>,
}

impl Knows {
    /// From now on it knows this secret alone.
    pub(super) fn only(&self, secret: &str) {
        secret.clone_into(&mut self.secret.lock().unwrap());
    }

    /// How many pushes it has refused.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The receiver of the scene knows no secret until it is told one.
pub(super) fn knows_one_secret(scene: &Scene) -> Knows {
    let knows = Knows { secret: Arc::default(), refused: Arc::default() };
    let (secret, refused) = (Arc::clone(&knows.secret), Arc::clone(&knows.refused));
    let judge = Judge::new(move |request| {
        let signature = request.header("x-leadline-signature").unwrap_or_default();
        if signing::verify_simple(&secret.lock().unwrap(), &request.body, signature) {
            return 200;
        }
        refused.fetch_add(1, Ordering::Relaxed);
        401
    });
    scene.receiver.set(Behaviour::Judged(judge));
    knows
}

/// An outage is over in which so many leads died, while so many wait for their retry.
pub(super) async fn outage(dead: usize, waiting: usize) -> Scene {
    let down = Behaviour::RefuseAll(503, "down".into());
    let scene = crowd().await.behaviour(down).webhook("hook", "/hook").config(json!({ "retries": 0 }));
    let scene = scene.start().await;
    die(&scene, 0..dead).await;
    let patient = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(json!({ "url": scene.receiver.url("/hook"), "retries": 3 }).to_string()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(patient).await.unwrap();
    post_all(&scene.daemon, &scene.key, dead..dead + waiting).await;
    // Those wait for their retry, however long the outage lasts.
    wait_until("they wait", async || {
        let tried = "SELECT count(*) FROM due WHERE kind = 1";
        let found: i64 = sqlx::query_scalar(tried).fetch_one(&scene.pool).await.unwrap();
        usize::try_from(found).unwrap() == waiting
    })
    .await;
    let far = "UPDATE due SET due_at = due_at + interval '1 hour'";
    sqlx::query(far).execute(&scene.pool).await.unwrap();
    scene.receiver.set(Behaviour::Good);
    scene
}

/// A target that refuses every lead; somebody asks about the first of so many.
pub(super) async fn refused(leads: usize) -> (Scene, Value) {
    let refusal = json!({ "error": "the date is in the past" }).to_string();
    let scene = crowd().await.behaviour(Behaviour::RefuseAll(400, refusal)).webhook("crm", "/hook");
    let scene = scene.start().await;
    let lead = sample_lead(0);
    scene.post_lead(&lead).await;
    post_all(&scene.daemon, &scene.key, 1..leads).await;
    wait_state(&scene, &scene.integration, "dead", leads).await;
    (scene, lead)
}

/// Company 11 has a plan that allows no more than it has.
pub(super) async fn full_plan() -> Scene {
    crowd().await.no_webhook().start().await
}

/// A flow kept the newest four of the company's 500 leads away from where they should go.
pub(super) async fn kept_away() -> Scene {
    let scene = crowd().await.webhook("planner", "/hook").start().await;
    let routing = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        routing: Some(v1::Routing::Flows.into()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(routing).await.unwrap();
    let flow = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "big weddings".into(),
        when: "lead.guest_count > 150".into(),
        then: vec![scene.integration.clone()],
        ..Default::default()
    };
    scene.operator.flows().create_flow(flow).await.unwrap();
    post_all(&scene.daemon, &scene.key, 0..4).await;
    wait_state(&scene, &scene.integration, "skipped", 4).await;
    scene
}

/// Of those 500, how many have more guests.
pub(super) fn with_more_guests(than: u64) -> usize {
    let guests = |n: usize| sample_lead(n)["lead"]["guest_count"].as_u64().unwrap();
    leads_of(7).chain(0..4).filter(|n| guests(*n) > than).count()
}

/// A company without a lead for five hours, whose usual gap is four and whose last post was refused; and one that is as
/// ever.
pub(super) async fn silent() -> Scene {
    let scene = crowd().await.no_webhook().start().await;
    for company in ["7", "8"] {
        let quiet = v1::UpdateCompanyRequest {
            request_id: request_id(),
            company: company.into(),
            quiet_after: Some(prost_types::Duration { seconds: 4 * 3600, nanos: 0 }),
            ..Default::default()
        };
        scene.operator.companies().update_company(quiet).await.unwrap();
    }
    scene.post(0).await;
    post(&scene.daemon, key_of(8).await, 1).await;
    let aged = "UPDATE lead SET received_at = received_at - interval '5 hours' WHERE company_id = 7";
    sqlx::query(aged).execute(&scene.pool).await.unwrap();
    let mut broken = sample_lead(2);
    broken["lead"]["email"] = json!("no address");
    let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &scene.key, broken.to_string()).await;
    assert_eq!(status, 422);
    scene
}
