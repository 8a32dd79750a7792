//! A lead's way: from the intake to a receiver, byte for byte, signed, once.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use leadline_fakes::{Behaviour, Receiver, Request, sample_lead};
use leadline_tests::{Daemon, Operator, Scene, check_invariants, http, post_lead, wait_until};
use serde_json::{Value, json};
use sha2::Sha256;

const LEAD: &str = include_str!("../fixtures/lead.json");

/// JSON text without white space between its tokens: what a receiver must get, to the digit.
fn minified(text: &str) -> String {
    let mut out = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            '\\' if in_string && !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    out
}

fn text(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

/// Verifies both signatures with code that is not ours.
pub(crate) fn verify(request: &Request, secret: &str) {
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    webhook.verify(&request.body, &headers).unwrap();

    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&request.body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("x-leadline-signature").unwrap(), expected);
}

#[tokio::test]
async fn the_sample_lead_arrives_equal_and_signed_and_once() {
    let Scene { daemon, receiver, key, integration, secret, .. } =
        Scene::set().webhook("crm", "/hook").start().await;
    let url = daemon.url("/v1/leads");

    // Unknown fields, and numbers that a float would change, must arrive as they were sent.
    let odd = r#""odd": [1.10, 1e400, 18446744073709551616, -0, 100000000000000000000.5], "note": "caf\u00e9 \ud83d\ude00","#;
    let lead = LEAD.replacen("\"quote\": {", &format!("{odd}\n\"quote\": {{"), 1);
    assert!(lead.contains("1e400"));
    let (status, answer) = post_lead(&url, &key, lead.clone()).await;
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
    assert_eq!(answer["lead"], "01j8h6kqh4yg3xr8rwm6t6xfqe");
    assert_eq!(answer["deliveries"][0]["integration_id"], json!(integration));
    assert_eq!(answer["deliveries"][0]["state"], "pending");

    let request = receiver.wait_for(1).await.remove(0);
    assert_eq!(text(&request), minified(&lead));
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-leadline-event"), Some("lead.created"));
    assert!(request.header("user-agent").unwrap().starts_with("Leadline/"));
    assert_eq!(request.header("webhook-id"), answer["deliveries"][0]["delivery_id"].as_str());
    verify(&request, &secret);

    // Another order and other white space are the same lead.
    let reordered = lead.replacen("\"version\": \"v1\",", "", 1).replacen('{', "{ \"version\" : \"v1\",", 1);
    let (status, again) = post_lead(&url, &key, reordered).await;
    assert_eq!((status, &again["status"]), (202, &json!("duplicate")), "{again}");
    assert_eq!(again["deliveries"][0]["delivery_id"], answer["deliveries"][0]["delivery_id"]);

    let changed = lead.replacen("\"guest_count\": 80", "\"guest_count\": 81", 1);
    let (status, updated) = post_lead(&url, &key, changed.clone()).await;
    assert_eq!((status, &updated["status"]), (202, &json!("updated")), "{updated}");
    let second = receiver.wait_for(2).await.remove(1);
    assert_eq!(text(&second), minified(&changed).replacen("lead.created", "lead.updated", 1));
    assert_eq!(second.header("x-leadline-event"), Some("lead.updated"));
    verify(&second, &secret);

    // Not every JSON reader takes 1e400, so this looks at the text.
    let status_of = async || {
        let url = daemon.url("/v1/leads/01J8H6KQH4YG3XR8RWM6T6XFQE");
        http().get(url).bearer_auth(&key).send().await.unwrap().text().await.unwrap()
    };
    wait_until("both deliveries are delivered", async || status_of().await.contains(r#""state":"complete""#))
        .await;
    let lead = status_of().await;
    assert!(
        lead.contains(r#""uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe""#) && lead.contains(r#""guest_count":81"#),
        "{lead}"
    );
    assert_eq!(lead.matches(r#""state":"delivered""#).count(), 2, "{lead}");
    assert_eq!(receiver.count(), 2);
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn an_update_waits_for_the_creation_and_replaces_an_update_that_waits() {
    let Scene { daemon, receiver, key, .. } = Scene::with(Behaviour::RefuseAll(500, String::new())).await;
    let url = daemon.url("/v1/leads");
    let with_guests = |n: u32| LEAD.replacen("\"guest_count\": 80", &format!("\"guest_count\": {n}"), 1);
    post_lead(&url, &key, with_guests(80)).await;
    receiver.wait_for(1).await;
    for guests in [81, 82] {
        let (status, answer) = post_lead(&url, &key, with_guests(guests)).await;
        assert_eq!((status, &answer["status"]), (202, &json!("updated")));
        assert!(answer["deliveries"][0]["reason"].as_str().unwrap().starts_with("waits for "), "{answer}");
    }
    receiver.set(Behaviour::Good);
    wait_until("the last update arrives", async || {
        receiver.requests().iter().any(|request| text(request).contains("\"guest_count\":82"))
    })
    .await;
    let requests = receiver.requests();
    let order: Vec<&str> =
        requests.iter().map(|request| request.header("x-leadline-event").unwrap()).collect();
    let creations = order.iter().filter(|event| **event == "lead.created").count();
    assert_eq!(
        order[creations..],
        ["lead.updated"],
        "an update came before its creation, or twice: {order:?}"
    );
    assert!(!requests.iter().any(|request| text(request).contains("\"guest_count\":81")));
    let states: Vec<String> = {
        let url = daemon.url("/v1/leads/01j8h6kqh4yg3xr8rwm6t6xfqe");
        let lead: Value = http().get(url).bearer_auth(&key).send().await.unwrap().json().await.unwrap();
        lead["deliveries"].as_array().unwrap().iter().map(|d| d["reason"].to_string()).collect()
    };
    assert!(states[1].contains("superseded by"), "{states:?}");
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn every_integration_gets_every_lead_and_a_hung_one_delays_nobody() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let (good, hung) =
        (Receiver::start(Behaviour::Good).await.unwrap(), Receiver::start(Behaviour::Hang).await.unwrap());
    let key = operator.company(7).await;
    operator.webhook(7, "good", &good.url("/"), json!({})).await;
    operator.webhook(7, "hung", &hung.url("/"), json!({"timeout_seconds": 300})).await;
    for n in 0..100 {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
    // The hung integration holds all that its lane allows for five minutes; the other one has everything meanwhile.
    good.wait_for(100).await;
    assert_eq!(hung.wait_for(16).await.len(), 16, "a lane pushes 16 at a time");
    drop(daemon);
    hung.stop().await;
    good.stop().await;
}

#[tokio::test]
async fn a_disabled_integration_holds_new_leads_and_enabling_releases_them() {
    let Scene { daemon, operator, receiver, key, integration: id, .. } = Scene::with(Behaviour::Good).await;
    let disable = leadline_proto::v1::DisableIntegrationRequest {
        request_id: leadline_tests::request_id(),
        integration: id.clone(),
    };
    operator.integrations().disable_integration(disable).await.unwrap();
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202);
    assert_eq!(answer["deliveries"][0]["state"], "held");
    assert_eq!(answer["deliveries"][0]["reason"], "integration disabled");
    assert_eq!(operator.badge(&id).await, "disabled");
    let enable = leadline_proto::v1::EnableIntegrationRequest {
        request_id: leadline_tests::request_id(),
        integration: id.clone(),
        held: leadline_proto::v1::HeldChoice::Release.into(),
    };
    let enabled = operator.integrations().enable_integration(enable).await.unwrap().into_inner();
    assert_eq!(enabled.held, 1);
    receiver.wait_for(1).await;
    wait_until("the badge is ok", async || operator.badge(&id).await == "ok").await;
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_push_is_shaped_by_templates_and_mapping() {
    let Scene { daemon, operator, receiver, key, .. } = Scene::set().no_webhook().start().await;
    let config = json!({
        "method": "PUT",
        "headers": {"X-Contact": "{{ contact.attributes.email }}", "Authorization": "Bearer s3cret-token-value"},
        "query": {"workspace": "{{ workspace.uuid }}"},
        "body": r#"{"event": "{{ event.type }}", "guests": {{ lead.guest_count }}, "value": {{ quote.total_pence | money }}}"#,
    });
    let url = receiver.url("/contacts/{{ contact._id }}/events");
    let id = operator.webhook(7, "shaped", &url, config).await.integration.unwrap().id;
    post_lead(&daemon.url("/v1/leads"), &key, LEAD).await;
    let request = receiver.wait_for(1).await.remove(0);
    assert_eq!(request.method, "PUT");
    assert_eq!(request.path, "/contacts/01j8h6kqh4yg3xr8rwm6t6xfqe/events?workspace=7");
    assert_eq!(request.header("x-contact"), Some("sarah@example.com"));
    assert_eq!(request.header("authorization"), Some("Bearer s3cret-token-value"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"event": "lead.created", "guests": 80, "value": 12696.00}));
    assert!(text(&request).contains("12696.00"), "money keeps its pence");
    wait_until("the attempt is written", async || !operator.finished(&id).await.is_empty()).await;
    let attempt = operator.finished(&id).await.remove(0);
    let request = leadline_proto::v1::GetAttemptRequest { id: attempt.id };
    let detail = operator.attempts().get_attempt(request).await.unwrap().into_inner().detail.unwrap();
    assert!(!format!("{detail:?}").contains("s3cret-token"), "a credential is shown");
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn pushes_in_flight_end_before_a_graceful_stop_and_none_is_repeated() {
    let Scene { daemon, receiver, key, .. } = Scene::set()
        .behaviour(Behaviour::Slow(Duration::from_millis(300)))
        .webhook("slow", "/")
        .start()
        .await;
    let database = daemon.database().clone();
    for n in 0..40 {
        post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
    }
    receiver.wait_for(1).await;
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    let daemon = Daemon::start_on(&database).await;
    let requests = receiver.wait_for(40).await;
    let mut ids: Vec<_> =
        requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "a delivery was pushed twice");
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}
