//! Previews: exactly what would be pushed, and nothing pushed.

use leadline_fakes::{Fake, pipedrive::Pipedrive};
use leadline_tests::{Scene, post_lead, wait_until};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");
const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";

#[tokio::test]
async fn a_preview_is_what_is_pushed_and_pushes_nothing() {
    let Scene { daemon, operator, cli, receiver, key, .. } = Scene::set().no_webhook().start().await;
    let more = json!({"headers": {"X-Key": "a-long-secret-value", "X-Name": "{{ lead.name }}"}, "query": {"token": "another-long-secret"}});
    operator.webhook(7, "hook", &receiver.url("/leads/{{ lead.uuid }}"), more).await;
    cli.json(&[
        "integration",
        "set-mapping",
        "hook",
        "--mapping",
        r#"{"lead.event_date": "wedding_date", "lead.phone": null}"#,
    ])
    .await;
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, LEAD).await.0, 202);
    let pushed = receiver.wait_for(1).await.remove(0);
    wait_until("the push is recorded", async || {
        cli.json(&["lead", "show", UUID]).await["state"] == "complete"
    })
    .await;
    let before = daemon.database().contents().await;

    let preview = cli.json(&["integration", "preview", "hook", "--lead", UUID]).await;
    let request = &preview["request"];
    assert_eq!(preview["canonical"], serde_json::from_str::<Value>(LEAD).unwrap());
    assert_eq!(request["method"], "POST");
    assert_eq!(request["body"].as_str().unwrap().as_bytes(), &pushed.body[..]);
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["wedding_date"], &body["lead"]["phone"]), (&json!("2026-09-12"), &Value::Null));
    let header = |name: &str| {
        let headers = request["headers"].as_array().unwrap();
        headers.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header("x-leadline-event").as_deref(), Some("lead.created"));
    assert_eq!(header("x-leadline-signature").as_deref(), pushed.header("x-leadline-signature"));
    assert_eq!(header("x-name").as_deref(), Some("Sarah Patel"));
    assert_eq!(header("x-key").as_deref(), Some("a-lo…"));
    let shown = preview.to_string();
    assert!(!shown.contains("long-secret"), "{shown}");
    assert!(request["url"].as_str().unwrap().contains(&format!("/leads/{UUID}?token=")), "{request}");

    let updated =
        cli.json(&["integration", "preview", "hook", "--lead", UUID, "--event", "lead.updated"]).await;
    assert_eq!(updated["canonical"]["event"], "lead.updated");
    let mapping = r#"{"lead.name": {"to": "who", "value": "{{ lead.name | upper }}"}}"#;
    let other = cli.json(&["integration", "preview", "hook", "--lead", UUID, "--mapping", mapping]).await;
    let body: Value = serde_json::from_str(other["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["who"], &body["lead"]["phone"]), (&json!("SARAH PATEL"), &json!("+447700900123")));
    let config =
        json!({"url": receiver.url("/other"), "method": "PUT", "body": "{{ lead.name }}"}).to_string();
    let other = cli.json(&["integration", "preview", "hook", "--config", &config]).await;
    assert_eq!(
        (&other["request"]["method"], &other["canonical"]["event"]),
        (&json!("PUT"), &json!("webhook.test"))
    );
    assert_eq!(other["request"]["body"], "\"Sarah Sample\"", "a placeholder alone is JSON");

    assert_eq!(daemon.database().contents().await, before);
    assert_eq!(receiver.count(), 1, "nothing is sent");
    for (args, told) in [
        (&["--mapping", r#"{"lead.emial": "x"}"#][..], "unknown field lead.emial; did you mean lead.email?"),
        (&["--config", r#"{"url": "https://10.0.0.1/"}"#], "--allow-egress"),
        (&["--lead", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], "no lead 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ] {
        let ran = cli.run(&[&["integration", "preview", "hook"], args].concat()).await;
        assert!(ran.error(1).contains(told), "{ran:?}");
    }
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_preview_says_why_nothing_would_be_sent_and_a_mapping_can_be_cleared() {
    let Scene { daemon, operator, cli, key, .. } = Scene::set().no_webhook().start().await;
    operator.webhook(7, "hook", "https://example.com/{{ lead.name }}/x", json!({})).await;
    let disable = ["integration", "disable", "hook"];
    cli.json(&disable).await;
    let lead = LEAD.replacen("Sarah Patel", "..", 1);
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
    let preview = cli.json(&["integration", "preview", "hook", "--lead", UUID]).await;
    assert_eq!((&preview["request"], &preview["outcome"]), (&Value::Null, &json!("mapping")));
    assert!(preview["error"].as_str().unwrap().contains("a segment of dots"), "{preview}");
    let told = cli.run(&["integration", "preview", "hook", "--lead", UUID]).await;
    assert!(told.stdout.contains("Nothing would be sent.\nmapping: "), "{told:?}");

    let set = cli.json(&["integration", "set-mapping", "hook", "--mapping", r#"{"lead.phone": null}"#]).await;
    assert_eq!(set["mapping"], json!({"lead.phone": null}));
    let cleared = cli.json(&["integration", "set-mapping", "hook", "--clear"]).await;
    assert_eq!(cleared["mapping"], json!({}));
    let ran = cli
        .run(&["integration", "set-mapping", "hook", "--mapping", r#"{"lead.fone": "x", "lead.nam": 3}"#])
        .await;
    let line = ran.error(1);
    assert!(
        line.contains("did you mean lead.phone?") && line.contains("did you mean lead.name?"),
        "all at once: {line}"
    );
    daemon.stop().await;
}

/// What is looked up first says nothing of the lead: that stands in the plan, and never below a request that has no body.
#[tokio::test]
async fn a_push_of_several_calls_shows_its_first_and_what_all_are_made_from() {
    let Scene { daemon, operator, cli, .. } = Scene::set().no_webhook().start().await;
    let login = json!({"api_token": "pipedrive-good"});
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    operator.connect(7, "pipedrive", json!({"base_url": fake.url()}), login).await;
    let preview = cli.json(&["integration", "preview", "pipedrive"]).await;
    let request = &preview["request"];
    assert_eq!((&request["method"], &request["body"]), (&json!("GET"), &Value::Null), "{preview}");
    let plan: Value = serde_json::from_str(preview["plan"].as_str().unwrap()).unwrap();
    assert!(plan.to_string().contains("Sarah Sample"), "{plan}");
    let told = cli.run(&["integration", "preview", "pipedrive"]).await.stdout;
    let (above, below) = told.split_once("ALL REQUESTS ARE MADE FROM").unwrap();
    assert!(above.contains(&format!("GET {}/", fake.url())) && below.contains("Sarah Sample"), "{told}");

    operator.webhook(7, "hook", "https://example.com/x", json!({})).await;
    assert_eq!(cli.json(&["integration", "preview", "hook"]).await["plan"], Value::Null);
    daemon.stop().await;
    fake.stop().await;
}
