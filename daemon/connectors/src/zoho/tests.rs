//! What Zoho CRM is sent, and how its answers are read.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NAME, Zoho, error};
use crate::{
    Connector, Ids, Prepared,
    testkit::{
        NOW, Played, PushCase, assert_errors, assert_golden, drive, integration, lead, maximal, minimal,
        response,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::Outcome,
};

const LEAD: &str = "3652397000002181001";

fn app() -> Value {
    json!({ "client_id": "1000.X", "client_secret": "zoho-secret", "refresh_token": "1000.r" })
}

fn ready(config: Value, mapping: Value) -> Box<dyn Prepared> {
    Zoho.prepare(&integration(NAME, config, app(), mapping), "Leadline").unwrap()
}

const NONE: (u16, Value) = (204, Value::Null);

fn found(status: &str) -> (u16, Value) {
    (200, json!({ "data": [{ "id": LEAD, "Email": "Sarah@Example.com", "Lead_Status": status }] }))
}

fn wrote(id: &str) -> (u16, Value) {
    (200, json!({ "data": [{ "code": "SUCCESS", "status": "success", "details": { "id": id } }] }))
}

fn refused(status: u16, code: &str, message: &str, details: Value) -> (u16, Value) {
    let entry = json!({ "code": code, "message": message, "status": "error", "details": details });
    (status, json!({ "data": [entry] }))
}

fn calls(played: &Played) -> Vec<String> {
    let told = played
        .requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url.path().trim_start_matches("/crm/v8/")));
    told.collect()
}

fn known() -> Ids {
    Ids::from([("lead".to_owned(), LEAD.to_owned())])
}

#[test]
fn a_new_lead_is_a_new_lead_there_with_a_note() {
    let answers = [NONE, wrote(LEAD), wrote("77")];
    let config = json!({ "assignment_rule": "365239700001" });
    let said = drive(ready(config, json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, LEAD));
}

#[test]
fn a_new_lead_is_given_tags_three_in_a_call() {
    let ready = ready(json!({ "tags": "Barn, Fair, Form, Website" }), json!({}));
    let answers = [NONE, wrote(LEAD), wrote("77"), wrote(LEAD), wrote(LEAD)];
    let said = drive(ready.as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("tags", include_str!("fixtures/tags.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    let wrong = json!({ "code": "INVALID_DATA", "status": "error", "message": "invalid data",
        "details": { "api_name": "name" } });
    let answers = [NONE, wrote(LEAD), wrote("77"), (400, json!({ "tags": [wrong] }))];
    let said = drive(ready.as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_eq!(said.failure().1, "zoho INVALID_DATA name: invalid data");
}

#[test]
fn an_update_goes_to_the_lead_that_is_known() {
    let mapping = json!({ "lead.guest_count": "Guests", "quote.total_pence": { "to": "Quote", "value": "{{ quote.total_pence | money }}" } });
    let answers = [found("Contacted"), wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), mapping).as_ref(), Updated, &lead(), known(), None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    let rendered = String::from_utf8(said.rendered.unwrap().to_vec()).unwrap();
    assert!(rendered.contains(r#""Quote":12696.00"#), "to the penny: {rendered}");
    assert_eq!(said.outcome, Outcome::Delivered);
}

#[test]
fn a_repeat_finds_the_lead_and_the_note_that_were_made() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[NONE, (500, Value::Null)]);
    assert_eq!(first.failure().0, "transient");
    let notes = json!({ "data": [{ "id": "76", "Note_Content": "called" },
        { "id": "77", "Note_Content": "Delivery: 01J8H6KQH4YG3XR8RWM6T6XFQ0\nName: Sarah Patel" }] });
    let answers = [found("Contacted"), wrote(LEAD), (200, notes)];
    let second = drive(ready.as_ref(), Created, &lead(), first.ids, first.rendered, &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(second.outcome, Outcome::Delivered);
    assert_eq!(second.ids["note.01J8H6KQH4YG3XR8RWM6T6XFQ0"], "77");
}

#[test]
fn notes_that_cannot_be_read_are_asked_for_again() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[(500, Value::Null)]);
    for listed in [json!("odd"), json!({ "info": {} })] {
        let answers = [found("Contacted"), wrote(LEAD), (200, listed)];
        let (ids, rendered) = (first.ids.clone(), first.rendered.clone());
        let again = drive(ready.as_ref(), Created, &lead(), ids, rendered, &answers);
        assert_eq!((again.calls.len(), again.failure().0), (3, "transient"));
    }
}

#[test]
fn a_minimal_lead() {
    let answers = [NONE, wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
}

#[test]
fn a_maximal_lead() {
    let answers = [NONE, wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &maximal(), Ids::new(), None, &answers);
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
}

#[test]
fn a_lead_that_is_gone_is_looked_for_and_made_anew() {
    let gone = [
        refused(400, "INVALID_DATA", "the id given seems to be invalid", json!({ "id": LEAD })),
        refused(400, "ID_ALREADY_CONVERTED", "id already converted", json!({})),
        (404, Value::Null),
    ];
    for gone in gone {
        // When it is read, or when it is written.
        for before in [vec![gone.clone()], vec![found("Contacted"), gone.clone()]] {
            let answers: Vec<_> = before.iter().cloned().chain([NONE, wrote("2"), wrote("77")]).collect();
            let said = drive(ready(json!({}), json!({})).as_ref(), Updated, &lead(), known(), None, &answers);
            assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, "2"));
        }
        // When its note comes.
        let parent = refused(202, "INVALID_DATA", "invalid data", json!({ "api_name": "Parent_Id" }));
        let answers = [NONE, wrote(LEAD), parent, NONE, NONE, wrote("2"), wrote("77")];
        let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
        assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, "2"));
    }
    // One that was converted is a customer by now.
    let mut converted = found("Contacted");
    converted.1["data"][0]["$converted"] = json!(true);
    let answers = [converted, NONE, wrote("2"), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Updated, &lead(), known(), None, &answers);
    assert_eq!((said.calls.len(), said.outcome), (4, Outcome::Delivered));
}

#[test]
fn a_search_that_finds_longer_addresses_changes_nobody() {
    let mut other = found("Contacted");
    other.1["data"][0]["Email"] = json!("mysarah@example.com");
    let answers = [other, wrote("2"), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_eq!(calls(&said), ["GET Leads/search", "POST Leads/upsert", "POST Notes"]);
}

#[test]
fn an_address_that_must_be_unique_leads_to_its_lead() {
    let duplicate =
        refused(200, "DUPLICATE_DATA", "duplicate data", json!({ "api_name": "Email", "id": LEAD }));
    let answers = [NONE, duplicate, wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_eq!(calls(&said)[2], format!("PUT Leads/{LEAD}"));
    assert_eq!((&said.outcome, said.bodies[2]["data"][0].get("Lead_Source")), (&Outcome::Delivered, None));
    // A number that another Lead has keeps nobody out.
    let other = refused(200, "DUPLICATE_DATA", "duplicate data", json!({ "api_name": "Phone", "id": "9" }));
    let answers = [NONE, other, wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_eq!((&said.outcome, said.bodies[2]["data"][0].get("Phone")), (&Outcome::Delivered, None));
    assert_eq!(said.note.as_deref(), Some("field Phone was left out: Phone: duplicate data"));
}

#[test]
fn texts_too_long_for_the_organizations_own_fields_are_cut_and_written_again() {
    let mapping = json!({ "lead.profile.notes": "Notes" });
    let mut long = lead();
    long["lead"]["profile"] = json!({ "notes": "👰".repeat(300) });
    let too_long =
        refused(200, "INVALID_DATA", "invalid data", json!({ "api_name": "Notes", "maximum_length": 255 }));
    let answers = [NONE, too_long.clone(), wrote(LEAD), wrote("77")];
    let said = drive(ready(json!({}), mapping.clone()).as_ref(), Created, &long, Ids::new(), None, &answers);
    assert_eq!(said.bodies[2]["data"][0]["Notes"], format!("{}…", "👰".repeat(127)));
    assert_eq!(said.outcome, Outcome::Delivered);
    // Nor is a text cut that is short enough, nor an address.
    let of_email =
        refused(200, "INVALID_DATA", "invalid data", json!({ "api_name": "Email", "maximum_length": 5 }));
    let said = drive(ready(json!({}), mapping).as_ref(), Created, &long, Ids::new(), None, &[NONE, of_email]);
    assert_eq!((said.calls.len(), said.failure().0), (2, "rejected"));
}

#[test]
fn a_closed_lead_is_opened_again_or_said_to_be_closed() {
    for (config, status, told) in [
        (json!({}), Value::Null, "The Lead was closed before this enquiry: Lost Lead\n"),
        (json!({ "reopen_status": "Contacted" }), json!("Contacted"), "Delivery: "),
        (json!({ "closed_statuses": "Dead" }), Value::Null, "Delivery: "),
    ] {
        let answers = [found("Lost Lead"), wrote(LEAD), wrote("77")];
        let said = drive(ready(config, json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
        assert_eq!(said.bodies[1]["data"][0]["Lead_Status"], status);
        assert!(said.bodies[2]["data"][0]["Note_Content"].as_str().unwrap().starts_with(told));
    }
}

#[test]
fn a_name_that_is_made_up_waits_for_a_search_that_may_lag() {
    let whole =
        json!({ "lead.name": "Last_Name", "lead.profile.first_name": null, "lead.profile.last_name": null });
    let named = |name: &str| {
        let mut lead = lead();
        lead["lead"]["name"] = json!(name);
        lead["lead"]["profile"] = json!({});
        lead.to_string()
    };
    // Half a name would be written over a whole one, wherever it goes.
    for (name, mapping, recently, expected) in [
        ("sarah@example.com", json!({}), false, "delivered"),
        ("sarah@example.com", json!({}), true, "transient"),
        ("Sarah", whole.clone(), false, "delivered"),
        ("Sarah", whole.clone(), true, "transient"),
        ("Sarah Patel", whole, true, "delivered"),
    ] {
        let text = named(name);
        let case = PushCase { recently_pushed: recently, ..PushCase::created(&text) };
        let answers = [NONE, wrote(LEAD), wrote("77")].map(|(status, body)| {
            response(status, &[], &if body.is_null() { String::new() } else { body.to_string() })
        });
        let said = case.run_with(ready(json!({}), mapping).as_ref(), answers.to_vec());
        assert_eq!(said.failure().0, expected, "{name}");
        assert_eq!(said.failure().2, (expected == "transient").then_some(15));
    }
}

#[test]
fn a_name_that_is_made_up_waits_once_and_is_not_for_whom_the_last_push_made() {
    let mut lead = lead();
    (lead["lead"]["name"], lead["lead"]["profile"]) = (json!("sarah@example.com"), json!({}));
    let text = lead.to_string();
    let play = |case: PushCase<'_>, answers: &[(u16, Value)]| {
        let text = |body: &Value| if body.is_null() { String::new() } else { body.to_string() };
        let answers = answers.iter().map(|(status, body)| response(*status, &[], &text(body))).collect();
        let case = PushCase { recently_pushed: true, ..case };
        case.run_with(ready(json!({}), json!({})).as_ref(), answers)
    };
    let first = play(PushCase::created(&text), &[NONE]);
    assert_eq!((first.failure().0, first.failure().2), ("transient", Some(15)));
    // Whoever made nothing keeps nobody waiting, and this lead's own attempt was the last.
    let again =
        PushCase { is_repeat: true, ids: first.ids, rendered: first.rendered, ..PushCase::created(&text) };
    let again = play(again, &[NONE, wrote(LEAD), NONE, wrote("77")]);
    assert_eq!((again.outcome, again.ids["lead"].as_str()), (Outcome::Delivered, LEAD));
    let told = PushCase { last_made: json!(LEAD), ..PushCase::created(&text) };
    let told = play(told, &[NONE, found("Contacted"), wrote(LEAD), wrote("77")]);
    let asked = calls(&told);
    assert!(!asked.iter().any(|call| call.contains("upsert")), "{asked:?}");
    assert_eq!((told.outcome, told.ids["lead"].as_str()), (Outcome::Delivered, LEAD));
}

#[test]
fn every_error_has_its_class_and_says_what_zoho_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn a_login_gives_the_host_of_its_data_centre_and_its_own_kind_of_token() {
    let config = json!({ "accounts_url": "https://accounts.zoho.eu" });
    let ready = ready(config, json!({}));
    let login = ready.login().unwrap();
    let request = login.request(NOW, login.refresh_token()).unwrap();
    assert_eq!(request.url.as_str(), "https://accounts.zoho.eu/oauth/v2/token");
    assert!(request.is_secret, "the body is not kept");
    let answer = r#"{"access_token": "1000.a", "expires_in": 3600, "api_domain": "https://www.zohoapis.eu", "token_type": "Bearer"}"#;
    let token = login.token(&Ok(response(200, &[], answer)), NOW).unwrap();
    assert_eq!(
        (token.base.as_ref().unwrap().as_str(), token.expires_at),
        ("https://www.zohoapis.eu/", Some(NOW + Duration::from_secs(3600)))
    );
    let text = lead().to_string();
    let case = PushCase { token: Some(token), ..PushCase::created(&text) };
    let said = case.run(ready.as_ref(), &[]);
    assert_eq!(said.requests[0].url.host_str(), Some("www.zohoapis.eu"));
    let header = said.requests[0].headers.iter().find(|header| header.name == "authorization").unwrap();
    assert_eq!((header.value.to_str().unwrap(), header.secret), ("Zoho-oauthtoken 1000.a", true));
    for (site, seen) in
        [("https://www.zohoapis.eu/", "crm.zoho.eu"), ("https://www.zohoapis.ca", "crm.zohocloud.ca")]
    {
        let ids = Ids::from([("lead".into(), LEAD.into()), ("_site".into(), site.into())]);
        let link = format!("https://{seen}/crm/tab/Leads/{LEAD}");
        assert_eq!(ready.records(&ids, None)[0].url.as_deref(), Some(&*link));
    }
}

#[test]
fn a_login_that_is_refused_says_why_whatever_its_status() {
    let ready = ready(json!({}), json!({}));
    for (status, body, class, error, wait) in [
        (200, r#"{"error": "invalid_code"}"#, "credentials", "zoho login refused: invalid_code", None),
        (
            400,
            r#"{"error": "invalid_client", "error_description": "no"}"#,
            "credentials",
            "zoho login refused: invalid_client no",
            None,
        ),
        (
            400,
            r#"{"error_description": "You have made too many requests continuously. Please try again after some time.", "error": "Access Denied"}"#,
            "throttled",
            "zoho login refused: You have made too many requests continuously. Please try again after some time.",
            Some(600),
        ),
        (503, r#"{"error": "x"}"#, "transient", "zoho 503 Service Unavailable: {\"error\": \"x\"}", None),
    ] {
        let failure = ready.login().unwrap().token(&Ok(response(status, &[], body)), NOW).unwrap_err();
        let told =
            (failure.class.as_str(), failure.error.as_str(), failure.retry_after.map(|wait| wait.as_secs()));
        assert_eq!(told, (class, error, wait));
    }
    // A missing scope is told with 401, too, and a new token would not have it.
    for (code, renewals) in [("INVALID_TOKEN", 1), ("OAUTH_SCOPE_MISMATCH", 0)] {
        let body = json!({ "code": code, "message": "no", "status": "error", "details": {} }).to_string();
        let said = PushCase::created(&lead().to_string()).run(ready.as_ref(), &[(401, &body), (401, &body)]);
        assert_eq!((said.renewals, said.failure().0), (renewals, "credentials"));
    }
}

#[test]
fn settings_are_checked() {
    let check = |config: Value, mapping: Value| {
        let found = Zoho.check(&config, &mapping, &EgressPolicy::new(Vec::new()), "Leadline");
        found.into_iter().map(|problem| problem.text).collect::<Vec<_>>()
    };
    assert!(check(json!({}), json!({})).is_empty());
    assert_eq!(
        check(json!({ "accounts_url": "https://accounts.zoho.eu/oauth" }), json!({})),
        ["accounts_url must be scheme, host and port only, as https://sandbox.example.com"]
    );
    assert!(
        check(json!({ "accounts_url": "https://127.0.0.1" }), json!({}))[0].starts_with("accounts_url: ")
    );
    assert_eq!(
        check(json!({ "assignment_rule": "mine" }), json!({})),
        ["assignment_rule must be a rule's id, which is a number"]
    );
    assert_eq!(
        check(json!({}), json!({ "lead.email": null })),
        ["lead.email: goes to Email as it is, for leads are found by it; take lead.email out of the mapping"]
    );
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let bare = Zoho.prepare(&integration(NAME, json!({}), Value::Null, json!({})), "Leadline").unwrap();
    let said = drive(bare.as_ref(), Created, &lead(), Ids::new(), None, &[]);
    assert_eq!((said.calls.len(), said.failure().0), (0, "credentials"));
}
