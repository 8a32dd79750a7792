//! Requests as they leave, and answers as they are read.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    Connector, Response,
    testkit::{self, FULL, MAXIMAL, MINIMAL, PushCase, UPDATED, probe, read_as, response},
};
use leadline_domain::{address::EgressPolicy, outcome::Outcome};

const MEMBER: (u16, &str) = (200, r#"{"id":"abc","email_address":"sarah@example.com","status":"pending"}"#);

/// An audience without notes, unless they are asked for.
fn ready(more: Value, mapping: Value) -> Box<dyn Prepared> {
    let mut config = json!({"list_id": "a1b2c3", "notes": "no"});
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let integration = testkit::integration(NAME, config, json!({"api_key": "0123-abc-us21"}), mapping);
    Mailchimp.prepare(&integration, "Leadline").unwrap()
}

fn tagged() -> Box<dyn Prepared> {
    ready(json!({"tags": "Wedding, , 2026 \"leads\""}), Value::Null)
}

#[test]
fn each_kind_of_lead_makes_its_requests() {
    for (case, fixture) in [
        (PushCase::created(FULL), include_str!("fixtures/create.json")),
        (PushCase::updated(UPDATED), include_str!("fixtures/update.json")),
        (PushCase::created(MINIMAL), include_str!("fixtures/minimal.json")),
        (PushCase::created(MAXIMAL), include_str!("fixtures/maximal.json")),
    ] {
        // A name of one word takes a look at the member.
        let look = if case.lead == MINIMAL { &[(404, "")][..] } else { &[] };
        let driven = case.run(tagged().as_ref(), &[look, &[MEMBER, (204, "")]].concat());
        driven.assert_is(fixture);
        assert_eq!(driven.outcome, Outcome::Delivered);
    }
}

#[test]
fn who_asks_chooses_groups_and_permissions_and_an_update_says_nothing_of_them() {
    let config = json!({"groups": "9143cf3bd1, 3a2a927344", "marketing_permissions": "c9a1d2e3f4"});
    let ready = ready(config, Value::Null);
    let driven = PushCase::created(MINIMAL).run(ready.as_ref(), &[(404, ""), MEMBER]);
    driven.assert_is(include_str!("fixtures/groups.json"));
    assert_eq!(driven.outcome, Outcome::Delivered);
    let said = |ids: &Ids| {
        let update = PushCase { ids: ids.clone(), ..PushCase::updated(UPDATED) };
        let update = update.run(ready.as_ref(), &[MEMBER]);
        update.bodies[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let known = PushCase::created(FULL).run(ready.as_ref(), &[MEMBER]).ids;
    assert_eq!(said(&known), ["email_address", "status_if_new", "merge_fields"]);
    // The creation died: the update is what puts them there.
    assert_eq!(said(&Ids::new())[3..], ["interests", "marketing_permissions"]);
}

#[test]
fn what_came_is_kept_as_a_note() {
    // As it is by default.
    let ready = ready(json!({"notes": null}), Value::Null);
    let first = PushCase::created(FULL).run(ready.as_ref(), &[MEMBER, (200, r#"{"id": 7}"#)]);
    first.assert_is(include_str!("fixtures/notes.json"));
    assert_eq!(
        (&first.outcome, first.ids["note.01J8H6KQH4YG3XR8RWM6T6XFQ0"].as_str()),
        (&Outcome::Delivered, "7")
    );
    // Its answer was lost: it is there already.
    let lost = PushCase::created(FULL).run(ready.as_ref(), &[MEMBER]);
    let told = lost.bodies[1]["note"].as_str().unwrap();
    let there = json!({"notes": [{"id": 6, "note": "called"}, {"id": 7, "note": told}]}).to_string();
    let again =
        PushCase { rendered: lost.rendered, ids: lost.ids, is_repeat: true, ..PushCase::created(FULL) };
    let again = again.run(ready.as_ref(), &[MEMBER, (200, &there)]);
    assert_eq!((again.requests.len(), again.outcome), (2, Outcome::Delivered));
    let long = PushCase::created(MAXIMAL).run(ready.as_ref(), &[MEMBER]);
    let note = long.bodies[1]["note"].as_str().unwrap();
    assert!(
        note.starts_with("Delivery: 01J8H6KQH4YG3XR8RWM6T6XFQ0\n") && crm::units(note) <= 1_000,
        "{note}"
    );
}

#[test]
fn a_push_that_broke_off_goes_on_with_the_tags() {
    for answers in [&[MEMBER][..], &[MEMBER, (500, "")]] {
        let first = PushCase::created(FULL).run(tagged().as_ref(), answers);
        assert_eq!(first.requests.len(), 2);
        let changed = ready(json!({"tags": "other", "status_if_new": "subscribed"}), Value::Null);
        let again =
            PushCase { rendered: first.rendered, ids: first.ids, is_repeat: true, ..PushCase::created(FULL) };
        let repeat = again.run(changed.as_ref(), &[(204, "")]);
        repeat.assert_is(include_str!("fixtures/repeat.json"));
        assert_eq!(
            (&repeat.outcome, &repeat.requests[0].body),
            (&Outcome::Delivered, &first.requests[1].body)
        );
    }
}

/// The tags were given, and people may have taken them away since.
#[test]
fn a_repeat_that_may_give_no_tags_posts_none() {
    let first = PushCase::created(FULL).run(tagged().as_ref(), &[MEMBER, (204, "")]);
    let again = PushCase { ids: first.ids, is_repeat: true, ..PushCase::updated(UPDATED) };
    let repeat = again.run(tagged().as_ref(), &[MEMBER]);
    let methods: Vec<_> = repeat.requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!((methods, repeat.outcome), (vec!["PUT"], Outcome::Delivered));
}

#[test]
fn a_member_that_is_gone_when_a_push_goes_on_is_made_again() {
    let first = PushCase::created(FULL).run(tagged().as_ref(), &[MEMBER, (204, "")]);
    let again =
        PushCase { rendered: first.rendered, ids: first.ids, is_repeat: true, ..PushCase::created(FULL) };
    let repeat = again.run(tagged().as_ref(), &[(404, ""), MEMBER, (204, "")]);
    let methods: Vec<_> = repeat.requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!((methods, repeat.outcome), (vec!["POST", "PUT", "POST"], Outcome::Delivered));
}

#[test]
fn without_tags_one_call_does() {
    let driven = PushCase::created(FULL).run(ready(json!({}), Value::Null).as_ref(), &[MEMBER]);
    assert_eq!((driven.requests.len(), &driven.outcome, driven.ids.len()), (1, &Outcome::Delivered, 1));
}

#[test]
fn nobody_is_pushed_without_consent_and_nobody_is_subscribed_again() {
    for consent in [json!(false), json!(null), json!("true"), json!(1)] {
        let mut lead: Value = serde_json::from_str(FULL).unwrap();
        lead["lead"]["gdpr_consent"] = consent;
        let lead = lead.to_string();
        // Nor if it was rendered by a program that knew less.
        for rendered in [None, PushCase::created(FULL).run(tagged().as_ref(), &[]).rendered] {
            let case = PushCase { rendered, ..PushCase::created(&lead) };
            let driven = case.run(tagged().as_ref(), &[]);
            assert_eq!(driven.requests.len(), 0);
            assert_eq!(
                driven.failure(),
                ("rejected", "mailchimp was not called: the lead gave no consent", None)
            );
        }
    }
    for mapping in [Value::Null, json!({"lead.gdpr_consent": "status", "lead.phone": "status_if_new"})] {
        let driven = PushCase::created(FULL).run(ready(json!({}), mapping).as_ref(), &[]);
        let body: Value = serde_json::from_slice(&driven.requests[0].body).unwrap();
        assert_eq!((body.get("status"), &body["status_if_new"]), (None, &json!("pending")));
    }
}

#[test]
fn the_name_is_split_unless_the_operator_says_where_it_goes() {
    let mut flat: Value = serde_json::from_str(FULL).unwrap();
    flat["lead"]["profile"] = json!({"first_name": "Sarah Jane", "last_name": "Patel"});
    let flat = flat.to_string();
    for (lead, mapping, expected) in [
        (FULL, Value::Null, json!({"PHONE": "+447700900123", "FNAME": "Sarah", "LNAME": "Jane Patel"})),
        (&flat, json!({"lead.phone": null}), json!({"FNAME": "Sarah Jane", "LNAME": "Patel"})),
        (MINIMAL, Value::Null, json!({"FNAME": "Cher"})),
        (FULL, json!({"lead.name": "NAME", "lead.phone": null}), json!({"NAME": "Sarah Jane Patel"})),
        (
            FULL,
            json!({"lead.name": null, "lead.phone": null, "lead.guest_count": "GUESTS"}),
            json!({"GUESTS": 80}),
        ),
        (FULL, json!({"lead.phone": "FNAME"}), json!({"FNAME": "+447700900123", "LNAME": "Jane Patel"})),
    ] {
        let driven = PushCase::created(lead).run(ready(json!({}), mapping).as_ref(), &[(404, "")]);
        let body: Value = serde_json::from_slice(&driven.requests.last().unwrap().body).unwrap();
        assert_eq!(body["merge_fields"], expected);
    }
}

#[test]
fn long_texts_are_cut_on_a_character() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = format!("{} Patel", "👰".repeat(100)).into();
    let lead = lead.to_string();
    let driven = PushCase::created(&lead).run(ready(json!({}), Value::Null).as_ref(), &[MEMBER]);
    let body: Value = serde_json::from_slice(&driven.requests[0].body).unwrap();
    assert_eq!(body["merge_fields"]["FNAME"], format!("{}…", "👰".repeat(63)));
    assert_eq!(driven.note.as_deref(), Some("FNAME was cut to 255 characters"));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let policy = EgressPolicy::default();
    let check = |config: Value, mapping: Value| testkit::refused(&Mailchimp, &config, &mapping).join("; ");
    let list = json!({"list_id": "a"});
    for (config, mapping, problem) in [
        (list.clone(), Value::Null, ""),
        (json!({"list_id": "a", "status_if_new": "subscribed", "tags": "x"}), json!({"lead.name": null}), ""),
        (json!({}), Value::Null, "list_id is required"),
        (
            json!({"list_id": "a", "status_if_new": "unsubscribed"}),
            Value::Null,
            "status_if_new unsubscribed is not one of pending, subscribed",
        ),
        (json!({"list_id": "a", "status": "subscribed"}), Value::Null, "unknown key status"),
        (list.clone(), json!({"lead.fone": "PHONE"}), "unknown field lead.fone; did you mean lead.phone?"),
        (list, json!(7), "the mapping must be an object"),
    ] {
        let said = check(config.clone(), mapping.clone());
        let is_as_wanted = if problem.is_empty() { said.is_empty() } else { said.contains(problem) };
        assert!(is_as_wanted, "{config} {mapping}: {said}");
    }
    for (key, is_good) in [
        ("0123-us21", true),
        ("0-1-eu1", true),
        ("0123", false),
        ("0123-", false),
        ("0123-us", false),
        ("0123-21", false),
        ("0123-us21.evil.example", false),
        ("0123-us21/", false),
        ("0123-US21", false),
        ("0123-us-21@evil", false),
    ] {
        let problems = testkit::refused_credentials(&Mailchimp, &json!({"api_key": key}), &policy);
        assert_eq!(problems.is_empty(), is_good, "{key}: {problems:?}");
        assert!(!problems.concat().contains("0123"), "{problems:?}");
    }
}

#[test]
fn without_a_key_nothing_is_called() {
    let integration = testkit::integration(NAME, json!({"list_id": "a"}), Value::Null, Value::Null);
    let ready = Mailchimp.prepare(&integration, "Leadline").unwrap();
    let driven = PushCase::created(FULL).run(ready.as_ref(), &[]);
    assert_eq!((driven.requests.len(), driven.failure().0), (0, "credentials"));
}

#[test]
fn every_answer_has_its_class() {
    let ready = ready(json!({}), Value::Null);
    let problem = |title: &str, detail: &str| {
        json!({"type": "https://x", "title": title, "status": 400, "detail": detail}).to_string()
    };
    let fields = json!({"title": "Invalid Resource", "detail": "Your merge fields were invalid.",
        "errors": [{"field": "BIRTHDAY", "message": "Please enter a birthday"}]})
    .to_string();
    let table: &[(u16, &str, &str, &str, Option<u64>)] = &[
        (200, MEMBER.1, "delivered", "", None),
        (200, r#"{"status":"unsubscribed"}"#, "delivered", "", None),
        (200, "", "unknown", "mailchimp 200 OK", None),
        (
            400,
            &fields,
            "rejected",
            "mailchimp Invalid Resource BIRTHDAY: Please enter a birthday; Your merge fields were invalid.",
            None,
        ),
        (
            400,
            &problem("Member In Compliance State", "has unsubscribed"),
            "rejected",
            "mailchimp Member In Compliance State has unsubscribed",
            None,
        ),
        (
            400,
            &problem("Forgotten Email Not Subscribed", "was permanently deleted"),
            "rejected",
            "mailchimp Forgotten Email Not Subscribed was permanently deleted",
            None,
        ),
        (401, &problem("API Key Invalid", "wrong"), "credentials", "mailchimp API Key Invalid wrong", None),
        (403, &problem("Forbidden", "no"), "credentials", "mailchimp Forbidden no", None),
        (403, "", "throttled", "mailchimp 403 Forbidden", Some(60)),
        (
            403,
            "<html>Access Denied</html>",
            "throttled",
            "mailchimp 403 Forbidden: <html>Access Denied</html>",
            Some(60),
        ),
        (404, &problem("Resource Not Found", "gone"), "rejected", "mailchimp Resource Not Found gone", None),
        (422, &problem("Unprocessable", ""), "rejected", "mailchimp Unprocessable", None),
        (
            429,
            &problem("Too Many Requests", "10 connections"),
            "throttled",
            "mailchimp Too Many Requests 10 connections",
            Some(10),
        ),
        (429, "", "throttled", "mailchimp 429 Too Many Requests", Some(10)),
        (500, &problem("Internal Server Error", ""), "transient", "mailchimp Internal Server Error", None),
        (504, "", "transient", "mailchimp 504 Gateway Timeout", None),
    ];
    for (status, body, class, error, wait) in table {
        let (got_class, got_error, got_wait) = read_as(ready.as_ref(), response(*status, &[], body));
        assert_eq!((got_class, got_error.as_str()), (*class, *error), "{status} {body}");
        assert_eq!(got_wait, wait.map(Duration::from_secs), "{status} {body}");
    }
    let cut = Response { truncated: true, ..response(200, &[], r#"{"id":"a"#) };
    assert_eq!(read_as(ready.as_ref(), cut).0, "delivered");
}

#[test]
fn a_merge_field_that_is_refused_is_left_out_and_noted() {
    let refused = r#"{"title":"Invalid Resource","errors":[{"field":"PHONE","message":"No such number"}]}"#;
    let ready = ready(json!({}), Value::Null);
    let played = PushCase::created(FULL).run(ready.as_ref(), &[(400, refused), MEMBER]);
    let phone = |call: usize| played.bodies[call]["merge_fields"].get("PHONE").is_some();
    assert_eq!((phone(0), phone(1), played.outcome), (true, false, Outcome::Delivered));
    assert_eq!(played.note.as_deref(), Some("merge field PHONE was left out: No such number"));
    let played = PushCase::created(FULL).run(ready.as_ref(), &[(400, refused), (400, refused)]);
    assert_eq!((played.calls.len(), played.failure().0), (2, "rejected"), "it is not what we sent");
}

#[test]
fn a_merge_field_of_another_type_is_named() {
    let fields = ["text", "number", "phone", "date", "birthday", "radio"]
        .map(|kind| json!({"tag": kind.to_uppercase(), "type": kind}));
    let schema = json!({"merge_fields": fields}).to_string();
    let said = |mut mapping: Value| {
        (mapping["lead.name"], mapping["lead.phone"]) = (Value::Null, Value::Null);
        probe(ready(json!({}), mapping).as_ref(), ProbeKind::Mapping, &[(200, &schema)]).0.findings
    };
    let good = json!({"lead.source_url": "TEXT", "lead.guest_count": "NUMBER", "lead.event_date": "DATE",
        "lead.event_type": "RADIO", "lead.profile.notes": {"to": "BIRTHDAY", "value": "02/14"}});
    assert_eq!(said(good), [""; 0]);
    let asked = json!({"merge_fields": [
        {"tag": "KIND", "type": "dropdown", "options": {"choices": ["Wedding Fair", "Other"]}},
        {"tag": "AGREED", "type": "radio", "options": {"choices": ["I do"]}}]});
    let own = json!({"lead.profile.first_name": null, "lead.profile.last_name": null, "lead.phone": null,
        "lead.utm.term": {"to": "KIND", "value": "Fair"}, "lead.gdpr_consent": "AGREED"});
    let (report, _) = probe(ready(json!({}), own).as_ref(), ProbeKind::Mapping, &[(200, &asked.to_string())]);
    assert_eq!(
        report.findings,
        [
            "lead.utm.term: KIND has no option Fair",
            "lead.gdpr_consent: AGREED is of type radio, and this is true or false",
        ]
    );
    for (field, target, expected) in [
        ("lead.event_date", "NUMBER", "lead.event_date: NUMBER is of type number, and this is a date"),
        ("lead.guest_count", "DATE", "lead.guest_count: DATE is of type date, and this is a number"),
        ("lead.event_date", "BIRTHDAY", "lead.event_date: BIRTHDAY is of type birthday, and this is a date"),
    ] {
        assert_eq!(said(json!({field: target})), [expected]);
    }
}

#[test]
fn a_test_names_the_account_and_what_is_missing() {
    let ready = ready(json!({}), json!({"lead.event_date": "EVNTDATE", "location.name": "ADDRESS"}));
    let root = (200, r#"{"account_name":"Innkept Ltd","login_id":"ada"}"#);
    let list = (200, r#"{"id":"a1b2c3","name":"Leads","stats":{"member_count":12}}"#);
    let schema = (
        200,
        r#"{"merge_fields":[{"tag":"FNAME","type":"text"},{"tag":"PHONE","type":"phone"},
        {"tag":"ADDRESS","type":"address"},{"tag":"EVTDATE","type":"date"}]}"#,
    );
    let findings = [
        "lead.profile.last_name: unknown merge field LNAME; did you mean FNAME?",
        "lead.event_date: unknown merge field EVNTDATE; did you mean EVTDATE?",
        "location.name: ADDRESS is of type address, and this is a text",
    ];
    let (report, urls) = probe(ready.as_ref(), ProbeKind::Test, &[root, list, schema]);
    assert_eq!(
        urls,
        [
            "https://us21.api.mailchimp.com/3.0/?fields=account_name,login_id",
            "https://us21.api.mailchimp.com/3.0/lists/a1b2c3?fields=id,name,stats.member_count",
            "https://us21.api.mailchimp.com/3.0/lists/a1b2c3/merge-fields?count=1000&fields=merge_fields.tag,merge_fields.name,merge_fields.type,merge_fields.options"
        ]
    );
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(report.account.as_deref(), Some("Innkept Ltd, audience Leads (12 members)"));
    assert_eq!(report.findings, findings);
    let (report, urls) = probe(ready.as_ref(), ProbeKind::Mapping, &[schema]);
    assert_eq!((report.findings.len(), urls.len()), (3, 1));

    let gone =
        (404, r#"{"title":"Resource Not Found","detail":"The requested resource could not be found."}"#);
    let (report, _) = probe(ready.as_ref(), ProbeKind::Credentials, &[root, gone]);
    let Outcome::Failed(failure) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(report.account.as_deref(), Some("Innkept Ltd"));
    assert!(failure.error.starts_with("mailchimp Resource Not Found The requested"), "{}", failure.error);
}
