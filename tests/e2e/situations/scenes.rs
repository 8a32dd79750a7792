//! What situations begin with: the same scene is played with keys and with commands.

use std::ops::Range;

use super::*;

/// A company whose leads go to HubSpot, or what stands for it.
pub(super) struct Crm {
    set: Scene,
    pub(super) fake: Fake<Hubspot>,
}

/// Another company, whose leads go there too.
pub(super) struct Other {
    pub(super) key: String,
    pub(super) integration: String,
}

leadline_tests::stands_on_scene!(Crm, set);

impl Crm {
    pub(super) async fn start() -> Self {
        Self::mapped(Value::Null).await
    }

    /// With this laid over the connector's mapping.
    pub(super) async fn mapped(mapping: Value) -> Self {
        let (mut set, fake) =
            (Scene::set().no_webhook().start().await, Fake::start(Hubspot::default()).await.unwrap());
        set.integration = hubspot(&set.operator, &fake, 7, mapping).await;
        Self { set, fake }
    }

    /// Company 8.
    pub(super) async fn other(&self) -> Other {
        let key = self.operator.company(8).await;
        Other { key, integration: hubspot(&self.operator, &self.fake, 8, Value::Null).await }
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
            for n in leads {
                post(&self.daemon, &other.key, n).await;
            }
            wait_state(&self.operator, &other.integration, "dead", count).await;
        }
        self.fake.with(|hubspot| hubspot.properties.insert("firstname".to_owned(), kind));
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

/// Posts leads, and waits until they are dead.
pub(super) async fn die(scene: &Scene, leads: Range<usize>) {
    let count = leads.len();
    for n in leads {
        scene.post(n).await;
    }
    wait_state(&scene.operator, &scene.integration, "dead", count).await;
}

/// A webhook that takes what comes.
pub(super) async fn hook() -> Scene {
    Scene::set().webhook("hook", "/hook").start().await
}

/// Whether the nth push to a receiver is signed by this secret.
pub(super) fn is_signed_by(receiver: &Receiver, secret: &str, n: usize) -> bool {
    let sent = receiver.requests().remove(n);
    let header = sent.header("x-leadline-signature").unwrap().to_owned();
    signing::verify_simple(secret, &sent.body, &header)
}

/// An outage is over in which so many leads died, while so many wait for their retry.
pub(super) async fn outage(dead: usize, waiting: usize) -> Scene {
    let down = Behaviour::RefuseAll(503, "down".into());
    let scene = Scene::set().behaviour(down).webhook("hook", "/hook").config(json!({ "retries": 0 }));
    let scene = scene.start().await;
    die(&scene, 0..dead).await;
    let patient = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(json!({ "url": scene.receiver.url("/hook"), "retries": 3 }).to_string()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(patient).await.unwrap();
    for n in dead..dead + waiting {
        scene.post(n).await;
    }
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
    let scene = Scene::set().behaviour(Behaviour::RefuseAll(400, refusal)).webhook("crm", "/hook");
    let scene = scene.start().await;
    let lead = sample_lead(0);
    scene.post_lead(&lead).await;
    for n in 1..leads {
        scene.post(n).await;
    }
    wait_state(&scene.operator, &scene.integration, "dead", leads).await;
    (scene, lead)
}

/// A company whose plan allows no more than it has.
pub(super) async fn full_plan() -> Scene {
    let scene = Scene::set().webhook("first", "/hook").start().await;
    let plan = v1::SetPlanRequest {
        request_id: request_id(),
        company: "7".into(),
        plan: v1::Plan::Starter.into(),
        disable: Vec::new(),
    };
    scene.operator.companies().set_plan(plan).await.unwrap();
    scene
}

/// A flow that kept four leads away from where they should go.
pub(super) async fn kept_away() -> Scene {
    let scene = Scene::set().webhook("planner", "/hook").start().await;
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
    for n in 0..4 {
        scene.post(n).await;
    }
    wait_state(&scene.operator, &scene.integration, "skipped", 4).await;
    scene
}

/// A company without a lead for five hours, whose usual gap is four and whose last post was refused; and one that is as
/// ever.
pub(super) async fn silent() -> Scene {
    let scene = Scene::set().no_webhook().start().await;
    let other = scene.operator.company(8).await;
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
    post(&scene.daemon, &other, 1).await;
    let aged = "UPDATE lead SET received_at = received_at - interval '5 hours' WHERE company_id = 7";
    sqlx::query(aged).execute(&scene.pool).await.unwrap();
    let mut broken = sample_lead(2);
    broken["lead"]["email"] = json!("no address");
    let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &scene.key, broken.to_string()).await;
    assert_eq!(status, 422);
    scene
}
