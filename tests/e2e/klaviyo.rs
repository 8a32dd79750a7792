//! Klaviyo: whatever goes wrong on the way, each lead that consented is one profile with one event, and nobody comes back
//! who left.

use std::time::Duration;

use leadline_fakes::{Fake, klaviyo::Klaviyo, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error};

const SUBSCRIBE: &str = "POST /api/profile-subscription-bulk-create-jobs";

fn lead(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["gdpr_consent"] = true.into();
    lead
}

async fn account(mapping: Value) -> (Fake<Klaviyo>, Pushing) {
    let fake = Fake::start(Klaviyo::default()).await.unwrap();
    let config = json!({ "base_url": fake.url(), "list_id": "Y6nRLr" });
    let key = json!({ "api_key": "pk_0123456789abcdef" });
    let pushing = Pushing::new("klaviyo", config, key, mapping, Duration::from_millis(400));
    (fake, pushing)
}

/// Profiles, those in the list, and events.
fn counts(fake: &Fake<Klaviyo>) -> (usize, usize, usize) {
    fake.with(|klaviyo| {
        let listed = klaviyo.profiles.values().filter(|profile| profile.lists.len() == 1).count();
        (klaviyo.profiles.len(), listed, klaviyo.events.len())
    })
}

#[tokio::test]
async fn nobody_who_left_is_subscribed_again_though_each_enquiry_is_recorded() {
    let (fake, mut pushing) = account(json!({})).await;
    let email = |name: &str| json!({ "email": format!("{name}@example.com") });
    let unsubscribed = fake.with(|klaviyo| {
        klaviyo.add(email("bounced"), "NEVER_SUBSCRIBED", &["HARD_BOUNCE"]);
        klaviyo.add(email("complained"), "SUBSCRIBED", &["SPAM_COMPLAINT"]);
        klaviyo.add(email("left"), "UNSUBSCRIBED", &["UNSUBSCRIBE"])
    });
    for (n, who) in ["bounced", "complained", "left"].into_iter().enumerate() {
        let mut lead = lead(n);
        lead["lead"]["email"] = json!(format!("{who}@Example.com"));
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    }
    assert_eq!(pushing.note.as_deref(), Some("not subscribed, as Klaviyo says UNSUBSCRIBE"));
    assert_eq!(counts(&fake), (3, 0, 3));
    assert!(!fake.calls().iter().any(|call| call.starts_with(SUBSCRIBE) || call.contains("/relationships/")));
    fake.with(|klaviyo| assert_eq!(klaviyo.profiles[&unsubscribed].suppressed, ["UNSUBSCRIBE"]));
    fake.stop().await;
}

#[tokio::test]
async fn somebody_is_asked_to_confirm_once_for_each_lead_and_a_subscriber_never() {
    let (fake, mut pushing) = account(json!({})).await;
    fake.with(|klaviyo| klaviyo.asks_for_confirmation = true);
    let mut changed = lead(1);
    changed["lead"]["email"] = json!("new@example.com");
    let mut bringing = Bringing::new(EventKind::Created, &changed);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    changed["lead"]["guest_count"] = json!(99);
    let mut update = Bringing::new(EventKind::Updated, &changed);
    assert_eq!(pushing.attempt(&mut update).await, Outcome::Delivered);
    fake.with(|klaviyo| {
        assert_eq!(klaviyo.profile("new@example.com").unwrap().asked, 1);
        klaviyo.add(json!({ "email": "ada@example.com" }), "SUBSCRIBED", &[]);
    });
    let mut subscriber = lead(2);
    subscriber["lead"]["email"] = json!("ada@example.com");
    let mut bringing = Bringing::new(EventKind::Created, &subscriber);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    fake.with(|klaviyo| {
        let ada = klaviyo.profile("ada@example.com").unwrap();
        assert_eq!((ada.asked, ada.lists.len()), (0, 1));
        let metrics: Vec<&str> = klaviyo.events.iter().map(|event| event.metric.as_str()).collect();
        assert_eq!(metrics, ["Lead received", "Lead updated", "Lead received"]);
    });
    fake.stop().await;
}

/// What a profile answers with holds all that the account knows of somebody.
#[tokio::test]
async fn a_profile_longer_than_other_answers_may_be_is_read_whole() {
    let (fake, mut pushing) = account(json!({})).await;
    let much: Value = (0..100).map(|n| (format!("Page {n}"), json!("x".repeat(1_000)))).collect();
    let known = json!({ "email": "ada@example.com", "properties": much });
    fake.with(|klaviyo| klaviyo.add(known, "NEVER_SUBSCRIBED", &[]));
    let mut lead = lead(1);
    lead["lead"]["email"] = json!("ada@example.com");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 1, 1));
    fake.stop().await;
}

#[tokio::test]
async fn a_number_that_is_another_profiles_keeps_nobody_out() {
    let (fake, mut pushing) = account(json!({})).await;
    let shared = json!({ "email": "first@example.com", "phone_number": "+447700900123" });
    fake.with(|klaviyo| klaviyo.add(shared.clone(), "NEVER_SUBSCRIBED", &[]));
    let mut lead = lead(1);
    (lead["lead"]["email"], lead["lead"]["phone"]) = (json!("second@example.com"), json!("+44 7700 900123"));
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    let note = "phone_number was left out: A profile already exists with one of these identifiers.";
    assert_eq!(pushing.note.as_deref(), Some(note));
    fake.with(|klaviyo| {
        assert_eq!(Value::Object(klaviyo.profile("first@example.com").unwrap().attributes.clone()), shared);
        assert!(!klaviyo.profile("second@example.com").unwrap().attributes.contains_key("phone_number"));
    });
    fake.stop().await;
}

#[tokio::test]
async fn a_probe_tells_the_account_the_list_and_what_looks_like_a_slip() {
    let (fake, mut pushing) = account(json!({ "lead.event_type": "First Name" })).await;
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(report.account.as_deref(), Some("Innkept Ltd, list Newsletter (subscribes at once)"));
    let slip = "lead.event_type: First Name is a property of its own; did you mean first_name?";
    assert_eq!(report.findings, [slip]);
    let before = fake.calls().len();
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [slip]);
    assert_eq!(fake.calls().len(), before + 1, "the list alone: there is none of properties to ask for");
    fake.with(|klaviyo| klaviyo.list = "gone".to_owned());
    let (class, error) = class_and_error(pushing.probe(ProbeKind::Test).await.outcome);
    assert_eq!(class, FailureClass::Rejected);
    assert_eq!(error, "klaviyo not_found A list with id Y6nRLr does not exist.");
    fake.stop().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_klaviyo_said() {
    let (fake, mut pushing) = account(json!({})).await;
    fake.with(|klaviyo| klaviyo.scopes.remove("profiles:write"));
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead(1))).await);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "klaviyo permission_denied The API key is missing required scopes: profiles:write");
    fake.with(|klaviyo| klaviyo.api_key = "pk_another".to_owned());
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead(1))).await);
    assert_eq!(class, FailureClass::Credentials);
    assert!(error.starts_with("klaviyo authentication_failed ") && !error.contains("pk_"), "{error}");
    assert_eq!(counts(&fake), (0, 0, 0));
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_skips_who_did_not_consent_and_keeps_the_quota() {
    let fake = Fake::start(Klaviyo::default()).await.unwrap();
    let config = json!({ "base_url": fake.url(), "list_id": "Y6nRLr" });
    let scene = Scene::with("klaviyo", config, json!({ "api_key": "pk_0123456789abcdef" })).await;
    let answer = scene.post(0, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    assert_eq!(answer["deliveries"][0]["reason"], "consent");
    // Who subscribed already takes the call of which there may be the fewest.
    fake.with(|klaviyo| {
        for n in 1..=12 {
            klaviyo.add(json!({ "email": format!("lead{n}@example.com") }), "SUBSCRIBED", &[]);
        }
    });
    for n in 1..=12 {
        scene.post(n, |lead| lead["lead"]["email"] = json!(format!("lead{n}@example.com"))).await;
    }
    scene.wait_for(12, "delivered").await;
    assert_eq!(fake.with(|klaviyo| (klaviyo.calls.refused, klaviyo.additions.refused)), (0, 0));
    assert_eq!(counts(&fake), (12, 12, 12));
    scene.end().await;
    fake.stop().await;
}
