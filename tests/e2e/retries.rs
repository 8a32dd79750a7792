//! What follows from failures: the schedule, throttling, classes, manual retries.

use std::time::Duration;

use leadline_fakes::{Behaviour, Reply, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Cli, Scene, post_lead, request_id, wait_until};
use serde_json::{Value, json};

#[tokio::test]
async fn a_receiver_that_answers_500_gets_four_attempts_on_schedule_then_the_card_is_red() {
    let scene = Scene::with(Behaviour::RefuseAll(500, "out of order".into())).await;
    scene.post(1).await;
    scene.receiver.wait_for(2).await;
    scene.wait_for_badge("retrying").await;
    scene.wait_for_badge("failing").await;
    let requests = scene.receiver.requests();
    assert_eq!(requests.len(), 4);
    for (pair, gap) in requests.windows(2).zip([1, 4, 15]) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(gap), "called before {gap} s had passed");
        assert_eq!(pair[0].body, pair[1].body, "a repeat is the same bytes");
        assert_eq!(pair[0].header("webhook-id"), pair[1].header("webhook-id"));
    }
    let attempts = scene.operator.finished(&scene.integration).await;
    let seen: Vec<_> = attempts
        .iter()
        .map(|a| (a.number, a.trigger().word(), a.status_code, a.failure_class().word()))
        .collect();
    let expected = [(1, "first"), (2, "retry"), (3, "retry"), (4, "retry")];
    assert_eq!(seen, expected.map(|(number, trigger)| (number, trigger, Some(500), "transient")));
    let health = scene.operator.integration(&scene.integration).await.health.unwrap();
    assert_eq!((health.failure_count, health.dead), (4, 1));
    assert!(
        health.last_error.contains("500") && health.last_error.contains("out of order"),
        "{}",
        health.last_error
    );
    let delivery = scene.operator.deliveries_of(&scene.integration).await.remove(0);
    assert_eq!((delivery.state().word(), delivery.attempts), ("dead", 4));

    scene.receiver.set(Behaviour::Good);
    let dry = v1::RetryDeliveriesRequest {
        request_id: request_id(),
        filter: Some(v1::DeliveryFilter { integration: scene.integration.clone(), ..Default::default() }),
        dry_run: true,
        ..Default::default()
    };
    let answer = scene.operator.deliveries().retry_deliveries(dry.clone()).await.unwrap().into_inner();
    assert_eq!((answer.count, scene.receiver.count()), (1, 4), "a dry run pushes nothing");
    let real = v1::RetryDeliveriesRequest { dry_run: false, request_id: request_id(), ..dry };
    scene.operator.deliveries().retry_deliveries(real).await.unwrap();
    scene.receiver.wait_for(5).await;
    scene.wait_for_badge("ok").await;
    let health = scene.operator.integration(&scene.integration).await.health.unwrap();
    assert_eq!((health.failure_count, health.dead), (4, 0), "success does not lower the count of failures");
    scene.end().await;
}

#[tokio::test]
async fn a_429_with_retry_after_pauses_the_whole_lane_and_uses_up_no_retry() {
    let throttle = Reply::status(429).header("Retry-After", "3");
    let scene = Scene::with(Behaviour::Script(vec![throttle])).await;
    scene.post(1).await;
    let first = scene.receiver.wait_for(1).await.remove(0);
    let mut why = String::new();
    wait_until("the lane is throttled", async || {
        let health = scene.operator.integration(&scene.integration).await.health.unwrap();
        why = health.throttle_why;
        health.throttled_until.is_some()
    })
    .await;
    assert!(why.starts_with("429 Too Many Requests"), "{why}");
    scene.post(2).await;
    for request in &scene.receiver.wait_for(3).await[1..] {
        assert!(request.at - first.at >= Duration::from_secs(3), "called before the target allowed it");
        assert!(request.at - first.at < Duration::from_secs(25), "only the rare scan found it again");
    }
    scene.wait_for_badge("ok").await;
    assert_eq!(scene.health().await.throttle_why, "", "it is over");
    let attempts = scene.operator.finished(&scene.integration).await;
    assert_eq!(attempts[0].failure_class().word(), "throttled");
    scene.end().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_is_tried_once() {
    for (behaviour, class, badge) in [
        (Behaviour::RefuseAll(400, "no such field".into()), "rejected", "failing"),
        (Behaviour::RefuseAll(401, String::new()), "credentials", "credentials"),
        (Behaviour::Script(vec![Reply::status(302).header("Location", "/elsewhere")]), "blocked", "failing"),
    ] {
        let scene = Scene::with(behaviour).await;
        scene.post(1).await;
        scene.wait_for_badge(badge).await;
        let attempts = scene.operator.finished(&scene.integration).await;
        assert_eq!(attempts.len(), 1, "{class}");
        assert_eq!(attempts[0].failure_class().word(), class);
        assert_eq!(scene.receiver.count(), 1);
        assert_eq!(scene.operator.deliveries_of(&scene.integration).await[0].state().word(), "dead");
        scene.end().await;
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_and_tried_again() {
    let scene = Scene::with(Behaviour::Script(vec![Reply::close()])).await;
    scene.post(1).await;
    scene.receiver.wait_for(2).await;
    scene.wait_for_badge("ok").await;
    let attempts = scene.operator.finished(&scene.integration).await;
    let classes: Vec<_> = attempts.iter().map(|attempt| attempt.failure_class().word()).collect();
    assert_eq!(classes, ["unknown", ""]);
    scene.end().await;
}

#[tokio::test]
async fn a_test_push_arrives_and_never_counts_as_a_failure() {
    let scene = Scene::with(Behaviour::Script(vec![Reply::status(500)])).await;
    for (number, state) in [(1, "failed"), (2, "delivered")] {
        let request =
            v1::TestIntegrationRequest { request_id: request_id(), integration: scene.integration.clone() };
        let attempt =
            scene.operator.integrations().test_integration(request).await.unwrap().into_inner().attempt_id;
        let request = v1::AwaitAttemptRequest { attempt: attempt.clone(), ..Default::default() };
        let answer = scene.operator.attempts().await_attempt(request).await.unwrap().into_inner();
        let finished = answer.attempt.unwrap();
        assert_eq!((finished.state().word(), finished.trigger().word()), (state, "test"));
        let request = scene.receiver.wait_for(number).await.remove(number - 1);
        assert_eq!(request.header("x-leadline-event"), Some("webhook.test"));
        assert_eq!(request.header("webhook-id"), Some(attempt.as_str()));
    }
    let health = scene.operator.integration(&scene.integration).await.health.unwrap();
    assert_eq!((health.failure_count, health.badge().word()), (0, "ok"));
    scene.end().await;
}

/// A retry of what a filter finds, while the company is paused.
async fn a_job_that_is_kept(cli: &Cli) {
    cli.json(&["company", "pause", "7"]).await;
    let ran = cli.run(&["delivery", "retry", "--integration", "crm", "--state", "delivered"]).await;
    let line = ran.error(1);
    for reported in [
        // It brings nothing back into a lane that somebody closed.
        "goes no further for now, as company 7 is paused since ",
        "`leadline company resume 7` lets it go. Then `leadline job show ",
    ] {
        assert!(line.contains(reported), "{line}");
    }
    let job = cli.json(&["job", "list"]).await[0]["id"].as_str().unwrap().to_owned();
    cli.json(&["company", "resume", "7"]).await;
    let job = cli.json(&["job", "show", &job, "--wait"]).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(1)), "{job}");
}

#[tokio::test]
async fn a_retry_into_a_lane_that_waits_on_purpose_is_taken_and_says_what_it_waits_for() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    // The first command may have to be built, which must not count as waiting.
    cli.json(&["company", "list"]).await;
    let mut lead = sample_lead(1);
    let post = async |lead: &Value| {
        let url = scene.daemon.url("/v1/leads");
        post_lead(&url, &scene.key, lead.to_string()).await.1["deliveries"][0]["delivery_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let delivery = post(&lead).await;
    let is_pushed = async |count: usize| {
        wait_until(&format!("it was pushed {count} times"), async || {
            let shown = cli.json(&["delivery", "show", &delivery]).await;
            shown["state"] == "delivered" && shown["attempts"] == count
        })
        .await;
    };
    is_pushed(1).await;
    let waits = async |args: &[&str], id: &str, reported: &[&str]| {
        let ran = cli.run(args).await;
        let line = ran.error(1);
        assert!(
            line.starts_with(&format!("delivery {id} is in the queue, not pushed yet: It waits ")),
            "{line}"
        );
        assert!(reported.iter().all(|reported| line.contains(reported)), "{line}");
    };

    cli.json(&["company", "pause", "7"]).await;
    let paused = ["company 7 is paused since ", "`leadline company resume 7` lets it go"];
    waits(&["delivery", "retry", &delivery], &delivery, &paused).await;
    cli.json(&["company", "resume", "7"]).await;
    is_pushed(2).await;
    a_job_that_is_kept(&cli).await;

    cli.json(&["integration", "rotate-secret", "crm", "--staged", "--hold"]).await;
    let cut_over = format!("`leadline integration cut-over {}` lets it go", scene.integration);
    waits(&["delivery", "retry", &delivery], &delivery, &["a rotation of the signing secret", &cut_over])
        .await;
    cli.json(&["integration", "cut-over", "crm"]).await;
    is_pushed(4).await;

    // An update behind a creation that is held.
    cli.json(&["company", "pause", "7"]).await;
    lead = sample_lead(2);
    let created = post(&lead).await;
    lead["lead"]["guest_count"] = json!(99);
    let updated = post(&lead).await;
    cli.json(&["delivery", "hold", &created]).await;
    cli.json(&["company", "resume", "7"]).await;
    let release = format!("`leadline delivery release {created}` lets it go");
    waits(&["delivery", "retry", &updated], &updated, &[&release]).await;

    // A disabled integration takes no retry at all.
    cli.json(&["integration", "disable", "crm"]).await;
    let refused = cli.run(&["delivery", "retry", &delivery]).await;
    assert_eq!(refused.error(1), "integration \"crm\" is disabled: enable it first");
    scene.end().await;
}

#[tokio::test]
async fn what_is_older_never_follows_an_update_that_is_on_its_way() {
    let scene = Scene::with(Behaviour::RefuseAll(400, "no".into())).await;
    let mut lead = sample_lead(1);
    lead["lead"]["uuid"] = "01J8H6KQH4YG3XR8RWM6T6XFQ1".into();
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["dead"]).await;
    scene.receiver.set(Behaviour::RefuseAll(503, "out of order".into()));
    lead["lead"]["phone"] = "+44 20 7946 0000".into();
    scene.post_lead(&lead).await;
    scene.wait_until("SELECT EXISTS (SELECT FROM delivery WHERE state = 'pending' AND attempts > 0)").await;
    let creation = scene.deliveries().await.remove(0).id;
    let retry = v1::RetryDeliveriesRequest {
        request_id: request_id(),
        ids: vec![creation.clone()],
        ..Default::default()
    };
    let refused = scene.operator.deliveries().retry_deliveries(retry).await.unwrap_err();
    assert_eq!(
        refused.message(),
        format!(
            "delivery {creation} is older than an update of its lead that is on its way: \
             retry that one, or skip it first"
        )
    );
    scene.receiver.set(Behaviour::Good);
    scene.wait_for_states(&["skipped", "delivered"]).await;
    scene.end().await;
}
