//! Dynamics 365 Sales: whatever goes wrong on the way, the environment holds each person's lead once and each enquiry as
//! one note.

use std::time::Duration;

use leadline_fakes::{
    Fake,
    dynamics::{self, CAMPAIGN, Dynamics},
    sample_lead,
};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error, statuses};

const NOTE: &str = "POST /api/data/v9.2/annotations";

fn app() -> Value {
    json!({ "client_id": "client-1", "client_secret": "secret-1" })
}

fn config(fake: &Fake<Dynamics>, more: Value) -> Value {
    let tenant = fake.with(|dynamics| dynamics.tenant.clone());
    let mut config = json!({ "environment_url": fake.url(), "login_url": fake.url(), "tenant_id": tenant });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

async fn scene(more: Value, mapping: Value) -> (Fake<Dynamics>, Pushing) {
    let fake = Fake::start(Dynamics::default()).await.unwrap();
    let pushing = Pushing::new("dynamics", config(&fake, more), app(), mapping, Duration::from_millis(400));
    (fake, pushing)
}

fn counts(fake: &Fake<Dynamics>) -> (usize, usize) {
    fake.with(|dynamics| (dynamics.leads.len(), dynamics.notes.len()))
}

async fn push(pushing: &mut Pushing, kind: EventKind, lead: &Value) {
    assert_eq!(pushing.attempt(&mut Bringing::new(kind, lead)).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_number_that_is_none_of_a_columns_choices_keeps_nobody_out() {
    let mapping =
        json!({ "lead.event_type": { "to": "leadsourcecode", "values": { "wedding": 8, "*": 99 } } });
    let (fake, mut pushing) = scene(json!({}), mapping).await;
    let mut lead = sample_lead(1);
    lead["lead"]["event_type"] = json!("corporate");
    let note = "field leadsourcecode was left out: A validation error occurred. The value 99 of 'leadsourcecode' on record of type 'lead' is outside the valid range. Accepted Values: 1,2,3,4,5,6,7,8,9,10";
    for kind in [EventKind::Created, EventKind::Updated] {
        push(&mut pushing, kind, &lead).await;
        assert_eq!(pushing.note.as_deref(), Some(note), "{kind:?}");
    }
    lead["lead"]["event_type"] = json!("wedding");
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert_eq!(pushing.note, None);
    assert_eq!(counts(&fake), (1, 3));
    fake.stop().await;
}

#[tokio::test]
async fn each_enquiry_is_a_note_and_leaves_what_sales_did() {
    for (reopen, state, told) in [
        ("no", 2, "The Lead was closed before this enquiry: disqualified (status 3)\n"),
        ("yes", 0, "Delivery: "),
    ] {
        let (fake, mut pushing) = scene(json!({ "reopen": reopen }), json!({})).await;
        let lead = sample_lead(1);
        push(&mut pushing, EventKind::Created, &lead).await;
        let id = fake.with(|dynamics| {
            let (id, lead) = dynamics.leads.iter_mut().next().unwrap();
            (lead.owner, lead.state) = ("Ada".to_owned(), 2);
            lead.fields.insert("description".to_owned(), json!("Wants the barn, call on Friday"));
            lead.fields.insert("subject".to_owned(), json!("The Patel wedding"));
            id.clone()
        });
        let mut second = sample_lead(2);
        second["lead"]["email"] = json!(lead["lead"]["email"].as_str().unwrap().to_uppercase());
        push(&mut pushing, EventKind::Created, &second).await;
        fake.with(|dynamics| {
            let kept = &dynamics.leads[&id];
            assert_eq!((dynamics.leads.len(), kept.owner.as_str(), kept.state), (1, "Ada", state));
            let told_of = (&kept.fields["description"], &kept.fields["subject"]);
            assert_eq!(told_of, (&json!("Wants the barn, call on Friday"), &json!("The Patel wedding")));
            let note = dynamics.notes.values().next_back().unwrap();
            assert!(note.text.starts_with(told) && note.subject.starts_with("New lead: "), "{note:?}");
        });
        fake.stop().await;
    }
}

#[tokio::test]
async fn who_was_qualified_or_deleted_comes_back_as_a_new_lead() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let lead = sample_lead(1);
    push(&mut pushing, EventKind::Created, &lead).await;
    fake.with(|dynamics| dynamics.leads.values_mut().for_each(|lead| lead.state = 1));
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert_eq!(counts(&fake), (2, 2));
    let gone = fake.with(|dynamics| {
        let gone = dynamics.leads.keys().next_back().unwrap().clone();
        dynamics.leads.remove(&gone);
        gone
    });
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert!(fake.with(|dynamics| dynamics.leads.len() == 2 && !dynamics.leads.contains_key(&gone)));
    // It goes between the lead and its note.
    fake.fault(NOTE, statuses(&[500]).remove(0));
    let mut bringing = Bringing::new(EventKind::Updated, &lead);
    assert!(matches!(pushing.attempt(&mut bringing).await, Outcome::Failed(_)));
    fake.with(|dynamics| dynamics.leads.clear());
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 4));
    fake.stop().await;
}

#[tokio::test]
async fn a_rule_for_duplicates_counts_where_it_is_to_be_respected() {
    for (duplicates, expected) in [("save", 2), ("respect", 1)] {
        let (fake, mut pushing) = scene(json!({ "duplicates": duplicates }), json!({})).await;
        push(&mut pushing, EventKind::Created, &sample_lead(1)).await;
        fake.with(|dynamics| dynamics.leads.values_mut().for_each(|lead| lead.state = 1));
        let mut second = sample_lead(2);
        second["lead"]["email"] = sample_lead(1)["lead"]["email"].clone();
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &second)).await;
        if duplicates == "respect" {
            let (class, error) = class_and_error(outcome);
            assert_eq!(class, FailureClass::Rejected);
            assert!(error.starts_with("dynamics 0x80040333 A record was not created"), "{error}");
        }
        assert_eq!(counts(&fake).0, expected);
        fake.stop().await;
    }
}

/// The campaign says where somebody came from first: nothing later changes it.
#[tokio::test]
async fn only_a_new_lead_is_given_its_campaign() {
    let (fake, mut pushing) = scene(json!({ "campaign_id": CAMPAIGN }), json!({})).await;
    push(&mut pushing, EventKind::Created, &sample_lead(1)).await;
    let campaign = |lead: &dynamics::Lead| lead.fields["campaignid@odata.bind"].clone();
    let given = fake.with(|dynamics| dynamics.leads.values().map(campaign).collect::<Vec<_>>());
    assert_eq!(given, [json!(format!("/campaigns({CAMPAIGN})"))]);
    fake.with(|dynamics| {
        let lead = dynamics.leads.values_mut().next().unwrap();
        lead.fields["campaignid@odata.bind"] = json!("of sales");
    });
    push(&mut pushing, EventKind::Updated, &sample_lead(1)).await;
    let given = fake.with(|dynamics| dynamics.leads.values().map(campaign).collect::<Vec<_>>());
    assert_eq!(given, ["of sales"]);
    fake.stop().await;
}

#[tokio::test]
async fn a_probe_tells_the_organization_and_what_is_wrong_with_the_mapping() {
    let mapping = json!({ "lead.event_date": "new_event_dat", "lead.guest_count": "description", "lead.name": "new_guests" });
    let (fake, mut pushing) = scene(json!({ "alternate_key": "new_ref" }), mapping).await;
    fake.with(|dynamics| dynamics.required.insert("new_event_date".to_owned()));
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!((report.outcome, report.account.as_deref()), (Outcome::Delivered, Some("Innkept Ltd")));
    let mut findings = report.findings;
    findings.sort();
    assert_eq!(
        findings,
        [
            "alternate_key: leads have no column new_ref",
            "lead.event_date: unknown column new_event_dat; did you mean new_event_date?",
            "lead.guest_count: description is of type Memo, and this is a number",
            "lead.name: new_guests is of type Integer, and this is a text",
            "new_event_date is required, and nothing is mapped to it",
        ]
    );
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_shares_one_token_that_is_for_the_environment_and_says_what_a_login_said() {
    let fake = Fake::start(Dynamics::default()).await.unwrap();
    let scene = Scene::with("dynamics", config(&fake, json!({})), app()).await;
    for n in 0..4 {
        scene.post(n, |lead| lead["lead"]["email"] = json!(format!("lead{n}@example.com"))).await;
    }
    scene.wait_for(4, "delivered").await;
    let scope = format!("{}/.default", fake.url());
    assert_eq!(fake.with(|dynamics| (dynamics.logins, dynamics.scope.clone())), (1, scope));
    fake.with(|dynamics| (dynamics.tokens.clear(), dynamics.app.1 = "another".to_owned()));
    scene.post(9, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let (class, error) = scene.last_failure().await;
    assert_eq!(class, "credentials");
    assert!(error.starts_with("dynamics login refused: invalid_client AADSTS7000215"), "{error}");
    scene.end().await;
    fake.stop().await;
}
