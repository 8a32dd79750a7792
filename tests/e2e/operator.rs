//! What operators do beside retrying: hold, release and skip, ask why, pause a company, change a plan, read the audit.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{check_invariants, wait_until};
use serde_json::{Value, json};

mod bulk;
mod deleting;
mod standing;

struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start(behaviour: Behaviour, config: Value) -> Self {
        let scene = leadline_tests::Scene::set().behaviour(behaviour).webhook("hook", "/").config(config);
        let scene = scene.start().await;
        // The first command may have to be built, which must not hold up a push.
        scene.cli.json(&["company", "list"]).await;
        Self(scene)
    }

    /// Posts a lead. The answer is the id of its delivery.
    async fn post(&self, lead: &Value) -> String {
        let answer = self.post_lead(lead).await;
        answer["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned()
    }

    /// Pauses the company, and posts a lead and a change of it. The answer is the lead, and the deliveries of its creation
    /// and of its update, which waits behind that.
    async fn waiting_pair(&self) -> (Value, String, String) {
        self.cli.json(&["company", "pause", "7"]).await;
        let mut lead = sample_lead(1);
        let created = self.post(&lead).await;
        lead["lead"]["guest_count"] = json!(99);
        let updated = self.post(&lead).await;
        assert_ne!(created, updated);
        (lead, created, updated)
    }

    async fn show(&self, delivery: &str) -> Value {
        self.cli.json(&["delivery", "show", delivery]).await
    }

    async fn wait_for(&self, delivery: &str, state: &str) {
        wait_until(&format!("the delivery is {state}"), async || self.show(delivery).await["state"] == state)
            .await;
    }

    async fn why(&self, delivery: &str, parts: &[&str]) {
        let reported = self.cli.json(&["delivery", "why", delivery]).await;
        assert_eq!(
            (&reported["id"], &reported["state"]),
            (&json!(delivery), &self.show(delivery).await["state"])
        );
        let why = reported["why"].as_str().unwrap();
        assert!(why.ends_with('.') && !why.contains('\n'), "{why}");
        for part in parts {
            assert!(why.contains(part), "{part:?} is not in {why:?}");
        }
    }

    async fn check(&self) {
        check_invariants(&self.pool).await;
    }

    async fn end(self) {
        self.0.end().await;
    }
}

#[tokio::test]
async fn a_paused_company_takes_leads_in_and_pushes_none() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    let paused = cli.json(&["company", "pause", "7"]).await;
    assert!(paused["paused_at"].is_string());
    let card = cli.json(&["integration", "show", "hook"]).await;
    assert_eq!((&card["company_paused_at"], &card["badge"]), (&paused["paused_at"], &json!("ok")));
    assert_eq!(
        (&card["waits"]["for"], &card["lane"]["waits_for"]),
        (&json!("company paused"), &card["waits"]["for"])
    );
    let [held, skipped, left] = [
        scene.post(&sample_lead(1)).await,
        scene.post(&sample_lead(2)).await,
        scene.post(&sample_lead(3)).await,
    ];
    // A test is no lead: it works, and shows that the lane itself does.
    assert_eq!(cli.json(&["integration", "test", "hook"]).await["state"], "delivered");
    assert_eq!(scene.receiver.count(), 1);
    scene.why(&left, &["company 7 is paused since ", "`leadline company resume 7`"]).await;

    let before = scene.contents().await;
    let plan = cli.json(&["delivery", "hold", "--integration", "hook", "--dry-run"]).await;
    let sample = plan["sample"].as_array().unwrap();
    assert_eq!((&plan["count"], &plan["seconds"], sample.len()), (&json!(3), &json!(0.0), 3));
    assert_eq!(scene.contents().await, before, "a dry run changed something");
    assert_eq!(cli.json(&["delivery", "hold", &held]).await["count"], 1);
    assert!(scene.show(&held).await["reason"].as_str().unwrap().starts_with("operator: held by "));
    scene
        .why(&held, &["(operator: held by ", &format!("`leadline delivery release {held}` lets it go")])
        .await;
    assert_eq!(cli.json(&["delivery", "skip", &skipped]).await["count"], 1);
    scene.why(&skipped, &["was skipped at ", "(operator: skipped by ", "not pushed any more"]).await;
    scene.check().await;

    assert_eq!(cli.json(&["company", "resume", "7"]).await["paused_at"], Value::Null);
    scene.wait_for(&left, "delivered").await;
    scene.why(&left, &["was delivered at ", "after 1 attempt"]).await;
    assert_eq!(scene.show(&held).await["state"], "held");
    assert_eq!(cli.json(&["delivery", "release", "--company", "7"]).await["count"], 1);
    scene.wait_for(&held, "delivered").await;
    assert_eq!(scene.receiver.count(), 3, "the test and two leads");
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_changes_nothing() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let delivery = scene.post(&sample_lead(1)).await;
    scene.wait_for(&delivery, "delivered").await;
    let before = scene.contents().await;
    for (verb, line) in [
        ("hold", "and cannot be held, only what is pending can; nothing is pushed any more"),
        ("release", "and cannot be released, only what is held can; retry it to push it again"),
        (
            "skip",
            "and cannot be skipped, only what is pending or held or dead can; nothing is pushed any more",
        ),
    ] {
        let ran = scene.cli.run(&["delivery", verb, &delivery]).await;
        assert_eq!(ran.error(1), format!("delivery {delivery} is delivered {line}"));
        scene.cli.run(&["delivery", verb]).await.error(2);
        scene.cli.run(&["delivery", verb, &delivery, "--integration", "hook"]).await.error(2);
        let unknown = scene.cli.run(&["delivery", verb, "01J8H6KQH4YG3XR8RWM6T6XFQE"]).await;
        assert!(unknown.error(1).starts_with("no delivery 01J8H6KQH4YG3XR8RWM6T6XFQE"), "{unknown:?}");
    }
    scene.cli.run(&["delivery", "why", "01J8H6KQH4YG3XR8RWM6T6XFQE"]).await.error(1);
    assert_eq!(scene.contents().await, before, "a refusal changed something");
    scene.end().await;
}

#[tokio::test]
async fn a_push_in_flight_is_held_without_a_retry_and_never_skipped() {
    let scene = Scene::start(Behaviour::Hang, json!({"timeout_seconds": 300})).await;
    let cli = &scene.cli;
    let delivery = scene.post(&sample_lead(1)).await;
    scene.receiver.wait_for(1).await;
    scene.why(&delivery, &["is being pushed to \"hook\" since ", "attempt 1"]).await;
    let skipped = cli.json(&["delivery", "skip", &delivery]).await;
    assert_eq!((&skipped["count"], &skipped["running"]), (&json!(0), &json!(1)));
    let held = cli.json(&["delivery", "hold", &delivery]).await;
    assert_eq!((&held["count"], &held["running"]), (&json!(1), &json!(1)));
    scene.why(&delivery, &["is held since ", "while the push that began at ", "no retry follows"]).await;
    let released = cli.json(&["delivery", "release", &delivery]).await;
    assert_eq!((&released["count"], &released["running"]), (&json!(0), &json!(1)));
    scene.check().await;

    let (address, cli, Scene(scene)) = (scene.receiver.address(), cli.clone(), scene);
    scene.receiver.stop().await;
    wait_until("the push has failed", async || !scene.operator.finished(&scene.integration).await.is_empty())
        .await;
    let shown = scene.cli.json(&["delivery", "show", &delivery]).await;
    assert_eq!(
        (&shown["state"], &shown["attempts"], &shown["due_at"]),
        (&json!("held"), &json!(1), &Value::Null)
    );
    let receiver = Receiver::start_on(address, Behaviour::Good).await.unwrap();
    assert_eq!(cli.json(&["delivery", "release", &delivery]).await["count"], 1);
    wait_until("it is delivered", async || {
        scene.cli.json(&["delivery", "show", &delivery]).await["state"] == "delivered"
    })
    .await;
    assert_eq!(receiver.count(), 1);
    check_invariants(&scene.pool).await;
    scene.daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_held_creation_keeps_its_update_and_a_skipped_one_lets_it_go() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    let (lead, created, updated) = scene.waiting_pair().await;
    scene
        .why(&updated, &["waits since ", &format!("delivery {created}, to be delivered, dead or skipped")])
        .await;
    cli.json(&["delivery", "hold", &created]).await;
    scene.why(&updated, &["that one is held"]).await;
    // Taken out of the line and put back, the update still waits for its creation.
    cli.json(&["delivery", "hold", &updated]).await;
    cli.json(&["delivery", "release", &updated]).await;
    scene.check().await;
    cli.json(&["company", "resume", "7"]).await;
    scene.why(&updated, &[&format!("delivery {created}")]).await;
    assert_eq!(cli.json(&["delivery", "skip", &created]).await["count"], 1);
    scene.wait_for(&updated, "delivered").await;
    assert_eq!(scene.receiver.count(), 1, "the creation was not pushed");
    assert_eq!(
        cli.json(&["lead", "show", lead["lead"]["uuid"].as_str().unwrap()]).await["state"],
        "complete"
    );
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn dead_ones_are_skipped_for_good() {
    let scene = Scene::start(Behaviour::RefuseAll(422, "no such field".into()), json!({})).await;
    let delivery = scene.post(&sample_lead(1)).await;
    scene.wait_for(&delivery, "dead").await;
    scene.why(&delivery, &["is dead since ", "rejected", "`leadline delivery retry"]).await;
    let skipped =
        scene.cli.json(&["delivery", "skip", "--integration", "hook", "--state", "dead", "--yes"]).await;
    assert_eq!(skipped["count"], 1);
    let health = scene.operator.integration(&scene.integration).await.health.unwrap();
    assert_eq!((health.dead, health.failure_count), (0, 1));
    assert_eq!(scene.cli.json(&["delivery", "list", "--undelivered"]).await, json!([]));
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn enabling_lets_go_only_what_disabling_held() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    cli.json(&["company", "pause", "7"]).await;
    let by_operator = scene.post(&sample_lead(1)).await;
    cli.json(&["delivery", "hold", &by_operator]).await;
    cli.json(&["integration", "disable", "hook"]).await;
    let by_disabling = scene.post(&sample_lead(2)).await;
    scene.why(&by_disabling, &["is held since ", "--held release` lets it go"]).await;
    cli.json(&["company", "resume", "7"]).await;
    assert_eq!(cli.json(&["integration", "enable", "hook"]).await["were_held"], 1);
    scene
        .why(&by_disabling, &["was disabled then", &format!("`leadline delivery release {by_disabling}`")])
        .await;
    let skipped = cli.json(&["integration", "enable", "hook", "--held", "skip"]).await;
    assert_eq!(
        (&skipped["were_held"], &scene.show(&by_disabling).await["state"]),
        (&json!(1), &json!("skipped"))
    );
    let job = skipped["job_id"].as_str().unwrap();
    assert_eq!(cli.json(&["job", "show", job]).await["kind"], "skip");
    assert_eq!(cli.json(&["delivery", "unskip", "--job", job]).await["count"], 1);
    assert_eq!(cli.json(&["integration", "enable", "hook", "--held", "release"]).await["were_held"], 1);
    scene.wait_for(&by_disabling, "delivered").await;
    assert_eq!(scene.show(&by_operator).await["state"], "held");
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn a_plan_limits_what_is_enabled() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    scene.operator.webhook(7, "crm", &scene.receiver.url("/"), json!({})).await;
    let before = scene.contents().await;
    let refused = cli.run(&["company", "set-plan", "7", "--plan", "starter"]).await;
    assert_eq!(
        refused.error(1),
        "plan starter allows 1 enabled integration and \"crm\", \"hook\" are enabled: name those to disable with \
         `leadline company set-plan 7 --plan starter --disable ID`"
    );
    assert_eq!(scene.contents().await, before, "a refusal changed something");
    let changed = cli.json(&["company", "set-plan", "7", "--plan", "starter", "--disable", "crm"]).await;
    assert_eq!(changed["plan"], "starter");
    assert_eq!(cli.json(&["integration", "show", "crm"]).await["enabled"], false);
    let refused = cli.run(&["integration", "enable", "crm"]).await;
    assert_eq!(
        refused.error(1),
        "plan starter allows 1 enabled integration and \"hook\" is enabled: disable it, or change the plan with \
         `leadline company set-plan 7 --plan pro`"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_deleted_integration_leaves_one_audit_line_and_nothing_else() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let (cli, hook) = (&scene.cli, &scene.integration);
    for n in 0..3 {
        let delivery = scene.post(&sample_lead(n)).await;
        scene.wait_for(&delivery, "delivered").await;
    }
    cli.json(&["integration", "rotate-secret", "hook", "--staged", "--hold"]).await;
    scene.post(&sample_lead(3)).await;
    cli.json(&["company", "pause", "7"]).await;
    let removed = cli.json(&["integration", "delete", "hook", "--yes"]).await;
    assert_eq!(removed, json!({"id": hook, "deliveries": 4, "attempts": 3}));
    let pool = scene.daemon.database().pool().await;
    wait_until("nothing of it is left", async || {
        let sql = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM undelivered) + (SELECT count(*) FROM due)
            + (SELECT count(*) FROM attempt) + (SELECT count(*) FROM signing_secret)
            + (SELECT count(*) FROM integration_stat) + (SELECT count(*) FROM integration)";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    let lines = cli.json(&["audit", "list", "--company", "7"]).await;
    let lines = lines.as_array().unwrap();
    let deletions: Vec<_> = lines.iter().filter(|line| line["action"] == "DeleteIntegration").collect();
    let [deletion] = deletions[..] else { panic!("{deletions:?}") };
    assert_eq!(deletion["target"], format!("integration {hook}"));
    assert_eq!(
        (&deletion["before"]["name"], &deletion["after"]),
        (&json!("hook"), &json!({"deliveries": 4, "attempts": 3}))
    );
    // The leads stay: they are the company's.
    assert_eq!(cli.json(&["lead", "list", "--company", "7"]).await.as_array().unwrap().len(), 4);
    scene.end().await;
}

#[tokio::test]
async fn the_audit_tells_who_changed_what() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    cli.json(&["company", "create", "--name", "The Mill", "--plan", "pro", "--id", "8"]).await;
    cli.json(&["integration", "rotate-secret", "hook", "--staged", "--hold"]).await;
    let list = cli.json(&["audit", "list", "--company", "7"]).await;
    let actions: Vec<_> =
        list.as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["RotateSecret", "CreateIntegration", "CreateIntakeKey", "CreateCompany"]);
    let line = &list[0];
    let me = line["operator"].as_str().unwrap();
    assert_eq!(
        (&line["target"], &line["company_id"]),
        (&json!(format!("integration {}", scene.integration)), &json!(7))
    );
    assert_eq!(
        (&line["before"], &line["after"]),
        (&json!({"secret_version": 1}), &json!({"staged_secret_version": 2, "hold": true}))
    );
    assert_eq!(cli.json(&["audit", "list", "--operator", me, "--limit", "1"]).await, json!([line]));
    assert_eq!(cli.json(&["audit", "list", "--operator", "nobody"]).await, json!([]));
    assert_eq!(cli.json(&["audit", "list", "--company", "8"]).await.as_array().unwrap().len(), 1);
    let rest = cli.json(&["audit", "list", "--company", "7", "--after", line["id"].as_str().unwrap()]).await;
    assert_eq!(rest.as_array().unwrap()[..], list.as_array().unwrap()[1..]);
    assert_eq!(cli.json(&["audit", "list", "--until", "1h"]).await, json!([]));
    scene.end().await;
}
