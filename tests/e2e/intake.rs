//! The intake's further doors: flat leads, batches, what is kept of refusals.

mod payload;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use leadline_fakes::{Behaviour, sample_lead};
use leadline_proto::v1;
use leadline_tests::{
    Cli, Daemon, Operator, Scene, check_invariants, http, post_lead, request_id, wait_until,
};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");
const FLAT: &str = include_str!("../fixtures/save_lead.json");
const PUSHED_V1: &str = include_str!("../fixtures/payload/v1.json");
const PUSHED_SAVE_LEAD: &str = include_str!("../fixtures/payload/save_lead.json");

async fn lead(daemon: &Daemon, key: &str, uuid: &str) -> Value {
    let url = daemon.url(&format!("/v1/leads/{uuid}"));
    http().get(url).bearer_auth(key).send().await.unwrap().json().await.unwrap()
}

async fn integration(operator: &Operator, name: &str, url: &str, payload: &str) -> String {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: "webhook".into(),
        name: name.into(),
        config: json!({"url": url}).to_string(),
        // None named is the default.
        payload: v1::Payload::from_word(payload).unwrap_or_default().into(),
        ..Default::default()
    };
    let created = operator.integrations().create_integration(request).await.unwrap().into_inner();
    created.integration.unwrap().id
}

#[tokio::test]
async fn flat_leads_are_saved_merged_and_pushed() {
    let Scene { daemon, operator, receiver, key, .. } = Scene::set().no_webhook().start().await;
    integration(&operator, "canonical", &receiver.url("/v1"), "").await;
    integration(&operator, "flat", &receiver.url("/flat"), "save_lead").await;
    let url = daemon.url("/v1/save_lead");
    let sent = |path: &str, event: &str| {
        let of = |request: &leadline_fakes::Request| {
            request.path == path && request.header("x-leadline-event") == Some(event)
        };
        let found = receiver.requests().into_iter().filter(of);
        found.map(|request| String::from_utf8(request.body.to_vec()).unwrap()).collect::<Vec<_>>()
    };

    let (status, answer) = post_lead(&url, &key, FLAT).await;
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
    let uuid = answer["lead"].as_str().unwrap().to_owned();
    assert_eq!((uuid.len(), answer["deliveries"].as_array().unwrap().len()), (26, 2));
    receiver.wait_for(2).await;
    assert_eq!(
        sent("/v1", "lead.created"),
        [format!(
            r#"{{"event":"lead.created","version":"v1","lead":{{"uuid":"{uuid}","name":"Ann van der Lee","email":"Ann.Lee@example.com","profile":{{"company":"Acme","first_name":"Ann","last_name":"van der Lee","website":"https://acme.example","position":"Events manager","twitter":"@annlee","linkedin":"https://linkedin.example/in/annlee","notes":"Asked for the garden","score":42}},"phone":"+447700900124"}},"company":{{"id":7,"name":"The Old Barn"}}}}"#
        )]
    );
    let flat: Value = serde_json::from_str(FLAT).unwrap();
    assert_eq!(sent("/flat", "save_lead"), [flat.to_string()], "what came in flat goes out flat");

    // The same again, whatever the case of the address, is a duplicate; a change is merged into the same lead.
    let again = post_lead(&url, &key, FLAT).await.1;
    assert_eq!((&again["status"], &again["lead"]), (&json!("duplicate"), &json!(uuid)), "{again}");
    assert_eq!(again["deliveries"].as_array().unwrap().len(), 2);
    let change = json!({"data": {"email": "ann.lee@EXAMPLE.com", "score": 43}}).to_string();
    let updated = post_lead(&url, &key, change).await.1;
    assert_eq!((&updated["status"], &updated["lead"]), (&json!("updated"), &json!(uuid)), "{updated}");
    receiver.wait_for(4).await;
    let pushed = sent("/v1", "lead.updated").remove(0);
    assert!(pushed.contains(r#""score":43"#) && pushed.contains(r#""company":"Acme""#), "{pushed}");
    assert_eq!(lead(&daemon, &key, &uuid).await["event"]["lead"]["email"], "ann.lee@EXAMPLE.com");

    // The other door knows the lead by its uuid, and what it brings stays when this one is used again.
    let canonical = LEAD.replacen("01j8h6kqh4yg3xr8rwm6t6xfqe", &uuid, 1).replacen(
        "sarah@example.com",
        "Ann.Lee@example.com",
        1,
    );
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, canonical).await.1["status"], "updated");
    let change = json!({"data": {"email": "ann.lee@example.com", "position": "Owner"}}).to_string();
    assert_eq!(post_lead(&url, &key, change).await.1["lead"], json!(uuid));
    let event = lead(&daemon, &key, &uuid).await["event"].clone();
    assert_eq!((&event["lead"]["guest_count"], &event["lead"]["name"]), (&json!(80), &json!("Sarah Patel")));
    assert_eq!(event["lead"]["profile"], json!({"position": "Owner"}));
    wait_until("all is delivered", async || lead(&daemon, &key, &uuid).await["state"] == "complete").await;
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn posts_of_one_address_at_once_make_one_lead() {
    let Scene { daemon, receiver, key, .. } = Scene::with(Behaviour::Good).await;
    let url = daemon.url("/v1/save_lead");
    // Each brings a field of its own: none may be lost.
    let posts = (0..24).map(|n| {
        let body = json!({"data": {"email": "ann@example.com", format!("field_{n}"): n}}).to_string();
        post_lead(&url, &key, body)
    });
    let answers = join_all(posts).await;
    let count = |word: &str| answers.iter().filter(|(_, answer)| answer["status"] == word).count();
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    assert_eq!((count("accepted"), count("updated")), (1, 23), "{answers:?}");
    let uuid = answers[0].1["lead"].as_str().unwrap();
    assert!(answers.iter().all(|(_, answer)| answer["lead"] == uuid));
    let profile = lead(&daemon, &key, uuid).await["event"]["lead"]["profile"].clone();
    assert_eq!(profile.as_object().unwrap().len(), 24, "{profile}");
    wait_until("the last one is pushed", async || lead(&daemon, &key, uuid).await["state"] == "complete")
        .await;
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_flat_lead_that_is_wrong_is_refused_whole() {
    let Scene { daemon, key, .. } = Scene::set().no_webhook().start().await;
    let url = daemon.url("/v1/save_lead");
    let before = daemon.database().contents().await;
    let (status, reported) =
        post_lead(&url, &key, r#"{"data": {"email": "ann", "score": "high", "notes": 5}}"#).await;
    assert_eq!(
        (status, &reported["detail"]),
        (422, &json!("3 fields are not valid: correct those that `errors` names"))
    );
    assert_eq!(
        reported["errors"],
        json!([
            {"pointer": "/data/email", "detail": "must be an e-mail address"},
            {"pointer": "/data/notes", "detail": "must be text or null"},
            {"pointer": "/data/score", "detail": "must be an integer or null"},
        ])
    );
    for (body, status, detail) in [
        ("{}", 422, "2 fields are not valid: correct those that `errors` names"),
        (r#"{"data": {"email": null}}"#, 422, "/data/email: is required"),
        (LEAD, 422, "8 fields are not valid: correct those that `errors` names"),
        (
            r#"{"data": {"email": "a@b.c"}, "quote": {}}"#,
            422,
            "/quote: has no place here: post the canonical event to /v1/leads",
        ),
        (
            r#"{"data": {"email": "a@b.c", "email": "a@b.c"}}"#,
            400,
            "duplicate key \"email\" at line 1, column 29",
        ),
    ] {
        let (reported, problem) = post_lead(&url, &key, body).await;
        assert_eq!((reported, problem["detail"].as_str().unwrap()), (status, detail), "{problem}");
    }
    assert_eq!(post_lead(&url, "llk_7_short", FLAT).await.0, 401);
    assert_eq!(daemon.database().contents().await, before);
    daemon.stop().await;
}

#[tokio::test]
async fn each_integration_gets_the_payload_that_it_names() {
    let Scene { daemon, operator, receiver, key, .. } = Scene::set().no_webhook().start().await;
    let id = integration(&operator, "canonical", &receiver.url("/v1"), "v1").await;
    integration(&operator, "flat", &receiver.url("/save_lead"), "save_lead").await;
    post_lead(&daemon.url("/v1/leads"), &key, LEAD).await;
    let requests = receiver.wait_for(2).await;
    for (path, golden) in [("/v1", PUSHED_V1), ("/save_lead", PUSHED_SAVE_LEAD)] {
        let request = requests.iter().find(|request| request.path == path).unwrap();
        assert_eq!(String::from_utf8_lossy(&request.body), golden.trim_end());
    }
    // It stays on it until it is switched.
    let update = |payload: &str, mapping: Option<&str>| v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: id.clone(),
        payload: Some(v1::Payload::from_word(payload).map_or(9, i32::from)),
        mapping: mapping.map(Into::into),
        ..Default::default()
    };
    let mut integrations = operator.integrations();
    let refused = integrations.update_integration(update("v2", None)).await.unwrap_err();
    assert_eq!(refused.message(), "payload 9: use a value of Payload");
    let mapping = Some(r#"{"lead.name": "who"}"#);
    let refused = integrations.update_integration(update("save_lead", mapping)).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "mapping: payload save_lead has a shape of its own; leave the mapping out, or use payload v1 or a body template"
    );
    let switched = integrations.update_integration(update("save_lead", None)).await.unwrap().into_inner();
    assert_eq!(switched.integration.unwrap().payload(), v1::Payload::SaveLead);
    post_lead(&daemon.url("/v1/leads"), &key, LEAD.replacen("Sarah Patel", "Sarah", 1)).await;
    let requests = receiver.wait_for(4).await;
    let flat = requests.iter().filter(|request| request.header("x-leadline-event") == Some("save_lead"));
    assert_eq!(flat.count(), 3);
    daemon.stop().await;
    receiver.stop().await;
}

/// Posts a batch whose lines are sent as they are given. The answers come back as lines.
async fn post_batch(daemon: &Daemon, key: &str, body: reqwest::Body) -> reqwest::Response {
    let url = daemon.url("/v1/leads/batch");
    let request = http().post(url).bearer_auth(key).header("content-type", "application/x-ndjson");
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line_while_it_is_written() {
    let Scene { daemon, receiver, key, .. } = Scene::with(Behaviour::Good).await;

    // The sender writes its second line only when it has read the answer to the first.
    let (lines, given) = tokio::sync::mpsc::unbounded_channel::<String>();
    let given = futures::stream::unfold(given, async |mut given| {
        given.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), given))
    });
    lines.send(format!("{}\n", sample_lead(1))).unwrap();
    let mut response = post_batch(&daemon, &key, reqwest::Body::wrap_stream(given)).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut answer = async || {
        let chunk = response.chunk().await.unwrap()?;
        Some(serde_json::from_slice::<Value>(&chunk).unwrap())
    };
    let first = answer().await.unwrap();
    assert_eq!((&first["line"], &first["status"]), (&json!(1), &json!("accepted")), "{first}");
    let uuid = first["lead"].as_str().unwrap();
    assert_eq!(lead(&daemon, &key, uuid).await["uuid"], uuid, "it is answered after its commit");
    lines.send("{\"lead\": 5}\n".to_owned()).unwrap();
    let second = answer().await.unwrap();
    assert_eq!(
        (&second["line"], &second["status"], &second["detail"]),
        (&json!(2), &json!(422), &json!("/lead: must be an object"))
    );
    lines.send(sample_lead(2).to_string()).unwrap();
    drop(lines);
    assert_eq!(answer().await.unwrap()["line"], 3);
    assert_eq!(answer().await, None);
    receiver.wait_for(2).await;
    check_invariants(&daemon.database().pool().await).await;
    daemon.stop().await;
    receiver.stop().await;
}

/// So many lines are more than the sockets on the way can hold, both ways: every other one is large and refused at length.
const LONG: usize = 1200;

/// A long batch, and how many of its lines the sender has given away.
fn long_batch() -> (reqwest::Body, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let giving = Arc::clone(&given);
    let note = "x".repeat(40_000);
    let lines = futures::stream::iter((0..LONG).map(move |n| {
        giving.store(n, Ordering::SeqCst);
        let mut lead = sample_lead(n);
        if n % 2 == 1 {
            lead["quote"]["items"] = json!(vec![0; 500]);
            lead["lead"]["note"] = json!(note);
        }
        Ok::<_, std::convert::Infallible>(format!("{lead}\n"))
    }));
    (reqwest::Body::wrap_stream(lines), given)
}

/// Holds these to be the answers to a long batch.
fn check_answers(text: &[u8]) {
    let answers: Vec<Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(answers.len(), LONG);
    for (n, answer) in answers.iter().enumerate() {
        let expected = if n % 2 == 1 { json!(422) } else { json!("accepted") };
        assert_eq!((&answer["line"], &answer["status"]), (&json!(n + 1), &expected));
    }
}

#[tokio::test]
async fn a_long_batch_goes_through_a_slow_reader() {
    let Scene { daemon, key, .. } = Scene::set().no_webhook().start().await;
    let (batch, given) = long_batch();
    let mut response = post_batch(&daemon, &key, batch).await;
    let mut text = Vec::new();
    while text.len() < 1000 {
        text.extend_from_slice(&response.chunk().await.unwrap().unwrap());
    }
    // Nobody reads on: the daemon reads no further than its answers fit on the way, and forgets none of them. The batch
    // stands still when the daemon reads nothing of it while it answers others.
    let url = daemon.url("/v1/leads");
    let seen = || given.load(Ordering::SeqCst);
    let (mut before, mut posted) = (usize::MAX, LONG..);
    while before != seen() {
        before = seen();
        for n in posted.by_ref().take(20) {
            assert_eq!(post_lead(&url, &key, sample_lead(n).to_string()).await.0, 202);
        }
    }
    assert!(seen() < LONG - 1, "the whole batch was read ahead of its reader");
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    check_answers(&text);
    daemon.stop().await;
}

#[tokio::test]
async fn refusals_are_there_for_operators_and_rates_hold() {
    let daemon = Daemon::start().await;
    let cli = Cli::new(daemon.socket());
    cli.json(&["company", "create", "--name", "The Old Barn", "--plan", "pro", "--id", "7"]).await;
    let made = cli.json(&["intake-key", "create", "--company", "7"]).await;
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let url = daemon.url("/v1/leads");
    assert_eq!(cli.json(&["intake-key", "refusals", id]).await, json!([]));
    let bad = LEAD.replacen("\"wedding\"", "\"weding\"", 1).replacen("2026-09-12", "12/09/2026", 1);
    assert_eq!(post_lead(&url, key, bad).await.0, 422);
    assert_eq!(post_lead(&daemon.url("/v1/save_lead"), key, "{\"data\": ").await.0, 400);
    wait_until("both are kept", async || {
        cli.json(&["intake-key", "refusals", id]).await.as_array().unwrap().len() == 2
    })
    .await;
    let kept = cli.json(&["intake-key", "refusals", id]).await;
    assert_eq!((&kept[0]["path"], &kept[0]["status"]), (&json!("/v1/save_lead"), &json!(400)));
    assert_eq!(kept[0]["body"], "{\"xxxx\": ");
    assert_eq!(
        kept[1]["errors"],
        json!([
            {"pointer": "/lead/event_type", "detail": "must be one of wedding, corporate, private_dining, birthday, other"},
            {"pointer": "/lead/event_date", "detail": "must be a date as YYYY-MM-DD"},
        ])
    );
    assert_eq!(kept[1]["body"]["lead"]["event_type"], "xxxxxx");
    assert_eq!(kept[1]["body"]["lead"]["name"], "xxxxx xxxxx");
    let text = kept.to_string().to_lowercase();
    for personal in ["sarah", "patel", "example.com", "447700900123", "9f3axj"] {
        assert!(!text.contains(personal), "{personal} is in {text}");
    }
    let listed = cli.run(&["intake-key", "refusals", id, "-o", "plain"]).await;
    assert!(listed.stdout.contains("2 fields are not valid"), "{listed:?}");

    // Only the last 100 stay.
    for _ in 0..110 {
        assert_eq!(post_lead(&url, key, "[]").await.0, 422);
    }
    let pool = daemon.database().pool().await;
    wait_until("older ones are gone", async || {
        let count = "SELECT count(*) || ' ' || count(*) FILTER (WHERE detail = ': must be an object with a lead in it') FROM refusal";
        sqlx::query_scalar::<_, String>(count).fetch_one(&pool).await.unwrap() == "100 100"
    })
    .await;

    let unknown = cli.run(&["intake-key", "refusals", "01J8H6KQH4YG3XR8RWM6T6XFQE"]).await;
    assert!(unknown.error(1).starts_with("no intake key 01J8H6KQH4YG3XR8RWM6T6XFQE"), "{unknown:?}");
    let refused = cli.run(&["intake-key", "create", "--company", "7", "--rate-per-second", "0"]).await;
    assert_eq!(refused.error(1), "rate_per_second 0: give 0.001 to 1000000, or leave it out for no limit");
    let slow = cli.json(&["intake-key", "create", "--company", "7", "--rate-per-second", "0.01"]).await;
    let key = slow["key"].as_str().unwrap();
    assert_eq!(post_lead(&url, key, LEAD).await.0, 202);
    let (status, reported) = post_lead(&url, key, LEAD).await;
    assert_eq!(
        (status, reported["detail"].as_str().unwrap()),
        (429, "this intake key may send 0.01 leads a second: send this one again after Retry-After seconds")
    );
    let keys = cli.json(&["intake-key", "list"]).await;
    assert_eq!((&keys[0]["rate_per_second"], &keys[1]["rate_per_second"]), (&json!(0.01), &Value::Null));
    daemon.stop().await;
}
