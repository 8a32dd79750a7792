//! What Google Sheets is sent, and how its answers are read.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{
    GoogleSheets,
    config::{Account, Credentials},
    error,
};
use crate::{
    Connector, Ids, Prepared,
    config::read_all,
    testkit::{
        FULL, MAXIMAL, MINIMAL, NOW, Played, PushCase, UPDATED, assert_errors, assert_goldens, integration,
        probe, refused, refused_credentials,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::ProbeKind,
    outcome::{FailureClass, Outcome},
};

/// Made for tests, and known to nobody.
const KEY: &str = include_str!("../salesforce/fixtures/key.pem");
const PUBLIC: &str = include_str!("../salesforce/fixtures/key.pub.pem");
const SPREADSHEET: &str = "1abcdefghijklmnopqrstuvwxyz0123456789";
const WRITTEN: (u16, &str) = (200, r#"{"updatedRange":"'Bob''s leads'!A2:R2"}"#);
const ADDED: (u16, &str) = (200, r#"{"updates":{"updatedRange":"'Bob''s leads'!A7:R7"}}"#);
const NONE: (u16, &str) = (200, "{}");

fn credentials() -> Value {
    json!({"client_email": "leadline@old-barn.iam.gserviceaccount.com", "private_key": KEY})
}

fn account(credentials: &Value) -> Account {
    Account::of(read_all::<Credentials>(credentials).0).unwrap()
}

fn ready(mapping: Value) -> Box<dyn Prepared> {
    let config = json!({"spreadsheet_id": SPREADSHEET, "sheet": "Bob's leads"});
    GoogleSheets.prepare(&integration("google_sheets", config, credentials(), mapping), "Leadline").unwrap()
}

/// A sheet with this header, and what stands in the cell that is asked for.
fn sheet(header: &[&str], cell: &str, rows: usize) -> String {
    let cells = |texts: &[&str]| -> Value {
        let values: Vec<Value> = texts
            .iter()
            .map(|text| if text.is_empty() { json!({}) } else { json!({"formattedValue": text}) })
            .collect();
        json!({"rowData": [{"values": values}]})
    };
    let properties = json!({"sheetId": 7, "gridProperties": {"rowCount": rows}});
    json!({"sheets": [{"properties": properties, "data": [cells(header), cells(&[cell])]}]}).to_string()
}

const HEADER: [&str; 5] = ["Status", "Lead ID", "Email", "Guests", "Name"];

fn known(row: &str) -> Ids {
    let ids = [("row", row), ("_column", "B"), ("_sheet", "7")];
    ids.map(|(key, id)| (key.to_owned(), id.to_owned())).into()
}

fn paths(played: &Played) -> Vec<String> {
    let path = |request: &crate::Request| {
        let path = request.url.path().replace(&format!("/v4/spreadsheets/{SPREADSHEET}"), "");
        format!("{} {}", request.method, path.replace("/values/%27Bob%27%27s%20leads%27%21", ""))
    };
    played.requests.iter().map(path).collect()
}

#[test]
fn a_text_that_a_cell_does_not_take_whole_is_cut_and_told() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["profile"] = json!({"notes": "x".repeat(50_001)});
    let headed = sheet(&HEADER, "", 1000);
    let played = PushCase::created(&lead.to_string())
        .run(ready(json!({"lead.profile.notes": "Status"})).as_ref(), &[(200, &headed), NONE, ADDED]);
    let written = played.bodies[2]["values"][0][0].as_str().unwrap();
    assert_eq!((written.chars().count(), written.ends_with("x…")), (50_000, true));
    let note = played.note.unwrap();
    assert!(note.starts_with("column Status was cut to 50000 characters; "), "{note}");
}

#[test]
fn each_kind_of_lead_makes_its_requests() {
    let (empty, headed) = (sheet(&[], "", 1000), sheet(&HEADER, "", 1000));
    let there = sheet(&HEADER, "01J8H6KQH4YG3XR8RWM6T6XFQE", 1000);
    let created = [(200, empty.as_str()), WRITTEN, NONE, ADDED];
    let create = PushCase::created(FULL).run(ready(Value::Null).as_ref(), &created);
    assert_eq!((&*create.ids["row"], &*create.ids["_column"], &*create.ids["_sheet"]), ("7", "A", "7"));
    let repeat =
        PushCase { rendered: create.rendered.clone(), is_repeat: true, ..PushCase::created(MINIMAL) };
    let found = (200, r#"{"values":[["x","01j8h6kqh4yg3xr8rwm6t6xfqe"]]}"#);
    let answers = [(200, headed.as_str()), found, WRITTEN];
    let repeat = repeat.run(ready(json!({"lead.name": "Who"})).as_ref(), &answers);
    assert_eq!(repeat.ids["row"], "3");
    let update = PushCase { ids: known("3"), ..PushCase::updated(UPDATED) };
    let update = update.run(ready(Value::Null).as_ref(), &[(200, &there), WRITTEN]);
    let minimal = PushCase::created(MINIMAL).run(ready(Value::Null).as_ref(), &created);
    let maximal = PushCase::created(MAXIMAL).run(ready(Value::Null).as_ref(), &created);
    for played in [&create, &repeat, &update, &minimal, &maximal] {
        assert_eq!(played.outcome, Outcome::Delivered);
    }
    assert_goldens(&[
        ("create", include_str!("fixtures/create.json"), &create),
        ("repeat", include_str!("fixtures/repeat.json"), &repeat),
        ("update", include_str!("fixtures/update.json"), &update),
        ("minimal", include_str!("fixtures/minimal.json"), &minimal),
        ("maximal", include_str!("fixtures/maximal.json"), &maximal),
    ]);
}

#[test]
fn a_row_is_found_wherever_people_moved_it() {
    let id = "01J8H6KQH4YG3XR8RWM6T6XFQE";
    let elsewhere = sheet(&HEADER, "01J8H6KQH4AAAAAAAAAAAAAAAA", 4500);
    let found = format!(r#"{{"values":[["{id}"]]}}"#);
    let case = || PushCase { ids: known("3"), ..PushCase::updated(FULL) };
    let played =
        case().run(ready(Value::Null).as_ref(), &[(200, &elsewhere), NONE, NONE, (200, &found), WRITTEN]);
    assert_eq!(
        paths(&played),
        ["GET ", "GET B2501%3AB4500", "GET B501%3AB2500", "GET B2%3AB500", "PUT A2%3AE2"]
    );
    assert_eq!(played.ids["row"], "2");

    // Somebody copied the row: the last one is the lead's.
    let copied = format!(r#"{{"values":[["{id}","","{id}"]]}}"#);
    let played = case().run(ready(Value::Null).as_ref(), &[(200, &elsewhere), (200, &copied), WRITTEN]);
    assert_eq!((&*played.ids["row"], &played.outcome), ("2503", &Outcome::Delivered));

    // Rows were removed, so that the kept one lies outside of the sheet.
    let outside =
        r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Range exceeds grid limits"}}"#;
    let small = sheet(&HEADER, "", 10);
    let played = case().run(ready(Value::Null).as_ref(), &[(400, outside), (200, &small), NONE, ADDED]);
    assert_eq!((paths(&played).len(), &played.outcome), (4, &Outcome::Delivered));

    // The first push of a lead looks among the newest rows alone.
    let played = PushCase::created(FULL).run(ready(Value::Null).as_ref(), &[(200, &elsewhere), NONE, ADDED]);
    assert_eq!(paths(&played), ["GET ", "GET B2501%3AB4500", "POST A1:append"]);

    let huge = sheet(&HEADER, "", 100_000);
    let answers: Vec<(u16, &str)> =
        [(200, huge.as_str())].into_iter().chain(std::iter::repeat_n(NONE, 24)).collect();
    let error = "google_sheets: the lead is in none of the last 48000 rows of Bob's leads: move old rows to another sheet";
    assert_eq!(case().run(ready(Value::Null).as_ref(), &answers).failure(), ("rejected", error, None));
}

#[test]
fn only_a_new_row_gets_a_name_that_was_made_from_the_address() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = lead["lead"]["email"].clone();
    let lead = lead.to_string();
    let there = sheet(&HEADER, "01J8H6KQH4YG3XR8RWM6T6XFQE", 10);
    let name = |played: &Played| played.bodies.last().unwrap()["values"][0][4].clone();
    let update = PushCase { ids: known("3"), ..PushCase::updated(&lead) };
    assert_eq!(name(&update.run(ready(Value::Null).as_ref(), &[(200, &there), WRITTEN])), Value::Null);
    let made = PushCase::created(&lead).run(ready(Value::Null).as_ref(), &[(200, &there), NONE, ADDED]);
    assert_eq!(name(&made), "Sarah@Example.com");
}

#[test]
fn the_header_decides_which_columns_there_are() {
    let gaps = sheet(&["", "Lead ID", "", "Email", ""], "", 10);
    let played = PushCase::created(MINIMAL).run(ready(Value::Null).as_ref(), &[(200, &gaps), NONE, ADDED]);
    assert_eq!(paths(&played)[2], "POST B1:append");
    assert_eq!(played.bodies[2]["values"][0].as_array().unwrap().len(), 3, "{:?}", played.bodies[2]);
    assert!(played.note.unwrap().starts_with("column Name was left out: the header has none of that name; "));

    let headless = sheet(&["01J8H6KQH4YG3XR8RWM6T6XFQE", "Sarah"], "", 10);
    let played = PushCase::created(FULL).run(ready(Value::Null).as_ref(), &[(200, &headless)]);
    let error = "google_sheets: the first row of Bob's leads must be the header, and has no Lead ID";
    assert_eq!(played.failure(), ("rejected", error, None));
}

#[test]
fn a_row_that_became_another_while_it_was_written_is_no_success() {
    let there = sheet(&HEADER, "01J8H6KQH4YG3XR8RWM6T6XFQE", 1000);
    let written = |id: &str| {
        let values = if id.is_empty() { json!([]) } else { json!([["", id, "a@b.c", 80]]) };
        json!({"updatedRange": "A3:E3", "updatedData": {"range": "A3:E3", "values": values}}).to_string()
    };
    let case = || PushCase { ids: known("3"), ..PushCase::updated(FULL) };
    let error = "google_sheets: row 3 became another while it was written: look what it says";
    for id in ["", "01J8H6KQH4AAAAAAAAAAAAAAAA"] {
        let played = case().run(ready(Value::Null).as_ref(), &[(200, &there), (200, &written(id))]);
        assert_eq!(played.failure(), ("transient", error, None));
        assert_eq!(played.bodies[1]["values"][0][1], Value::Null, "its id stays what it is");
    }
    let own = written("01j8h6kqh4yg3xr8rwm6t6xfqe");
    let played = case().run(ready(Value::Null).as_ref(), &[(200, &there), (200, &own)]);
    let told = |note: Option<String>| note.is_some_and(|note| note.contains("row 3 became another while"));
    assert_eq!((played.outcome, told(played.note)), (Outcome::Delivered, false));
    // Whoever looks at the attempt that delivered it is told, too; whoever looks at the next delivery is not.
    let lost = case().run(ready(Value::Null).as_ref(), &[(200, &there), (200, &written(""))]);
    let again =
        PushCase { ids: lost.ids, rendered: lost.rendered, is_repeat: true, ..PushCase::updated(FULL) };
    let again = again.run(ready(Value::Null).as_ref(), &[(200, &there), (200, &own)]);
    assert_eq!((again.outcome, told(again.note)), (Outcome::Delivered, true));
    assert!(
        again.ids.contains_key("_overwritten.01J8H6KQH4YG3XR8RWM6T6XFQ0"),
        "kept for this delivery alone"
    );
}

#[test]
fn an_answer_that_says_no_row_is_no_success() {
    let there = sheet(&HEADER, "", 10);
    for unread in ["{}", r#"{"updates":{"updatedRange":"Leads"}}"#, "<html>"] {
        let played =
            PushCase::created(FULL).run(ready(Value::Null).as_ref(), &[(200, &there), NONE, (200, unread)]);
        assert_eq!(played.failure().0, "unknown", "{unread}");
    }
    let played = PushCase::created(FULL).run(ready(Value::Null).as_ref(), &[(200, "<html>")]);
    assert_eq!(played.failure().0, "transient", "nothing was written yet");
}

#[test]
fn a_service_account_signs_its_login() {
    let base = "https://oauth2.googleapis.com".parse().unwrap();
    let mut with_id = credentials();
    with_id["private_key_id"] = json!("0123abcd");
    let request = account(&with_id).log_in(&base, NOW).unwrap();
    assert_eq!((request.url.as_str(), request.is_secret), ("https://oauth2.googleapis.com/token", true));
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    assert_eq!(pairs[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&["https://oauth2.googleapis.com/token"]);
    let public = DecodingKey::from_rsa_pem(PUBLIC.as_bytes()).unwrap();
    let read = jsonwebtoken::decode::<Value>(&pairs[1].1, &public, &validation).unwrap();
    let expected = json!({"iss": "leadline@old-barn.iam.gserviceaccount.com", "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 3600,
        "scope": "https://www.googleapis.com/auth/spreadsheets", "aud": "https://oauth2.googleapis.com/token"});
    assert_eq!((read.claims, read.header.kid.as_deref()), (expected, Some("0123abcd")));
}

#[test]
fn settings_and_credentials_are_checked() {
    let egress = EgressPolicy::default();
    let check = |spreadsheet: &str, more: Value, mapping: Value| {
        let mut config = json!({"spreadsheet_id": spreadsheet, "sheet": "Leads"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&GoogleSheets, &config, &mapping).join("; ")
    };
    let address = format!("https://docs.google.com/spreadsheets/d/{SPREADSHEET}/edit?gid=0#gid=0");
    assert_eq!(check(SPREADSHEET, json!({}), Value::Null), "");
    assert_eq!(check(&address, json!({}), Value::Null), "");
    let wrong =
        "spreadsheet_id must be the id between /d/ and /edit in the spreadsheet's address, or that address";
    for spreadsheet in
        ["Wedding leads 2026 of the barn", "https://example.com/spreadsheet/1abcdefghijklm", "1abc"]
    {
        assert_eq!(check(spreadsheet, json!({}), Value::Null), wrong, "{spreadsheet}");
    }
    let error = "calls_per_minute must be from 1 to 10000";
    assert_eq!(check(SPREADSHEET, json!({"calls_per_minute": 0}), Value::Null), error);
    let key = "lead.uuid: must go to a column as it is, for rows are found by it";
    for mapping in
        [json!({"lead.uuid": null}), json!({"lead.uuid": {"to": "Lead ID", "value": "{{ lead.name }}"}})]
    {
        assert_eq!(check(SPREADSHEET, json!({}), mapping), key);
    }
    let credentials = |given: Value| refused_credentials(&GoogleSheets, &given, &egress).join("; ");
    let mut file = json!({"type": "service_account", "project_id": "p", "private_key_id": "k", "client_id": "1",
        "auth_uri": "https://a", "token_uri": "https://t", "auth_provider_x509_cert_url": "https://c",
        "client_x509_cert_url": "https://d", "universe_domain": "googleapis.com"});
    file.as_object_mut().unwrap().extend(self::credentials().as_object().unwrap().clone());
    assert_eq!(credentials(file), "", "the key file is taken as it is");
    let pem = "private_key must be an RSA key in PEM, from its BEGIN line to its END line";
    assert_eq!(credentials(json!({"client_email": "a@b", "private_key": "secret-nonsense"})), pem);
    assert!(credentials(json!({"private_key": KEY})).starts_with("client_email is required"));
    assert!(!format!("{:?}", account(&self::credentials())).contains("BEGIN"));
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let config = json!({"spreadsheet_id": SPREADSHEET, "sheet": "Leads"});
    let made =
        GoogleSheets.prepare(&integration("google_sheets", config, Value::Null, Value::Null), "Leadline");
    let played = PushCase::created(FULL).run(made.unwrap().as_ref(), &[]);
    assert!(
        matches!(&played.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Credentials)
    );
}

#[test]
fn a_test_sees_what_is_missing_and_changes_nothing() {
    let whole =
        r#"{"properties":{"title":"Wedding leads"},"sheets":[{"properties":{"title":"Bob's leads"}}]}"#;
    let header = sheet(&["Lead ID", "Emial", "Guests", "Guests"], "", 10);
    let (report, urls) =
        probe(ready(Value::Null).as_ref(), ProbeKind::Test, &[(200, whole), WRITTEN, (200, &header)]);
    assert_eq!(
        (report.outcome, report.account.as_deref()),
        (Outcome::Delivered, Some("Wedding leads, sheet Bob's leads"))
    );
    assert!(report.findings.contains(&"lead.email: unknown column Email; did you mean Emial?".to_owned()));
    assert_eq!(
        report.findings.last().unwrap(),
        "the header has column Guests twice; the first is written to"
    );
    assert!(urls[1].ends_with("A1?valueInputOption=RAW"), "{urls:?}");

    let (report, urls) =
        probe(ready(Value::Null).as_ref(), ProbeKind::Mapping, &[(200, whole), (200, &sheet(&[], "", 9))]);
    assert_eq!(
        (report.findings.len(), urls.len()),
        (0, 2),
        "an empty sheet gets its header with the first lead"
    );

    let other =
        r#"{"properties":{"title":"Wedding leads"},"sheets":[{"properties":{"title":"Bobs leads"}}]}"#;
    let (report, _) = probe(ready(Value::Null).as_ref(), ProbeKind::Test, &[(200, other)]);
    let Outcome::Failed(failure) = report.outcome else { panic!("the sheet is not there") };
    assert_eq!(failure.error, "google_sheets: unknown sheet Bob's leads; did you mean Bobs leads?");
}

#[test]
fn every_error_has_its_class_and_says_what_google_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn a_row_is_linked_to() {
    let records = ready(Value::Null).records(&known("12"), None);
    let url = format!("https://docs.google.com/spreadsheets/d/{SPREADSHEET}/edit#gid=7&range=12:12");
    assert_eq!((records.len(), &*records[0].kind, records[0].url.as_deref()), (1, "row", Some(&*url)));
}
