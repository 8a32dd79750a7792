//! What was pushed before and is pushed again: the CRM lost it, its answer was lost, or it is another CRM by now.

use leadline_fakes::{Fake, Fault, hubspot::Hubspot, pipedrive::Pipedrive, salesforce::Salesforce};
use leadline_proto::v1;
use leadline_tests::{request_id, wait_until};
use serde_json::{Value, json};

use crate::vendors::{Scene, statuses};

/// The first lead, as it came to be and as it is later.
fn lead(phone: &str) -> impl FnOnce(&mut Value) {
    move |lead| {
        lead["lead"]["uuid"] = "01J8H6KQH4YG3XR8RWM6T6XFQ1".into();
        lead["lead"]["phone"] = phone.into();
    }
}

impl Scene {
    async fn retry(&self, delivery: &str, re_render: bool) {
        let ids = vec![delivery.to_owned()];
        let request =
            v1::RetryDeliveriesRequest { request_id: request_id(), ids, re_render, ..Default::default() };
        let answer = self.operator.deliveries().retry_deliveries(request).await.unwrap().into_inner();
        assert_eq!(answer.count, 1);
    }

    /// Pushes the only delivery once more and waits for the attempt.
    async fn repeat(&self) {
        let delivery = self.deliveries().await.remove(0);
        self.retry(&delivery.id, false).await;
        wait_until("it was pushed once more", async || {
            let again = self.deliveries().await.remove(0);
            again.state().word() == "delivered" && again.attempts == delivery.attempts + 1
        })
        .await;
    }
}

async fn hubspot() -> (Scene, Fake<Hubspot>) {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    let config = json!({"base_url": fake.url(), "retries": 0});
    (Scene::with("hubspot", config, json!({"token": "pat-eu1-good"})).await, fake)
}

async fn pipedrive() -> (Scene, Fake<Pipedrive>) {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    let config = json!({"base_url": fake.url(), "retries": 0});
    (Scene::with("pipedrive", config, json!({"api_token": "pipedrive-good"})).await, fake)
}

fn in_hubspot(fake: &Fake<Hubspot>) -> (usize, usize) {
    fake.with(|hubspot| (hubspot.contacts.len(), hubspot.notes.len()))
}

fn in_pipedrive(fake: &Fake<Pipedrive>) -> (usize, usize, usize) {
    fake.with(|pipedrive| (pipedrive.persons.len(), pipedrive.deals.len(), pipedrive.notes.len()))
}

#[tokio::test]
async fn a_delivered_lead_that_hubspot_lost_is_there_again_and_never_twice() {
    let (scene, fake) = hubspot().await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    scene.repeat().await;
    assert_eq!(in_hubspot(&fake), (1, 1), "nothing was lost");
    fake.with(|hubspot| hubspot.notes.clear());
    scene.repeat().await;
    assert_eq!(in_hubspot(&fake), (1, 1), "its note alone was lost");
    fake.with(|hubspot| (hubspot.contacts.clear(), hubspot.notes.clear()));
    scene.repeat().await;
    assert_eq!(in_hubspot(&fake), (1, 1));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_delivered_lead_that_pipedrive_lost_is_there_again_and_never_twice() {
    let (scene, fake) = pipedrive().await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    scene.repeat().await;
    assert_eq!(in_pipedrive(&fake), (1, 1, 1), "nothing was lost");
    fake.with(|pipedrive| {
        pipedrive.persons.clear();
        pipedrive.deals.clear();
        pipedrive.notes.clear();
    });
    scene.repeat().await;
    assert_eq!(in_pipedrive(&fake), (1, 1, 1));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_delivered_lead_that_salesforce_lost_is_there_again_and_never_twice() {
    let fake = Fake::start(Salesforce::default()).await.unwrap();
    let url = fake.url();
    fake.with(|salesforce| salesforce.instance_url.clone_from(&url));
    let credentials = json!({"client_id": "client-1", "client_secret": "secret-1"});
    let scene = Scene::with("salesforce", json!({"login_url": url}), credentials).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    scene.repeat().await;
    assert_eq!(fake.with(|salesforce| salesforce.leads.len()), 1, "nothing was lost");
    fake.with(|salesforce| salesforce.leads.clear());
    scene.repeat().await;
    assert_eq!(fake.with(|salesforce| salesforce.leads.len()), 1);
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn what_arrived_in_part_is_found_by_the_delivery_that_takes_its_place() {
    let (scene, fake) = pipedrive().await;
    fake.fault("POST /api/v2/deals", Fault::ActThenClose);
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    scene.retry(&scene.deliveries().await[0].id, true).await;
    scene.wait_for(1, "delivered").await;
    assert_eq!(in_pipedrive(&fake), (1, 1, 1), "{:?}", fake.calls());

    // An update instead, which supersedes the dead creation.
    fake.fault("POST /api/v2/deals", Fault::ActThenClose);
    scene.post(2, lead("1")).await;
    scene.wait_for(1, "dead").await;
    scene.post(2, lead("2")).await;
    scene.wait_for(2, "delivered").await;
    assert_eq!(in_pipedrive(&fake), (2, 2, 2), "{:?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_note_whose_answer_was_lost_is_found_by_the_delivery_that_takes_its_place() {
    let (scene, fake) = hubspot().await;
    fake.fault("POST /crm/objects/2026-03/notes", Fault::ActThenClose);
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    scene.retry(&scene.deliveries().await[0].id, true).await;
    scene.wait_for(1, "delivered").await;
    assert_eq!(in_hubspot(&fake), (1, 1), "{:?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn what_one_account_calls_a_lead_is_never_asked_of_another() {
    let (scene, fake) = pipedrive().await;
    scene.post(1, lead("1")).await;
    scene.wait_for(1, "delivered").await;
    let other = Fake::start(Pipedrive::default()).await.unwrap();
    let stranger = other.with(|pipedrive| pipedrive.add_person("Somebody Else", "else@example.com"));
    let before = other.with(|pipedrive| pipedrive.persons.clone());
    let ours = fake.with(|pipedrive| pipedrive.persons.keys().copied().collect::<Vec<_>>());
    assert_eq!(ours, [stranger], "the two accounts count alike");
    let update = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(json!({"base_url": other.url(), "retries": 0}).to_string()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(update).await.unwrap();
    let token = other.with(|pipedrive| pipedrive.api_token.clone());
    let tried = scene.operator.set_credentials(&scene.integration, json!({"api_token": token})).await;
    assert_eq!(tried.state().word(), "delivered", "{}", tried.error);
    scene.post(1, lead("2")).await;
    scene.wait_for(2, "delivered").await;
    assert_eq!(in_pipedrive(&other), (2, 1, 1));
    assert_eq!(other.with(|pipedrive| pipedrive.persons[&stranger].clone()), before[&stranger]);

    // The same address, and credentials of another account.
    other.with(|pipedrive| {
        pipedrive.api_token = "another".to_owned();
        pipedrive.company = "Another Barn".to_owned();
    });
    let tried = scene.operator.set_credentials(&scene.integration, json!({"api_token": "another"})).await;
    assert_eq!(tried.state().word(), "delivered", "{}", tried.error);
    let calls = other.calls().len();
    scene.post(1, lead("3")).await;
    scene.wait_for(3, "delivered").await;
    let kept = |call: &String| call.starts_with("PATCH /api/v2/deals");
    assert!(!other.calls()[calls..].iter().any(kept), "{:?}", other.calls());
    scene.end().await;
    fake.stop().await;
    other.stop().await;
}

/// What a version kept that had another shape for it: it is rendered anew, and from then on that is what is kept.
#[tokio::test]
async fn what_nobody_can_read_any_more_is_rendered_anew_and_kept() {
    let (scene, fake) = hubspot().await;
    fake.fault("POST /crm/objects/2026-03/notes", statuses(&[400]).remove(0));
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let other = r#"UPDATE delivery SET body = '{"shape": 99, "email": "other@example.com"}'"#;
    sqlx::query(other).execute(&scene.pool).await.unwrap();
    let delivery = scene.deliveries().await.remove(0);
    scene.retry(&delivery.id, false).await;
    scene.wait_for(1, "delivered").await;
    assert_eq!(in_hubspot(&fake), (1, 1));
    let kept = r#"SELECT convert_from(body, 'UTF8') LIKE '{"email":%' FROM delivery"#;
    assert!(scene.holds(kept).await);
    scene.end().await;
    fake.stop().await;
}
