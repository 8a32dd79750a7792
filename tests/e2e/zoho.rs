//! Zoho CRM: whatever goes wrong on the way, the organization holds each person's Lead once and each enquiry as one note.

use std::time::Duration;

use leadline_fakes::{Account as _, Fake, Rule, sample_lead, zoho::Zoho};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error, statuses};

const NOTE: &str = "POST /crm/v8/Notes";

fn app() -> Value {
    json!({ "client_id": "1000.CLIENT", "client_secret": "secret-1", "refresh_token": "1000.refresh" })
}

async fn organization() -> (Fake<Zoho>, Value) {
    let fake = Fake::start(Zoho::default()).await.unwrap();
    let url = fake.url();
    fake.with(|zoho| zoho.api_domain = url);
    let config = json!({ "accounts_url": fake.url() });
    (fake, config)
}

async fn scene(more: Value, mapping: Value) -> (Fake<Zoho>, Pushing) {
    let (fake, mut config) = organization().await;
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let pushing = Pushing::new("zoho", config, app(), mapping, Duration::from_millis(400));
    (fake, pushing)
}

fn counts(fake: &Fake<Zoho>) -> (usize, usize) {
    fake.with(|zoho| (zoho.leads.len(), zoho.notes.len()))
}

async fn push(pushing: &mut Pushing, kind: EventKind, lead: &Value) {
    assert_eq!(pushing.attempt(&mut Bringing::new(kind, lead)).await, Outcome::Delivered);
}

/// Somebody has an old Lead that sales closed and one that is open: what comes goes to the open one.
#[tokio::test]
async fn an_open_lead_goes_before_a_closed_one() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let open = fake.with(|zoho| {
        (0..2).for_each(|_| drop(zoho.set(Rule::Duplicate)));
        zoho.unique.clear();
        zoho.leads.retain(|_, lead| lead.fields["Email"] == "sarah@example.com");
        let closed = zoho.leads.values_mut().next().unwrap();
        closed.fields.insert("Lead_Status".to_owned(), json!("Lost Lead"));
        zoho.leads.keys().next_back().unwrap().clone()
    });
    let mut lead = sample_lead(1);
    lead["lead"]["email"] = json!("sarah@example.com");
    lead["lead"]["phone"] = json!("+442079460000");
    push(&mut pushing, EventKind::Created, &lead).await;
    let kept = pushing.ids(lead["lead"]["uuid"].as_str().unwrap());
    assert_eq!(kept.get("lead"), Some(&open));
    assert_eq!(counts(&fake), (2, 1), "a note on the open one");
}

#[tokio::test]
async fn each_enquiry_is_a_note_and_leaves_what_sales_did() {
    let (fake, mut pushing) = scene(json!({ "assignment_rule": "365239700001" }), json!({})).await;
    let lead = sample_lead(1);
    push(&mut pushing, EventKind::Created, &lead).await;
    let id = fake.with(|zoho| {
        let (id, lead) = zoho.leads.iter_mut().next().unwrap();
        assert_eq!((lead.owner.as_str(), &lead.fields["Lead_Source"]), ("queue", &json!("Web")));
        lead.owner = "Ada".to_owned();
        lead.fields.insert("Description".to_owned(), json!("Wants the barn, call on Friday"));
        lead.fields.insert("Lead_Source".to_owned(), json!("Trade Show"));
        lead.fields.insert("Lead_Status".to_owned(), json!("Lost Lead"));
        id.clone()
    });
    let mut second = sample_lead(2);
    second["lead"]["email"] = lead["lead"]["email"].clone();
    push(&mut pushing, EventKind::Created, &second).await;
    push(&mut pushing, EventKind::Updated, &second).await;
    fake.with(|zoho| {
        let kept = &zoho.leads[&id];
        assert_eq!((zoho.leads.len(), kept.owner.as_str()), (1, "Ada"));
        assert_eq!(kept.fields["Description"], "Wants the barn, call on Friday");
        assert_eq!(
            (&kept.fields["Lead_Source"], &kept.fields["Lead_Status"]),
            (&json!("Trade Show"), &json!("Lost Lead"))
        );
        let notes: Vec<_> = zoho.notes.values().collect();
        assert!(
            notes[0].title.starts_with("New lead: ") && notes[2].title.starts_with("Lead updated: "),
            "{notes:?}"
        );
        let closed = "The Lead was closed before this enquiry: Lost Lead\n";
        assert!(
            notes[1].content.starts_with(closed) && notes.iter().all(|note| note.lead == id),
            "{notes:?}"
        );
    });
    fake.stop().await;
}

#[tokio::test]
async fn who_was_converted_or_deleted_comes_back_as_a_new_lead() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let lead = sample_lead(1);
    push(&mut pushing, EventKind::Created, &lead).await;
    fake.with(|zoho| zoho.leads.values_mut().for_each(|lead| lead.is_converted = true));
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert_eq!(counts(&fake), (2, 2));
    fake.with(|zoho| zoho.leads.retain(|_, lead| lead.is_converted));
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert_eq!(counts(&fake), (2, 3));
    // It goes between the Lead and its note.
    fake.fault(NOTE, statuses(&[500]).remove(0));
    let mut bringing = Bringing::new(EventKind::Updated, &lead);
    assert!(matches!(pushing.attempt(&mut bringing).await, Outcome::Failed(_)));
    fake.with(|zoho| zoho.leads.clear());
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(counts(&fake), (1, 4));
    fake.stop().await;
}

#[tokio::test]
async fn a_search_that_finds_longer_addresses_renames_nobody() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    let mut other = sample_lead(1);
    (other["lead"]["name"], other["lead"]["email"]) = (json!("Mia Self"), json!("myself@example.com"));
    push(&mut pushing, EventKind::Created, &other).await;
    let mut lead = sample_lead(2);
    lead["lead"]["email"] = json!("self@example.com");
    push(&mut pushing, EventKind::Created, &lead).await;
    fake.with(|zoho| {
        let first = zoho.leads.values().next().unwrap();
        assert_eq!((zoho.leads.len(), &first.fields["Last_Name"]), (2, &json!("Self")));
    });
    fake.stop().await;
}

#[tokio::test]
async fn a_probe_tells_the_organization_and_what_is_wrong_with_the_mapping() {
    let mapping =
        json!({ "lead.event_date": "Event_Dat", "lead.guest_count": "Description", "lead.name": "Guests" });
    let (fake, mut pushing) = scene(json!({}), mapping).await;
    fake.with(|zoho| zoho.required.insert("Event_Date".to_owned()));
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!((report.outcome, report.account.as_deref()), (Outcome::Delivered, Some("Innkept Ltd")));
    let mut findings = report.findings;
    findings.sort();
    assert_eq!(
        findings,
        [
            "Event_Date is required, and nothing is mapped to it",
            "lead.event_date: unknown field Event_Dat; did you mean Event_Date?",
            "lead.guest_count: Description is of type textarea, and this is a number",
            "lead.name: Guests is of type integer, and this is a text",
        ]
    );
    fake.with(|zoho| zoho.scopes = ["modules", "search"].into());
    let report = pushing.probe(ProbeKind::Test).await;
    assert_eq!((report.outcome, report.account), (Outcome::Delivered, None));
    let unchecked =
        "the mapping was not checked: zoho OAUTH_SCOPE_MISMATCH invalid oauth scope to access this URL";
    assert_eq!(report.findings, [unchecked]);
    fake.stop().await;
}

/// Whoever logs in without it would see each push refused.
#[tokio::test]
async fn a_look_says_that_a_search_takes_a_scope() {
    let (fake, mut pushing) = scene(json!({}), json!({})).await;
    fake.with(|zoho| zoho.scopes.remove("search"));
    let told = "zoho OAUTH_SCOPE_MISMATCH invalid oauth scope to access this URL: to search takes the scope ZohoSearch.securesearch.READ";
    let expected = (FailureClass::Credentials, told.to_owned());
    assert_eq!(class_and_error(pushing.probe(ProbeKind::Test).await.outcome), expected);
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(1));
    assert_eq!(class_and_error(pushing.attempt(&mut bringing).await), expected);
    assert_eq!(counts(&fake), (0, 0));
    fake.stop().await;
}

#[tokio::test]
async fn a_look_says_that_tags_take_a_scope() {
    let (fake, mut pushing) = scene(json!({ "tags": "Barn" }), json!({})).await;
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [""; 0]);
    fake.with(|zoho| zoho.scopes.remove("tags"));
    let told = "tags: they take the scope ZohoCRM.settings.tags.ALL: zoho OAUTH_SCOPE_MISMATCH invalid oauth scope to access this URL";
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [told]);
    fake.stop().await;
}

#[tokio::test]
async fn what_no_retry_can_mend_says_what_zoho_said() {
    let (fake, mut pushing) = scene(json!({}), json!({ "lead.name": "Guests" })).await;
    // A field that is refused keeps nobody out, one that is required does.
    push(&mut pushing, EventKind::Created, &sample_lead(1)).await;
    let note = "field Guests was left out: Guests: invalid data, integer is wanted";
    assert_eq!((pushing.note.as_deref(), counts(&fake)), (Some(note), (1, 1)));
    fake.with(|zoho| zoho.required.insert("Guests".to_owned()));
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(3));
    let expected =
        (FailureClass::Rejected, "zoho MANDATORY_NOT_FOUND Guests: required field not found".to_owned());
    assert_eq!(class_and_error(pushing.attempt(&mut bringing).await), expected);
    fake.with(|zoho| (zoho.tokens.clear(), zoho.app.2 = "revoked".to_owned()));
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(2));
    let expected = (FailureClass::Credentials, "zoho login refused: invalid_code".to_owned());
    assert_eq!(class_and_error(pushing.attempt(&mut bringing).await), expected);
    assert_eq!(counts(&fake), (1, 1));
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_shares_one_token_and_makes_no_more_than_five_calls_at_once() {
    let (fake, config) = organization().await;
    fake.with(|zoho| zoho.takes = Duration::from_millis(300));
    let scene = Scene::with("zoho", config, app()).await;
    for n in 0..12 {
        scene.post(n, |lead| lead["lead"]["email"] = json!(format!("lead{n}@example.com"))).await;
    }
    scene.wait_for(12, "delivered").await;
    assert_eq!(fake.with(|zoho| (zoho.crowded, zoho.logins)), (0, 1));
    assert_eq!(counts(&fake), (12, 12));
    // A token that Zoho has forgotten is renewed once.
    fake.with(|zoho| zoho.tokens.clear());
    scene.post(20, |_| {}).await;
    scene.wait_for(13, "delivered").await;
    assert_eq!(fake.with(|zoho| zoho.logins), 2);
    scene.end().await;
    fake.stop().await;
}

/// Leads of one new person that come together wait for each other, not for the search, which never learns who is there.
/// One word is half of a name, which only a new Lead gets.
#[tokio::test]
async fn leads_of_one_new_person_are_one_lead_without_a_wait() {
    const LEADS: usize = 4;
    let (fake, config) = organization().await;
    fake.with(|zoho| zoho.search_lag = Duration::from_secs(3600));
    let scene = Scene::with("zoho", config, app()).await;
    for n in 0..LEADS {
        let word = |lead: &mut Value| {
            lead["lead"]["email"] = json!("ada@example.com");
            (lead["lead"]["name"], lead["lead"]["profile"]) = (json!("Ada"), json!({}));
        };
        scene.post(n, word).await;
    }
    scene.wait_for(LEADS, "delivered").await;
    assert_eq!(counts(&fake), (1, LEADS), "{:#?}", fake.calls());
    scene.end().await;
    fake.stop().await;
}
