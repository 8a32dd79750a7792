//! What Salesforce is sent, and how its answers are read.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{Salesforce, error, login::Login, quoted};
use crate::{
    Connector, Ids, Prepared,
    config::read_all,
    crm,
    testkit::{
        self, NOW, assert_errors, assert_golden, drive, integration, lead, maximal, minimal, response,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::{FailureClass, Outcome},
};

/// Made for these tests, and known to nobody.
const KEY: &str = include_str!("fixtures/key.pem");
const PUBLIC: &str = include_str!("fixtures/key.pub.pem");

fn ready(mut config: Value, mapping: Value) -> Box<dyn Prepared> {
    let credentials = json!({ "client_id": "3MVG9", "client_secret": "salesforce-secret" });
    if config["login_url"].is_null() {
        config["login_url"] = json!("https://oldbarn.my.salesforce.com");
    }
    Salesforce.prepare(&integration("salesforce", config, credentials, mapping), "Leadline").unwrap()
}

fn found(ids: &[&str]) -> (u16, Value) {
    let records: Vec<Value> = ids.iter().map(|id| json!({ "Id": id, "Status": "Working" })).collect();
    (200, json!({ "totalSize": ids.len(), "done": true, "records": records }))
}

fn made() -> (u16, Value) {
    (201, json!({ "id": "00Q000000000001", "success": true, "errors": [] }))
}

fn error(status: u16, code: &str) -> (u16, Value) {
    (status, json!([{ "errorCode": code, "message": "no" }]))
}

fn task() -> (u16, Value) {
    (201, json!({ "id": "00T000000000001", "success": true, "errors": [] }))
}

const KNOWN: &str = "00Q000000000001";

fn known() -> Ids {
    Ids::from([("lead".to_owned(), "00Q000000000001".to_owned())])
}

#[test]
fn a_new_lead_is_a_new_lead_there() {
    let said = drive(
        ready(json!({}), json!({})).as_ref(),
        Created,
        &lead(),
        Ids::new(),
        None,
        &[found(&[]), made()],
    );
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!((said.outcome, said.ids["lead"].as_str()), (Outcome::Delivered, "00Q000000000001"));
}

#[test]
fn an_update_goes_to_the_lead_that_is_known() {
    let mapping = json!({ "lead.guest_count": "Guests__c", "lead.event_date": "Event_Date__c",
        "quote.total_pence": { "to": "Quote__c", "value": "{{ quote.total_pence | money }}" } });
    let answers = [found(&[KNOWN]), (204, Value::Null), task()];
    let said = drive(ready(json!({}), mapping).as_ref(), Updated, &lead(), known(), None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    let rendered = String::from_utf8(said.rendered.unwrap().to_vec()).unwrap();
    assert!(rendered.contains(r#""Quote__c":12696.00,"#), "to the penny: {rendered}");
    assert_eq!(said.outcome, Outcome::Delivered);
}

#[test]
fn a_new_lead_is_a_member_of_the_campaign() {
    let config = json!({ "campaign_id": "701000000000001AAA", "campaign_status": "Responded" });
    let ready = ready(config, json!({}));
    let answers = [found(&[]), made(), (201, json!({ "id": "00v000000000001", "success": true }))];
    let said = drive(ready.as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("campaign", include_str!("fixtures/campaign.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    // Who is one already stays one.
    let answers = [found(&[]), made(), error(400, "DUPLICATE_VALUE")];
    let said = drive(ready.as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_eq!((said.outcome, said.calls.len()), (Outcome::Delivered, 3));
}

#[test]
fn a_repeat_finds_what_was_made_by_its_address() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[found(&[]), (500, Value::Null)]);
    assert!(matches!(&first.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Transient));
    let answers = [found(&[KNOWN]), (204, Value::Null), found(&[]), found(&[]), task()];
    let second = drive(ready.as_ref(), Created, &lead(), first.ids, first.rendered, &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!((second.outcome, second.ids["lead"].as_str()), (Outcome::Delivered, "00Q000000000001"));
}

#[test]
fn a_minimal_lead() {
    let config = json!({ "opt_out": "without_consent", "lead_source": "Barn", "external_id_field": "Lead_Ref__c",
        "duplicates": "save" });
    let said = drive(
        ready(config, json!({})).as_ref(),
        Created,
        &minimal(),
        Ids::new(),
        None,
        &[found(&[]), found(&[]), made()],
    );
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
}

#[test]
fn a_maximal_lead() {
    let said = drive(
        ready(json!({}), json!({})).as_ref(),
        Created,
        &maximal(),
        Ids::new(),
        None,
        &[found(&[]), made()],
    );
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
}

#[test]
fn texts_too_long_for_the_organizations_own_fields_are_cut_and_written_again() {
    let too_long = |field: &str, limit: usize| {
        let message = format!("{field}: data value too large: {} (max length={limit})", "x".repeat(300));
        (400, json!([{ "errorCode": "STRING_TOO_LONG", "message": message, "fields": [field] }]))
    };
    let mapping = json!({ "lead.profile.notes": "Notes__c", "lead.source_url": "Source__c" });
    let mut long = lead();
    long["lead"]["profile"] = json!({ "notes": "👰".repeat(300) });
    let answers = [found(&[]), too_long("Notes__c", 255), too_long("Source__c", 10), made()];
    let said = drive(ready(json!({}), mapping.clone()).as_ref(), Created, &long, Ids::new(), None, &answers);
    assert_eq!(said.outcome, Outcome::Delivered);
    let body = &said.bodies[3];
    assert_eq!(body["Notes__c"], format!("{}…", "👰".repeat(127)));
    assert_eq!(body["Source__c"], "https://t…");
    let answers = [found(&[KNOWN]), too_long("Notes__c", 255), (204, Value::Null), task()];
    let said = drive(ready(json!({}), mapping.clone()).as_ref(), Updated, &long, known(), None, &answers);
    assert_eq!((said.outcome, &said.bodies[2]["Notes__c"]), (Outcome::Delivered, &body["Notes__c"]));
    // An address is not cut, nor what is within its limit, nor for ever.
    for (limits, calls) in
        [(vec![("Email", 5)], 1), (vec![("Notes__c", 600)], 1), (vec![("Notes__c", 9); 20], 2)]
    {
        let answers = limits.iter().map(|(field, limit)| too_long(field, *limit));
        let answers: Vec<_> = std::iter::once(found(&[KNOWN])).chain(answers).collect();
        let said = drive(ready(json!({}), mapping.clone()).as_ref(), Updated, &long, known(), None, &answers);
        assert_eq!(said.calls.len(), calls + 1);
        assert!(matches!(&said.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Rejected));
    }
}

#[test]
fn a_lead_that_is_gone_is_looked_for_and_made_anew() {
    let ready = ready(json!({}), json!({}));
    // Between the query and the write, too.
    for gone in [error(404, "NOT_FOUND"), error(400, "ENTITY_IS_DELETED")] {
        let answers = [found(&[KNOWN]), gone, found(&[]), made()];
        let said = drive(ready.as_ref(), Updated, &lead(), known(), None, &answers);
        assert_eq!((said.calls.len(), said.outcome), (4, Outcome::Delivered));
    }
    // What was converted or deleted is not found.
    let said = drive(ready.as_ref(), Updated, &lead(), known(), None, &[found(&[]), found(&[]), made()]);
    assert_eq!((said.calls.len(), said.outcome), (3, Outcome::Delivered));
}

#[test]
fn texts_are_cut_to_what_the_fields_take() {
    let mut long = lead();
    long["lead"]["name"] = json!(format!("{} {}", "👰".repeat(60), "é".repeat(300)));
    long["lead"]["profile"] = json!({ "notes": "👰".repeat(15_000) });
    let said =
        drive(ready(json!({}), json!({})).as_ref(), Created, &long, Ids::new(), None, &[found(&[]), made()]);
    let fields = &said.bodies[1];
    // A bride takes two units, so that the last one may be left over.
    for (field, length) in [("FirstName", 39), ("LastName", 80), ("Company", 255)] {
        let text = fields[field].as_str().unwrap();
        assert_eq!((crm::units(text), text.ends_with('…')), (length, true), "{field}");
    }
    let told = fields["Description"].as_str().unwrap();
    assert!(told.contains("👰") && crm::units(told) <= 32_000);
    assert_eq!(said.outcome, Outcome::Delivered, "what was rendered can be read again");
}

#[test]
fn nothing_breaks_out_of_a_query() {
    for (text, expected) in [
        ("o'brien@example.com", r"o\'brien@example.com"),
        (r"a\' OR Name != '", r"a\\\' OR Name != \'"),
        ("a\"b\n@c", "a\\\"b@c"),
    ] {
        assert_eq!(quoted(text), expected);
    }
}

#[test]
fn every_error_has_its_class_and_says_what_salesforce_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

fn form(credentials: Value, config: Value) -> Vec<(String, String)> {
    let ready =
        Salesforce.prepare(&integration("salesforce", config, credentials, json!({})), "Leadline").unwrap();
    let request = ready.login().unwrap().request(NOW, None).unwrap();
    assert!(request.is_secret, "the body is not kept");
    assert_eq!(request.url.path(), "/services/oauth2/token");
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

#[test]
fn there_are_three_ways_to_log_in() {
    let pairs = form(json!({ "client_id": "id", "client_secret": "se&cret" }), json!({}));
    let text = |pairs: &[(String, String)]| {
        pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(&pairs), "grant_type=client_credentials client_id=id client_secret=se&cret");
    let pairs = form(json!({ "client_id": "id", "refresh_token": "5Aep" }), json!({}));
    assert_eq!(text(&pairs), "grant_type=refresh_token refresh_token=5Aep client_id=id");

    for (config, audience) in [
        (json!({}), "https://login.salesforce.com"),
        (
            json!({ "login_url": "https://oldbarn--uat.sandbox.my.salesforce.com" }),
            "https://test.salesforce.com",
        ),
        (json!({ "audience": "https://x.example.com" }), "https://x.example.com"),
    ] {
        let key = KEY.replace('\n', "\\n");
        let pairs = form(json!({ "client_id": "id", "private_key": key, "username": "ada@oldbarn" }), config);
        assert_eq!(pairs[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.set_audience(&[audience]);
        let public = DecodingKey::from_rsa_pem(PUBLIC.as_bytes()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&pairs[1].1, &public, &validation).unwrap().claims;
        assert_eq!(
            claims,
            json!({ "iss": "id", "sub": "ada@oldbarn", "aud": audience, "exp": NOW.as_seconds() + 180 })
        );
    }
}

#[test]
fn settings_are_checked() {
    let egress = EgressPolicy::new(Vec::new());
    let check = |config| testkit::refused(&Salesforce, &config, &json!({}));
    assert!(check(json!({})).is_empty());
    assert_eq!(
        check(json!({ "login_url": "https://x/y" })),
        ["login_url must be scheme, host and port only, as https://sandbox.example.com"]
    );
    assert_eq!(check(json!({ "login_url": "https://127.0.0.1" })).len(), 1);
    assert_eq!(check(json!({ "api_version": "62" })), ["api_version must be like v62.0"]);
    assert_eq!(check(json!({ "external_id_field": "Lead/Ref" })).len(), 1);
    assert_eq!(
        check(json!({ "assignment_rule": "mine" })),
        ["assignment_rule must be a rule's id, as 01Q…, or none"]
    );
    assert!(check(json!({ "assignment_rule": "01Q000000000001", "tasks": "no" })).is_empty());
    assert_eq!(check(json!({ "duplicates": "maybe" })), ["duplicates maybe is not one of save, respect"]);
    let credentials = |given| testkit::refused_credentials(&Salesforce, &given, &egress);
    assert!(credentials(json!({ "client_id": "a", "client_secret": "b" })).is_empty());
    assert!(credentials(json!({ "client_id": "a", "private_key": KEY, "username": "c" })).is_empty());
    for wrong in [
        json!({ "client_secret": "b" }),
        json!({ "client_id": "a" }),
        json!({ "client_id": "a", "private_key": KEY }),
        json!({ "client_id": "a", "private_key": "secret-nonsense", "username": "c" }),
    ] {
        let problems = credentials(wrong.clone());
        assert_eq!(problems.len(), 1, "{wrong}");
        assert!(!problems[0].contains("nonsense"), "{problems:?}");
    }
}

#[test]
fn leads_keep_the_address_that_they_are_found_by() {
    for mapping in [
        json!({ "lead.email": null }),
        json!({ "lead.email": "Other__c" }),
        json!({ "lead.email": { "to": "Email", "value": "{{ lead.name }}@example.com" } }),
        json!({ "lead.email": "Other__c", "lead.phone": "Email" }),
    ] {
        let problems = testkit::refused(&Salesforce, &json!({}), &mapping);
        let expected = "lead.email: goes to Email as it is, for leads are found by it; take lead.email out of the mapping";
        assert_eq!(problems, [expected], "{mapping}");
        // What was saved before this was checked.
        let ready = ready(json!({}), mapping);
        let said = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[found(&[]), made()]);
        assert_eq!(said.bodies[1]["Email"], "sarah@example.com");
    }
    let own = json!({ "lead.email": "Email", "lead.phone": "MobilePhone" });
    assert!(testkit::refused(&Salesforce, &json!({}), &own).is_empty());
}

#[test]
fn credentials_are_never_shown() {
    let login =
        Login::of(&read_all(&json!({ "client_id": "a", "client_secret": "salesforce-secret" })).0).unwrap();
    assert!(!format!("{login:?}").contains("salesforce-secret"));
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let made = Salesforce
        .prepare(&integration("salesforce", json!({}), Value::Null, json!({})), "Leadline")
        .unwrap();
    let said = drive(made.as_ref(), Created, &lead(), Ids::new(), None, &[]);
    assert!(matches!(&said.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Credentials));
}

#[test]
fn the_last_calls_of_the_day_are_left_to_others() {
    for (header, error) in [
        ("api-usage=18/5000", None),
        ("api-usage=4950/5000", None),
        (
            "api-usage=4951/5000",
            Some("salesforce quota: 49 of the day's 5000 calls are left, and are left to others"),
        ),
        (
            "api-usage=5100/5000; per-app-api-usage=17/250(appName=x)",
            Some("salesforce quota: 0 of the day's 5000 calls are left, and are left to others"),
        ),
        ("per-app-api-usage=250/250(appName=x); api-usage=1/5000", None),
        ("nonsense", None),
    ] {
        let said = error::exhausted(&response(204, &[("Sforce-Limit-Info", header)], ""));
        assert_eq!(said.as_ref().map(|failure| failure.error.as_str()), error);
        assert!(said.is_none_or(|failure| {
            failure.class == FailureClass::Throttled && failure.retry_after.is_some()
        }));
    }
}
