//! Pipedrive, which forbids nothing: whatever goes wrong on the way, the account holds each lead's person, deal and note
//! exactly once.

use std::time::Duration;

use leadline_fakes::{Fake, Fault, pipedrive::Pipedrive, sample_lead, vendor::Quota};
use leadline_tests::{Bringing, Daemon, Operator, Pushing, post_lead, wait_until};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, class_and_error};

const PERSON: &str = "POST /api/v2/persons";
const DEAL: &str = "POST /api/v2/deals";
const NOTE: &str = "POST /api/v1/notes";

async fn scene(config: Value, mapping: Value) -> (Fake<Pipedrive>, Pushing) {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| {
        pipedrive.quota = Quota::new(100_000, Duration::from_secs(2));
        pipedrive.searches = Quota::new(100_000, Duration::from_secs(2));
    });
    let pushing = pushing(&fake, config, json!({ "api_token": "pipedrive-good" }), mapping);
    (fake, pushing)
}

fn pushing(fake: &Fake<Pipedrive>, mut config: Value, credentials: Value, mapping: Value) -> Pushing {
    config["base_url"] = json!(fake.url());
    Pushing::new("pipedrive", config, credentials, mapping, PATIENCE)
}

fn created(n: usize) -> Bringing {
    Bringing::new(EventKind::Created, &sample_lead(n))
}

fn counts(fake: &Fake<Pipedrive>) -> (usize, usize, usize) {
    fake.with(|pipedrive| (pipedrive.persons.len(), pipedrive.deals.len(), pipedrive.notes.len()))
}

#[tokio::test]
async fn a_person_is_found_and_added_to() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let mut lead = sample_lead(1);
    lead["lead"]["email"] = json!(" ADA@example.com");
    let (oldest, _) = fake.with(|pipedrive| {
        (pipedrive.add_person("Ada", "ada@example.com"), pipedrive.add_person("Ada again", "ada@example.com"))
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    fake.with(|pipedrive| {
        let person = &pipedrive.persons[&oldest];
        assert_eq!(person["emails"].as_array().unwrap().len(), 1);
        assert_eq!(person["emails"][0]["label"], "home", "what is there stays");
        assert_eq!(person["phones"][0]["value"], lead["lead"]["phone"]);
        let deal = pipedrive.deals.values().next().unwrap();
        assert_eq!(deal["person_id"], oldest);
        let pence = lead["quote"]["total_pence"].as_i64().unwrap();
        assert_eq!(deal["value"].to_string().parse::<f64>().unwrap(), pence as f64 / 100.0);
    });
    assert_eq!(counts(&fake), (2, 1, 1));
    fake.stop().await;
}

#[tokio::test]
async fn an_update_changes_the_deal_and_makes_what_was_deleted_anew() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let mut lead = sample_lead(1);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    lead["quote"]["total_pence"] = json!(123_456);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 1, 2));
    fake.with(|pipedrive| {
        assert_eq!(pipedrive.deals.values().next().unwrap()["value"].to_string(), "1234.56");
        pipedrive.persons.clear();
        pipedrive.deals.clear();
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 1, 3));
    fake.stop().await;
}

#[tokio::test]
async fn what_was_deleted_is_made_anew_once_though_the_answers_are_lost() {
    for (call, lead_field) in [(PERSON, json!(null)), (DEAL, json!(null)), (DEAL, json!("a".repeat(40)))] {
        let (fake, mut pushing) = scene(json!({ "lead_field": lead_field }), json!({})).await;
        let lead = sample_lead(1);
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
        fake.with(|pipedrive| {
            let records = pipedrive.persons.values_mut().chain(pipedrive.deals.values_mut());
            records.for_each(|record| record["is_deleted"] = json!(true));
            pipedrive.search_lag = Duration::from_secs(600);
        });
        fake.fault(call, Fault::ActThenClose);
        let outcome = pushing.deliver(&mut Bringing::new(EventKind::Updated, &lead), 3).await;
        assert_eq!((outcome, fake.faults_left()), (Outcome::Delivered, 0));
        assert_eq!(counts(&fake), (2, 2, 2), "{call}: {:?}", fake.calls());
        fake.stop().await;
    }
}

#[tokio::test]
async fn a_note_is_found_among_notes_that_are_too_long_to_be_read_together() {
    for length in [2_000, 40_000, 70_000] {
        let (fake, mut pushing) = scene(json!({}), json!({})).await;
        let lead = sample_lead(1);
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
        fake.with(|pipedrive| {
            let deal = *pipedrive.deals.keys().next().unwrap();
            (0..19).for_each(|_| pipedrive.add_note(deal, &"x".repeat(length)));
        });
        fake.fault(NOTE, Fault::ActThenClose);
        let mut update = Bringing::new(EventKind::Updated, &lead);
        assert_eq!(pushing.deliver(&mut update, 3).await, Outcome::Delivered);
        assert_eq!(counts(&fake), (1, 1, 21), "{length}: {:?}", fake.calls());
        let asked = fake.calls().iter().filter(|call| call.starts_with("GET /api/v1/notes")).count();
        assert_eq!(asked, 1, "{length}");
        fake.stop().await;
    }
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_pipedrive_said() {
    let (fake, mut pushing) = scene(json!({}), json!({ "lead.event_date": "deal.wedding" })).await;
    let (class, error) = class_and_error(pushing.attempt(&mut created(1)).await);
    assert_eq!(class, FailureClass::Rejected);
    assert_eq!(error, "pipedrive ERR_SCHEMA_VALIDATION_FAILED Validation failed: wedding: Unrecognized key");
    fake.with(|pipedrive| pipedrive.deals_max = 0);
    let (class, error) = class_and_error(pushing.attempt(&mut created(2)).await);
    assert_eq!(class, FailureClass::Rejected);
    assert!(error.starts_with("pipedrive feature_capping_deals_limit"), "{error}");
    fake.with(|pipedrive| pipedrive.api_token = "changed".to_owned());
    let (class, error) = class_and_error(pushing.attempt(&mut created(3)).await);
    assert_eq!((class, error.as_str()), (FailureClass::Credentials, "pipedrive 401 unauthorized access"));
    fake.stop().await;
}

#[tokio::test]
async fn a_login_is_renewed_when_its_token_is_refused() {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    let app = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    let mut pushing = pushing(&fake, json!({}), app, json!({}));
    assert_eq!(pushing.attempt(&mut created(1)).await, Outcome::Delivered);
    fake.with(|pipedrive| pipedrive.tokens.clear());
    assert_eq!(pushing.attempt(&mut created(2)).await, Outcome::Delivered);
    assert_eq!((counts(&fake), fake.with(|pipedrive| pipedrive.logins)), ((2, 2, 2), 2));
    fake.with(|pipedrive| (pipedrive.tokens.clear(), pipedrive.app.2 = "revoked".to_owned()));
    let (class, error) = class_and_error(pushing.attempt(&mut created(3)).await);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "pipedrive login refused: invalid_grant Invalid grant: refresh token is invalid");
    fake.stop().await;
}

#[tokio::test]
async fn a_value_that_an_own_field_does_not_take_keeps_nobody_out() {
    let own = "c".repeat(40);
    let mapping = json!({ "lead.event_type": [format!("person.{own}"), format!("deal.{own}")] });
    let (fake, mut pushing) = scene(json!({}), mapping).await;
    let told =
        format!("Validation failed: custom_fields: Expected 'number' as value for deal custom field '{own}'");
    let note = format!("field custom_fields.{own} was left out: {told}");
    // Each says so, as it was not written by those before.
    let lead = sample_lead(1);
    for kind in [EventKind::Created, EventKind::Updated] {
        assert_eq!(pushing.attempt(&mut Bringing::new(kind, &lead)).await, Outcome::Delivered);
        assert_eq!(pushing.note.as_deref(), Some(note.as_str()), "{kind:?}");
    }
    fake.with(|pipedrive| {
        assert!(pipedrive.deals.values().all(|deal| deal["custom_fields"][&own].is_null()))
    });
    fake.stop().await;

    // But what a repeat finds its deal by is not left out, nor what the account does not have.
    let strange = "e".repeat(40);
    for (config, mapping, said) in [
        (json!({ "lead_field": own }), json!({}), format!("custom field '{own}'")),
        (
            json!({}),
            json!({ "lead.event_type": format!("deal.{strange}") }),
            format!("Unknown key '{strange}'"),
        ),
    ] {
        let (fake, mut pushing) = scene(config, mapping).await;
        let (class, error) = class_and_error(pushing.attempt(&mut created(1)).await);
        assert_eq!(
            (class, error.contains(&said), counts(&fake).1),
            (FailureClass::Rejected, true, 0),
            "{error}"
        );
        fake.stop().await;
    }
}

#[tokio::test]
async fn a_probe_tells_the_account_and_what_is_wrong() {
    let config = json!({ "pipeline_id": 1, "stage_id": 7, "lead_field": "d".repeat(40) });
    let mapping = json!({ "lead.event_date": "deal.expected_close_dat", "lead.profile.notes": format!("deal.{}", "c".repeat(40)) });
    let (fake, mut pushing) = scene(config, mapping).await;
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(report.account.as_deref(), Some("The Old Barn (as Ada Byron, GBP)"));
    assert_eq!(
        report.findings,
        [
            "stage_id: there is no 7 among the stages: 5 (New), 6 (Viewing), 8 (New)".to_owned(),
            format!("lead_field: there is no field deal.{}", "d".repeat(40)),
            "lead.event_date: unknown field deal.expected_close_dat; did you mean deal.expected_close_date?"
                .to_owned(),
            format!("lead.profile.notes: deal.{} is of type double, and this is a text", "c".repeat(40)),
        ]
    );
    fake.with(|pipedrive| pipedrive.api_token = "changed".to_owned());
    assert_eq!(
        class_and_error(pushing.probe(ProbeKind::Credentials).await.outcome).0,
        FailureClass::Credentials
    );
    assert_eq!(counts(&fake), (0, 0, 0));
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_pushes_within_the_quota() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.quota = Quota::new(10, Duration::from_secs(2)));
    let config = json!({ "base_url": fake.url() });
    let made = operator.connect(7, "pipedrive", config, json!({ "api_token": "pipedrive-good" })).await;
    for n in 0..8 {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
    wait_until("all leads are there", async || counts(&fake) == (8, 8, 8)).await;
    let refused = fake.with(|pipedrive| pipedrive.quota.refused + pipedrive.searches.refused);
    assert_eq!(refused, 0, "the quota is kept");
    wait_until("all is well", async || operator.badge(&made.id).await == "ok").await;
    daemon.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_deal_is_put_where_the_settings_name_and_the_employer_becomes_its_organization() {
    let settings = json!({ "pipeline": "weddings", "stage": "Viewing", "organizations": "yes" });
    let (fake, mut pushing) = scene(settings, json!({})).await;
    let employed = |n: usize, company: &str| {
        let mut lead = sample_lead(n);
        lead["lead"]["profile"] = json!({ "company": company });
        lead
    };
    let lead = employed(1, "Innkept Ltd");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    // A colleague's lead is of the same organization, however it is spelled.
    let colleague = employed(2, "INNKEPT LTD");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &colleague)).await, Outcome::Delivered);
    let nobody = employed(3, " ");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &nobody)).await, Outcome::Delivered);
    fake.with(|pipedrive| {
        assert_eq!(pipedrive.organizations.len(), 1);
        let (id, one) = pipedrive.organizations.iter().next().unwrap();
        assert_eq!(one["name"], "Innkept Ltd");
        for records in [&pipedrive.persons, &pipedrive.deals] {
            let of: Vec<&Value> = records.values().map(|record| &record["org_id"]).collect();
            assert_eq!(of, [&json!(id), &json!(id), &Value::Null]);
        }
        assert!(pipedrive.deals.values().all(|deal| deal["stage_id"] == 6));
        // Sales knows better whom somebody works for.
        pipedrive.persons.values_mut().for_each(|person| person["org_id"] = Value::Null);
    });
    let mut changed = lead.clone();
    changed["lead"]["phone"] = json!("+442079460001");
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &changed)).await, Outcome::Delivered);
    fake.with(|pipedrive| assert!(pipedrive.persons.values().all(|person| person["org_id"].is_null())));
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [""; 0]);
    fake.stop().await;
}

#[tokio::test]
async fn places_that_are_not_there_are_named() {
    for (settings, told) in [
        (json!({ "pipeline": "Wedings" }), "pipeline: unknown pipeline Wedings; did you mean Weddings?"),
        (json!({ "stage": "Viewings" }), "stage: unknown stage Viewings; did you mean Viewing?"),
        (json!({ "stage": "New" }), "stage: New is in Weddings and Corporate: set pipeline too"),
    ] {
        let (fake, mut pushing) = scene(settings, json!({})).await;
        assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [told]);
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
        let expected = format!("pipedrive {told}; correct the setting");
        assert_eq!(class_and_error(outcome), (FailureClass::Rejected, expected));
        fake.stop().await;
    }
}
