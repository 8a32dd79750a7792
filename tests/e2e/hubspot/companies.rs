//! Companies at HubSpot: one for each employer, with its people, whatever goes wrong on the way.

use std::time::Duration;

use leadline_fakes::{Fake, Fault, hubspot::Hubspot, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::Outcome,
};
use serde_json::{Value, json};

use super::{
    super::vendors::{PATIENCE, Scene},
    NOTE, scene,
};

async fn employers() -> (Fake<Hubspot>, Pushing) {
    let (fake, _) = scene(json!({})).await;
    let (config, login) =
        (json!({ "base_url": fake.url(), "companies": "yes" }), json!({ "token": "pat-eu1-good" }));
    let pushing = Pushing::new("hubspot", config, login, json!({}), PATIENCE);
    (fake, pushing)
}

fn employed(n: usize, company: &str, website: &str) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["profile"] = json!({ "company": company, "website": website });
    lead
}

async fn push(pushing: &mut Pushing, kind: EventKind, lead: &Value) {
    assert_eq!(pushing.deliver(&mut Bringing::new(kind, lead), 3).await, Outcome::Delivered);
}

#[tokio::test]
async fn colleagues_are_in_one_company_and_what_it_says_stays() {
    let (fake, mut pushing) = employers().await;
    let known =
        fake.with(|hubspot| hubspot.add_company(&[("name", "Innkept"), ("domain", "innkept.example")]));
    let lead = employed(1, "Innkept Ltd", "https://www.innkept.example/");
    push(&mut pushing, EventKind::Created, &lead).await;
    push(&mut pushing, EventKind::Created, &employed(2, "INNKEPT", "")).await;
    push(&mut pushing, EventKind::Created, &employed(3, " ", "")).await;
    fake.with(|hubspot| {
        assert_eq!((hubspot.companies.len(), hubspot.companies[&known].contacts.len()), (1, 2));
        assert_eq!(hubspot.companies[&known].properties["name"], "Innkept");
        // Sales knows better whom somebody works for.
        hubspot.companies.values_mut().for_each(|company| company.contacts.clear());
    });
    let mut changed = lead.clone();
    changed["lead"]["guest_count"] = json!(99);
    push(&mut pushing, EventKind::Updated, &changed).await;
    fake.with(|hubspot| assert!(hubspot.companies[&known].contacts.is_empty()));
    // Who is in another one already stays there.
    let other = fake.with(|hubspot| {
        let other = hubspot.add_company(&[("name", "Another")]);
        let people: Vec<u64> = hubspot.contacts.keys().copied().collect();
        hubspot.companies.get_mut(&other).unwrap().contacts = people;
        other
    });
    let mut again = employed(4, "Innkept Ltd", "");
    again["lead"]["email"] = lead["lead"]["email"].clone();
    push(&mut pushing, EventKind::Created, &again).await;
    fake.with(|hubspot| {
        assert_eq!((hubspot.companies.len(), hubspot.companies[&other].contacts.len()), (2, 3));
        assert!(hubspot.companies[&known].contacts.is_empty());
    });
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [""; 0]);
    fake.stop().await;
}

#[tokio::test]
async fn no_company_comes_twice_though_its_answer_is_lost() {
    let (fake, mut pushing) = employers().await;
    let mut is_lost = false;
    fake.chaos(Some(Box::new(move |request| {
        let is_made = request.method == "POST" && request.path.ends_with("/companies");
        (is_made && !std::mem::replace(&mut is_lost, true)).then_some(Fault::ActThenClose)
    })));
    let contact = "/crm/objects/2026-03/contacts/";
    let calls = ["".to_owned(), format!("PUT {contact}"), format!("GET {contact}"), NOTE.to_owned()];
    for (n, call) in calls.iter().enumerate() {
        if n > 0 {
            fake.fault(call, Fault::ActThenClose);
        }
        push(&mut pushing, EventKind::Created, &employed(n, "Innkept Ltd", "")).await;
        fake.with(|hubspot| {
            let people: Vec<usize> = hubspot.companies.values().map(|own| own.contacts.len()).collect();
            assert_eq!((people, hubspot.notes.len()), (vec![n + 1], n + 1), "{call}");
        });
        assert_eq!(fake.faults_left(), 0, "{call}");
    }
    fake.stop().await;
}

#[tokio::test]
async fn a_key_that_may_not_read_companies_is_told() {
    let (fake, mut pushing) = employers().await;
    fake.with(|hubspot| {
        let scopes = hubspot.keys.get_mut("pat-eu1-good").unwrap();
        scopes.retain(|scope| !scope.contains("companies"));
    });
    assert_eq!(
        pushing.probe(ProbeKind::Mapping).await.findings,
        ["companies: cannot be read: hubspot MISSING_SCOPES crm.objects.companies.read"]
    );
    fake.stop().await;
}

#[tokio::test]
async fn colleagues_are_in_one_new_company_whatever_the_search_knows() {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    fake.with(|hubspot| hubspot.search_lag = Duration::from_secs(3600));
    let config = json!({ "base_url": fake.url(), "companies": "yes" });
    let scene = Scene::with("hubspot", config, json!({ "token": "pat-eu1-good" })).await;
    for n in 1..=4 {
        scene.post(n, |lead| lead["lead"]["profile"] = json!({ "company": "Innkept Ltd" })).await;
    }
    scene.wait_for(4, "delivered").await;
    let people: Vec<usize> =
        fake.with(|hubspot| hubspot.companies.values().map(|own| own.contacts.len()).collect());
    assert_eq!(people, [4], "{:#?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}
