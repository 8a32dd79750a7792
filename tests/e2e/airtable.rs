//! Leads as records in a fake Airtable: once each, within its quota, and refusals told in its words.

use std::time::Duration;

use leadline_fakes::{Fake, Fault, Reply, airtable::Airtable};
use serde_json::{Value, json};

use crate::vendors::Scene;

async fn scene() -> (Scene, Fake<Airtable>) {
    let fake = Fake::start(Airtable::new()).await.unwrap();
    let (base, table, token) =
        fake.with(|vendor| (vendor.base.clone(), vendor.table.clone(), vendor.token.clone()));
    let config = json!({"base_url": fake.url(), "base_id": base, "table": table});
    (Scene::with("airtable", config, json!({"token": token})).await, fake)
}

#[tokio::test]
async fn whatever_goes_wrong_each_lead_is_one_record_and_updates_change_it() {
    let (scene, fake) = scene().await;
    for fault in [
        Fault::Close,
        Fault::ActThenClose,
        Fault::ActThenGarble,
        Fault::Answer(Reply::status(500)),
        Fault::Answer(Reply::status(503).header("Retry-After", "1")),
    ] {
        fake.fault("PATCH /v0/", fault);
    }
    let mut leads = Vec::new();
    for n in 0..5 {
        scene.post(n, |lead| leads.push(lead.clone())).await;
    }
    scene.wait_for(5, "delivered").await;
    assert_eq!(fake.faults_left(), 0);
    let mut ids = fake.with(|vendor| vendor.values("Lead ID"));
    ids.sort_by_key(Value::to_string);
    let mut posted: Vec<Value> =
        leads.iter().map(|lead| lead["lead"]["uuid"].as_str().unwrap().to_ascii_uppercase().into()).collect();
    posted.sort_by_key(Value::to_string);
    assert_eq!(ids, posted);

    let mut changed = leads[0].clone();
    changed["lead"]["guest_count"] = 4999.into();
    changed["lead"]["uuid"] = changed["lead"]["uuid"].as_str().unwrap().to_ascii_lowercase().into();
    scene.post(0, |lead| *lead = changed).await;
    scene.wait_for(6, "delivered").await;
    let guests = fake.with(|vendor| vendor.values("Guests"));
    assert_eq!((guests.len(), guests.iter().filter(|guests| **guests == json!(4999)).count()), (5, 1));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_burst_of_leads_keeps_within_the_quota() {
    let (scene, fake) = scene().await;
    for n in 0..12 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(12, "delivered").await;
    assert_eq!(
        (fake.busiest(Duration::from_secs(1)) <= 5, fake.with(|vendor| vendor.quota.refused)),
        (true, 0)
    );
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_column_that_is_missing_is_named_by_the_test_and_by_the_push() {
    let (scene, fake) = scene().await;
    fake.with(|vendor| {
        vendor.columns.iter_mut().find(|(name, _)| name == "Guests").unwrap().0 = "Guest".into()
    });
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    let view = scene.operator.integration(&scene.integration).await;
    assert_eq!(view.account, "ada@example.com");
    assert_eq!(view.findings, ["lead.guest_count: unknown column Guests; did you mean Guest?"]);
    // It is missing from every lead: the delivery waits as a dead one until that is mended, and is whole then.
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let failure = scene.last_failure().await;
    assert_eq!(
        failure,
        ("rejected".into(), "airtable UNKNOWN_FIELD_NAME Unknown field name: \"Guests\"".into())
    );
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn credentials_that_do_not_work_never_replace_those_that_do() {
    let (scene, fake) = scene().await;
    let refused = scene.operator.set_credentials(&scene.integration, json!({"token": "patWrong"})).await;
    assert_eq!((refused.state().word(), refused.failure_class().word()), ("failed", "credentials"));
    assert!(refused.error.starts_with("airtable AUTHENTICATION_REQUIRED"), "{}", refused.error);
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;

    fake.with(|vendor| vendor.token = "patNew0123456789".into());
    scene.post(2, |_| {}).await;
    scene.wait_for(1, "dead").await;
    assert_eq!(scene.operator.badge(&scene.integration).await, "credentials");
    let taken =
        scene.operator.set_credentials(&scene.integration, json!({"token": "patNew0123456789"})).await;
    assert_eq!(taken.state().word(), "delivered", "{}", taken.error);
    scene.post(3, |_| {}).await;
    scene.wait_for(2, "delivered").await;
    scene.end().await;
    fake.stop().await;
}
