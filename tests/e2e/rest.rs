//! Leads in a fake CRM of somebody's own: logged in with tokens that run out, once each where there is a look-up.

use leadline_fakes::{Fake, Fault, rest::Rest};
use leadline_tests::wait_until;
use serde_json::{Value, json};

use crate::vendors::Scene;

async fn scene(more: Value) -> (Scene, Fake<Rest>) {
    let fake = Fake::start(Rest::new()).await.unwrap();
    let mut config = json!({
        "base_url": fake.url(), "path": "/leads", "auth": "client_credentials",
        "token_url": format!("{}/token", fake.url()), "test_path": "/me",
        "body": "{\"ref\": {{ lead.uuid }}, \"name\": {{ lead.name }}, \"guests\": {{ lead.guest_count }}}",
        "success": {"pointer": "/status", "equals": "ok"}, "error_pointer": "/error/message",
        "id_pointer": "/data/id", "update_path": "/leads/{id}",
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let (id, secret) = fake.with(|vendor| vendor.client.clone());
    (Scene::with("rest", config, json!({"client_id": id, "client_secret": secret})).await, fake)
}

#[tokio::test]
async fn one_login_serves_all_pushes_until_its_token_runs_out() {
    let (scene, fake) = scene(json!({})).await;
    for n in 0..6 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(6, "delivered").await;
    assert_eq!(fake.with(|vendor| (vendor.logins, vendor.leads.len())), (1, 6));
    fake.with(|vendor| vendor.tokens.clear());
    for n in 6..10 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(10, "delivered").await;
    assert_eq!(fake.with(|vendor| (vendor.logins, vendor.leads.len())), (2, 10));
    assert!(
        scene
            .operator
            .finished(&scene.integration)
            .await
            .iter()
            .all(|attempt| attempt.state().word() == "delivered")
    );

    fake.with(|vendor| {
        vendor.tokens.clear();
        vendor.client.1 = "another secret".into();
    });
    scene.post(10, |_| {}).await;
    scene.wait_for(1, "dead").await;
    assert_eq!(
        scene.last_failure().await,
        ("credentials".into(), "rest login refused: invalid_client no such client".into())
    );
    let taken = json!({"client_id": "leadline", "client_secret": "another secret"});
    assert_eq!(scene.operator.set_credentials(&scene.integration, taken).await.state().word(), "delivered");
    scene.end().await;
    fake.stop().await;
}

/// An answer is lost behind the call and before it; a system that keeps keys knows the repeat by them.
async fn lose_answers(config: Value, keeps_keys: bool) {
    let (scene, fake) = scene(config).await;
    fake.with(|vendor| vendor.keys = keeps_keys.then(Default::default));
    fake.fault("POST /leads", Fault::ActThenClose);
    fake.fault("POST /leads", Fault::Close);
    let mut kept = Value::Null;
    scene.post(1, |lead| kept = lead.clone()).await;
    scene.wait_for(1, "delivered").await;
    scene.post(2, |_| {}).await;
    scene.wait_for(2, "delivered").await;
    assert_eq!((fake.with(|vendor| vendor.leads.len()), fake.faults_left()), (2, 0));

    kept["lead"]["guest_count"] = 4999.into();
    scene.post(1, |lead| *lead = kept).await;
    scene.wait_for(3, "delivered").await;
    let guests: Vec<Value> =
        fake.with(|vendor| vendor.leads.values().map(|lead| lead["guests"].clone()).collect());
    assert_eq!((guests.len(), &guests[0]), (2, &json!(4999)));
    assert!(fake.calls().contains(&"PATCH /leads/1".to_owned()), "{:?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_lead_where_there_is_a_key_or_a_look_up() {
    let look_up = json!({"find_path": "/leads?ref={{ lead.uuid }}", "find_pointer": "/items/0/id"});
    tokio::join!(lose_answers(look_up, false), lose_answers(json!({}), true));
}

#[tokio::test]
async fn a_refusal_in_a_200_is_a_refusal() {
    let (scene, fake) = scene(json!({})).await;
    fake.with(|vendor| vendor.refuses = true);
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let expected = "rest 200: /status is \"error\", not \"ok\": no such venue";
    assert_eq!(scene.last_failure().await, ("rejected".into(), expected.into()));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_test_logs_in_and_pushes_nothing() {
    let (scene, fake) = scene(json!({})).await;
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    assert_eq!(fake.calls(), ["POST /token", "GET /me"]);
    assert_eq!(fake.with(|vendor| vendor.leads.len()), 0);
    let view = scene.operator.integration(&scene.integration).await;
    assert!(!format!("{view:?}").contains("0123456789abcdef"), "{view:?}");
    scene.post(1, |_| {}).await;
    wait_until("the push is there", async || fake.with(|vendor| vendor.leads.len()) == 1).await;
    scene.end().await;
    fake.stop().await;
}
