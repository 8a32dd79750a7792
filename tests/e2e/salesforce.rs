//! Salesforce: whatever goes wrong on the way, the organization holds each lead exactly once.

use leadline_fakes::{Fake, Fault, Reply, salesforce::Salesforce, sample_lead};
use leadline_tests::{Bringing, Daemon, Operator, Pushing, post_lead, wait_until};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, class_and_error};

const CREATE: &str = "POST /services/data/v62.0/sobjects/Lead";
const UPSERT: &str = "PATCH /services/data/v62.0/sobjects/Lead/Lead_Ref__c";

async fn scene(config: Value, mapping: Value) -> (Fake<Salesforce>, Pushing) {
    let credentials = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let fake = fake().await;
    let pushing = pushing(&fake, config, credentials, mapping);
    (fake, pushing)
}

async fn fake() -> Fake<Salesforce> {
    let fake = Fake::start(Salesforce::default()).await.unwrap();
    let url = fake.url();
    fake.with(|salesforce| salesforce.instance_url = url);
    fake
}

fn pushing(fake: &Fake<Salesforce>, mut config: Value, credentials: Value, mapping: Value) -> Pushing {
    config["login_url"] = json!(fake.url());
    Pushing::new("salesforce", config, credentials, mapping, PATIENCE)
}

fn created(n: usize) -> Bringing {
    Bringing::new(EventKind::Created, &sample_lead(n))
}

fn count(fake: &Fake<Salesforce>) -> usize {
    fake.with(|salesforce| salesforce.leads.len())
}

#[tokio::test]
async fn a_lead_is_found_by_its_address_unless_it_was_converted() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let mut lead = sample_lead(1);
    lead["lead"]["email"] = json!(" O'Brien@Example.com");
    let (converted, open) = fake.with(|salesforce| {
        let converted = salesforce.add_lead("o'brien@example.com");
        salesforce.leads.get_mut(&converted).unwrap().is_converted = true;
        (converted, salesforce.add_lead("o'brien@example.com"))
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    fake.with(|salesforce| {
        assert_eq!(salesforce.leads.len(), 2);
        assert!(!salesforce.leads[&converted].fields.contains_key("Description"));
        let fields = &salesforce.leads[&open].fields;
        assert!(!fields.contains_key("Description") && salesforce.tasks.len() == 1, "sales' own text stays");
        assert_eq!(fields["Company"], "Known & Co", "what only a new Lead needs is left alone");
        // The update goes to the same Lead under its new address, and once more when it was deleted.
        lead["lead"]["email"] = json!("new@example.com");
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    fake.with(|salesforce| {
        assert_eq!(salesforce.leads[&open].fields["Email"], "new@example.com");
        salesforce.leads.remove(&open);
    });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    assert_eq!(count(&fake), 2);
    fake.stop().await;
}

#[tokio::test]
async fn a_text_too_long_for_a_field_of_the_organizations_own_is_cut() {
    let (fake, mut pushing) = scene(json!({}), json!({ "lead.profile.notes": "Region__c" })).await;
    let mut lead = sample_lead(1);
    lead["lead"]["profile"] = json!({ "notes": "é".repeat(3_000) });
    fake.fault(CREATE, Fault::ActThenClose);
    fake.fault(CREATE, Fault::ActThenClose);
    let outcome = pushing.deliver(&mut Bringing::new(EventKind::Created, &lead), 4).await;
    assert_eq!((outcome, count(&fake)), (Outcome::Delivered, 1));
    let region =
        fake.with(|salesforce| salesforce.leads.values().next().unwrap().fields["Region__c"].clone());
    assert_eq!(region, format!("{}…", "é".repeat(254)));
    fake.stop().await;
}

#[tokio::test]
async fn a_value_that_is_refused_keeps_nobody_out_but_for_what_a_lead_needs() {
    let (fake, mut pushing) = scene(json!({}), json!({ "lead.event_type": "Kind__c" })).await;
    fake.with(|salesforce| salesforce.fields.insert("Kind__c".to_owned(), "restricted"));
    let lead = sample_lead(1);
    for kind in [EventKind::Created, EventKind::Created, EventKind::Updated] {
        assert_eq!(pushing.attempt(&mut Bringing::new(kind, &lead)).await, Outcome::Delivered);
        if kind == EventKind::Created {
            let note = pushing.note.take().unwrap();
            assert!(
                note.starts_with("field Kind__c was left out: Kind__c: bad value for restricted"),
                "{note}"
            );
        }
    }
    assert_eq!(count(&fake), 1);
    let mut nobody = sample_lead(2);
    nobody["lead"]["email"] = json!("nobody");
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &nobody)).await);
    assert_eq!(class, FailureClass::Rejected);
    assert!(error.starts_with("salesforce INVALID_EMAIL_ADDRESS Email: invalid email address"), "{error}");
    fake.stop().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_salesforce_said() {
    // A field that is not there is missing from every lead: that is no fault of this one's.
    let (unmapped, mut pushing) = scene(json!({}), json!({ "lead.event_date": "Wedding__c" })).await;
    let (class, error) = class_and_error(pushing.attempt(&mut created(1)).await);
    assert_eq!(class, FailureClass::Rejected);
    assert_eq!(error, "salesforce INVALID_FIELD No such column 'Wedding__c' on sobject of type Lead");
    unmapped.stop().await;
    let fake = fake().await;
    let mut pushing = self::pushing(
        &fake,
        json!({ "external_id_field": "Lead_Ref__c" }),
        json!({ "client_id": "client-1", "refresh_token": "refresh-1" }),
        json!({}),
    );
    let mut bringing = created(2);
    fake.fault(UPSERT, Fault::Answer(Reply::json(300, &json!(["/a", "/b"]))));
    let (class, error) = class_and_error(pushing.attempt(&mut bringing).await);
    assert_eq!(class, FailureClass::Rejected);
    assert!(error.starts_with("salesforce 300 "), "{error}");

    // A rule that warns is respected where that is asked for.
    fake.with(|salesforce| {
        let converted = salesforce.add_lead("aoife.nowak.2@example.com");
        salesforce.leads.get_mut(&converted).unwrap().is_converted = true;
    });
    let credentials = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let respecting = json!({ "duplicates": "respect" });
    let mut respecting = self::pushing(&fake, respecting, credentials, json!({}));
    let (class, error) = class_and_error(respecting.attempt(&mut created(2)).await);
    assert_eq!(class, FailureClass::Rejected);
    assert!(error.starts_with("salesforce DUPLICATES_DETECTED"), "{error}");
    assert_eq!(pushing.attempt(&mut created(2)).await, Outcome::Delivered);
    fake.stop().await;
}

#[tokio::test]
async fn a_session_that_is_over_is_renewed_once() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    assert_eq!(pushing.attempt(&mut created(1)).await, Outcome::Delivered);
    fake.with(|salesforce| salesforce.sessions.clear());
    assert_eq!(pushing.attempt(&mut created(2)).await, Outcome::Delivered);
    assert_eq!((count(&fake), fake.with(|salesforce| salesforce.logins)), (2, 2));
    fake.with(|salesforce| (salesforce.sessions.clear(), salesforce.client.1 = "changed".to_owned()));
    let (class, error) = class_and_error(pushing.attempt(&mut created(3)).await);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "salesforce login refused: invalid_client invalid client credentials");
    fake.stop().await;
}

#[tokio::test]
async fn a_key_logs_a_user_in() {
    let fake = fake().await;
    let key = include_str!("../../daemon/connectors/src/salesforce/fixtures/key.pem");
    let credentials =
        json!({ "client_id": "client-1", "private_key": key, "username": "ada@oldbarn.example" });
    let mut pushing = pushing(&fake, json!({}), credentials, json!({}));
    assert_eq!(pushing.attempt(&mut created(1)).await, Outcome::Delivered);
    fake.with(|salesforce| (salesforce.sessions.clear(), salesforce.users.clear()));
    let (class, error) = class_and_error(pushing.attempt(&mut created(2)).await);
    assert_eq!(class, FailureClass::Credentials);
    assert_eq!(error, "salesforce login refused: invalid_grant user hasn't approved this consumer");
    fake.stop().await;
}

#[tokio::test]
async fn a_probe_tells_the_organization_and_what_is_wrong() {
    let config = json!({ "external_id_field": "Lead_Ref_c" });
    let mapping =
        json!({ "lead.event_date": "Event_Dat__c", "lead.phone": "Guests__c", "lead.guest_count": "Id" });
    let (fake, mut pushing) = scene(config, mapping).await;
    fake.with(|salesforce| salesforce.required.insert("Region__c".to_owned()));
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(report.account.as_deref(), Some("The Old Barn (sandbox)"));
    assert_eq!(
        report.findings,
        [
            "lead.event_date: unknown field Event_Dat__c; did you mean Event_Date__c?",
            "lead.phone: Guests__c is of type double, and this is a text",
            "lead.guest_count: Id cannot be written: this user may not",
            "Region__c is required, and nothing is mapped to it",
            "external_id_field: Lead has no field Lead_Ref_c",
        ]
    );
    fake.with(|salesforce| (salesforce.sessions.clear(), salesforce.client.1 = "changed".to_owned()));
    let report = pushing.probe(ProbeKind::Credentials).await;
    assert_eq!(class_and_error(report.outcome).0, FailureClass::Credentials);
    assert_eq!(count(&fake), 0);
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_logs_in_once_for_many_pushes_and_waits_out_a_quota() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let fake = fake().await;
    let config = json!({ "base_url": fake.url() });
    let credentials = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let made = operator.connect(7, "salesforce", config, credentials).await;
    for n in 0..20 {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
    wait_until("all leads are there", async || count(&fake) == 20).await;
    wait_until("all is well", async || operator.badge(&made.id).await == "ok").await;
    assert_eq!(fake.with(|salesforce| salesforce.logins), 1);

    fake.with(|salesforce| salesforce.calls_left = 900);
    post_lead(&daemon.url("/v1/leads"), &key, sample_lead(21).to_string()).await;
    wait_until("its push has ended", async || {
        let finished = operator.finished(&made.id).await;
        finished.iter().filter(|attempt| !attempt.delivery_id.is_empty()).count() == 21
    })
    .await;
    let calls = fake.calls().len();
    post_lead(&daemon.url("/v1/leads"), &key, sample_lead(20).to_string()).await;
    wait_until("the lane is throttled", async || {
        operator.integration(&made.id).await.health.unwrap().throttled_until.is_some()
    })
    .await;
    let attempts = operator.finished(&made.id).await;
    let last = attempts.last().unwrap();
    assert_eq!(last.failure_class().word(), "throttled");
    assert_eq!(
        last.error,
        "salesforce quota: 898 of the day's 100000 calls are left, and are left to others"
    );
    assert_eq!(fake.calls().len(), calls, "the last calls of the day are not spent");
    assert!(!format!("{attempts:?}").contains("secret-1"), "{attempts:?}");
    daemon.stop().await;
    fake.stop().await;
}
