//! What an operator is shown of that which waits: how much, since when, and what lets it go.

use leadline_fakes::Reply;
use leadline_tests::http;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;

impl Scene {
    async fn card(&self) -> Value {
        self.cli.json(&["integration", "show", "hook"]).await
    }

    async fn oldest(&self) -> Option<prost_types::Timestamp> {
        self.operator.integration(&self.integration).await.health.unwrap().oldest_undelivered_at
    }

    async fn undelivered(&self) -> Vec<String> {
        let list = self.cli.json(&["delivery", "list", "--undelivered"]).await;
        list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// When a delivery came to be, as its id tells it and a card shows it.
fn came(delivery: &str) -> Option<prost_types::Timestamp> {
    let ms = i64::try_from(delivery.parse::<ulid::Ulid>().unwrap().timestamp_ms()).unwrap();
    Some(prost_types::Timestamp { seconds: ms / 1000, nanos: i32::try_from(ms % 1000).unwrap() * 1_000_000 })
}

#[tokio::test]
async fn the_intake_shows_a_lead_as_lead_show_does() {
    let scene = Scene::start(Behaviour::RefuseAll(500, "out of order".into()), json!({"retries": 0})).await;
    scene.operator.webhook(7, "held", &scene.receiver.url("/"), json!({})).await;
    scene.cli.json(&["integration", "disable", "held"]).await;
    let mut lead = sample_lead(1);
    scene.post(&lead).await;
    let uuid = lead["lead"]["uuid"].as_str().unwrap().to_owned();
    wait_until("one is dead", async || scene.card().await["dead"] == 1).await;
    lead["lead"]["guest_count"] = json!(99);
    scene.post(&lead).await;
    wait_until("both are dead", async || scene.card().await["dead"] == 2).await;
    scene.daemon.database().settled().await;
    let url = scene.daemon.url(&format!("/v1/leads/{uuid}"));
    let reported: Value = http().get(url).bearer_auth(&scene.key).send().await.unwrap().json().await.unwrap();
    assert_eq!(reported, scene.cli.json(&["lead", "show", &uuid]).await);
    let deliveries = reported["deliveries"].as_array().unwrap();
    assert_eq!((deliveries.len(), &deliveries[0]["event"]), (4, &json!("lead.updated")), "newest first");
    let swept = deliveries.iter().filter(|it| it["state"] == "dead" && it["due_at"].is_string()).count();
    assert_eq!(swept, 2, "the sweep's visit is told: {reported}");
    scene.end().await;
}

#[tokio::test]
async fn a_card_counts_what_waits_behind_another_as_pending() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let (_, created, updated) = scene.waiting_pair().await;
    let other = scene.post(&sample_lead(2)).await;
    assert_eq!((&scene.card().await["pending"], scene.oldest().await), (&json!(3), came(&created)));
    scene.cli.json(&["delivery", "hold", &updated]).await;
    let card = scene.card().await;
    assert_eq!((&card["pending"], &card["held"]), (&json!(2), &json!(1)), "held, it is not pending any more");
    scene.cli.json(&["delivery", "release", &updated]).await;
    assert_eq!(scene.card().await["pending"], 3);
    scene.cli.json(&["company", "resume", "7"]).await;
    for delivery in [&created, &updated, &other] {
        scene.wait_for(delivery, "delivered").await;
    }
    wait_until("nothing is pending", async || scene.card().await["pending"] == 0).await;
    assert_eq!(scene.oldest().await, None);
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn the_oldest_undelivered_is_the_oldest_even_if_it_was_rendered_anew() {
    let refusing = Behaviour::RefuseAll(422, "no such field".into());
    let scene = Scene::start(refusing, json!({})).await;
    let (first, second) = (scene.post(&sample_lead(1)).await, scene.post(&sample_lead(2)).await);
    scene.wait_for(&first, "dead").await;
    scene.wait_for(&second, "dead").await;
    assert_eq!(scene.oldest().await, came(&first));
    let args = ["delivery", "retry", &first, "--re-render", "-o", "json"];
    assert_eq!(scene.cli.run(&args).await.code, 1, "it is refused again");
    let anew = scene.show(&first).await["reason"].as_str().unwrap().replace("replaced by ", "");
    scene.wait_for(&anew, "dead").await;
    assert_eq!(scene.undelivered().await, [anew.clone(), second.clone()], "oldest first");
    assert_eq!(scene.oldest().await, came(&first));
    scene.cli.json(&["delivery", "skip", &anew]).await;
    assert_eq!(scene.oldest().await, came(&second));
    scene.cli.json(&["delivery", "skip", &second]).await;
    assert_eq!(scene.oldest().await, None);
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn a_job_renders_each_delivery_anew_once() {
    let refusing = Behaviour::RefuseAll(422, "no such field".into());
    let scene = Scene::start(refusing, json!({})).await;
    for n in 1..=7 {
        let delivery = scene.post(&sample_lead(n)).await;
        scene.wait_for(&delivery, "dead").await;
    }
    // Five at a time: the last of them still waits for its push when the next ones are brought back.
    let config = json!({"url": scene.receiver.url("/"), "rate_per_second": 1}).to_string();
    scene.cli.json(&["integration", "update", "hook", "--config", &config]).await;
    let all = ["delivery", "retry", "--integration", "hook", "--state", "pending,dead", "--re-render"];
    let ran = scene.cli.run(&[&all[..], &["-o", "json"]].concat()).await;
    assert_eq!((ran.json()["released"].as_u64(), ran.json()["dead"].as_u64()), (Some(7), Some(7)), "{ran:?}");
    let deliveries = scene.operator.deliveries_of(&scene.integration).await;
    let count = |state: &str| deliveries.iter().filter(|it| it.state().word() == state).count();
    assert_eq!((deliveries.len(), count("skipped"), count("dead")), (14, 7, 7));
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn a_retry_waits_while_its_integration_is_disabled_and_a_test_does_not() {
    let scene = Scene::start(Behaviour::RefuseAll(500, "out of order".into()), json!({})).await;
    let delivery = scene.post(&sample_lead(1)).await;
    // From here on the next retry is fifteen seconds away: long enough to disable before it.
    wait_until("three attempts failed", async || scene.show(&delivery).await["attempts"] == 3).await;
    scene.cli.json(&["integration", "disable", "hook"]).await;
    let pool = scene.daemon.database().pool().await;
    let moved = sqlx::query("UPDATE due SET due_at = now() - interval '1 minute'").execute(&pool).await;
    assert_eq!(moved.unwrap().rows_affected(), 1);
    scene.receiver.set(Behaviour::Good);
    let test = scene.operator.test(&scene.integration).await;
    assert_eq!((test.state().word(), test.trigger().word()), ("delivered", "test"));
    scene
        .why(&delivery, &["because integration \"hook\" is disabled", "`leadline integration enable "])
        .await;
    let shown = scene.show(&delivery).await;
    assert_eq!((&shown["state"], &shown["attempts"]), (&json!("pending"), &json!(3)));
    assert_eq!(scene.receiver.count(), 4, "three attempts and the test");
    assert_eq!(scene.cli.json(&["integration", "enable", "hook"]).await["were_held"], 0);
    scene.wait_for(&delivery, "delivered").await;
    let last = scene.operator.finished(&scene.integration).await.pop().unwrap();
    assert_eq!((&last.delivery_id, last.number, last.trigger().word()), (&delivery, 4, "retry"));
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn what_may_have_arrived_says_so() {
    let closing = || Behaviour::Script(vec![Reply::close(); 9]);
    let scene = Scene::start(closing(), json!({})).await;
    let reported = "unknown, maybe delivered";
    let delivery = scene.post(&sample_lead(1)).await;
    wait_until("its first attempt failed", async || scene.show(&delivery).await["attempts"] == 3).await;
    let list = scene.cli.json(&["delivery", "list", "--undelivered"]).await;
    assert_eq!((&list[0]["state"], &list[0]["reason"]), (&json!("pending"), &json!(reported)));
    scene.why(&delivery, &["after 3 attempts failed (unknown, maybe delivered: no answer from "]).await;
    let trace = scene.cli.json(&["lead", "trace", list[0]["lead"].as_str().unwrap()]).await;
    assert!(trace.to_string().contains("unknown, maybe delivered, due at "), "{trace}");
    scene.receiver.set(Behaviour::Good);
    scene.cli.json(&["delivery", "retry", &delivery]).await;
    assert_eq!(scene.show(&delivery).await["reason"], Value::Null);

    let config = json!({"url": scene.receiver.url("/"), "retries": 0}).to_string();
    scene.cli.json(&["integration", "update", "hook", "--config", &config]).await;
    scene.receiver.set(closing());
    let dead = scene.post(&sample_lead(2)).await;
    scene.wait_for(&dead, "dead").await;
    assert_eq!(scene.show(&dead).await["reason"], reported);
    scene.why(&dead, &["after 1 attempt (unknown, maybe delivered: no answer from "]).await;
    scene.end().await;
}

/// An integration and a company say of themselves the same in a list, alone, after a change and to whoever watches.
#[tokio::test]
async fn the_same_object_is_the_same_whoever_prints_it() {
    let scene = Scene::start(Behaviour::RefuseAll(422, "no".into()), json!({})).await;
    scene.post(&sample_lead(1)).await;
    wait_until("it is dead", async || scene.card().await["dead"] == 1).await;
    let cli = &scene.cli;
    cli.json(&["delivery", "skip", "--integration", "hook", "--yes"]).await;
    let reset = cli.json(&["integration", "reset", "hook"]).await;
    assert_eq!(
        (&reset["lifted"]["failure_count"], &reset["lifted"]["breaker_until"]),
        (&json!(1), &Value::Null)
    );
    assert!(reset["lifted"]["last_error"].as_str().unwrap().contains("422"), "{reset}");
    let shown = scene.card().await;
    assert_eq!(shown["skipped"], 1);
    let updated =
        cli.json(&["integration", "update", "hook", "--notices", &shown["notices"].to_string()]).await;
    assert_eq!(updated, shown);
    assert_eq!(cli.json(&["integration", "list"]).await[0], shown);
    let mut child = cli.command(&["watch"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    child.kill().await.unwrap();
    assert_eq!(first, json!({"change": "snapshot", "integration": shown}));

    let company = cli.json(&["company", "list"]).await[0].clone();
    assert!(company["last_lead_at"].is_string(), "{company}");
    assert_eq!(cli.json(&["company", "update", "7", "--quiet-hours", "0"]).await, company);
    let plan = company["plan"].as_str().unwrap();
    assert_eq!(cli.json(&["company", "set-plan", "7", "--plan", plan]).await, company);
    wait_until("the key's use is noted", async || {
        cli.json(&["company", "show", "7"]).await["keys"][0]["last_used_at"].is_string()
    })
    .await;
    assert!(cli.json(&["intake-key", "list"]).await[0]["last_used_at"].is_string());
    scene.end().await;
}
