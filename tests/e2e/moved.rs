//! An integration is turned to another address: the credentials that were given for the old one do not go along.

use leadline_fakes::{Fake, hubspot::Hubspot, rest::Rest};
use leadline_proto::v1;
use leadline_tests::{request_id, wait_until};
use serde_json::{Value, json};

use crate::vendors::Scene;

/// Gives the integration another configuration, and answers how it stands then.
async fn update(scene: &Scene, config: &Value) -> v1::Integration {
    let request = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(config.to_string()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(request).await.unwrap().into_inner().integration.unwrap()
}

#[tokio::test]
async fn credentials_do_not_go_to_another_origin_until_they_are_given_again() {
    let [old, new] = [Hubspot::default(), Hubspot::default()].map(Fake::start);
    let (old, new) = (old.await.unwrap(), new.await.unwrap());
    let good = json!({"token": "pat-eu1-good"});
    let scene = Scene::with("hubspot", json!({"base_url": old.url()}), good.clone()).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;

    let sentence = format!(
        "the credentials were given for {} and are not sent to {}: give them again",
        old.url(),
        new.url()
    );
    let moved = update(&scene, &json!({"base_url": new.url()})).await;
    assert_eq!(moved.findings, std::slice::from_ref(&sentence), "whoever looks at it is told");
    scene.post(2, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let failure = scene.last_failure().await;
    assert_eq!(failure, ("credentials".to_owned(), format!("nothing was sent: {sentence}")));
    assert_eq!(scene.operator.test(&scene.integration).await.failure_class().word(), "credentials");
    assert_eq!(new.requests().len(), 0, "the new address was told nothing");

    // Back at the old address they are good again; how fast it is pushed changes nothing of whom they were given to.
    let back = update(&scene, &json!({"base_url": old.url(), "concurrency": 2})).await;
    assert!(!back.findings.contains(&sentence), "{:?}", back.findings);
    scene.post(3, |_| {}).await;
    scene.wait_for(2, "delivered").await;

    update(&scene, &json!({"base_url": new.url()})).await;
    assert_eq!(scene.operator.set_credentials(&scene.integration, good).await.state().word(), "delivered");
    scene.post(4, |_| {}).await;
    scene.wait_for(3, "delivered").await;
    wait_until("the lead is at the new address", async || {
        new.requests().iter().any(|it| it.method == "POST")
    })
    .await;
    scene.end().await;
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_login_elsewhere_gets_no_credentials_that_were_given_for_another() {
    let [real, other] = [Rest::new(), Rest::new()].map(Fake::start);
    let (real, other) = (real.await.unwrap(), other.await.unwrap());
    let config = |login: &str| {
        json!({"base_url": real.url(), "path": "/leads", "auth": "client_credentials",
               "token_url": format!("{login}/token"), "test_path": "/me"})
    };
    let (id, secret) = real.with(|vendor| vendor.client.clone());
    let scene =
        Scene::with("rest", config(&real.url()), json!({"client_id": id, "client_secret": secret})).await;
    update(&scene, &config(&other.url())).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    assert_eq!(scene.last_failure().await.0, "credentials");
    assert_eq!(other.requests().len(), 0, "the other login was told nothing");
    scene.end().await;
    real.stop().await;
    other.stop().await;
}
