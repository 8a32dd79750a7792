//! Every noun and verb of `leadline`, as scripts use them: the JSON of the contract, key for key.

use leadline_fakes::Behaviour;
use leadline_tests::{Cli, Daemon, Ran, post_lead, wait_until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const LEAD: &str = include_str!("../fixtures/lead.json");
const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";

/// The scene whose webhook is called `hook`.
struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start() -> Self {
        Self(leadline_tests::Scene::set().webhook("hook", "/hook").start().await)
    }

    async fn post(&self, body: String) -> String {
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.key, body).await;
        assert_eq!(status, 202, "{answer}");
        answer["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned()
    }

    async fn wait_for(&self, delivery: &str, state: &str) {
        wait_until(&format!("the delivery is {state}"), async || {
            self.cli.json(&["delivery", "show", delivery]).await["state"] == state
        })
        .await;
    }

    async fn end(self) {
        self.0.end().await;
    }
}

/// What an answer is made of: each value's kind in its place.
pub(crate) fn shape(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if number.is_u64() => "integer".into(),
        Value::Number(_) => "number".into(),
        Value::String(text) if is_time(text) => "time".into(),
        Value::String(text) if text.len() == 26 && text.starts_with('0') => "id".into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
    }
}

fn is_time(text: &str) -> bool {
    // One id of a thousand has a T there and a Z at its end.
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.as_bytes()[4] == b'-'
}

/// Each object's ids in the order of the list.
fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn integration_shape() -> Value {
    json!({
        "id": "id", "name": "text", "connector": "text", "enabled": "bool", "company_id": "integer", "company": "text", "skipped": "integer",
        "badge": "text", "last_pushed_at": null, "failure_count": "integer", "dead": "integer",
        "held": "integer", "pending": "integer", "last_error": null, "last_error_at": null,
        "oldest_undelivered_at": null, "throttled_until": null, "throttle_why": null, "next_retry_at": null, "waits": null,
        "sweep_at": null, "breaker": {"state": "text", "why": null, "until": null},
        "lane": {"running": "integer", "concurrency": "integer", "rate_per_second": null, "waits_for": null,
            "waits_until": null},
        "rotation": "text", "grace_until": null, "secret_version": "integer", "has_credentials": "bool",
        "account": null, "findings": [], "proposals": [], "checked_at": null, "staged_secret_version": null, "awaits_cut_over": "bool",
        "company_paused_at": null, "notices": "bool", "config": {"url": "text"},
        "mapping": {}, "events": ["text", "text"], "payload": "text", "routing": "text", "created_at": "time",
    })
}

pub(crate) fn attempt_shape() -> Value {
    json!({
        "id": "id", "delivery_id": "id", "lead": "id", "number": "integer", "trigger": "text", "state": "text",
        "status_code": "integer", "failure_class": null, "error": null, "started_at": "time",
        "duration_ms": "integer", "integration": "text", "company": "text", "lead_name": "text", "lead_email": "text",
    })
}

fn delivery_shape() -> Value {
    json!({
        "id": "id", "lead": "id", "integration_id": "id", "event": "text", "state": "text", "reason": null,
        "attempts": "integer", "due_at": null, "integration": "text", "company": "text", "lead_name": "text",
        "lead_email": "text", "failure_class": null, "error": null, "cause": null, "job_id": null,
    })
}

/// The first shape with the fields of the second laid over it.
pub(crate) fn with(mut shape: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        shape[key] = value.clone();
    }
    shape
}

#[tokio::test]
async fn companies_and_keys() {
    let daemon = Daemon::start().await;
    let cli = Cli::new(daemon.socket());
    let created =
        cli.json(&["company", "create", "--name", "The Old Barn", "--plan", "pro", "--id", "7"]).await;
    assert_eq!(created, json!({"id": 7, "name": "The Old Barn", "plan": "pro"}));
    let args = ["company", "create", "--name", "The Mill", "--plan", "starter", "--brand", "Innkept/1.0"];
    let mill = cli.json(&args).await;
    let id = mill["id"].as_i64().unwrap();
    assert_eq!(mill, json!({"id": id, "name": "The Mill", "plan": "starter"}));

    let whole = json!({"id": "integer", "name": "text", "plan": "text", "brand": null, "created_at": "time",
        "paused_at": null, "quiet_hours": null, "last_lead_at": null, "time_zone": null, "locale": null, "lead_url": null});
    let list = cli.json(&["company", "list"]).await;
    assert_eq!(shape(&list), json!([with(whole.clone(), json!({"brand": "text"})), whole]));
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!("The Mill"), &json!("The Old Barn")));
    assert_eq!(cli.json(&["company", "list", "--limit", "1"]).await, json!([list[0]]));
    assert_eq!(cli.json(&["company", "list", "--after", &id.to_string()]).await, json!([list[1]]));
    for reference in ["7", "The Old Barn"] {
        let page = cli.json(&["company", "show", reference]).await;
        let empty = json!({"leads_24h": 0, "refused_24h": 0, "keys": [], "integrations": [], "flows": []});
        assert_eq!(page, with(list[1].clone(), empty));
    }
    let updated = cli.json(&["company", "update", "7", "--name", "The Barn", "--brand", "Leadpush"]).await;
    assert_eq!(updated, with(list[1].clone(), json!({"name": "The Barn", "brand": "Leadpush"})));
    assert_eq!(cli.json(&["company", "update", "7", "--clear-brand"]).await["brand"], Value::Null);
    assert_eq!(cli.json(&["company", "set-plan", "The Barn", "--plan", "multi"]).await["plan"], "multi");

    let key = cli.json(&["intake-key", "create", "--company", "7"]).await;
    assert_eq!(shape(&key), json!({"id": "id", "key": "text"}));
    assert!(key["key"].as_str().unwrap().starts_with("llk_7_"));
    let signed = cli.json(&["intake-key", "create", "--company", "7", "--require-signature"]).await;
    assert_eq!(shape(&signed), json!({"id": "id", "key": "text", "signing_secret": "text"}));
    let list = cli.run(&["intake-key", "list", "--company", "7", "-o", "json"]).await;
    for secret in [&key["key"], &signed["key"], &signed["signing_secret"]] {
        assert!(!list.stdout.contains(secret.as_str().unwrap()), "a secret is listed");
    }
    let list = list.json();
    let whole = json!({"id": "id", "company_id": "integer", "prefix": "text", "require_signature": "bool",
        "signature": null, "may_read": "bool", "allow_origins": [], "rate_per_second": null, "created_at": "time",
        "revoked_at": null, "last_used_at": null});
    assert_eq!(shape(&list), json!([with(whole.clone(), json!({"signature": "text"})), whole]));
    assert_eq!(ids(&list), [signed["id"].as_str().unwrap(), key["id"].as_str().unwrap()]);
    let revoked = cli.json(&["intake-key", "revoke", key["id"].as_str().unwrap()]).await;
    assert_eq!(shape(&revoked), with(whole, json!({"revoked_at": "time"})));
    daemon.stop().await;
}

#[tokio::test]
async fn integrations() {
    let scene = Scene::start().await;
    let (cli, id) = (&scene.cli, scene.integration.as_str());
    let shown = cli.json(&["integration", "show", "hook"]).await;
    assert_eq!(shape(&shown), integration_shape());
    let expected = json!({"id": id, "name": "hook", "connector": "webhook", "enabled": true, "company_id": 7,
        "badge": "ok", "failure_count": 0, "dead": 0, "rotation": "none", "payload": "v1", "routing": "all"});
    assert_eq!(with(shown.clone(), expected), shown);
    assert_eq!(cli.json(&["integration", "show", id]).await, shown);

    let mut args = vec!["integration", "create", "--company", "7", "--connector", "webhook", "--name", "crm"];
    args.extend(["--config", r#"{"url": "https://example.com/leads", "timeout_seconds": 5}"#]);
    args.extend(["--mapping", r#"{"lead.event_date": "lead.wedding_date"}"#, "--events", "lead.created"]);
    args.extend(["--payload", "v1", "--routing", "all", "--disabled", "-o", "json"]);
    let brought = cli.run_with("an-old-secret-of-ours\n", &[&args[..], &["--secret-stdin"]].concat()).await;
    assert_eq!((brought.code, &*brought.stderr), (0, ""), "{brought:?}");
    let crm = brought.json()["id"].clone();
    assert_eq!(
        brought.json(),
        json!({"id": crm, "name": "crm", "connector": "webhook", "enabled": false, "signing_secret": null})
    );
    let list = cli.json(&["integration", "list", "--company", "The Old Barn"]).await;
    assert_eq!(ids(&list), [crm.as_str().unwrap(), id]);
    assert_eq!(list[1], shown);
    assert_eq!((&list[0]["badge"], &list[0]["events"]), (&json!("disabled"), &json!(["lead.created"])));

    let config = r#"{"url": "https://example.com/v2"}"#;
    let updated = cli.json(&["integration", "update", "crm", "--name", "crm2", "--config", config]).await;
    assert_eq!(updated["config"], json!({"url": "https://example.com/v2"}));
    assert_eq!(updated["mapping"], json!({"lead.event_date": "lead.wedding_date"}), "the rest stays");
    let enabled = cli.json(&["integration", "enable", "crm2"]).await;
    assert_eq!((&enabled["enabled"], &enabled["were_held"]), (&json!(true), &json!(0)));
    assert_eq!(cli.json(&["integration", "disable", "crm2"]).await["badge"], "disabled");
    assert_eq!(cli.json(&["integration", "reset", "crm2"]).await["failure_count"], 0);

    let fields = cli.json(&["integration", "create", "--help-connector", "webhook"]).await;
    let field = |name: &str| fields.as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("concurrency")["default"], "16", "what every connector takes, too");
    let url = field("url");
    assert_eq!(
        shape(url),
        json!({"name": "text", "kind": "text", "required": "bool", "default": null, "words": [], "secret": "bool", "help": "text"})
    );
    scene.end().await;
}

#[tokio::test]
async fn secrets_are_shown_where_they_are_made_and_nowhere_else() {
    let scene = Scene::start().await;
    let cli = &scene.cli;
    let rotated = cli.json(&["integration", "rotate-secret", "hook", "--grace", "1h"]).await;
    let expected = json!({"id": "id", "name": "text", "connector": "text", "enabled": "bool",
        "signing_secret": "text", "rotation": "text", "grace_until": "time"});
    assert_eq!(shape(&rotated), expected);
    let second = rotated["signing_secret"].as_str().unwrap();
    assert!(second.starts_with("whsec_") && second != scene.secret);
    let new = ["integration", "create", "--company", "7", "--connector", "webhook", "--name", "new"];
    let made = cli.json(&[&new[..], &["--config", r#"{"url": "https://example.com/"}"#]].concat()).await;
    let first = made["signing_secret"].as_str().unwrap();
    assert!(first.starts_with("whsec_"), "{made}");
    assert_eq!(rotated["rotation"], "grace");
    let revoked = cli.json(&["integration", "revoke-secret", "hook"]).await;
    assert_eq!((&revoked["rotation"], &revoked["secret_version"]), (&json!("none"), &json!(2)));

    let third = "a-secret-that-was-brought";
    let args = ["integration", "rotate-secret", "hook", "--grace", "0s", "--secret-stdin", "-o", "json"];
    let brought = cli.run_with(third, &args).await.json();
    assert_eq!((&brought["signing_secret"], &brought["rotation"]), (&Value::Null, &json!("none")));
    let attempt = cli.json(&["integration", "test", "hook"]).await;
    assert_eq!(
        shape(&attempt),
        with(
            attempt_shape(),
            json!({"delivery_id": null, "lead": null, "lead_name": null, "lead_email": null})
        )
    );
    assert_eq!((&attempt["trigger"], &attempt["state"]), (&json!("test"), &json!("delivered")));

    let attempt = attempt["id"].as_str().unwrap();
    let mut reported = scene.daemon.database().rows().await;
    for args in
        [&["integration", "show", "hook"][..], &["integration", "list"], &["attempt", "show", attempt]]
    {
        reported += &cli.json(args).await.to_string();
    }
    for secret in [&*scene.secret, first, second, third, &*scene.key] {
        assert!(!reported.contains(secret), "a secret is shown or stored as it is");
    }
    scene.end().await;
}

#[tokio::test]
async fn leads_deliveries_and_attempts() {
    let scene = Scene::start().await;
    let cli = &scene.cli;
    let first = scene.post(LEAD.to_owned()).await;
    scene.wait_for(&first, "delivered").await;
    let shown = cli.json(&["lead", "show", UUID]).await;
    let expected: Value = serde_json::from_str(LEAD).unwrap();
    assert_eq!(shown["event"], expected);
    let without_event = with(shown.clone(), json!({"event": null}));
    assert_eq!(
        shape(&without_event),
        json!({"uuid": "id", "state": "text", "received_at": "time", "event": null,
        "deliveries": [delivery_shape()]})
    );
    assert_eq!((&shown["uuid"], &shown["state"]), (&json!(UUID), &json!("complete")));

    let second = scene.post(LEAD.replacen("01j8h6kqh4", "01j8h6kqh9", 1)).await;
    scene.wait_for(&second, "delivered").await;
    let leads = cli.json(&["lead", "list", "--company", "7"]).await;
    let lead = json!({"uuid": "id", "company_id": "integer", "company": "text", "name": "text", "email": "text",
        "phone": "text", "state": "text", "undelivered": "integer", "received_at": "time", "updated_at": null});
    assert_eq!(shape(&leads), json!([lead, lead]));
    assert_eq!(leads[1]["uuid"], UUID, "newest first");

    let list = cli.json(&["delivery", "list", "--integration", "hook"]).await;
    assert_eq!(shape(&list), json!([delivery_shape(), delivery_shape()]));
    assert_eq!(ids(&list), [&*second, &*first]);
    assert_eq!(ids(&cli.json(&["delivery", "list", "--limit", "1"]).await), [&*second]);
    assert_eq!(ids(&cli.json(&["delivery", "list", "--lead", UUID]).await), [&*first]);
    assert_eq!(cli.json(&["delivery", "list", "--undelivered"]).await, json!([]));

    let attempts = cli.json(&["attempt", "list", "--integration", "hook"]).await;
    assert_eq!(shape(&attempts), json!([attempt_shape(), attempt_shape()]));
    assert_eq!((&attempts[0]["delivery_id"], &attempts[1]["delivery_id"]), (&json!(second), &json!(first)));
    let of_one = cli.json(&["attempt", "list", "--delivery", &first]).await;
    assert_eq!(of_one, json!([attempts[1]]));
    let shown = cli.json(&["delivery", "show", &first]).await;
    let expected = json!({"company_id": "integer", "integration_name": "text", "running": "bool",
        "created_at": "time", "finished_at": "time", "history": [attempt_shape()], "records": []});
    assert_eq!(shape(&shown), with(delivery_shape(), expected));
    assert_eq!(shown["history"], of_one);

    let shown = cli.json(&["attempt", "show", attempts[0]["id"].as_str().unwrap()]).await;
    for (key, value) in attempts[0].as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    assert_eq!(shape(&shown["request_headers"][0]), json!({"name": "text", "value": "text"}));
    assert_eq!((&shown["method"], &shown["secret_version"]), (&json!("POST"), &json!(1)));
    assert!(shown["request_body"].as_str().unwrap().contains("01j8h6kqh9"), "{shown}");
    scene.end().await;
}

#[tokio::test]
async fn tests_and_retries_wait_for_the_outcome() {
    let scene = Scene::start().await;
    let cli = &scene.cli;
    let delivery = scene.post(LEAD.to_owned()).await;
    scene.wait_for(&delivery, "delivered").await;
    scene.receiver.set(Behaviour::RefuseAll(422, "no such date".into()));
    let outcome = |ran: &Ran| (ran.code, ran.json()["state"].clone(), ran.json()["status_code"].clone());
    let failed = cli.run(&["delivery", "retry", &delivery, "-o", "json"]).await;
    assert_eq!(outcome(&failed), (1, json!("failed"), json!(422)));
    let expected = with(attempt_shape(), json!({"failure_class": "text", "error": "text"}));
    assert_eq!(shape(&failed.json()), expected);
    let error: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert_eq!(error["error"]["code"], "failed");
    assert!(error["error"]["message"].as_str().unwrap().contains("attempt show"), "{error}");
    let tested = cli.run(&["integration", "test", "hook", "-o", "json"]).await;
    assert_eq!(outcome(&tested), (1, json!("failed"), json!(422)));
    // It failed whether or not anybody reads of it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = cli.command(&["integration", "test", "hook"]).stdout(writer).spawn().unwrap();
    let unread = unread.wait_with_output().await.unwrap();
    let told = String::from_utf8(unread.stderr).unwrap();
    assert!(unread.status.code() == Some(1) && told.starts_with("leadline: the push failed"), "{told}");

    scene.daemon.database().settled().await;
    let stuck = cli.json(&["delivery", "list", "--undelivered"]).await;
    assert_eq!((&stuck[0]["state"], &stuck[0]["attempts"]), (&json!("dead"), &json!(2)));
    let plan = cli.json(&["delivery", "retry", "--integration", "hook", "--dry-run"]).await;
    assert_eq!(plan.as_object().unwrap().keys().collect::<Vec<_>>(), ["count", "seconds", "sample"]);
    assert_eq!((&plan["count"], &plan["sample"]), (&json!(1), &json!([stuck[0]])));
    assert!(plan["seconds"].is_number());
    assert_eq!(scene.receiver.count(), 4, "a dry run pushes nothing");

    scene.receiver.set(Behaviour::Good);
    let retried = cli.json(&["delivery", "retry", "--integration", "hook"]).await;
    let reported = ["state", "total", "released", "delivered", "dead"].map(|key| retried[key].clone());
    assert_eq!(reported, [json!("done"), json!(1), json!(1), json!(1), json!(0)]);
    let jobs = cli.json(&["job", "list"]).await;
    assert_eq!((&jobs[0]["id"], &jobs[0]["state"]), (&retried["id"], &json!("done")));
    let again = cli.json(&["delivery", "retry", "--integration", "hook"]).await;
    assert_eq!((&again["id"], &again["total"]), (&json!(null), &json!(0)), "nothing is dead any more");
    assert_eq!(cli.json(&["delivery", "retry", &delivery]).await["number"], 4, "delivered ones too");
    let started = cli.json(&["delivery", "retry", &delivery, "--no-wait"]).await;
    assert_eq!(started["count"], 1);
    scene.wait_for(&delivery, "delivered").await;
    let started = cli.json(&["integration", "test", "hook", "--no-wait"]).await;
    assert_eq!(shape(&started), json!({"attempt_id": "id"}));
    let id = started["attempt_id"].as_str().unwrap();
    wait_until("the test is pushed", async || {
        cli.json(&["attempt", "show", id]).await["state"] == "delivered"
    })
    .await;
    scene.end().await;
}

#[tokio::test]
async fn undelivered_ones_are_listed_oldest_first() {
    let scene = Scene::start().await;
    let cli = &scene.cli;
    cli.json(&["integration", "disable", "hook"]).await;
    let mut posted = Vec::new();
    for digit in 5..8 {
        posted.push(scene.post(LEAD.replacen("01j8h6kqh4", &format!("01j8h6kqh{digit}"), 1)).await);
    }
    let list = cli.json(&["delivery", "list", "--undelivered"]).await;
    assert_eq!(ids(&list), posted);
    assert_eq!(shape(&list[0]), with(delivery_shape(), json!({"reason": "text"})));
    assert_eq!((&list[0]["state"], &list[0]["reason"]), (&json!("held"), &json!("integration disabled")));
    let rest = cli.json(&["delivery", "list", "--undelivered", "--after", &posted[0]]).await;
    assert_eq!(ids(&rest), posted[1..]);
    let newest_first = cli.json(&["delivery", "list", "--state", "held", "--limit", "2"]).await;
    assert_eq!(ids(&newest_first), [&*posted[2], &*posted[1]]);
    let enabled = cli.json(&["integration", "enable", "hook", "--held", "release"]).await;
    assert_eq!(enabled["were_held"], 3);
    for delivery in &posted {
        scene.wait_for(delivery, "delivered").await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_deletion_is_confirmed_and_counted() {
    let scene = Scene::start().await;
    let cli = &scene.cli;
    let delivery = scene.post(LEAD.to_owned()).await;
    scene.wait_for(&delivery, "delivered").await;
    let before = scene.daemon.database().contents().await;
    let refused = cli.run(&["integration", "delete", "hook"]).await;
    let line = refused.error(2);
    assert!(line.contains("'hook' with 1 deliveries and 1 attempts") && line.contains("--yes"), "{line}");
    assert_eq!(scene.daemon.database().contents().await, before);
    let removed = cli.json(&["integration", "delete", "hook", "--yes"]).await;
    assert_eq!(removed, json!({"id": scene.integration, "deliveries": 1, "attempts": 1}));
    assert_eq!(cli.json(&["integration", "list"]).await, json!([]));
    cli.run(&["integration", "show", "hook"]).await.error(1);
    scene.end().await;
}

#[tokio::test]
async fn a_watch_is_a_line_for_each_change() {
    let scene = Scene::start().await;
    let mut child = scene.cli.command(&["watch", "--company", "7"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What else is told of the integration on the way is passed over.
    let mut line = async |is_awaited: &dyn Fn(&Value) -> bool| -> Value {
        loop {
            let line = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            if is_awaited(&line) {
                return line;
            }
        }
    };
    let first = line(&|_| true).await;
    assert_eq!(shape(&first), json!({"change": "text", "integration": integration_shape()}));
    assert_eq!((&first["change"], &first["integration"]["name"]), (&json!("snapshot"), &json!("hook")));
    scene.cli.json(&["integration", "disable", "hook"]).await;
    let changed = line(&|line| line["integration"]["badge"] == "disabled").await;
    assert_eq!(changed["change"], "changed");
    // What is kept back is told, though no push will ever tell of it.
    let (status, answer) = post_lead(&scene.daemon.url("/v1/leads"), &scene.key, LEAD).await;
    assert_eq!(status, 202, "{answer}");
    line(&|line| line["integration"]["held"] == 1).await;
    scene.cli.json(&["integration", "delete", "hook", "--yes"]).await;
    let removed = line(&|line| line["change"] != "changed").await;
    assert_eq!(removed, json!({"change": "removed", "id": scene.integration}));
    let leadline_tests::Scene { daemon, receiver, .. } = scene.0;
    daemon.stop().await;
    assert_eq!(child.wait().await.unwrap().code(), Some(69), "the daemon has stopped");
    receiver.stop().await;
}
