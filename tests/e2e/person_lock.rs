//! Many leads of one new person in the same moment, at vendors that forbid no second one.

use std::time::Duration;

use leadline_fakes::{Fake, Fault, pipedrive::Pipedrive, salesforce::Salesforce, vendor::Quota};
use serde_json::{Value, json};

use super::vendors::Scene;

const LEADS: usize = 8;
const PERSON: &str = "POST /api/v2/persons";

/// The same address as people write it.
fn ada(n: usize) -> impl FnOnce(&mut Value) {
    move |lead| lead["lead"]["email"] = ["ada@example.com", "Ada@Example.com"][n % 2].into()
}

/// An account whose search never learns of anybody, and which takes any number of calls.
async fn pipedrive() -> (Scene, Fake<Pipedrive>) {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| {
        pipedrive.quota = Quota::new(10_000, Duration::from_secs(2));
        pipedrive.searches = Quota::new(10_000, Duration::from_secs(2));
        pipedrive.search_lag = Duration::from_secs(3600);
    });
    let config = json!({ "base_url": fake.url(), "calls_per_2_seconds": 10_000, "timeout_seconds": 10 });
    (Scene::with("pipedrive", config, json!({ "api_token": "pipedrive-good" })).await, fake)
}

#[tokio::test]
async fn leads_of_one_new_person_are_one_person_with_a_deal_each() {
    let (scene, fake) = pipedrive().await;
    fake.fault(PERSON, Fault::ActThenClose);
    for n in 0..LEADS {
        scene.post(n, ada(n)).await;
    }
    scene.wait_for(LEADS, "delivered").await;
    let counts =
        fake.with(|pipedrive| (pipedrive.persons.len(), pipedrive.deals.len(), pipedrive.notes.len()));
    assert_eq!(counts, (1, LEADS, LEADS), "{:#?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_another_person() {
    let (scene, fake) = pipedrive().await;
    fake.fault(PERSON, Fault::ActThenHang);
    scene.post(0, ada(0)).await;
    leadline_tests::wait_until("it hangs", async || fake.faults_left() == 0).await;
    scene.post(1, ada(1)).await;
    scene.post(2, |lead| lead["lead"]["email"] = "bob@example.com".into()).await;
    scene.wait_for(1, "delivered").await;
    let (deals, people) = fake.with(|pipedrive| (pipedrive.deals.len(), pipedrive.persons.len()));
    assert_eq!((deals, people), (1, 2), "Bob's alone has its deal, and Ada's other lead waits");
    let searches = fake.calls().iter().filter(|call| call.contains("term=ada")).count();
    assert_eq!(searches, 1, "{:#?}", fake.calls());
    scene.wait_for(3, "delivered").await;
    assert_eq!(fake.with(|pipedrive| pipedrive.persons.len()), 2);
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn leads_of_one_new_person_are_one_lead_in_salesforce() {
    let fake = Fake::start(Salesforce::default()).await.unwrap();
    let url = fake.url();
    fake.with(|salesforce| salesforce.instance_url = url.clone());
    fake.fault("POST /services/data/v62.0/sobjects/Lead", Fault::ActThenClose);
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let scene = Scene::with("salesforce", json!({ "base_url": url, "login_url": url }), login).await;
    for n in 0..LEADS {
        scene.post(n, ada(n)).await;
    }
    scene.wait_for(LEADS, "delivered").await;
    assert_eq!(fake.with(|salesforce| salesforce.leads.len()), 1, "{:#?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}
