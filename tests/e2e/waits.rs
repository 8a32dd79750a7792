//! Waits that targets ask for: how long they last, how they grow, and who lifts them.

use leadline_fakes::{Behaviour, Reply};
use leadline_proto::v1;
use leadline_tests::{Scene, request_id, wait_until};
use serde_json::json;

fn throttle(seconds: &str) -> Reply {
    Reply::status(429).header("Retry-After", seconds)
}

const IS_PAUSED: &str = "SELECT EXISTS (SELECT FROM integration WHERE throttled_until > now())";
const NOTHING_HOLDS_IT: &str = "SELECT bool_and(throttled_until IS NULL AND breaker_until IS NULL) FROM integration JOIN integration_stat USING (company_id)";

/// What an operator can do that lifts a wait.
async fn act(scene: &Scene, what: &str) {
    let integration = scene.integration.clone();
    let mut integrations = scene.operator.integrations();
    match what {
        "retry" => {
            let ids = vec![scene.deliveries().await.pop().unwrap().id];
            let answer = scene.retry(v1::RetryDeliveriesRequest { ids, ..Default::default() }).await;
            assert_eq!(answer.count, 1);
        }
        "reset" => {
            let request = v1::ResetIntegrationRequest { request_id: request_id(), integration };
            integrations.reset_integration(request).await.unwrap();
        }
        "update" => {
            let config = json!({ "url": scene.receiver.url("/elsewhere") }).to_string();
            let request = v1::UpdateIntegrationRequest {
                request_id: request_id(),
                integration,
                config: Some(config),
                ..Default::default()
            };
            integrations.update_integration(request).await.unwrap();
        }
        _ => {
            let request = v1::TestIntegrationRequest { request_id: request_id(), integration };
            integrations.test_integration(request).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_wait_is_cut_and_every_way_to_lift_it_lifts_it() {
    let scene = Scene::with(Behaviour::Good).await;
    let mut leads = 0..;
    for what in ["retry", "reset", "update", "test"] {
        // A target that means milliseconds: 18 hours.
        scene.receiver.set(Behaviour::Script(vec![throttle("64570")]));
        scene.post(leads.next().unwrap()).await;
        scene.wait_until(IS_PAUSED).await;
        assert!(
            scene
                .holds("SELECT bool_and(throttled_until < now() + interval '61 minutes') FROM integration")
                .await
        );
        let reported = scene.health().await.last_error;
        assert!(
            reported.ends_with("(it asked for a wait of 64570 s: --max-retry-after allows 3600 s)"),
            "{reported}"
        );
        scene.post(leads.next().unwrap()).await;
        let arrived = scene.receiver.count();
        act(&scene, what).await;
        scene.receiver.wait_for(arrived + 2).await;
        scene.wait_until("SELECT bool_and(state = 'delivered') FROM delivery").await;
        assert!(scene.holds(NOTHING_HOLDS_IT).await, "{what}");
        if what == "retry" {
            let last = scene.deliveries().await.pop().unwrap().id;
            let first = scene.receiver.requests().remove(arrived);
            assert_eq!(first.header("webhook-id"), Some(last.as_str()), "what was named goes first");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn an_integration_may_allow_its_target_shorter_waits_than_the_daemon_does() {
    let daemon = leadline_tests::Daemon::start().await;
    let script = Behaviour::Script(vec![throttle("64570")]);
    let scene = Scene::on(daemon, script, json!({ "max_wait_seconds": 60 })).await;
    scene.post(0).await;
    scene.wait_until(IS_PAUSED).await;
    assert!(
        scene
            .holds("SELECT bool_and(throttled_until < now() + interval '61 seconds') FROM integration")
            .await
    );
    let reported = scene.health().await.last_error;
    assert!(
        reported.ends_with("(it asked for a wait of 64570 s: max_wait_seconds allows 60 s)"),
        "{reported}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_lifted_wait_lets_one_push_find_out() {
    let scene = Scene::with(Behaviour::Script(vec![throttle("600"), throttle("600")])).await;
    scene.post(0).await;
    scene.wait_until(IS_PAUSED).await;
    for n in 1..6 {
        scene.post(n).await;
    }
    act(&scene, "reset").await;
    scene.wait_until("SELECT sum(attempts) = 2 FROM delivery").await;
    assert!(scene.holds(IS_PAUSED).await, "it asked again");
    assert_eq!(scene.receiver.count(), 2);
    act(&scene, "reset").await;
    scene.wait_until("SELECT bool_and(state = 'delivered') FROM delivery").await;
    scene.end().await;
}

#[tokio::test]
async fn a_time_that_is_none_counts_for_nothing() {
    for named in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let script = vec![throttle(named); 5];
        let daemon = leadline_tests::Daemon::start().await;
        let scene = Scene::on(daemon, Behaviour::Script(script), json!({ "retries": 1 })).await;
        scene.post(0).await;
        scene.wait_for_states(&["dead"]).await;
        assert_eq!(scene.receiver.count(), 2, "Retry-After: {named}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_target_that_asks_for_one_wait_after_another_is_failing() {
    let scene = Scene::with(Behaviour::Script(vec![throttle("2"), throttle("600")])).await;
    scene.post(0).await;
    scene.wait_until("SELECT bool_and(waits = 1 AND retries = 0) FROM delivery").await;
    assert_eq!(scene.health().await.badge().word(), "retrying");
    // It has asked twice in between.
    sqlx::query("UPDATE delivery SET waits = 3").execute(&scene.pool).await.unwrap();
    scene.wait_for_badge("failing").await;
    scene.wait_for_states(&["pending"]).await;
    act(&scene, "retry").await;
    scene.wait_for_badge("ok").await;
    scene.end().await;
}

#[tokio::test]
async fn a_retry_of_what_waits_for_the_breaker_goes_now() {
    let scene = Scene::with(Behaviour::Script(vec![Reply::status(500)])).await;
    sqlx::query(
        "UPDATE integration_stat SET streak = 30, trips = 1, breaker_until = now() + interval '1 hour'",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    let request = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        name: Some("still the same target".into()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(request).await.unwrap();
    scene.post(0).await;
    scene.wait_until("SELECT bool_and(attempts = 1) FROM delivery").await;
    assert!(
        scene
            .holds("SELECT bool_and(breaker_until > now() + interval '50 minutes') FROM integration_stat")
            .await
    );
    let filter = v1::DeliveryFilter { company: "7".into(), undelivered: true, ..Default::default() };
    scene.retry(v1::RetryDeliveriesRequest { filter: Some(filter), ..Default::default() }).await;
    scene.wait_for_states(&["delivered"]).await;
    wait_until("the breaker is closed", async || scene.holds(NOTHING_HOLDS_IT).await).await;
    scene.end().await;
}
