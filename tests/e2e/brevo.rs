//! Leads as contacts at a fake Brevo: with consent only, once each, and nobody comes back who left.

use std::{collections::BTreeSet, time::Duration};

use leadline_fakes::{Fake, Fault, brevo::Brevo, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::EventKind,
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error};

fn settings(fake: &Fake<Brevo>, more: Value) -> (Value, Value) {
    let mut config = json!({"base_url": fake.url(), "list_ids": "3"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (config, json!({"api_key": fake.with(|brevo| brevo.api_key.clone())}))
}

async fn scene(more: Value) -> (Fake<Brevo>, Pushing) {
    let fake = Fake::start(Brevo::default()).await.unwrap();
    let (config, login) = settings(&fake, more);
    let pushing = Pushing::new("brevo", config, login, json!({}), Duration::from_millis(400));
    (fake, pushing)
}

fn confirming() -> Value {
    json!({"confirm_template_id": 5, "confirm_redirect_url": "https://barn.example/thanks"})
}

/// An enquiry of Sarah's, under a uuid of its own.
fn lead(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["email"] = json!("Sarah@Example.com");
    lead["lead"]["name"] = json!("Sarah Patel");
    lead["lead"]["phone"] = json!("+442079460000");
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

async fn push(pushing: &mut Pushing, event: EventKind, lead: &Value) {
    assert_eq!(pushing.attempt(&mut Bringing::new(event, lead)).await, Outcome::Delivered);
}

#[tokio::test]
async fn nobody_is_put_back_where_they_left() {
    for (more, asked) in [(json!({}), 0), (confirming(), 0)] {
        let (fake, mut pushing) = scene(more).await;
        fake.with(|brevo| {
            brevo.lists.insert(9, "Newsletter".into());
            brevo.contacts.insert(
                7,
                leadline_fakes::brevo::Contact {
                    email: "sarah@example.com".into(),
                    lists: BTreeSet::from([9]),
                    left: BTreeSet::from([3]),
                    ..Default::default()
                },
            );
        });
        push(&mut pushing, EventKind::Created, &lead(1)).await;
        assert_eq!(
            pushing.note.as_deref(),
            Some("the contact unsubscribed from a list: it is not put back on it")
        );
        fake.with(|brevo| brevo.contacts.get_mut(&7).unwrap().left.clear());
        fake.with(|brevo| brevo.contacts.get_mut(&7).unwrap().is_blocked = true);
        push(&mut pushing, EventKind::Created, &lead(2)).await;
        fake.with(|brevo| {
            let contact = &brevo.contacts[&7];
            assert_eq!((&contact.lists, contact.is_blocked), (&BTreeSet::from([9]), true));
            assert_eq!((brevo.asked.len(), brevo.block_was_said), (asked, false));
            assert_eq!(
                contact.attributes["FIRSTNAME"], "Sarah",
                "what is known of them is brought up to date"
            );
        });
        fake.stop().await;
    }
}

#[tokio::test]
async fn who_is_new_is_asked_once_for_each_enquiry() {
    let (fake, mut pushing) = scene(confirming()).await;
    let lead = lead(1);
    push(&mut pushing, EventKind::Created, &lead).await;
    push(&mut pushing, EventKind::Updated, &lead).await;
    fake.with(|brevo| {
        assert_eq!(brevo.asked, [("sarah@example.com".to_owned(), BTreeSet::from([3]))]);
        assert_eq!(brevo.contacts.len(), 0, "they are there once they have confirmed");
        let told: Vec<_> =
            brevo.events.iter().map(|(email, event)| (&**email, &event["event_name"])).collect();
        let (received, updated) = (json!("lead_received"), json!("lead_updated"));
        assert_eq!(told, [("sarah@example.com", &received), ("sarah@example.com", &updated)]);
    });
    fake.stop().await;
}

#[tokio::test]
async fn each_enquiry_is_an_event_of_its_contact_once() {
    let (fake, mut pushing) = scene(json!({})).await;
    push(&mut pushing, EventKind::Created, &lead(1)).await;
    fake.fault("POST /v3/events", Fault::ActThenClose);
    let mut second = Bringing::new(EventKind::Created, &lead(2));
    assert_ne!(pushing.attempt(&mut second).await, Outcome::Delivered);
    assert_eq!(pushing.deliver(&mut second, 3).await, Outcome::Delivered);
    fake.with(|brevo| {
        assert_eq!((brevo.contacts.len(), brevo.events.len()), (1, 2));
        let (of, event) = &brevo.events[1];
        assert_eq!((of.as_str(), event["identifiers"].get("email_id")), ("sarah@example.com", None));
        assert_eq!(event["event_properties"]["guests"], lead(2)["lead"]["guest_count"].to_string());
    });
    fake.stop().await;
}

#[tokio::test]
async fn a_number_that_brevo_refuses_keeps_nobody_out() {
    let (fake, mut pushing) = scene(json!({})).await;
    push(&mut pushing, EventKind::Created, &lead(1)).await;
    let mut other = lead(2);
    other["lead"]["email"] = json!("husband@example.com");
    push(&mut pushing, EventKind::Created, &other).await;
    assert!(pushing.note.as_deref().unwrap().contains("already associated with another Contact"));
    let mut local = lead(3);
    local["lead"]["email"] = json!("local@example.com");
    local["lead"]["phone"] = json!("07700 900123");
    push(&mut pushing, EventKind::Created, &local).await;
    assert!(pushing.note.as_deref().unwrap().starts_with("attribute SMS was left out: Invalid phone number"));
    fake.with(|brevo| {
        assert_eq!(brevo.contacts.len(), 3);
        assert_eq!(brevo.contact("husband@example.com").unwrap().attributes.get("SMS"), None);
    });
    fake.stop().await;
}

#[tokio::test]
async fn what_is_not_allowed_says_what_to_do() {
    for (list, key, class, error) in [
        (4, None, FailureClass::Rejected, "brevo document_not_found List ID does not exist"),
        (3, Some("xkeysib-other"), FailureClass::Credentials, "brevo unauthorized Key not found"),
    ] {
        let (fake, _) = scene(json!({})).await;
        let (config, mut login) = settings(&fake, json!({"list_ids": list.to_string()}));
        if let Some(key) = key {
            login["api_key"] = json!(key);
        }
        let mut pushing = Pushing::new("brevo", config, login, json!({}), Duration::from_secs(20));
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead(1))).await;
        assert_eq!(class_and_error(outcome), (class, error.to_owned()));
        fake.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_without_consent_are_skipped_and_the_quota_is_kept() {
    let fake = Fake::start(Brevo::default()).await.unwrap();
    let (config, login) = settings(&fake, json!({}));
    let scene = Scene::with("brevo", config, login).await;
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    let view = scene.operator.integration(&scene.integration).await;
    assert_eq!((view.account.as_str(), view.findings.len()), ("The Old Barn, Leads", 0));
    let answer = scene.post(1, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    let delivery = &answer["deliveries"][0];
    assert_eq!((&delivery["state"], &delivery["reason"]), (&json!("skipped"), &json!("consent")));
    for n in 2..12 {
        scene.post(n, |lead| lead["lead"]["phone"] = format!("+44207946{n:04}").into()).await;
    }
    scene.wait_for(10, "delivered").await;
    fake.with(|brevo| {
        let refused = brevo.quota.refused + brevo.event_quota.refused;
        assert_eq!((brevo.contacts.len(), brevo.events.len(), refused), (10, 10, 0));
    });
    scene.end().await;
    fake.stop().await;
}
