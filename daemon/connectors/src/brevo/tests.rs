//! What Brevo is sent, and how its answers are read.

use serde_json::{Value, json};

use super::{Brevo, error};
use crate::{
    Connector, Ids, Prepared,
    testkit::{
        self, FULL, MAXIMAL, MINIMAL, Played, PushCase, UPDATED, assert_errors, assert_goldens, probe,
        refused, response,
    },
};
use leadline_domain::{integration::ProbeKind, outcome::Outcome};

/// The delivery that is played.
const ID: &str = "01J8H6KQH4YG3XR8RWM6T6XFQ0";
const NONE: (u16, &str) = (404, r#"{"code":"document_not_found","message":"Contact does not exist"}"#);
const MADE: (u16, &str) = (201, r#"{"id":42}"#);
const CHANGED: (u16, &str) = (204, "");
const TOLD: (u16, &str) = (204, "");
const UNTOLD: (u16, &str) = (200, r#"{"count":0}"#);

fn ready(more: Value, mapping: Value) -> Box<dyn Prepared> {
    let mut config = json!({"list_ids": "3, #7"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let integration = testkit::integration("brevo", config, json!({"api_key": "xkeysib-secret"}), mapping);
    Brevo.prepare(&integration, "Leadline").unwrap()
}

fn confirming() -> Box<dyn Prepared> {
    let confirm = json!({"confirm_template_id": 5, "confirm_redirect_url": "https://barn.example/thanks"});
    ready(confirm, Value::Null)
}

/// A contact that is on these lists, and has left those.
fn known(blocked: bool, on: &[u64], left: &[u64]) -> String {
    json!({"id": 42, "email": "sarah@example.com", "emailBlacklisted": blocked, "listIds": on,
        "listUnsubscribed": left, "attributes": {}})
    .to_string()
}

fn calls(played: &Played) -> Vec<String> {
    let told = played.requests.iter().map(|request| format!("{} {}", request.method, request.url.path()));
    told.collect()
}

/// A lead that consented.
fn consenting(text: &str) -> String {
    let mut lead: Value = serde_json::from_str(text).unwrap();
    lead["lead"]["gdpr_consent"] = json!(true);
    lead.to_string()
}

#[test]
fn each_kind_of_lead_makes_its_requests() {
    let there = known(false, &[3], &[]);
    let update = [(200, there.as_str()), CHANGED, TOLD];
    let run = |case: PushCase<'_>, answers: &[(u16, &str)]| {
        let played = case.run(ready(json!({}), Value::Null).as_ref(), answers);
        assert_eq!(played.outcome, Outcome::Delivered);
        played
    };
    let minimal = consenting(MINIMAL);
    let create = run(PushCase::created(FULL), &[NONE, MADE, TOLD]);
    assert_eq!(create.ids["contact"], "42");
    // The answer to the event was lost.
    let ids = Ids::from([(format!("contact.{ID}"), "42".to_owned())]);
    let rendered = create.rendered.clone();
    let again = PushCase { rendered, is_repeat: true, ids, ..PushCase::created(FULL) };
    let repeat = run(again, &[update[0], CHANGED, UNTOLD, TOLD]);
    let update = run(PushCase::updated(UPDATED), &update);
    let minimal = run(PushCase::created(&minimal), &[NONE, MADE, TOLD]);
    let maximal = run(PushCase::created(MAXIMAL), &[NONE, MADE, TOLD]);
    assert_goldens(&[
        ("create", include_str!("fixtures/create.json"), &create),
        ("repeat", include_str!("fixtures/repeat.json"), &repeat),
        ("update", include_str!("fixtures/update.json"), &update),
        ("minimal", include_str!("fixtures/minimal.json"), &minimal),
        ("maximal", include_str!("fixtures/maximal.json"), &maximal),
    ]);
}

#[test]
fn nobody_is_put_back_where_they_left_and_nothing_says_whether_they_are_blocked() {
    for (contact, lists, note) in [
        (
            known(false, &[3], &[7]),
            None,
            Some("the contact unsubscribed from a list: it is not put back on it"),
        ),
        (
            known(false, &[], &[7]),
            Some(json!([3])),
            Some("the contact unsubscribed from a list: it is not put back on it"),
        ),
        (
            known(true, &[], &[]),
            None,
            Some("the contact is blocked at Brevo, by themselves or by somebody: it is put on no list"),
        ),
        (known(false, &[9], &[8]), Some(json!([3, 7])), None),
    ] {
        for prepared in [ready(json!({}), Value::Null), confirming()] {
            let answers = [(200, contact.as_str()), CHANGED, (201, ""), TOLD];
            let played = PushCase::created(FULL).run(prepared.as_ref(), &answers);
            assert_eq!((&played.outcome, played.note.as_deref()), (&Outcome::Delivered, note), "{contact}");
            let joined =
                played.bodies.iter().find_map(|body| body.get("listIds").or(body.get("includeListIds")));
            assert_eq!(joined, lists.as_ref(), "{contact}");
            assert!(played.bodies.iter().all(|body| body.get("emailBlacklisted").is_none()));
        }
    }
}

#[test]
fn who_is_new_to_a_list_is_asked_once_to_confirm() {
    let played = PushCase::created(FULL).run(confirming().as_ref(), &[NONE, (201, ""), TOLD]);
    assert_eq!(
        calls(&played),
        [
            "GET /v3/contacts/sarah%40example.com",
            "POST /v3/contacts/doubleOptinConfirmation",
            "POST /v3/events"
        ]
    );
    assert_eq!(played.bodies[2]["identifiers"], json!({"email_id": "sarah@example.com"}));
    let expected = json!({"email": "sarah@example.com", "attributes": {"FIRSTNAME": "Sarah", "LASTNAME": "Jane Patel",
        "SMS": "+447700900123"}, "includeListIds": [3, 7], "templateId": 5, "redirectionUrl": "https://barn.example/thanks"});
    assert_eq!(played.bodies[1], expected);
    let waiting = known(false, &[], &[]);
    let update = PushCase { ids: played.ids.clone(), ..PushCase::updated(FULL) };
    let update = update.run(confirming().as_ref(), &[(200, &waiting), CHANGED]);
    assert_eq!((calls(&update).len(), &update.outcome), (2, &Outcome::Delivered), "not asked again");
    assert_eq!(update.bodies[1].get("listIds"), None, "nor put on the lists without an answer");
    let gone = PushCase { ids: played.ids, ..PushCase::updated(FULL) }.run(confirming().as_ref(), &[NONE]);
    assert_eq!(gone.outcome, Outcome::Delivered, "who has not answered yet may not be there yet");
}

#[test]
fn an_event_keeps_each_enquiry_once() {
    let there = known(false, &[3, 7], &[]);
    let begun = || Ids::from([(format!("contact.{ID}"), "42".to_owned())]);
    let told = json!({"count": 1, "events": [{"contact_id": 42, "event_properties": {"delivery": ID}}]});
    let (told, good) = (told.to_string(), Outcome::Delivered);
    // Its answer was lost: Brevo has it, or not.
    for (listed, calls) in [((200, told.as_str()), 3), (UNTOLD, 4)] {
        let again = PushCase { is_repeat: true, ids: begun(), ..PushCase::created(FULL) };
        let answers = [(200, there.as_str()), CHANGED, listed, TOLD];
        let played = again.run(ready(json!({}), Value::Null).as_ref(), &answers);
        assert_eq!((&played.outcome, played.requests.len()), (&good, calls), "{listed:?}");
        assert_eq!(
            played.requests[2].url.query(),
            Some(
                "event_name=lead_received&startDate=2026-11-18T10%3A56%3A40Z&endDate=2026-11-18T11%3A06%3A40Z&contact_id=42"
            )
        );
        assert_eq!(played.ids[&format!("event.{ID}")], "described");
    }
    // An earlier attempt that did not come to it sent none, and one that kept it sends it never again.
    let first = PushCase { is_repeat: true, ..PushCase::created(FULL) };
    let played = first.run(ready(json!({}), Value::Null).as_ref(), &[(200, &there), CHANGED, TOLD]);
    assert_eq!((played.outcome, played.requests.len()), (good.clone(), 3));
    let again = PushCase { is_repeat: true, ids: played.ids, ..PushCase::created(FULL) };
    let played = again.run(ready(json!({}), Value::Null).as_ref(), &[(200, &there), CHANGED]);
    assert_eq!((played.outcome, played.requests.len()), (good, 2));
    // What cannot be read is not taken for none.
    for unread in [(200, "{}"), (200, "<html>")] {
        let again = PushCase { is_repeat: true, ids: begun(), ..PushCase::created(FULL) };
        let answers = [(200, there.as_str()), CHANGED, unread];
        let played = again.run(ready(json!({}), Value::Null).as_ref(), &answers);
        assert_eq!((played.failure().0, played.requests.len()), ("transient", 3), "{unread:?}");
    }
    let unkept = ready(json!({"events": "no"}), Value::Null);
    let played = PushCase::created(FULL).run(unkept.as_ref(), &[NONE, MADE]);
    assert_eq!((&played.outcome, played.requests.len()), (&Outcome::Delivered, 2));
    let gone = [(200, there.as_str()), CHANGED, NONE];
    let played = PushCase::created(FULL).run(ready(json!({}), Value::Null).as_ref(), &gone);
    assert_eq!(played.failure(), ("transient", "brevo: somebody deleted the contact meanwhile", None));
}

#[test]
fn an_event_has_names_and_lengths_that_brevo_takes() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["delivery"] = json!("by hand");
    lead["lead"]["Größe"] = json!("80");
    for n in 0..30 {
        lead["lead"][format!("wish {n}")] = json!("é".repeat(2_000));
    }
    let played =
        PushCase::created(&lead.to_string()).run(ready(json!({}), Value::Null).as_ref(), &[NONE, MADE, TOLD]);
    let told = &played.bodies[2]["event_properties"];
    assert_eq!(
        (&told["delivery"], &told["delivery_"], &told["gr__e"]),
        (&json!(ID), &json!("by hand"), &json!("80"))
    );
    assert!(told.to_string().len() < 50_000 && told["wish_29"] == "…", "{told}");
    let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    assert!(told.as_object().unwrap().keys().all(is_plain), "{told}");
}

#[test]
fn an_attribute_that_is_refused_keeps_nobody_out() {
    let doubled = r#"{"code":"duplicate_parameter","message":"Unable to create contact, SMS is already associated with another Contact","metadata":{"duplicate_identifiers":["SMS"]}}"#;
    let invalid = r#"{"code":"invalid_parameter","message":"Invalid phone number"}"#;
    for refusal in [doubled, invalid] {
        let played = PushCase::created(FULL)
            .run(ready(json!({}), Value::Null).as_ref(), &[NONE, (400, refusal), MADE, TOLD]);
        assert_eq!(played.outcome, Outcome::Delivered, "{refusal}");
        assert_eq!(
            (played.bodies[1]["attributes"].get("SMS").is_some(), played.bodies[2]["attributes"].get("SMS")),
            (true, None)
        );
        assert!(played.note.unwrap().starts_with("attribute SMS was left out: "));
    }
    let address = r#"{"code":"invalid_parameter","message":"email is not valid"}"#;
    let played = PushCase::created(FULL).run(ready(json!({}), Value::Null).as_ref(), &[NONE, (400, address)]);
    assert_eq!(played.failure(), ("rejected", "brevo invalid_parameter email is not valid", None));
    for (message, name) in
        [("Invalid WhatsApp number", "WHATSAPP"), ("Invalid landline number", "LANDLINE_NUMBER")]
    {
        let body = json!({"code": "invalid_parameter", "message": message}).to_string();
        assert_eq!(error::flaws(&response(400, &[], &body))[0].0, name);
    }
}

#[test]
fn nobody_is_pushed_without_consent() {
    for consent in [json!(false), json!(null), json!("true")] {
        let mut lead: Value = serde_json::from_str(FULL).unwrap();
        lead["lead"]["gdpr_consent"] = consent;
        let lead = lead.to_string();
        for rendered in
            [None, PushCase::created(FULL).run(ready(json!({}), Value::Null).as_ref(), &[]).rendered]
        {
            let case = PushCase { rendered, ..PushCase::created(&lead) };
            let played = case.run(ready(json!({}), Value::Null).as_ref(), &[]);
            let told = ("rejected", "brevo was not called: the lead gave no consent", None);
            assert_eq!((played.requests.len(), played.failure()), (0, told));
        }
    }
}

#[test]
fn a_name_that_was_made_from_the_address_names_nobody() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = lead["lead"]["email"].clone();
    lead["lead"].as_object_mut().unwrap().remove("phone");
    let played =
        PushCase::created(&lead.to_string()).run(ready(json!({}), Value::Null).as_ref(), &[NONE, MADE]);
    assert_eq!(played.bodies[1]["attributes"], json!({}));
    let mapping = json!({"lead.guest_count": "GUESTS", "lead.phone": null, "lead.gdpr_consent": "AGREED"});
    let played = PushCase::created(FULL).run(ready(json!({}), mapping).as_ref(), &[NONE, MADE]);
    let attributes = &played.bodies[1]["attributes"];
    assert_eq!(
        (&attributes["GUESTS"], &attributes["AGREED"], attributes.get("SMS")),
        (&json!(80), &json!(true), None)
    );
}

#[test]
fn an_answer_that_cannot_be_read_changes_nothing() {
    for unread in ["<html>", "{}"] {
        let played = PushCase::created(FULL).run(ready(json!({}), Value::Null).as_ref(), &[(200, unread)]);
        assert_eq!((played.failure().0, played.requests.len()), ("transient", 1), "{unread}");
    }
}

#[test]
fn every_error_has_its_class_and_says_what_brevo_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn settings_are_checked() {
    let check = |config: Value, mapping: Value| refused(&Brevo, &config, &mapping).join("; ");
    let many: Vec<String> = (1..=70).map(|list| list.to_string()).collect();
    let many = json!({"list_ids": many.join(",")});
    for config in [json!({"list_ids": "#3,7"}), many.clone()] {
        assert_eq!(check(config, Value::Null), "");
    }
    // A look has no calls for all of them.
    let looked = vec![(200, r#"{"name":"Leads"}"#); 52];
    let (report, urls) = probe(ready(many, Value::Null).as_ref(), ProbeKind::Test, &looked);
    assert_eq!((report.outcome, urls.len()), (Outcome::Delivered, 52));
    for (config, mapping, problem) in [
        (
            json!({"list_ids": "Leads"}),
            Value::Null,
            "list_ids must be numbers with commas between them, as 3, 7",
        ),
        (
            json!({"list_ids": "3", "calls_per_second": 0}),
            Value::Null,
            "calls_per_second must be from 1 to 10000",
        ),
        (
            json!({"list_ids": "3", "confirm_template_id": 5}),
            Value::Null,
            "confirm_template_id and confirm_redirect_url belong together: set both or neither",
        ),
        (
            json!({"list_ids": "3", "confirm_template_id": 5, "confirm_redirect_url": "thanks"}),
            Value::Null,
            "confirm_redirect_url must be a web address, as https://example.com/thanks",
        ),
        (
            json!({"list_ids": "3"}),
            json!({"lead.email": "EMAIL"}),
            "EMAIL: is the lead's address, by which contacts are found; map nothing to it",
        ),
    ] {
        assert_eq!(check(config, mapping), problem);
    }
    let made = Brevo.prepare(
        &testkit::integration("brevo", json!({"list_ids": "3"}), Value::Null, Value::Null),
        "Leadline",
    );
    assert_eq!(PushCase::created(FULL).run(made.unwrap().as_ref(), &[]).failure().0, "credentials");
}

#[test]
fn a_test_names_the_lists_and_what_the_attributes_do_not_take() {
    let account = r#"{"email":"ada@barn.example","companyName":"The Old Barn"}"#;
    let attributes = json!({"attributes": [
        {"name": "FIRSTNAME", "category": "normal", "type": "text"}, {"name": "SMS", "category": "normal", "type": "text"},
        {"name": "GUESTS", "category": "normal", "type": "text"}, {"name": "DAY", "category": "normal", "type": "date"},
        {"name": "WHEN", "category": "normal", "type": "date"},
        {"name": "KIND", "category": "category", "enumeration": []}, {"name": "COUNT", "category": "global"},
    ]})
    .to_string();
    let mapping = json!({"lead.guest_count": "GUESTS", "lead.event_type": "KIND", "lead.event_date": "DAY",
        "lead.name": "WHEN", "lead.source_url": "COUNT"});
    let prepared = ready(json!({}), mapping);
    let lists = [(200, r#"{"name":"Leads"}"#), (200, r#"{"name":"News"}"#)];
    let (report, urls) =
        probe(prepared.as_ref(), ProbeKind::Test, &[lists[0], lists[1], (200, account), (200, &attributes)]);
    assert_eq!(
        (report.outcome, report.account.as_deref()),
        (Outcome::Delivered, Some("The Old Barn, Leads, News"))
    );
    assert_eq!(urls[1], "https://api.brevo.com/v3/contacts/lists/7");
    assert_eq!(
        report.findings,
        [
            "lead.profile.last_name: unknown attribute LASTNAME",
            "lead.event_type: KIND is of type category, and this is a text",
            "lead.name: WHEN is of type date, and this is a text",
            "lead.source_url: COUNT cannot be written: Brevo fills it itself",
        ]
    );
    let (report, _) = probe(prepared.as_ref(), ProbeKind::Test, &[(404, "{}")]);
    let Outcome::Failed(failure) = report.outcome else { panic!("the list is not there") };
    assert_eq!(failure.error, "brevo: there is no list 3; correct list_ids");
}

#[test]
fn a_contact_is_linked_to() {
    let ids = Ids::from([("contact".to_owned(), "42".to_owned()), ("_asked".to_owned(), "a@b.c".to_owned())]);
    let records = ready(json!({}), Value::Null).records(&ids, None);
    assert_eq!(
        (records.len(), records[0].url.as_deref()),
        (1, Some("https://app.brevo.com/contact/index/42"))
    );
}
