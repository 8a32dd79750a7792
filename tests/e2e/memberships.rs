//! What settings put people into beside their record: lists, campaigns, groups, tags. A new lead is put there, whom
//! sales took out is not put back by an update, and a look says what of it is not there.

use leadline_fakes::{
    Fake, OpenAccount, PEOPLE, VENDORS, hubspot::Hubspot, open_account, salesforce::CAMPAIGN, sample_lead,
};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, class_and_error};

fn pushing(account: &dyn OpenAccount, settings: &Value) -> Pushing {
    let mut made = account.connection();
    made.config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    Pushing::new(account.connector(), made.config, made.credentials, Value::Null, PATIENCE)
}

fn enquiry(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["email"] = json!("sarah@example.com");
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

#[tokio::test]
async fn an_enquiry_puts_people_there_and_an_update_does_not_put_them_back() {
    let mut tried = 0;
    for (name, open) in VENDORS {
        let account = &*open().await.unwrap();
        let Some((settings, expected)) = account.with(|account| account.putting()) else { continue };
        tried += 1;
        account.with(|account| account.lift_quotas());
        let (mut pushing, mut looking) = (pushing(account, &settings), pushing(account, &settings));
        let mut bring = async |kind, lead: &Value| {
            assert_eq!(pushing.attempt(&mut Bringing::new(kind, lead)).await, Outcome::Delivered, "{name}");
            account.with(|account| account.places())
        };
        let lead = enquiry(1);
        assert_eq!(bring(EventKind::Created, &lead).await, expected, "{name}");
        let mut changed = lead.clone();
        changed["lead"]["phone"] = json!("+442079460001");
        assert_eq!(bring(EventKind::Updated, &changed).await, expected, "{name}: nobody is taken out");
        account.with(|account| account.take_out());
        changed["lead"]["phone"] = json!("+442079460002");
        assert_eq!(bring(EventKind::Updated, &changed).await, [""; 0], "{name}");
        assert_eq!(bring(EventKind::Created, &enquiry(2)).await, expected, "{name}: who asks again is back");
        assert_eq!(
            bring(EventKind::Created, &enquiry(3)).await,
            expected,
            "{name}: who is there stays there"
        );
        let report = looking.probe(ProbeKind::Mapping).await;
        let keys: Vec<&String> = settings.as_object().unwrap().keys().collect();
        let told = report.findings.iter().find(|told| keys.iter().any(|key| told.starts_with(*key)));
        assert_eq!((report.outcome, told), (Outcome::Delivered, None), "{name}");
    }
    assert_eq!(tried, 7, "lists, tags, groups and campaigns");
}

/// A creation may die anywhere, as when its note is refused: the update that takes its place puts them there, once.
#[tokio::test]
async fn whom_a_creation_that_died_was_to_put_there_the_update_puts_there_once() {
    for (name, open) in VENDORS {
        for calls in 0.. {
            let account = &*open().await.unwrap();
            let Some((settings, expected)) = account.with(|account| account.putting()) else { break };
            account.with(|account| account.lift_quotas());
            let mut pushing = pushing(account, &settings);
            let mut lead = enquiry(1);
            let ended = pushing.attempt_until(&mut Bringing::new(EventKind::Created, &lead), calls).await;
            if ended.is_some() {
                break;
            }
            for (phone, expected) in [("+442079460001", expected), ("+442079460002", &[][..])] {
                lead["lead"]["phone"] = json!(phone);
                let outcome = pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await;
                assert_eq!(outcome, Outcome::Delivered, "{name}, dead after {calls} calls");
                let places = account.with(|account| account.places());
                assert_eq!(places, expected, "{name}, dead after {calls} calls");
                account.with(|account| account.take_out());
            }
        }
    }
}

/// Consent belongs to an address: whoever has the new one of a lead is put there, be they known or not.
#[tokio::test]
async fn who_has_another_address_since_an_update_is_put_there() {
    for name in PEOPLE.into_iter().filter(|name| *name != "hubspot") {
        let account = &*open_account(name).await.unwrap();
        account.with(|account| account.lift_quotas());
        let (settings, expected) = account.with(|account| account.putting()).unwrap();
        let mut pushing = pushing(account, &settings);
        let (mut lead, mut other) = (enquiry(1), enquiry(2));
        other["lead"]["email"] = json!("ada@example.com");
        other["lead"]["phone"] = json!("+442079460009");
        for lead in [&lead, &other] {
            let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, lead)).await;
            assert_eq!(outcome, Outcome::Delivered, "{name}");
        }
        account.with(|account| account.take_out());
        lead["lead"]["email"] = json!("ada@example.com");
        lead["lead"].as_object_mut().unwrap().remove("phone");
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{name}");
        assert_eq!(account.with(|account| account.places()), expected, "{name}");
    }
}

/// What a look finds wrong with these settings.
async fn findings(account: &dyn OpenAccount, settings: Value) -> Vec<String> {
    let report = pushing(account, &settings).probe(ProbeKind::Mapping).await;
    let ours = [
        "list_id",
        "groups",
        "marketing_permissions",
        "campaign_",
        "lead_source",
        "reopen_status",
        "closed_statuses",
        "assignment_rule",
        "confirm_template_id",
    ];
    let findings = report.findings.into_iter();
    findings.filter(|told| ours.iter().any(|key| told.starts_with(key))).collect()
}

#[tokio::test]
async fn a_look_names_what_is_not_there() {
    let account = open_account("hubspot").await.unwrap();
    account.of::<Fake<Hubspot>>().unwrap().with(|vendor| {
        vendor.lists.get_mut(&7).unwrap().is_active = true;
        vendor.lists.get_mut(&8).unwrap().object = "0-2";
    });
    assert_eq!(
        findings(&*account, json!({ "list_ids": "7, 8, 9" })).await,
        [
            "list_ids: list 7 (Enquiries) fills itself: only a static list takes contacts",
            "list_ids: list 8 (Weddings) is none of contacts",
            "list_ids: list 9 is not there",
        ]
    );
    let account = open_account("mailchimp").await.unwrap();
    let mut member = pushing(&*account, &json!({}));
    let outcome = member.attempt(&mut Bringing::new(EventKind::Created, &enquiry(1))).await;
    assert_eq!(outcome, Outcome::Delivered);
    let settings = json!({ "groups": "9143cf3bd1, Barn", "marketing_permissions": "Email" });
    assert_eq!(
        findings(&*account, settings).await,
        [
            "groups: the audience has no group Barn; it has 9143cf3bd1 (Venue: The Old Barn), 3a2a927344 (Venue: The Mill)",
            "marketing_permissions: the audience has no marketing permission Email; it has c9a1d2e3f4 (Email), d8b2c3e4f5 (Post)",
        ]
    );
    let account = open_account("salesforce").await.unwrap();
    assert_eq!(
        findings(&*account, json!({ "campaign_id": CAMPAIGN, "campaign_status": "Came" })).await,
        ["campaign_status: the campaign has no Came among its own: Sent, Responded"]
    );
    assert_eq!(
        findings(&*account, json!({ "campaign_id": "701000000000009AAA" })).await,
        ["campaign_id: there is no campaign 701000000000009AAA that this user may see"]
    );
}

/// Settings that name what the account's own picklists, rules, lists and templates have, and what they do not.
#[tokio::test]
async fn a_look_compares_settings_with_what_the_account_has() {
    let mut tried = 0;
    for (name, open) in VENDORS {
        let account = open().await.unwrap();
        account.with(|account| account.lift_quotas());
        for (good, bad, expected) in account.with(|account| account.misnamed()) {
            tried += 1;
            assert_eq!(findings(&*account, good).await, [""; 0], "{name}");
            assert_eq!(findings(&*account, bad).await, expected, "{name}");
        }
    }
    assert_eq!(tried, 7);
}

#[tokio::test]
async fn what_is_not_there_fails_after_the_record_and_says_so() {
    for (name, settings, expected) in [
        ("hubspot", json!({ "list_ids": "9" }), "hubspot OBJECT_NOT_FOUND List does not exist with ID 9."),
        (
            "salesforce",
            json!({ "campaign_id": "701000000000009AAA" }),
            "salesforce INVALID_CROSS_REFERENCE_KEY invalid cross reference id",
        ),
    ] {
        let account = open_account(name).await.unwrap();
        let mut pushing = pushing(&*account, &settings);
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &enquiry(1))).await;
        assert_eq!(class_and_error(outcome), (FailureClass::Rejected, expected.to_owned()), "{name}");
        assert!(!account.records().is_empty(), "{name}: the record is there");
    }
}
