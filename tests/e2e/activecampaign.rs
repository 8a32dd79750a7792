//! ActiveCampaign: whatever goes wrong on the way, each lead that consented is one contact with one note, and nobody is
//! put into the list again who left it.

use std::time::Duration;

use leadline_fakes::{
    Fake,
    activecampaign::{ActiveCampaign, Field},
    sample_lead,
    vendor::Quota,
};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error};

const TOKEN: &str = "0123456789abcdef-activecampaign";

fn lead(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["gdpr_consent"] = true.into();
    lead
}

fn config(fake: &Fake<ActiveCampaign>) -> Value {
    json!({ "base_url": fake.url(), "api_url": "https://innkept.api-us1.com", "list_id": "3", "tags": "Wedding" })
}

async fn account(mapping: Value) -> (Fake<ActiveCampaign>, Pushing) {
    let fake = Fake::start(ActiveCampaign::default()).await.unwrap();
    // Pushes without a daemon keep no pace.
    fake.with(|account| account.quota = Quota::new(100_000, Duration::from_secs(1)));
    let token = json!({ "api_token": TOKEN });
    let pushing = Pushing::new("activecampaign", config(&fake), token, mapping, Duration::from_millis(400));
    (fake, pushing)
}

/// Contacts that are in the list and have the tag, tags, and notes.
fn counts(fake: &Fake<ActiveCampaign>) -> (usize, usize, usize) {
    fake.with(|account| {
        let is_whole = account.contacts.values().all(|contact| {
            contact.lists.get("3").is_some_and(|status| status == "1") && contact.tags.len() == 1
        });
        assert!(is_whole, "{:?}", account.contacts);
        (account.contacts.len(), account.tags.len(), account.notes.len())
    })
}

#[tokio::test]
async fn nobody_who_left_is_put_into_the_list_again_though_each_enquiry_is_noted() {
    let (fake, mut pushing) = account(json!({})).await;
    for (n, (who, status, note)) in [
        ("left", "2", "not put into the list again, as they unsubscribed"),
        ("bounced", "3", "not put into the list again, as mail to them bounced"),
        ("asked", "0", "in the list already, and yet to confirm"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = fake.with(|account| account.add(&format!("{who}@example.com"), status));
        let mut lead = lead(n);
        lead["lead"]["email"] = json!(format!("{who}@Example.com"));
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
        assert_eq!(pushing.note.as_deref(), Some(note));
        fake.with(|account| {
            assert_eq!(account.contacts[&id].lists["3"], status);
            assert_eq!(account.notes.values().filter(|note| note.contact == id).count(), 1);
        });
    }
    assert_eq!(fake.with(|account| account.contacts.len()), 3);
    fake.stop().await;
}

/// A list of more than twenty comes in pages, unless more are asked for.
#[tokio::test]
async fn who_left_is_known_among_many_lists() {
    let (fake, mut pushing) = account(json!({})).await;
    fake.with(|account| {
        let id = account.add("left@example.com", "2");
        let others = (100..130).map(|list| (list.to_string(), "1".to_owned()));
        account.contacts.get_mut(&id).unwrap().lists.extend(others);
    });
    let mut lead = lead(1);
    lead["lead"]["email"] = json!("left@example.com");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    let status = fake.with(|account| account.contact("left@example.com").unwrap().lists["3"].clone());
    assert_eq!(status, "2");
    fake.stop().await;
}

#[tokio::test]
async fn a_mapping_reaches_custom_fields_by_their_tags_and_a_probe_names_what_is_wrong_with_it() {
    let mapping = json!({ "lead.guest_count": "%guests%", "lead.event_date": "6", "lead.event_type": "EVENT_KIND",
        "lead.source_url": "EVENT_DATES" });
    let (fake, mut pushing) = account(mapping).await;
    let lead = lead(1);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    fake.with(|account| {
        let fields = &account.contacts.values().next().unwrap().fields;
        assert_eq!(fields["5"], lead["lead"]["guest_count"].to_string());
        assert_eq!(lead["lead"]["event_date"], fields["6"]);
    });
    let left_out = "custom field EVENT_KIND was left out: the account has none; custom field EVENT_DATES was left out: the account has none";
    assert_eq!(pushing.note.as_deref(), Some(left_out));
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!(report.account.as_deref(), Some("127.0.0.1, list Newsletter (as ada)"));
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    assert!(report.findings.iter().any(|finding| {
        finding == "lead.source_url: unknown custom field EVENT_DATES; did you mean EVENT_DATE?"
    }));
    fake.stop().await;
}

/// The list of custom fields is longer than what is read of other answers.
#[tokio::test]
async fn a_field_is_found_among_more_than_other_answers_may_hold() {
    let (fake, mut pushing) = account(json!({ "lead.guest_count": "GUESTS" })).await;
    fake.with(|account| account.more_fields = 250);
    let lead = lead(1);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    let guests = fake.with(|account| account.contacts.values().next().unwrap().fields["5"].clone());
    assert_eq!((guests, pushing.note.clone()), (lead["lead"]["guest_count"].to_string(), None));
    fake.stop().await;
}

#[tokio::test]
async fn a_look_compares_words_with_what_a_dropdown_offers() {
    let words = json!({ "wedding": "Weddings", "*": "Other" });
    let (fake, mut pushing) = account(json!({ "lead.event_type": { "to": "KIND", "values": words } })).await;
    fake.with(|account| {
        let options = &["Wedding", "Other"][..];
        account.fields.push(Field { id: "7", tag: "KIND", kind: "dropdown", options });
    });
    let findings = pushing.probe(ProbeKind::Mapping).await.findings;
    assert_eq!(findings, ["lead.event_type: KIND has no option Weddings"]);
    fake.stop().await;
}

/// Of a field that takes several, a word alone is kept and ticks no box.
#[tokio::test]
async fn a_look_wants_bars_around_what_boxes_offer() {
    let mapping = json!({
        "lead.event_type": { "to": "KINDS", "values": { "wedding": "||Wedding||", "*": "Other" } },
        "lead.gdpr_consent": "AGREED",
    });
    let (fake, mut pushing) = account(mapping).await;
    fake.with(|account| {
        let [kinds, agreed] = [&["Wedding", "Other"][..], &["Yes"][..]];
        account.fields.push(Field { id: "7", tag: "KINDS", kind: "listbox", options: kinds });
        account.fields.push(Field { id: "8", tag: "AGREED", kind: "checkbox", options: agreed });
    });
    let mut findings = pushing.probe(ProbeKind::Mapping).await.findings;
    findings.sort();
    assert_eq!(
        findings,
        [
            "lead.event_type: KINDS has no option Other",
            "lead.gdpr_consent: AGREED is of type checkbox, and this is true or false",
        ]
    );
    fake.stop().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_activecampaign_said() {
    let (fake, mut pushing) = account(json!({})).await;
    fake.with(|account| account.list = "4".to_owned());
    let (class, error) = class_and_error(pushing.probe(ProbeKind::Test).await.outcome);
    assert_eq!(class, FailureClass::Rejected);
    assert_eq!(error, "activecampaign 404 No Result found for SubscriberList with id 3");
    fake.with(|account| account.api_token = "another".to_owned());
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead(1))).await);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "activecampaign 403 You do not have permission to access this resource.");
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_skips_who_did_not_consent_and_keeps_the_quota() {
    let fake = Fake::start(ActiveCampaign::default()).await.unwrap();
    let scene = Scene::with("activecampaign", config(&fake), json!({ "api_token": TOKEN })).await;
    let answer = scene.post(0, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    assert_eq!(answer["deliveries"][0]["reason"], "consent");
    for n in 1..=4 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(4, "delivered").await;
    assert_eq!(fake.with(|account| account.quota.refused), 0, "the quota is kept");
    assert_eq!(counts(&fake), (4, 1, 4));
    scene.end().await;
    fake.stop().await;
}
