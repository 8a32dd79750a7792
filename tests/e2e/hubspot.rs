//! HubSpot: whatever goes wrong on the way, the account holds each lead's person and note exactly once.

use std::time::Duration;

use leadline_fakes::{Fake, Fault, Reply, hubspot::Hubspot, sample_lead, vendor::Quota};
use leadline_tests::{Bringing, Daemon, Operator, Pushing, post_lead, wait_until};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, Scene, class_and_error, statuses};

mod companies;
mod deals;

const CREATE: &str = "POST /crm/objects/2026-03/contacts";
const UPSERT: &str = "PATCH /crm/objects/2026-03/contacts";
const NOTE: &str = "POST /crm/objects/2026-03/notes";

async fn scene(mapping: Value) -> (Fake<Hubspot>, Pushing) {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    let pushing = pushing(&fake, json!({ "token": "pat-eu1-good" }), mapping);
    (fake, pushing)
}

fn pushing(fake: &Fake<Hubspot>, credentials: Value, mapping: Value) -> Pushing {
    let config = json!({ "base_url": fake.url() });
    Pushing::new("hubspot", config, credentials, mapping, PATIENCE)
}

fn counts(fake: &Fake<Hubspot>) -> (usize, usize) {
    fake.with(|hubspot| (hubspot.contacts.len(), hubspot.notes.len()))
}

#[tokio::test]
async fn a_push_goes_on_at_the_call_that_failed() {
    let (fake, mut pushing) = scene(json!({})).await;
    fake.fault(NOTE, statuses(&[500]).remove(0));
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(1));
    assert!(matches!(pushing.attempt(&mut bringing).await, Outcome::Failed(_)));
    let before = fake.calls().len();
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert!(fake.calls()[before..].iter().all(|call| !call.starts_with(UPSERT) && *call != CREATE));
    fake.stop().await;
}

#[tokio::test]
async fn a_list_of_notes_that_cannot_be_read_is_read_again_and_no_note_comes_twice() {
    let (fake, mut pushing) = scene(json!({})).await;
    let (list, read) = ("GET /crm/objects/2026-03/contacts/", "POST /crm/objects/2026-03/notes/batch/read");
    let answers = [(list, "<html>"), (list, "{}"), (read, "<html>"), (read, "{}")];
    for (n, (call, said)) in answers.into_iter().enumerate() {
        let mut bringing = Bringing::new(EventKind::Created, &sample_lead(n));
        fake.fault(NOTE, Fault::ActThenClose);
        assert_eq!(class_and_error(pushing.attempt(&mut bringing).await).0, FailureClass::Unknown);
        fake.fault(call, Fault::Answer(Reply::status(200).body(said)));
        let (class, error) = class_and_error(pushing.attempt(&mut bringing).await);
        assert_eq!(class, FailureClass::Transient, "{call} {said}: {error}");
        assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered, "{call} {said}");
        assert_eq!((counts(&fake), fake.faults_left()), ((n + 1, n + 1), 0), "{call} {said}");
    }
    fake.stop().await;
}

#[tokio::test]
async fn a_note_is_found_among_more_than_other_answers_may_hold() {
    let (fake, mut pushing) = scene(json!({})).await;
    let mut lead = sample_lead(1);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    fake.with(|hubspot| {
        let contact = *hubspot.contacts.keys().next().unwrap();
        (0..450).for_each(|_| hubspot.add_note(contact, "Called on Friday"));
    });
    lead["lead"]["guest_count"] = json!(99);
    fake.fault(NOTE, Fault::ActThenClose);
    let mut update = Bringing::new(EventKind::Updated, &lead);
    assert_eq!(pushing.deliver(&mut update, 3).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 452));
    fake.stop().await;
}

#[tokio::test]
async fn people_are_told_apart_by_any_of_their_addresses() {
    let (fake, mut pushing) = scene(json!({})).await;
    let mut lead = sample_lead(1);
    lead["lead"]["email"] = json!(" Ada@Example.com ");
    let owner = fake.with(|hubspot| hubspot.add_contact("first@example.com", &["ada@example.com"]));
    let mut bringing = Bringing::new(EventKind::Created, &lead);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    fake.with(|hubspot| {
        assert_eq!((hubspot.contacts.len(), hubspot.notes_of(owner).len()), (1, 1));
        let properties = &hubspot.contacts[&owner].properties;
        assert_eq!(properties["email"], "first@example.com", "the first address stays");
        assert!(properties.contains_key("firstname"));
    });
    // Another lead of the same person is another note.
    let mut again = sample_lead(2);
    again["lead"]["email"] = json!("first@example.com");
    let mut bringing = Bringing::new(EventKind::Created, &again);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 2));
    fake.stop().await;
}

#[tokio::test]
async fn an_update_reaches_the_same_contact_even_under_another_address() {
    let (fake, mut pushing) = scene(json!({})).await;
    let mut lead = sample_lead(1);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    lead["lead"]["email"] = json!("new@example.com");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 2));
    fake.with(|hubspot| {
        let contact = hubspot.contacts.values().next().unwrap();
        assert_eq!(contact.properties["email"], "new@example.com");
        assert!(hubspot.notes.values().any(|note| note.body.contains("Lead updated")));
        // Somebody deletes the contact: the next update makes it anew.
        hubspot.contacts.clear();
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    assert_eq!(counts(&fake).0, 1);
    fake.stop().await;
}

#[tokio::test]
async fn a_contact_deleted_before_its_note_is_made_anew() {
    let (fake, mut pushing) = scene(json!({})).await;
    fake.fault(NOTE, statuses(&[500]).remove(0));
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(1));
    pushing.attempt(&mut bringing).await;
    fake.with(|hubspot| hubspot.contacts.clear());
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 1));
    fake.stop().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_hubspot_said() {
    let mapping = json!({ "lead.event_date": "wedding_date_property" });
    let (fake, mut pushing) = scene(mapping).await;
    // It is missing from every lead: that is no fault of this one's.
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
    let expected = (FailureClass::Rejected, "hubspot PROPERTY_DOESNT_EXIST wedding_date_property".to_owned());
    assert_eq!(class_and_error(outcome), expected);
    fake.stop().await;
    let (fake, mut pushing) = scene(json!({})).await;
    let mut nobody = sample_lead(1);
    nobody["lead"]["email"] = json!("nobody");
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &nobody)).await;
    let error = "hubspot INVALID_EMAIL email: Email address nobody is invalid";
    assert_eq!(class_and_error(outcome), (FailureClass::Rejected, error.to_owned()));
    fake.with(|hubspot| hubspot.keys.get_mut("pat-eu1-good").unwrap().remove("crm.objects.contacts.write"));
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
    let expected =
        (FailureClass::Credentials, "hubspot MISSING_SCOPES crm.objects.contacts.write".to_owned());
    assert_eq!(class_and_error(outcome), expected);
    fake.with(|hubspot| hubspot.keys.clear());
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await);
    assert_eq!(class, FailureClass::Credentials);
    assert!(error.starts_with("hubspot INVALID_AUTHENTICATION") && !error.contains("pat-eu1"), "{error}");
    assert_eq!(counts(&fake), (0, 0));
    fake.stop().await;
}

#[tokio::test]
async fn a_value_that_is_refused_keeps_nobody_out() {
    let mapping = json!({ "lead.event_type": "kind_of_event" });
    let (fake, mut pushing) = scene(mapping).await;
    let mut lead = sample_lead(1);
    lead["lead"]["event_type"] = json!("corporate");
    let note = "property kind_of_event was left out: corporate was not a valid enumeration.";
    // Each says so, as it was not written by those before.
    for kind in [EventKind::Created, EventKind::Updated, EventKind::Created] {
        assert_eq!(pushing.attempt(&mut Bringing::new(kind, &lead)).await, Outcome::Delivered);
        assert_eq!(pushing.note.as_deref(), Some(note), "{kind:?}");
    }
    assert_eq!(counts(&fake), (1, 3));
    fake.stop().await;
}

#[tokio::test]
async fn a_login_is_renewed_when_its_token_is_refused() {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    let app = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    let mut pushing = pushing(&fake, app, json!({}));
    assert_eq!(
        pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await,
        Outcome::Delivered
    );
    fake.with(|hubspot| hubspot.keys.clear());
    assert_eq!(
        pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(2))).await,
        Outcome::Delivered
    );
    pushing.now = pushing.now + Duration::from_secs(1800);
    assert_eq!(
        pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(3))).await,
        Outcome::Delivered
    );
    assert_eq!((counts(&fake), fake.with(|hubspot| hubspot.logins)), ((3, 3), 3));
    fake.with(|hubspot| (hubspot.keys.clear(), hubspot.app.0 = "revoked".to_owned()));
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(4))).await);
    assert_eq!(class, FailureClass::Credentials);
    assert!(error.contains("BAD_REFRESH_TOKEN") && !error.contains("secret-1"), "{error}");
    fake.stop().await;
}

#[tokio::test]
async fn a_probe_tells_the_account_and_what_is_wrong_with_the_mapping() {
    let mapping = json!({ "lead.event_date": "weding_date", "lead.name": "guests", "lead.guest_count": "hs_object_id",
                          "lead.event_type": "kind_of_event" });
    let (fake, mut pushing) = scene(mapping).await;
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(report.account.as_deref(), Some("HubSpot account 1234567 (app-eu1.hubspot.com)"));
    assert_eq!(
        report.findings,
        [
            "lead.event_date: unknown property weding_date; did you mean wedding_date?",
            "lead.name: guests is of type number, and this is a text",
            "lead.guest_count: hs_object_id cannot be written: HubSpot sets it by itself",
            "lead.event_type: kind_of_event has no option corporate, private_dining, birthday",
        ]
    );
    let before = fake.calls().len();
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings.len(), 4);
    assert_eq!(fake.calls().len(), before + 2, "a mapping check asks whose they are, and for the properties");
    fake.with(|hubspot| hubspot.keys.get_mut("pat-eu1-good").unwrap().clear());
    let (class, error) = class_and_error(pushing.probe(ProbeKind::Credentials).await.outcome);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "hubspot MISSING_SCOPES crm.objects.contacts.read");
    assert_eq!(counts(&fake), (0, 0));
    fake.stop().await;
}

#[tokio::test]
async fn a_checkbox_takes_true_and_false() {
    let mapping = json!({ "lead.gdpr_consent": ["agrees", "agrees_too"],
        "lead.vip": { "to": "vip", "values": { "gold": "yes" } } });
    let (fake, mut pushing) = scene(mapping).await;
    let own = [("agrees", "booleancheckbox"), ("agrees_too", "bool"), ("vip", "booleancheckbox")];
    fake.with(|hubspot| hubspot.properties.extend(own.map(|(name, kind)| (name.to_owned(), kind))));
    let report = pushing.probe(ProbeKind::Mapping).await;
    assert_eq!(report.findings, ["lead.vip: vip has no option yes"]);
    let mut lead = sample_lead(1);
    lead["lead"]["gdpr_consent"] = json!(true);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    let agrees = fake.with(|hubspot| hubspot.contacts.values().next().unwrap().properties["agrees"].clone());
    assert_eq!(agrees, "true");
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_pushes_within_the_quota_and_takes_new_credentials_after_a_look() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    fake.with(|hubspot| hubspot.quota = Quota::new(20, Duration::from_secs(10)));
    let config = json!({ "base_url": fake.url(), "calls_per_10_seconds": 20 });
    let made = operator.connect(7, "hubspot", config, json!({ "token": "pat-eu1-bad" })).await;
    let attempt = operator.test(&made.id).await;
    assert_eq!((attempt.state().word(), attempt.failure_class().word()), ("failed", "credentials"));
    assert!(!format!("{attempt:?}").contains("pat-eu1-bad"), "{attempt:?}");
    assert_eq!(
        operator.set_credentials(&made.id, json!({ "token": "worse" })).await.state().word(),
        "failed"
    );
    assert_eq!(
        operator.set_credentials(&made.id, json!({ "token": "pat-eu1-good" })).await.state().word(),
        "delivered"
    );
    // With the looks at the account that is one call more than the quota.
    for n in 0..6 {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
    wait_until("all leads are there", async || counts(&fake) == (6, 6)).await;
    assert_eq!(fake.with(|hubspot| hubspot.quota.refused), 0, "the quota is kept");
    wait_until("all is well", async || operator.badge(&made.id).await == "ok").await;
    daemon.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_login_that_runs_out_twice_during_a_push_is_renewed_twice() {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    fake.fault(UPSERT, statuses(&[401]).remove(0));
    fake.fault(NOTE, statuses(&[401]).remove(0));
    let app = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    let scene = Scene::with("hubspot", json!({ "base_url": fake.url() }), app).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    assert_eq!((counts(&fake), fake.with(|hubspot| hubspot.logins)), ((1, 1), 3));
    // A fresh token that is refused at once is no better than the one before.
    fake.fault(UPSERT, statuses(&[401]).remove(0));
    fake.fault(UPSERT, statuses(&[401]).remove(0));
    scene.post(2, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let (class, error) = scene.last_failure().await;
    assert_eq!(class, "credentials");
    assert!(error.starts_with("refused with a fresh token too: 401"), "{error}");
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_mapping_reaches_the_operators_own_properties() {
    let mapping =
        json!({ "lead.event_date": "wedding_date_property", "lead.guest_count": "expected_attendees" });
    let (fake, mut pushing) = scene(mapping).await;
    let own = [("wedding_date_property", "date"), ("expected_attendees", "number")];
    fake.with(|hubspot| hubspot.properties.extend(own.map(|(name, kind)| (name.to_owned(), kind))));
    let lead = sample_lead(1);
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
    assert_eq!(outcome, Outcome::Delivered);
    fake.with(|hubspot| {
        let properties = &hubspot.contacts.values().next().unwrap().properties;
        assert_eq!(lead["lead"]["event_date"], *properties["wedding_date_property"]);
        assert_eq!(lead["lead"]["guest_count"].to_string(), properties["expected_attendees"]);
    });
    fake.stop().await;
}
