//! Requests as they leave, and answers as they are read.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    Connector, Response,
    testkit::{self, FULL, MAXIMAL, MINIMAL, PushCase, UPDATED, probe, read_as, response},
};
use leadline_domain::{address::EgressPolicy, outcome::Outcome};

fn ready(mapping: Value) -> Box<dyn Prepared> {
    let config = json!({"base_id": "appA1", "table": "Leads / 2026"});
    let integration = testkit::integration(NAME, config, json!({"token": " pat-1 "}), mapping);
    Airtable.prepare(&integration, "Leadline").unwrap()
}

const DONE: &str = r#"{"records":[{"id":"rec1","fields":{}}],"createdRecords":["rec1"],"updatedRecords":[]}"#;

#[test]
fn each_kind_of_lead_makes_its_request() {
    let ready = ready(Value::Null);
    for (case, fixture) in [
        (PushCase::created(FULL), include_str!("fixtures/create.json")),
        (PushCase::updated(UPDATED), include_str!("fixtures/update.json")),
        (PushCase::created(MINIMAL), include_str!("fixtures/minimal.json")),
        (PushCase::created(MAXIMAL), include_str!("fixtures/maximal.json")),
    ] {
        let driven = case.run(ready.as_ref(), &[(200, DONE)]);
        driven.assert_is(fixture);
        assert_eq!(driven.outcome, Outcome::Delivered);
    }
}

#[test]
fn a_text_that_a_cell_does_not_take_whole_is_cut_and_told() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["profile"] = json!({"notes": "x".repeat(100_001)});
    let driven = PushCase::created(&lead.to_string()).run(ready(Value::Null).as_ref(), &[(200, DONE)]);
    let written = driven.bodies[0]["records"][0]["fields"]["Notes"].as_str().unwrap();
    assert_eq!((crm::units(written), written.ends_with("x…")), (100_000, true));
    assert_eq!(driven.note.as_deref(), Some("column Notes was cut to 100000 characters"));
    assert_eq!(driven.bodies[0].as_object().unwrap().len(), 3, "it is no part of the request");
}

/// What a new operator copies from the page takes every lead.
#[test]
fn the_page_has_each_column_of_our_mapping_made() {
    let page = include_str!("../../../../docs/connectors/airtable.md");
    let line = page.lines().skip_while(|line| !line.ends_with("```csv")).nth(1).unwrap();
    let mut made: Vec<&str> = line.trim().split(',').collect();
    let mapping = crm::columns();
    let targets = mapping.as_object().unwrap().values();
    let mut wanted: Vec<&str> =
        targets.map(|target| target.as_str().or_else(|| target["to"].as_str()).unwrap()).collect();
    made.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(made, wanted);
}

#[test]
fn a_repeat_is_the_same_bytes_whatever_the_mapping_is_by_now() {
    let first = PushCase::created(FULL).run(ready(Value::Null).as_ref(), &[]);
    let changed = ready(json!({"lead.name": "Full name", "lead.uuid": "Ref"}));
    let case = PushCase { rendered: first.rendered, is_repeat: true, ..PushCase::created(FULL) };
    let repeat = case.run(changed.as_ref(), &[(200, DONE)]);
    repeat.assert_is(include_str!("fixtures/repeat.json"));
    assert_eq!(repeat.requests[0].body, first.requests[0].body);
}

#[test]
fn the_operators_mapping_is_laid_over_ours() {
    let mapping = json!({"lead.uuid": "fld1", "lead.phone": null, "quote.items": "Items", "lead.name": {"to": "Who", "value": "{{ lead.name }} ({{ lead.guest_count }})"}});
    let driven = PushCase::created(FULL).run(ready(mapping).as_ref(), &[]);
    let body: Value = serde_json::from_slice(&driven.requests[0].body).unwrap();
    assert_eq!(body["performUpsert"]["fieldsToMergeOn"], json!(["fld1"]));
    let fields = &body["records"][0]["fields"];
    assert_eq!(fields["Who"], "Sarah Jane Patel (80)");
    assert!(fields["Items"].as_str().unwrap().starts_with("[{\"name\":\"Exclusive"), "{fields}");
    assert!(fields.get("Phone").is_none() && fields.get("Name").is_none());
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let check = |config: Value, mapping: Value| testkit::refused(&Airtable, &config, &mapping).join("; ");
    let good = json!({"base_id": "appA1", "table": "Leads"});
    for (config, mapping, problem) in [
        (good.clone(), Value::Null, ""),
        (json!({"table": "Leads"}), Value::Null, "base_id is required"),
        (json!({"base_id": "appA1", "table": " "}), Value::Null, "table is required"),
        (
            json!({"base_id": "airtable.com/appA1/tbl", "table": "x"}),
            Value::Null,
            "base_id must be the id alone",
        ),
        (good.clone(), json!({"lead.uuid": null}), "lead.uuid: must go to a column"),
        (good.clone(), json!({"lead.fone": "Phone"}), "unknown field lead.fone; did you mean lead.phone?"),
        (good.clone(), json!({"lead.phone": "Name"}), "lead.name and lead.phone both go to Name"),
        (good, json!([]), "the mapping must be an object"),
    ] {
        let said = check(config.clone(), mapping.clone());
        let is_as_wanted = if problem.is_empty() { said.is_empty() } else { said.contains(problem) };
        assert!(is_as_wanted, "{config} {mapping}: {said}");
    }
    let credentials =
        |value: Value| testkit::refused_credentials(&Airtable, &value, &EgressPolicy::default()).len();
    assert_eq!((credentials(json!({"token": "pat"})), credentials(json!({"tokn": "pat"}))), (0, 2));
}

#[test]
fn without_a_token_nothing_is_called() {
    let config = json!({"base_id": "appA1", "table": "Leads"});
    let integration = testkit::integration(NAME, config, Value::Null, Value::Null);
    let ready = Airtable.prepare(&integration, "Leadline").unwrap();
    let driven = PushCase::created(FULL).run(ready.as_ref(), &[]);
    assert_eq!((driven.requests.len(), driven.failure().0), (0, "credentials"));
}

#[test]
fn every_answer_has_its_class() {
    let ready = ready(Value::Null);
    let quote = |code: &str, message: &str| json!({"error": {"type": code, "message": message}}).to_string();
    let table: &[(u16, &str, &str, &str, Option<u64>)] = &[
        (200, DONE, "delivered", "", None),
        (200, "<html>", "unknown", "airtable 200 OK: <html>", None),
        (200, "{}", "unknown", "airtable 200 OK: {}", None),
        (
            401,
            &quote("AUTHENTICATION_REQUIRED", "Authentication required"),
            "credentials",
            "airtable AUTHENTICATION_REQUIRED Authentication required",
            None,
        ),
        (
            403,
            &quote("INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions"),
            "credentials",
            "airtable INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND Invalid permissions",
            None,
        ),
        (404, r#"{"error":"NOT_FOUND"}"#, "rejected", "airtable NOT_FOUND", None),
        (413, "", "rejected", "airtable 413 Payload Too Large", None),
        (
            422,
            &quote("UNKNOWN_FIELD_NAME", "Unknown field name: \"Gusts\""),
            "rejected",
            "airtable UNKNOWN_FIELD_NAME Unknown field name: \"Gusts\"",
            None,
        ),
        (
            422,
            &quote("INVALID_MULTIPLE_CHOICE_OPTIONS", "x\ny"),
            "rejected",
            "airtable INVALID_MULTIPLE_CHOICE_OPTIONS x y",
            None,
        ),
        (
            429,
            r#"{"errors":[{"error":"RATE_LIMIT_REACHED","message":"slow"}]}"#,
            "throttled",
            "airtable RATE_LIMIT_REACHED slow",
            Some(30),
        ),
        (429, "", "throttled", "airtable 429 Too Many Requests", Some(30)),
        (
            429,
            &quote("PUBLIC_API_BILLING_LIMIT_EXCEEDED", "Monthly"),
            "throttled",
            "airtable PUBLIC_API_BILLING_LIMIT_EXCEEDED Monthly",
            Some(3600),
        ),
        (500, &quote("SERVER_ERROR", ""), "transient", "airtable SERVER_ERROR", None),
        (503, "busy", "transient", "airtable 503 Service Unavailable: busy", None),
        (302, "", "blocked", "airtable 302 Found: redirects are not followed", None),
    ];
    for (status, body, class, error, wait) in table {
        let read = read_as(ready.as_ref(), response(*status, &[], body));
        assert_eq!(read, (*class, (*error).to_owned(), wait.map(Duration::from_secs)), "{status} {body}");
    }
    let longer = response(429, &[("Retry-After", "45")], "");
    assert_eq!(read_as(ready.as_ref(), longer).2, Some(Duration::from_secs(45)));
    let cut = Response { truncated: true, ..response(200, &[], r#"{"records":[{"id"#) };
    assert_eq!(read_as(ready.as_ref(), cut).0, "delivered");
}

const WHOAMI: (u16, &str) = (200, r#"{"id":"usr1","email":"ada@example.com"}"#);
const SCHEMA: &str = r#"{"tables":[{"id":"tbl1","name":"Leads / 2026","fields":[{"id":"fld1","name":"Ref","type":"email"},
    {"id":"fld2","name":"Names","type":"singleLineText"},{"id":"fld3","name":"Phone","type":"formula"}]}]}"#;

#[test]
fn a_test_names_the_account_and_what_is_missing() {
    let leave_out: Value =
        crm::columns().as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    let mut mapping = leave_out;
    for (field, column) in [("lead.uuid", "Ref"), ("lead.name", "Name"), ("lead.phone", "fld3")] {
        mapping[field] = json!(column);
    }
    let ready = ready(mapping);
    let (report, urls) = probe(ready.as_ref(), ProbeKind::Test, &[WHOAMI, (200, SCHEMA)]);
    assert_eq!(
        urls,
        ["https://api.airtable.com/v0/meta/whoami", "https://api.airtable.com/v0/meta/bases/appA1/tables"]
    );
    assert_eq!((report.outcome, report.account.as_deref()), (Outcome::Delivered, Some("ada@example.com")));
    assert_eq!(
        report.findings,
        [
            "lead.name: unknown column Name; did you mean Names?",
            "lead.phone: fld3 cannot be written: Airtable fills it itself",
            "lead.uuid: Airtable finds no records by a column of type email; make Ref single line text",
        ]
    );
    let (again, urls) = probe(ready.as_ref(), ProbeKind::Mapping, &[(200, SCHEMA)]);
    assert_eq!((again.findings, urls.len()), (report.findings, 1));
}

#[test]
fn a_column_of_another_type_is_named() {
    let columns = [
        ("lead.uuid", "Lead ID", "singleLineText", ""),
        ("lead.name", "Name", "number", "lead.name: Name is of type number, and this is a text"),
        ("lead.phone", "Phone", "singleLineText", ""),
        ("lead.event_type", "Event type", "singleSelect", ""),
        (
            "lead.event_date",
            "Event date",
            "checkbox",
            "lead.event_date: Event date is of type checkbox, and this is a date",
        ),
        ("lead.guest_count", "Guests", "multilineText", ""),
        (
            "lead.gdpr_consent",
            "Consent",
            "date",
            "lead.gdpr_consent: Consent is of type date, and this is true or false",
        ),
        ("quote.total_pence", "Quote total", "currency", ""),
        (
            "quote.items",
            "Items",
            "number",
            "quote.items: Items is of type number, and this is an object or a list",
        ),
        ("viewing.starts_at", "Viewing start", "dateTime", ""),
        (
            "location.name",
            "Venue",
            "multipleAttachments",
            "location.name: Venue is of type multipleAttachments, and this is a text",
        ),
    ];
    let mut mapping: Value =
        crm::columns().as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    for (field, column, _, _) in columns {
        mapping[field] = json!(column);
    }
    mapping["quote.total_pence"] = crm::columns()["quote.total_pence"].clone();
    let fields: Vec<Value> =
        columns.iter().map(|(_, name, kind, _)| json!({"id": name, "name": name, "type": kind})).collect();
    let schema = json!({"tables": [{"id": "tbl1", "name": "Leads / 2026", "fields": fields}]}).to_string();
    let (report, _) = probe(ready(mapping).as_ref(), ProbeKind::Mapping, &[(200, &schema)]);
    let mut wanted: Vec<&str> =
        columns.iter().map(|column| column.3).filter(|said| !said.is_empty()).collect();
    let mut said: Vec<&str> = report.findings.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, wanted);
}

#[test]
fn a_test_fails_where_a_push_would() {
    let ready = ready(Value::Null);
    let forbidden = (403, r#"{"error":{"type":"INVALID_PERMISSIONS","message":"no"}}"#);
    for (answers, outcome, findings) in [
        (
            vec![(401, r#"{"error":{"type":"AUTHENTICATION_REQUIRED"}}"#)],
            "airtable AUTHENTICATION_REQUIRED",
            0,
        ),
        (
            vec![WHOAMI, (200, r#"{"tables":[{"name":"Leads / 2025"}]}"#)],
            "airtable unknown table Leads / 2026; did you mean Leads / 2025?: the base does not have it",
            0,
        ),
        (vec![WHOAMI, (500, "")], "airtable 500 Internal Server Error", 0),
        (vec![WHOAMI, forbidden, forbidden], "airtable INVALID_PERMISSIONS no", 0),
        (vec![WHOAMI, forbidden, (200, r#"{"records":[]}"#)], "", 1),
    ] {
        let (report, _) = probe(ready.as_ref(), ProbeKind::Credentials, &answers);
        let error = match &report.outcome {
            Outcome::Failed(failure) => failure.error.as_str(),
            Outcome::Delivered => "",
        };
        assert_eq!((error, report.findings.len()), (outcome, findings));
    }
}

#[test]
fn a_table_that_is_older_than_a_column_goes_without_it() {
    let answered = |code: &str, column: &str| {
        let message = format!("Unknown field name: \"{column}\"");
        let body = json!({"error": {"type": code, "message": message}}).to_string();
        error::flaws(&response(422, &[], &body)).into_iter().map(|(column, _)| column).collect::<Vec<_>>()
    };
    assert_eq!(answered("UNKNOWN_FIELD_NAME", "Company"), ["Company"]);
    assert!(answered("UNKNOWN_FIELD_NAME", "Gusts").is_empty(), "the mapping names it: that is told");
    assert!(answered("INVALID_MULTIPLE_CHOICE_OPTIONS", "Company").is_empty());
}
