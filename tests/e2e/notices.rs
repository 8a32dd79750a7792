//! Notices: what operators should hear of is told once for each change, whoever sees it and whatever restarts.

mod people;

use leadline_fakes::{Behaviour, Receiver, Request, sample_lead};
use leadline_tests::{Daemon, wait_until};
use serde_json::{Value, json};

struct Scene {
    set: leadline_tests::Scene,
    /// Who is told.
    ops: Receiver,
    ops_secret: String,
}

leadline_tests::stands_on_scene!(Scene, set);

impl Scene {
    async fn start() -> Self {
        let set = leadline_tests::Scene::with(Behaviour::Good).await;
        let ops = Receiver::start(Behaviour::Good).await.unwrap();
        let config = json!({ "url": ops.url("/ops") }).to_string();
        let new = [
            "integration",
            "create",
            "--company",
            "7",
            "--connector",
            "webhook",
            "--name",
            "ops",
            "--notices",
        ];
        let created = set.cli.json(&[&new[..], &["--config", &config]].concat()).await;
        let ops_secret = created["signing_secret"].as_str().unwrap().to_owned();
        Self { set, ops, ops_secret }
    }

    async fn post(&self, n: usize) -> Value {
        self.post_lead(&sample_lead(n)).await
    }

    /// Waits until so many notices have come, and gives the last one.
    async fn reported(&self, count: usize, event: &str) -> (Request, Value) {
        let last = self.ops.wait_for(count).await.remove(count - 1);
        assert_eq!(last.header("x-leadline-event"), Some(event));
        crate::leads::verify(&last, &self.ops_secret);
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(
            (&body["event"], &body["company"]),
            (&json!(event), &json!({"id": 7, "name": "The Old Barn"}))
        );
        (last, body)
    }

    async fn end(self) {
        self.set.end().await;
        self.ops.stop().await;
    }
}

#[tokio::test]
async fn a_failing_integration_is_told_once_and_so_is_its_recovery() {
    let mut scene = Scene::start().await;
    // A second daemon sees the same changes.
    let second = Daemon::start_on(scene.daemon.database()).await;
    scene.receiver.set(Behaviour::RefuseAll(422, "no such field".into()));
    let answer = scene.post(1).await;
    assert_eq!(answer["deliveries"].as_array().unwrap().len(), 1, "notices are no leads");
    scene.wait_for_badge("failing").await;
    let (request, body) = scene.reported(1, "notice.integration_failing").await;
    assert_eq!((&body["integration"]["name"], &body["integration"]["dead"]), (&json!("crm"), &json!(1)));
    assert!(body["message"].as_str().unwrap().contains("422"), "{body}");

    // More failures and a restart change nothing that was not told.
    scene.post(2).await;
    wait_until("two are dead", async || scene.cli.json(&["integration", "show", "crm"]).await["dead"] == 2)
        .await;
    scene.set = scene.set.restarted().await;
    scene.receiver.set(Behaviour::RefuseAll(401, "who are you".into()));
    scene.post(3).await;
    scene.reported(2, "notice.credentials_refused").await;
    scene.receiver.set(Behaviour::Good);
    scene.post(4).await;
    scene.reported(3, "notice.integration_recovered").await;

    let list = scene.cli.json(&["notice", "list", "--company", "7"]).await;
    let events: Vec<_> = list.as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        ["notice.integration_recovered", "notice.credentials_refused", "notice.integration_failing"]
    );
    assert_eq!(list[2]["id"], json!(request.header("webhook-id")));
    assert_eq!(list[2]["message"], body["message"]);
    wait_until("all are delivered", async || {
        let list = scene.cli.json(&["notice", "list"]).await;
        list.as_array().unwrap().iter().all(|it| it["state"] == "delivered" && it["attempts"] == 1)
    })
    .await;
    assert_eq!(scene.ops.count(), 3, "a change was told twice");
    second.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_notice_is_tried_again_until_it_arrives() {
    let scene = Scene::start().await;
    scene.ops.set(Behaviour::RefuseAll(503, "later".into()));
    scene.receiver.set(Behaviour::RefuseAll(422, "no such field".into()));
    scene.post(1).await;
    let first = scene.ops.wait_for(1).await.remove(0);
    wait_until("its failure is shown", async || {
        let list = scene.cli.json(&["notice", "list"]).await;
        list[0]["error"].as_str().is_some_and(|error| error.contains("503"))
    })
    .await;
    scene.ops.set(Behaviour::Good);
    wait_until("it is delivered", async || {
        scene.cli.json(&["notice", "list"]).await[0]["state"] == "delivered"
    })
    .await;
    let last = scene.ops.requests().pop().unwrap();
    assert_eq!((&last.body, last.header("webhook-id")), (&first.body, first.header("webhook-id")));
    scene.end().await;
}

#[tokio::test]
async fn an_old_secret_that_expires_and_a_company_without_leads_are_told() {
    let scene = Scene::start().await;
    scene.cli.json(&["integration", "rotate-secret", "crm", "--grace", "30m"]).await;
    let (_, body) = scene.reported(1, "notice.secret_expiring").await;
    assert!(body["integration"]["grace_until"].is_string(), "{body}");

    assert_eq!(scene.cli.json(&["company", "update", "7", "--quiet-hours", "2"]).await["quiet_hours"], 2);
    let lead = scene.post(1).await["lead"].clone();
    let mut changed = sample_lead(1);
    changed["lead"]["uuid"] = lead.clone();
    assert_eq!(scene.post_lead(&changed).await["status"], "updated");
    // Three hours pass.
    for sql in [
        "UPDATE lead SET received_at = received_at - interval '3 hours', updated_at = updated_at - interval '3 hours'",
        "UPDATE company SET quiet_since = quiet_since - interval '3 hours'",
    ] {
        sqlx::query(sql).execute(&scene.pool).await.unwrap();
    }
    let (_, body) = scene.reported(2, "notice.no_leads").await;
    assert_eq!(
        body["message"],
        "No lead of The Old Barn came in for 2 hours: look whether its forms still work."
    );
    assert_eq!(body["integration"], Value::Null);
    scene.post(2).await;
    scene.reported(3, "notice.leads_again").await;

    // An operator's push of the old lead brings no lead in, and hides none.
    let uuid = lead.as_str().unwrap();
    // Whatever its event was taken for is told at the latest with its failure.
    scene.receiver.set(Behaviour::RefuseAll(422, "no such field".into()));
    assert_eq!(scene.cli.run(&["lead", "push", uuid, "--integration", "crm"]).await.code, 1);
    scene.reported(4, "notice.integration_failing").await;
    assert_eq!(scene.cli.json(&["notice", "list"]).await.as_array().unwrap().len(), 4);
    assert_eq!(
        scene.cli.json(&["company", "update", "7", "--quiet-hours", "0"]).await["quiet_hours"],
        Value::Null
    );
    scene.end().await;
}

#[tokio::test]
async fn an_integration_is_marked_and_unmarked() {
    let scene = Scene::start().await;
    let shown = scene.cli.json(&["integration", "show", "ops"]).await;
    assert_eq!((&shown["notices"], &shown["events"]), (&json!(true), &json!([])));
    let refused = scene.cli.run(&["integration", "update", "ops", "--notices", "false"]).await;
    assert_eq!(
        refused.error(1),
        "notices: it is subscribed to no event, and without notices nothing would reach it; name events too, or delete it"
    );
    let args = ["integration", "update", "ops", "--notices", "false", "--events", "lead.created"];
    assert_eq!(scene.cli.json(&args).await["notices"], false);
    assert_eq!(scene.cli.json(&["integration", "update", "crm", "--notices", "true"]).await["notices"], true);
    scene.end().await;
}
