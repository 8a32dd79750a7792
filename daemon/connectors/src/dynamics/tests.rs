//! What Dynamics 365 is sent, and how its answers are read.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Dynamics, NAME, error};
use crate::{
    Connector, Ids, Prepared,
    testkit::{
        NOW, Played, assert_errors, assert_golden, drive, integration, lead, maximal, minimal, response,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::Outcome,
};

const LEAD: &str = "c4567bb6-47a3-e711-811b-e0071b6ac1b1";

fn config(more: Value) -> Value {
    let mut config =
        json!({ "environment_url": "https://innkept.crm4.dynamics.com", "tenant_id": "innkept.example" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn ready(more: Value, mapping: Value) -> Box<dyn Prepared> {
    let credentials = json!({ "client_id": "an-app", "client_secret": "dynamics-secret" });
    Dynamics.prepare(&integration(NAME, config(more), credentials, mapping), "Leadline").unwrap()
}

fn none() -> (u16, Value) {
    (200, json!({ "value": [] }))
}

fn found(state: i64) -> (u16, Value) {
    (200, json!({ "value": [{ "leadid": LEAD, "statecode": state, "statuscode": 4 }] }))
}

fn there(state: i64) -> (u16, Value) {
    (200, json!({ "leadid": LEAD, "statecode": state, "statuscode": 4 }))
}

fn wrote(status: u16, id: &str) -> (u16, Value) {
    (status, json!({ "leadid": id }))
}

fn noted() -> (u16, Value) {
    (201, json!({ "annotationid": "77" }))
}

fn refused(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({ "error": { "code": code, "message": message } }))
}

fn known() -> Ids {
    Ids::from([("lead".to_owned(), LEAD.to_owned())])
}

fn header(played: &Played, call: usize, name: &str) -> Option<String> {
    let headers = &played.requests[call].headers;
    headers.iter().find(|header| header.name == name).map(|header| header.value.to_str().unwrap().to_owned())
}

#[test]
fn a_new_lead_is_a_new_lead_there_with_a_note() {
    let answers = [none(), wrote(201, LEAD), noted()];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!((&said.outcome, said.ids["lead"].as_str()), (&Outcome::Delivered, LEAD));
    assert_eq!(header(&said, 1, "prefer").as_deref(), Some("return=representation"));
}

#[test]
fn an_update_goes_to_the_lead_that_is_known_and_makes_none() {
    let mapping = json!({ "lead.guest_count": "new_guests", "quote.total_pence": { "to": "new_quote", "value": "{{ quote.total_pence | money }}" } });
    let answers = [there(0), wrote(200, LEAD), noted()];
    let said = drive(ready(json!({}), mapping).as_ref(), Updated, &lead(), known(), None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    assert_eq!((&said.outcome, header(&said, 1, "if-match").as_deref()), (&Outcome::Delivered, Some("*")));
}

#[test]
fn a_repeat_finds_the_lead_and_the_note_that_were_made() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[none(), (500, Value::Null)]);
    assert_eq!(first.failure().0, "transient");
    let notes = json!({ "value": [{ "annotationid": "77", "notetext": "Delivery: 01J8H6KQH4YG3XR8RWM6T6XFQ0\nName: Sarah" }] });
    let answers = [found(0), wrote(200, LEAD), (200, notes)];
    let second = drive(ready.as_ref(), Created, &lead(), first.ids, first.rendered, &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(second.ids["note.01J8H6KQH4YG3XR8RWM6T6XFQ0"], "77");
}

#[test]
fn notes_that_cannot_be_read_are_asked_for_again() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[(500, Value::Null)]);
    for listed in [Value::Null, json!({ "info": {} })] {
        let answers = [found(0), wrote(200, LEAD), (200, listed)];
        let (ids, rendered) = (first.ids.clone(), first.rendered.clone());
        let again = drive(ready.as_ref(), Created, &lead(), ids, rendered, &answers);
        assert_eq!((again.calls.len(), again.failure().0), (3, "transient"));
    }
}

#[test]
fn a_minimal_lead() {
    let config = json!({ "alternate_key": "new_leadref", "duplicates": "respect", "lead_source": 3 });
    let unknown = refused(404, "0x80040217", "Does Not Exist");
    let answers = [none(), unknown, wrote(201, LEAD), noted()];
    let said = drive(ready(config, json!({})).as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
    assert_eq!(header(&said, 2, "mscrm.suppressduplicatedetection").as_deref(), Some("false"));
    assert_eq!(header(&said, 2, "if-none-match").as_deref(), Some("*"));
}

#[test]
fn a_maximal_lead() {
    let answers = [none(), wrote(201, LEAD), noted()];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &maximal(), Ids::new(), None, &answers);
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
    let query = said.requests[0].url.query().unwrap();
    assert!(query.contains("%27zo%C3%AB.o%27%27brien%2Bvenue%40b%C3%BCcher.example%27%20and%20"), "{query}");
}

#[test]
fn a_lead_that_is_gone_or_qualified_is_looked_for_and_made_anew() {
    let gone = || refused(404, "0x80040217", "Does Not Exist");
    for before in [vec![gone()], vec![there(1)], vec![there(0), gone()]] {
        let answers: Vec<_> = before.iter().cloned().chain([none(), wrote(201, "2"), noted()]).collect();
        let said = drive(ready(json!({}), json!({})).as_ref(), Updated, &lead(), known(), None, &answers);
        assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, "2"));
    }
    let answers = [none(), wrote(201, LEAD), gone(), gone(), none(), wrote(201, "2"), noted()];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, "2"));
}

#[test]
fn a_disqualified_lead_is_opened_again_or_said_to_be_so() {
    for (config, state, told) in [
        (json!({}), Value::Null, "The Lead was closed before this enquiry: disqualified (status 4)\n"),
        (json!({ "reopen": "yes" }), json!(0), "Delivery: "),
    ] {
        let answers = [found(2), wrote(200, LEAD), noted()];
        let said = drive(ready(config, json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
        assert_eq!(said.bodies[1]["statecode"], state);
        assert!(said.bodies[2]["notetext"].as_str().unwrap().starts_with(told));
    }
}

#[test]
fn texts_too_long_for_the_environments_own_columns_are_cut_and_written_again() {
    let message = "A validation error occurred. The length of the 'new_notes' attribute of the 'lead' entity exceeded the maximum allowed length of '20'.";
    let mut long = lead();
    long["lead"]["profile"] = json!({ "notes": "👰".repeat(30) });
    let answers = [none(), refused(400, "0x80044331", message), wrote(201, LEAD), noted()];
    let mapping = json!({ "lead.profile.notes": "new_notes" });
    let said = drive(ready(json!({}), mapping).as_ref(), Created, &long, Ids::new(), None, &answers);
    assert_eq!(
        (&said.outcome, &said.bodies[2]["new_notes"]),
        (&Outcome::Delivered, &json!(format!("{}…", "👰".repeat(9))))
    );
}

#[test]
fn every_error_has_its_class_and_says_what_dataverse_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn a_login_asks_a_token_for_the_environment() {
    let ready = ready(json!({}), json!({}));
    let request = ready.login().unwrap().request(NOW, None).unwrap();
    assert_eq!(request.url.as_str(), "https://login.microsoftonline.com/innkept.example/oauth2/v2.0/token");
    assert!(request.is_secret, "the body is not kept");
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let said = |key: &str| form.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(said("grant_type"), Some("client_credentials"));
    assert_eq!(said("scope"), Some("https://innkept.crm4.dynamics.com/.default"));
    let answer = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0"}"#;
    let token = ready.login().unwrap().token(&Ok(response(200, &[], answer)), NOW).unwrap();
    assert_eq!((token.expires_at, token.base), (Some(NOW + Duration::from_secs(3599)), None));
    let refused =
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#;
    let failure = ready.login().unwrap().token(&Ok(response(401, &[], refused)), NOW).unwrap_err();
    assert_eq!(failure.class.as_str(), "credentials");
    assert!(
        failure.error.starts_with("dynamics login refused: invalid_client AADSTS7000215"),
        "{}",
        failure.error
    );
    let told = ready.records(&known(), None);
    let page = "https://innkept.crm4.dynamics.com/main.aspx?etn=lead&id=c4567bb6-47a3-e711-811b-e0071b6ac1b1&pagetype=entityrecord";
    assert_eq!(told[0].url.as_deref(), Some(page));
}

#[test]
fn settings_are_checked() {
    let check = |more: Value, mapping: Value| {
        let found = Dynamics.check(&config(more), &mapping, &EgressPolicy::new(Vec::new()), "Leadline");
        found.into_iter().map(|problem| problem.text).collect::<Vec<_>>()
    };
    assert!(check(json!({}), json!({})).is_empty());
    assert_eq!(
        check(json!({ "tenant_id": "a/b" }), json!({})),
        ["tenant_id must be the directory's id or domain"]
    );
    assert_eq!(
        check(json!({ "alternate_key": "new_ref='x" }), json!({})),
        ["alternate_key must be a column's logical name, as new_leadref"]
    );
    assert!(
        check(json!({ "environment_url": "https://127.0.0.1" }), json!({}))[0]
            .starts_with("environment_url: ")
    );
    assert!(check(json!({ "login_url": "https://127.0.0.1" }), json!({}))[0].starts_with("login_url: "));
    assert_eq!(
        check(json!({}), json!({ "lead.email": null })),
        [
            "lead.email: goes to emailaddress1 as it is, for leads are found by it; take lead.email out of the mapping"
        ]
    );
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let bare =
        Dynamics.prepare(&integration(NAME, config(json!({})), Value::Null, json!({})), "Leadline").unwrap();
    let said = drive(bare.as_ref(), Created, &lead(), Ids::new(), None, &[]);
    assert_eq!((said.calls.len(), said.failure().0), (0, "credentials"));
}
