//! What the five replaced systems did, where no other test shows it: see tests/replaces.md.

use hmac::{Hmac, KeyInit as _, Mac as _};
use leadline_fakes::{Behaviour, Receiver, Reply, Request, sample_lead};
use leadline_proto::v1;
use leadline_tests::{post_lead, request_id, wait_until};
use serde_json::{Value, json};
use sha2::Sha256;

const LEAD: &str = include_str!("../fixtures/lead.json");
const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";
/// A secret as a replaced system made it: without our prefix.
const THEIRS: &str = "c3b1f0a9d8e7465b92f3aa01";

/// A daemon with a company that keeps the brand of a replaced system.
struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn of(brand: &str, behaviour: Behaviour) -> Self {
        let scene = leadline_tests::Scene::set().behaviour(behaviour).no_webhook().start().await;
        let request = v1::UpdateCompanyRequest {
            request_id: request_id(),
            company: "7".into(),
            brand: Some(brand.into()),
            ..Default::default()
        };
        scene.operator.companies().update_company(request).await.unwrap();
        Self(scene)
    }

    async fn with(behaviour: Behaviour) -> Self {
        Self::of("", behaviour).await
    }

    /// A webhook at this path of the receiver. The answer is its id.
    async fn webhook(&self, name: &str, path: &str, more: Value) -> String {
        let created = self.operator.webhook(7, name, &self.receiver.url(path), more).await;
        created.integration.unwrap().id
    }

    async fn post(&self, body: impl Into<String>) -> Value {
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.key, body.into()).await;
        assert_eq!(status, 202, "{answer}");
        answer
    }

    async fn lead_state(&self, uuid: &str) -> v1::LeadState {
        let request = v1::GetLeadRequest { uuid: uuid.into(), company: "7".into() };
        self.operator.leads().get_lead(request).await.unwrap().into_inner().lead.unwrap().state()
    }

    async fn wait_for_finished(&self, integration: &str, count: usize) -> Vec<v1::Attempt> {
        wait_until(&format!("{count} attempts have finished"), async || {
            self.operator.finished(integration).await.len() >= count
        })
        .await;
        self.operator.finished(integration).await
    }

    async fn health(&self, integration: &str) -> v1::Health {
        self.operator.integration(integration).await.health.unwrap()
    }

    async fn end(self) {
        self.0.end().await;
    }
}

/// The simple signature, made with code that is not ours.
fn simple(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn event_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn a_receiver_of_another_brand_finds_its_headers_and_its_secret() {
    let scene = Scene::of("Innkept/1.0", Behaviour::Good).await;
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: "webhook".into(),
        name: "theirs".into(),
        config: json!({ "url": scene.receiver.url("/leads") }).to_string(),
        signing_secret: THEIRS.into(),
        ..Default::default()
    };
    let created = scene.operator.integrations().create_integration(request).await.unwrap().into_inner();
    assert_eq!(created.signing_secret, "", "who brings a secret knows it");
    scene.post(LEAD).await;
    let request = scene.receiver.wait_for(1).await.remove(0);
    let signature = simple(THEIRS, &request.body);
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("X-Innkept-Event", "lead.created"),
        ("X-Innkept-Signature", &signature),
        ("User-Agent", "Innkept/1.0"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(!request.headers.iter().any(|(name, _)| name.to_lowercase().contains("leadline")));
    assert_eq!(event_of(&request), serde_json::from_str::<Value>(LEAD).unwrap());
    scene.end().await;
}

#[tokio::test]
async fn every_method_pushes_what_its_templates_say() {
    let scene = Scene::of("Leadpush", Behaviour::Good).await;
    let body = r#"{"event": "{{ event.type }}", "contact_id": "{{ contact._id }}", "email": "{{ contact.attributes.email }}"}"#;
    let shaped = json!({"event": "lead.created", "contact_id": UUID, "email": "sarah@example.com"});
    let whole: Value = serde_json::from_str(LEAD).unwrap();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let shapes =
        [("blank", ""), ("body", body)].map(|(name, body)| methods.map(|method| (name, body, method)));
    let mut expected = Vec::new();
    for (name, body, method) in shapes.into_iter().flatten() {
        let config = json!({
            "method": method, "body": body,
            "headers": {"Authorization": "Bearer your-token", "X-Contact": "{{ contact.attributes.email }}"},
            "query": {"event": "{{ event.type }}", "workspace": "{{ workspace.uuid }}"},
        });
        let name = format!("{name}-{method}");
        let url = scene.receiver.url(&format!("/{name}/{{{{ event.type }}}}/{{{{ contact._id }}}}/events"));
        let secret = scene.operator.webhook(7, &name, &url, config).await.signing_secret;
        let path = format!("/{name}/lead.created/{UUID}/events?event=lead.created&workspace=7");
        let pushed = match (body, method) {
            ("", "GET") => None,
            ("", _) => Some(whole.clone()),
            _ => Some(shaped.clone()),
        };
        expected.push((method, path, pushed, secret));
    }
    scene.post(LEAD).await;
    let requests = scene.receiver.wait_for(expected.len()).await;
    assert_eq!(requests.len(), expected.len());
    for (method, path, pushed, secret) in expected {
        let request =
            requests.iter().find(|request| request.path == path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(request.method, method, "{path}");
        let body = (!request.body.is_empty()).then(|| event_of(request));
        assert_eq!(body, pushed, "{path}");
        assert_eq!(request.header("authorization"), Some("Bearer your-token"));
        assert_eq!(request.header("x-contact"), Some("sarah@example.com"));
        assert_eq!(request.header("x-leadpush-signature"), Some(&*simple(&secret, &request.body)), "{path}");
    }
    scene.end().await;
}

#[tokio::test]
async fn the_history_is_the_last_50_attempts_with_status_code_and_error() {
    let refused = Reply::status(400).body("no such date");
    let scene = Scene::with(Behaviour::Script(vec![refused; 2])).await;
    let id = scene.webhook("crm", "/", json!({ "concurrency": 1 })).await;
    for n in 0..52 {
        scene.post(sample_lead(n).to_string()).await;
    }
    let all = scene.wait_for_finished(&id, 50).await;
    assert_eq!(all.len(), 50, "an answer without a limit has 50");
    wait_until("all leads are pushed", async || {
        scene.receiver.count() == 52 && scene.health(&id).await.pending == 0
    })
    .await;
    let cli = &scene.cli;
    let latest = cli.json(&["attempt", "list", "--integration", "crm"]).await;
    let latest = latest.as_array().unwrap().clone();
    assert_eq!(latest.len(), 50);
    assert!(latest.iter().all(|it| it["state"] == "delivered" && it["status_code"] == 200), "{latest:?}");
    let times: Vec<_> = latest.iter().map(|it| it["started_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "newest first: {times:?}");
    let everything = cli.json(&["attempt", "list", "--integration", "crm", "--limit", "60"]).await;
    let everything = everything.as_array().unwrap();
    assert_eq!((everything.len(), &everything[..50]), (52, &latest[..]));
    for oldest in &everything[50..] {
        assert_eq!((&oldest["state"], &oldest["status_code"]), (&json!("failed"), &json!(400)));
        assert!(oldest["error"].as_str().unwrap().contains("no such date"), "{oldest}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_card_counts_failures_until_it_is_reset_and_keeps_the_last_error() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "the first".into())).await;
    let id = scene.webhook("crm", "/", json!({})).await;
    assert_eq!(scene.health(&id).await.last_pushed_at, None);
    scene.post(sample_lead(1).to_string()).await;
    scene.wait_for_finished(&id, 1).await;
    scene.receiver.set(Behaviour::RefuseAll(422, "the second".into()));
    scene.post(sample_lead(2).to_string()).await;
    scene.wait_for_finished(&id, 2).await;
    let health = scene.health(&id).await;
    assert_eq!((health.failure_count, health.last_pushed_at), (2, None), "a failure is no push");
    assert!(health.last_error.contains("the second") && health.last_error_at.is_some(), "{health:?}");

    let reset = v1::ResetIntegrationRequest { request_id: request_id(), integration: id.clone() };
    scene.operator.integrations().reset_integration(reset).await.unwrap();
    assert_eq!(scene.health(&id).await.failure_count, 0);
    scene.receiver.set(Behaviour::Good);
    scene.post(sample_lead(3).to_string()).await;
    wait_until("the push is on the card", async || scene.health(&id).await.last_pushed_at.is_some()).await;
    let first = scene.health(&id).await.last_pushed_at.unwrap();
    let (pushed, now) = (first.seconds, std::time::SystemTime::now());
    let now = i64::try_from(now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    assert!((0..=60).contains(&(now - pushed)), "{pushed} at {now}");
    scene.receiver.set(Behaviour::RefuseAll(422, "the fourth".into()));
    scene.post(sample_lead(4).to_string()).await;
    scene.wait_for_finished(&id, 4).await;
    let health = scene.health(&id).await;
    assert_eq!((health.failure_count, health.last_pushed_at), (1, Some(first)), "counted since the reset");
    scene.end().await;
}

#[tokio::test]
async fn an_error_is_kept_to_500_characters() {
    let scene = Scene::with(Behaviour::Good).await;
    // The error quotes this placeholder, which makes money of one name.
    let (accents, letters) = ("é".repeat(20), "a".repeat(400));
    let placeholder =
        format!("{{{{ '{accents}' ~ '{letters}' if lead.name != 'Zoë Brontë' else (lead.name | money) }}}}");
    let id = scene.webhook("crm", "/", json!({"headers": {"X-Name": placeholder}})).await;
    scene.post(LEAD.replacen("Sarah Patel", "Zoë Brontë", 1)).await;
    let attempt = scene.wait_for_finished(&id, 1).await.remove(0);
    let health = scene.health(&id).await;
    assert_eq!(health.last_error.chars().count(), 500, "{}", health.last_error);
    assert!(health.last_error.starts_with("header x-name: {{ 'éééé"), "{}", health.last_error);
    assert_eq!(attempt.error, health.last_error);
    scene.end().await;
}

#[tokio::test]
async fn a_new_lead_is_tried_at_once_after_an_earlier_one_has_failed_for_good() {
    let scene = Scene::with(Behaviour::RefuseAll(500, String::new())).await;
    let id = scene.webhook("crm", "/", json!({ "retries": 0 })).await;
    for (n, number) in [(1, 1), (2, 2), (3, 3)] {
        let answer = scene.post(sample_lead(n).to_string()).await;
        let attempt = scene.wait_for_finished(&id, number).await.remove(number - 1);
        assert_eq!((attempt.number, attempt.trigger().word()), (1, "first"));
        assert_eq!(answer["lead"], attempt.lead, "its own, and not another try of an earlier lead");
        wait_until("the card is red", async || scene.operator.badge(&id).await == "failing").await;
    }
    scene.end().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_its_neighbours_a_webhook_delivers() {
    let scene = Scene::with(Behaviour::Good).await;
    let down = Receiver::start(Behaviour::RefuseAll(503, "maintenance".into())).await.unwrap();
    let gone = Receiver::start(Behaviour::Good).await.unwrap();
    let nobody = gone.url("/");
    gone.stop().await;
    let mut neighbours = Vec::new();
    for (name, url, class) in [
        ("down", down.url("/"), "transient"),
        ("gone", nobody, "transient"),
        // A name of dots would lead elsewhere.
        ("misshapen", scene.receiver.url("/misshapen/{{ lead.name }}/x"), "mapping"),
    ] {
        let config = json!({ "retries": 0 });
        let id = scene.operator.webhook(7, name, &url, config).await.integration.unwrap().id;
        neighbours.push((name, id, class));
    }
    let ours = scene.webhook("ours", "/ours", json!({})).await;
    scene.post(LEAD.replacen("Sarah Patel", "..", 1)).await;
    let attempt = scene.wait_for_finished(&ours, 1).await.remove(0);
    assert_eq!((attempt.number, attempt.state().word()), (1, "delivered"));
    for (name, id, class) in neighbours {
        let attempt = scene.wait_for_finished(&id, 1).await.remove(0);
        assert_eq!((attempt.state().word(), attempt.failure_class().word()), ("failed", class), "{name}");
    }
    assert_eq!(scene.receiver.requests().iter().map(|it| it.path.clone()).collect::<Vec<_>>(), ["/ours"]);
    down.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_lead_goes_to_the_integrations_of_its_own_company() {
    let scene = Scene::with(Behaviour::Good).await;
    let key = scene.operator.company(8).await;
    let theirs = scene.operator.webhook(8, "theirs", &scene.receiver.url("/8"), json!({})).await;
    let ours = scene.webhook("ours", "/7", json!({})).await;
    let theirs = theirs.integration.unwrap().id;
    for (n, (key, path, id)) in [(&scene.key, "/7", ours), (&key, "/8", theirs)].into_iter().enumerate() {
        let (status, answer) =
            post_lead(&scene.daemon.url("/v1/leads"), key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
        let pushed_by: Vec<_> =
            answer["deliveries"].as_array().unwrap().iter().map(|it| &it["integration_id"]).collect();
        assert_eq!(pushed_by, [&json!(id)]);
        assert_eq!(scene.receiver.wait_for(n + 1).await[n].path, path);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_receiver_has_as_long_as_its_timeout() {
    let scene = Scene::with(Behaviour::Script(vec![Reply::hang()])).await;
    let id = scene.webhook("slow", "/", json!({"timeout_seconds": 1, "retries": 0})).await;
    scene.post(sample_lead(1).to_string()).await;
    let attempt = scene.wait_for_finished(&id, 1).await.remove(0);
    assert_eq!((attempt.state().word(), attempt.failure_class().word()), ("failed", "unknown"));
    assert!(attempt.duration.unwrap().seconds >= 1, "{attempt:?}");
    assert!(attempt.error.contains("1 s"), "{}", attempt.error);
    scene.end().await;
}

#[tokio::test]
async fn what_came_back_is_kept_with_the_attempt() {
    let reply = Reply::status(200).header("X-Request-Id", "r-17").body("Webhook received");
    let scene = Scene::with(Behaviour::Script(vec![reply])).await;
    let id = scene.webhook("crm", "/", json!({})).await;
    scene.post(LEAD).await;
    let attempt = scene.wait_for_finished(&id, 1).await.remove(0);
    let request = v1::GetAttemptRequest { id: attempt.id };
    let shown = scene.operator.attempts().get_attempt(request).await.unwrap().into_inner();
    let (attempt, detail) = (shown.attempt.unwrap(), shown.detail.unwrap());
    assert_eq!((attempt.state().word(), attempt.status_code), ("delivered", Some(200)));
    assert_eq!(detail.response_body, b"Webhook received");
    let header = detail.response_headers.iter().find(|it| it.name.eq_ignore_ascii_case("x-request-id"));
    assert_eq!(header.unwrap().value, "r-17");
    scene.end().await;
}

#[tokio::test]
async fn a_disabled_integration_keeps_its_configuration_and_history_and_a_deleted_one_gets_no_lead() {
    let scene = Scene::with(Behaviour::Good).await;
    let id =
        scene.webhook("crm", "/", json!({"headers": {"X-Team": {"value": "sales", "public": true}}})).await;
    scene.post(sample_lead(1).to_string()).await;
    let before = (scene.wait_for_finished(&id, 1).await, scene.operator.integration(&id).await);
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration: id.clone() };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    let shown = scene.operator.integration(&id).await;
    assert!(!shown.enabled);
    assert_eq!((scene.operator.finished(&id).await, &shown.config), (before.0, &before.1.config));
    assert_eq!((&shown.events, shown.secret_version), (&before.1.events, before.1.secret_version));
    let answer = scene.post(sample_lead(2).to_string()).await;
    assert_eq!(answer["deliveries"][0]["state"], "held");

    let delete =
        v1::DeleteIntegrationRequest { request_id: request_id(), integration: id.clone(), dry_run: false };
    let removed = scene.operator.integrations().delete_integration(delete).await.unwrap().into_inner();
    assert_eq!((removed.deliveries, removed.attempts), (2, 1));
    assert_eq!(scene.post(sample_lead(3).to_string()).await["deliveries"], json!([]));
    wait_until("its deliveries are gone", async || {
        let request = v1::ListDeliveriesRequest::default();
        scene.operator.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries.is_empty()
    })
    .await;
    assert_eq!(scene.receiver.count(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_lead_counts_as_pushed_once_one_integration_has_it() {
    let scene = Scene::with(Behaviour::RefuseAll(400, String::new())).await;
    let bad = scene.webhook("bad", "/", json!({})).await;
    let uuid = scene.post(LEAD).await["lead"].as_str().unwrap().to_owned();
    scene.wait_for_finished(&bad, 1).await;
    assert_eq!(scene.lead_state(&uuid).await, v1::LeadState::Unsynced, "nobody has it");

    let good = Receiver::start(Behaviour::Good).await.unwrap();
    let id = scene.operator.webhook(7, "good", &good.url("/"), json!({})).await.integration.unwrap().id;
    let uuid = scene.post(sample_lead(2).to_string()).await["lead"].as_str().unwrap().to_owned();
    scene.wait_for_finished(&bad, 2).await;
    scene.wait_for_finished(&id, 1).await;
    assert_eq!(scene.lead_state(&uuid).await, v1::LeadState::Pushed, "one of two has it");

    scene.receiver.set(Behaviour::Good);
    let uuid = scene.post(sample_lead(3).to_string()).await["lead"].as_str().unwrap().to_owned();
    scene.wait_for_finished(&bad, 3).await;
    scene.wait_for_finished(&id, 2).await;
    assert_eq!(scene.lead_state(&uuid).await, v1::LeadState::Complete);
    good.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_integration_gets_the_events_that_it_subscribes_to() {
    let scene = Scene::with(Behaviour::Good).await;
    for (name, events) in [("new", &["lead.created"][..]), ("changed", &["lead.updated"]), ("both", &[])] {
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: "7".into(),
            connector: "webhook".into(),
            name: name.into(),
            config: json!({ "url": scene.receiver.url(&format!("/{name}")) }).to_string(),
            events: events.iter().map(|word| v1::Event::from_word(word).unwrap().into()).collect(),
            ..Default::default()
        };
        scene.operator.integrations().create_integration(request).await.unwrap();
    }
    scene.post(LEAD).await;
    scene.receiver.wait_for(2).await;
    let changed = LEAD.replacen("\"guest_count\": 80", "\"guest_count\": 81", 1);
    assert_eq!(scene.post(changed).await["status"], "updated");
    let mut seen: Vec<_> = scene.receiver.wait_for(4).await.iter().map(pushed_to).collect();
    seen.sort();
    let expected = ["/both lead.created", "/both lead.updated", "/changed lead.updated", "/new lead.created"];
    assert_eq!(seen, expected);
    scene.end().await;
}

fn pushed_to(request: &Request) -> String {
    format!("{} {}", request.path, request.header("x-leadline-event").unwrap())
}
