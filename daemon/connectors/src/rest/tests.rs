//! Requests as they leave, and answers as they are read.

mod login;

use serde_json::{Value, json};

use super::*;
use crate::{
    Connector, Ids, Response,
    testkit::{self, FULL, MAXIMAL, MINIMAL, NOW, Played, PushCase, UPDATED, probe, response},
};
use leadline_domain::outcome::{FailureClass, Outcome};

const BASE: &str = "https://crm.example.com";

fn prepare(more: Value, credentials: Value, mapping: Value) -> Box<dyn Prepared> {
    let mut config = json!({"base_url": BASE, "path": "/api/leads"});
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let integration = testkit::integration(NAME, config, credentials, mapping);
    Rest.prepare(&integration, "Leadline").unwrap()
}

fn ready(more: Value) -> Box<dyn Prepared> {
    prepare(more, Value::Null, Value::Null)
}

fn full() -> Box<dyn Prepared> {
    ready(json!({
        "id_pointer": "/data/id", "update_path": "/api/leads/{id}", "update_method": "PATCH",
        "find_path": "/api/leads?ref={{ lead.uuid }}&mail={{ lead.email }}", "find_pointer": "/items/0/id",
        "query": {"venue": "{{ location.name }}"},
        "headers": {"X-Source": {"value": "{{ lead.event_type }}", "public": true}, "X-Token": "s3cret"},
        "body": "{\"who\": {{ lead.name }}, \"mail\": \"<{{ lead.email }}>\", \"when\": {{ lead.event_date }}, \"total\": {{ quote.total_pence | money }}, \"campaign\": {{ lead.utm.campaign }}, \"kind\": \"{{ event.type }}\"}",
    }))
}

fn methods(driven: &Played) -> Vec<String> {
    driven.requests.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

#[test]
fn each_kind_of_lead_makes_its_request() {
    let done = (201, r#"{"data":{"id":"ab/1"}}"#);
    for (case, fixture) in [
        (PushCase::created(FULL), include_str!("fixtures/create.json")),
        (PushCase::created(MINIMAL), include_str!("fixtures/minimal.json")),
        (PushCase::created(MAXIMAL), include_str!("fixtures/maximal.json")),
        (
            PushCase { ids: keep_of("ab/1"), ..PushCase::updated(UPDATED) },
            include_str!("fixtures/update.json"),
        ),
    ] {
        let driven = case.run(full().as_ref(), &[done]);
        driven.assert_is(fixture);
        assert_eq!((id_of(&driven), &driven.outcome), (Some("ab/1"), &Outcome::Delivered));
    }
}

fn id_of(driven: &Played) -> Option<&str> {
    driven.ids.get("id").map(String::as_str)
}

fn keep_of(id: &str) -> Ids {
    Ids::from([("id".to_owned(), id.to_owned())])
}

#[test]
fn a_repeat_looks_first_and_is_the_same_bytes() {
    let first = PushCase::created(FULL).run(full().as_ref(), &[]);
    let again = |answers: &[(u16, &str)]| {
        let case = PushCase { rendered: first.rendered.clone(), is_repeat: true, ..PushCase::created(FULL) };
        case.run(full().as_ref(), answers)
    };
    let lost = again(&[(200, r#"{"items":[]}"#), (201, r#"{"data":{"id":7}}"#)]);
    lost.assert_is(include_str!("fixtures/repeat.json"));
    assert_eq!((id_of(&lost), &lost.outcome), (Some("7"), &Outcome::Delivered));
    assert_eq!(lost.requests[1].body, first.requests[0].body);

    let there = again(&[(200, r#"{"items":[{"id":"x"}]}"#)]);
    assert_eq!((methods(&there), there.ids), (vec!["GET /api/leads".to_owned()], keep_of("x")));
    assert_eq!(again(&[(404, ""), (201, "")]).outcome, Outcome::Delivered);
    assert_eq!(
        again(&[(500, "oops")]).failure(),
        ("transient", "rest 500 Internal Server Error: oops", None)
    );
    assert_eq!(again(&[(200, "<html>")]).failure().0, "unknown");
}

#[test]
fn an_update_goes_to_the_crms_own_id() {
    let run = |ids: Ids, answers: &[(u16, &str)]| {
        PushCase { ids, ..PushCase::updated(UPDATED) }.run(full().as_ref(), answers)
    };
    assert_eq!(methods(&run(keep_of("a"), &[(200, "")])), ["PATCH /api/leads/a"]);
    assert_eq!(methods(&run(keep_of("../x?y#z"), &[(200, "")])), ["PATCH /api/leads/..%2Fx%3Fy%23z"]);
    assert_eq!(run(keep_of(".."), &[]).failure().0, "mapping");
    let found = run(Ids::new(), &[(200, r#"{"items":[{"id":9}]}"#), (200, "")]);
    assert_eq!(
        (methods(&found).join(", ").as_str(), id_of(&found)),
        ("GET /api/leads, PATCH /api/leads/9", Some("9"))
    );
    let unknown = run(Ids::new(), &[(200, "{}"), (201, "")]);
    assert_eq!(methods(&unknown), ["GET /api/leads", "POST /api/leads"]);
    let key = |driven: &Played| {
        let request = driven.requests.last().unwrap();
        let header = request.headers.iter().find(|header| header.name == "idempotency-key").unwrap();
        header.value.to_str().unwrap().to_owned()
    };
    assert_eq!(key(&unknown), "01J8H6KQH4YG3XR8RWM6T6XFQE:lead.updated:01J8H6KQH4YG3XR8RWM6T6XFQ0");
    assert_eq!(
        key(&PushCase::created(FULL).run(full().as_ref(), &[])),
        "01J8H6KQH4YG3XR8RWM6T6XFQE:lead.created"
    );
}

#[test]
fn what_the_crm_has_deleted_is_looked_for_and_made_anew_once() {
    let gone = (404, "no such lead");
    let run = |ready: Box<dyn Prepared>, answers: &[(u16, &str)]| {
        PushCase { ids: keep_of("a"), ..PushCase::updated(UPDATED) }.run(ready.as_ref(), answers)
    };
    let made = run(full(), &[gone, (200, "{}"), (201, r#"{"data":{"id":7}}"#)]);
    assert_eq!(methods(&made), ["PATCH /api/leads/a", "GET /api/leads", "POST /api/leads"]);
    assert_eq!((id_of(&made), &made.outcome), (Some("7"), &Outcome::Delivered));
    let found = run(full(), &[gone, (200, r#"{"items":[{"id":9}]}"#), (200, "")]);
    assert_eq!(methods(&found), ["PATCH /api/leads/a", "GET /api/leads", "PATCH /api/leads/9"]);
    assert_eq!((id_of(&found), &found.outcome), (Some("9"), &Outcome::Delivered));
    let again = run(full(), &[gone, (200, r#"{"items":[{"id":"a"}]}"#), gone]);
    assert_eq!((again.requests.len(), again.failure().0), (3, "rejected"), "found, and not there");
    let blind = || ready(json!({"id_pointer": "/id", "update_path": "/api/leads/{id}"}));
    let made = run(blind(), &[(410, ""), (201, r#"{"id":7}"#)]);
    assert_eq!(methods(&made), ["PATCH /api/leads/a", "POST /api/leads"]);
    assert_eq!((made.outcome, made.ids), (Outcome::Delivered, keep_of("7")));
    assert_eq!(run(blind(), &[gone, gone]).failure().0, "rejected", "once, not for ever");
}

#[test]
fn the_body_is_the_event_or_what_is_mapped_of_it() {
    let whole = PushCase::created(FULL).run(ready(json!({})).as_ref(), &[(200, "")]);
    assert_eq!((&whole.requests[0].body[..], &whole.outcome), (FULL.as_bytes(), &Outcome::Delivered));
    let mapping = json!({"lead.name": "person.name", "lead.phone": "person.phone", "viewing": "visit",
        "quote.total_pence": {"to": "worth", "value": "{{ quote.total_pence | money }}"}, "lead.email": null});
    let mapped = PushCase::created(FULL).run(prepare(json!({}), Value::Null, mapping).as_ref(), &[]);
    assert_eq!(
        std::str::from_utf8(&mapped.requests[0].body).unwrap(),
        r#"{"person":{"name":"Sarah Jane Patel","phone":"+447700900123"},"visit":{"starts_at":"2026-06-04T14:00:00+01:00","ends_at":"2026-06-04T15:00:00+01:00"},"worth":12696.00}"#
    );
    let text = PushCase::created(FULL).run(ready(json!({"body": "Hello {{ lead.name }}"})).as_ref(), &[]);
    assert_eq!(&text.requests[0].body[..], b"Hello Sarah Jane Patel");
    assert!(text.requests[0].headers.iter().any(|header| header.value == "text/plain; charset=utf-8"));
}

#[test]
fn an_update_by_patch_leaves_out_what_the_lead_does_not_say() {
    let body = r#"{"who": {{ lead.name }}, "title": "{{ lead.name }}, {{ lead.guest_count }}", "contact": {"phone": {{ lead.phone }} }, "seen": false}"#;
    let bring = |method: &str, ids: Ids, name: &str| {
        let mut lead: Value = serde_json::from_str(UPDATED).unwrap();
        lead["lead"]["name"] = json!(name);
        lead["lead"]["phone"] = json!(" ");
        lead["lead"]["guest_count"] = json!(99);
        let ready = ready(
            json!({"id_pointer": "/id", "update_path": "/api/leads/{id}", "update_method": method, "body": body}),
        );
        let played =
            PushCase { ids, ..PushCase::updated(&lead.to_string()) }.run(ready.as_ref(), &[(200, "")]);
        (String::from_utf8(played.requests[0].body.to_vec()).unwrap(), played.ids)
    };
    let (said, ids) = bring("PATCH", keep_of("a"), "Sarah Patel");
    assert_eq!(said, r#"{"who":"Sarah Patel","title":"Sarah Patel, 99","seen":false}"#);
    let (said, _) = bring("PATCH", ids.clone(), "Patel");
    assert_eq!(said, r#"{"title":"Patel, 99","seen":false}"#);
    let (said, _) = bring("PUT", ids, "Patel");
    assert_eq!(said, r#"{"who": "Patel", "title": "Patel, 99", "contact": {"phone": " " }, "seen": false}"#);
}

#[test]
fn values_are_escaped_as_the_content_type_says_and_no_accent_breaks_a_header() {
    let lead = FULL.replace("Sarah Jane Patel", "Zoë & Sons=50%&admin=1");
    let form = json!({"content-type": "application/x-www-form-urlencoded", "X-Name": "{{ lead.name }}"});
    let config = json!({"headers": form, "body": "name={{ lead.name }}"});
    let played = PushCase::created(&lead).run(ready(config).as_ref(), &[(200, "")]);
    let request = &played.requests[0];
    assert_eq!(String::from_utf8_lossy(&request.body), "name=Zo%C3%AB%20%26%20Sons%3D50%25%26admin%3D1");
    let name = request.headers.iter().find(|header| header.name == "x-name").unwrap();
    assert_eq!(name.value, "Zo%C3%AB & Sons=50%&admin=1");
}

#[test]
fn answers_in_gzip_or_latin_1_are_read() {
    let config = json!({"success": {"pointer": "/status", "equals": "ok"}, "id_pointer": "/id"});
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, br#"{"status":"ok","id":7}"#).unwrap();
    let mut latin = br#"{"status":"ok","id":7,"name":"Zo"#.to_vec();
    latin.extend(b"\xeb\"}");
    for body in [packed.finish().unwrap(), latin] {
        let answer = Response { body: body.into(), ..response(200, &[], "") };
        let driven = PushCase::created(FULL).run_with(ready(config.clone()).as_ref(), vec![answer]);
        assert_eq!((driven.failure().0, driven.ids.get("id").map(String::as_str)), ("delivered", Some("7")));
    }
    let driven = PushCase::created(FULL).run(ready(json!({"id_pointer": "/id"})).as_ref(), &[(200, "fine")]);
    let note = "the answer has no id at /id, so an update cannot be sent to it";
    assert_eq!((driven.failure().0, driven.note.as_deref()), ("delivered", Some(note)));
}

#[test]
fn every_answer_has_its_class() {
    let rule = json!({"success": {"pointer": "/status", "equals": "ok"}, "error_pointer": "/error/message"});
    let is_there = json!({"success": {"pointer": "/id"}});
    let no_error = json!({"success": {"pointer": "/error", "equals": null}});
    for (config, status, body, class, error) in [
        (json!({}), 200, "", "delivered", ""),
        (json!({}), 204, "", "delivered", ""),
        (json!({}), 422, "bad\nmail", "rejected", "rest 422 Unprocessable Entity: bad mail"),
        (json!({}), 401, "", "credentials", "rest 401 Unauthorized"),
        (json!({}), 409, "", "rejected", "rest 409 Conflict"),
        (json!({"conflict": "ok"}), 409, "", "delivered", ""),
        (json!({}), 429, "", "throttled", "rest 429 Too Many Requests"),
        (json!({}), 500, "", "transient", "rest 500 Internal Server Error"),
        (json!({}), 302, "", "blocked", "rest 302 Found: redirects are not followed"),
        (rule.clone(), 200, r#"{"status":"ok"}"#, "delivered", ""),
        (
            rule.clone(),
            200,
            r#"{"status":"error","error":{"message":"no such venue"}}"#,
            "rejected",
            "rest 200: /status is \"error\", not \"ok\": no such venue",
        ),
        // What cannot be read says neither yes nor no: a repeat would double what was taken.
        (rule.clone(), 200, "<html>", "unknown", "rest 200: the answer is no JSON: <html>"),
        (rule.clone(), 200, "\u{feff}{\"status\":\"ok\"}", "delivered", ""),
        (json!({"success": {"pointer": "/n", "equals": 1}}), 200, r#"{"n":1.0}"#, "delivered", ""),
        (json!({"success": {"statuses": ["2xx", 302]}}), 302, "", "delivered", ""),
        (json!({"success": {"statuses": [201]}}), 200, "", "unknown", "rest 200 OK"),
        (rule.clone(), 400, r#"{"error":{"message":"bad mail"}}"#, "rejected", "rest 400 bad mail"),
        (rule.clone(), 400, "plain", "rejected", "rest 400 plain"),
        (is_there.clone(), 200, r#"{"id":0}"#, "delivered", ""),
        (is_there, 200, r#"{"id":null}"#, "rejected", "rest 200: /id is null, not there: {\"id\":null}"),
        (no_error.clone(), 200, r#"{"ok":true}"#, "delivered", ""),
        (
            no_error,
            200,
            r#"{"error":"x"}"#,
            "rejected",
            "rest 200: /error is \"x\", not null: {\"error\":\"x\"}",
        ),
    ] {
        let driven = PushCase::created(FULL).run(ready(config.clone()).as_ref(), &[(status, body)]);
        let (got, said, _) = driven.failure();
        assert_eq!((got, said), (class, error), "{config} {status} {body}");
    }
    let cut = Response { truncated: true, ..response(200, &[], r#"{"status":"o"#) };
    assert_eq!(PushCase::created(FULL).run_with(ready(rule).as_ref(), vec![cut]).failure().0, "unknown");
    let unread = Response { truncated: true, ..response(201, &[], "") };
    let taken = PushCase::created(FULL).run_with(ready(json!({})).as_ref(), vec![unread]);
    assert_eq!(taken.note.as_deref(), Some("the answer cannot be read beyond its status, 201"));
    let wait = response(429, &[("Retry-After", "7")], "");
    assert_eq!(PushCase::created(FULL).run_with(ready(json!({})).as_ref(), vec![wait]).failure().2, Some(7));
    let long = "x".repeat(5000);
    let driven = PushCase::created(FULL).run(ready(json!({"error_pointer": "/e"})).as_ref(), &[(400, &long)]);
    assert!(driven.failure().1.chars().count() <= 401);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let check = |config: &Value, mapping: &Value| testkit::refused(&Rest, config, mapping).join("; ");
    let none = Value::Null;
    for (more, mapping, problem) in [
        (json!({}), &none, ""),
        (json!({"path": "https://crm.example.com/x", "base_url": null}), &none, ""),
        (json!({"path": null}), &none, "path is required"),
        (json!({"path": "leads"}), &none, "path must begin with /"),
        (
            json!({"path": "/x", "base_url": null}),
            &none,
            "path: must begin with https:// and a host, or base_url must be there",
        ),
        (
            json!({"path": "/{{ lead.emial }}"}),
            &none,
            "path: {{ lead.emial }}: unknown variable lead.emial; did you mean lead.email?",
        ),
        (json!({"base_url": "https://10.0.0.1"}), &none, "base_url: "),
        (json!({"method": "GET"}), &none, "method GET is not one of POST, PUT, PATCH"),
        (json!({"method": "PSOT"}), &none, "did you mean POST?"),
        (json!({"auth": "oauth"}), &none, "auth oauth is not one of none, bearer"),
        (json!({"auth": "header", "auth_name": "X Key"}), &none, "auth_name X Key is not a header's name"),
        (json!({"auth": "client_credentials"}), &none, "token_url is required"),
        (json!({"auth": "client_credentials", "token_url": "https://127.0.0.1/t"}), &none, "token_url: "),
        (json!({"success": {"pointer": "status"}}), &none, "success must be"),
        (json!({"success": {"pointer": "/status", "is": 1}}), &none, "success must be"),
        (json!({"id_pointer": "id"}), &none, "id_pointer must be a JSON pointer"),
        (json!({"update_path": "/x/{id}"}), &none, "update_path needs the CRM's id"),
        (json!({"find_path": "/x"}), &none, "find_path and find_pointer belong together"),
        (json!({"conflict": "fine"}), &none, "conflict fine is not one of reject, ok"),
        (json!({"headers": {"Host": "x"}}), &none, "header Host: is reserved"),
        (json!({"body": "{{ nope }}"}), &none, "body: {{ nope }}: unknown variable nope"),
        (json!({"body": "x"}), &json!({"lead.name": "n"}), "body and a mapping are both there"),
        (json!({}), &json!({"lead.name": "a", "lead.email": "a.b"}), "mapping: a.b lies within a"),
        (json!({}), &json!({"lead.name": "a..b"}), "has an empty step"),
        (json!({"pth": "x"}), &none, "unknown key pth; did you mean path?"),
    ] {
        let mut config = json!({"base_url": BASE, "path": "/leads"});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let said = check(&config, mapping);
        let is_as_wanted = if problem.is_empty() { said.is_empty() } else { said.contains(problem) };
        assert!(is_as_wanted, "{config} {mapping}: {said}");
    }
}

#[test]
fn the_operators_headers_go_before_ours() {
    let ready = ready(
        json!({"headers": {"idempotency-key": "{{ lead.uuid }}", "Content-Type": "application/vnd.api+json"}}),
    );
    let driven = PushCase::created(FULL).run(ready.as_ref(), &[]);
    let value = |name: &str| {
        let mut found = driven.requests[0].headers.iter().filter(|header| header.name == name);
        let value = found.next().unwrap().value.to_str().unwrap();
        assert!(found.next().is_none(), "{name} is there twice");
        value
    };
    assert_eq!(value("idempotency-key"), "01j8h6kqh4yg3xr8rwm6t6xfqe");
    assert_eq!(value("content-type"), "application/vnd.api+json");
}

#[test]
fn no_lead_changes_where_it_goes() {
    let ready = ready(json!({"path": "/venues/{{ lead.name }}/leads?mail={{ lead.email }}"}));
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = json!("a/../b?c#d@evil.example");
    lead["lead"]["email"] = json!("x&admin=1\r\nX: y");
    let lead = lead.to_string();
    let driven = PushCase::created(&lead).run(ready.as_ref(), &[]);
    assert_eq!(
        driven.requests[0].url.as_str(),
        "https://crm.example.com/venues/a%2F..%2Fb%3Fc%23d%40evil.example/leads?mail=x%26admin%3D1%0D%0AX%3A%20y"
    );
}

#[test]
fn credentials_in_a_configuration_are_shown_shortened() {
    let config = json!({"path": "/leads?key=0123456789abcdef", "find_path": "/x?k=0123456789abcdef",
        "headers": {"X-Token": "0123456789abcdef"}, "query": {"k": "0123456789abcdef"}});
    let shown = Rest.shown(&config).to_string();
    assert!(!shown.contains("456789"), "{shown}");
}

#[test]
fn a_test_is_a_look_without_effect() {
    let (report, urls) = probe(ready(json!({"test_path": "/me"})).as_ref(), ProbeKind::Test, &[(200, "{}")]);
    assert_eq!((report.outcome, urls), (Outcome::Delivered, vec![format!("{BASE}/me")]));
    let (report, _) =
        probe(ready(json!({"test_path": "/me"})).as_ref(), ProbeKind::Credentials, &[(401, "")]);
    assert!(matches!(report.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Credentials));
    for (status, is_reached) in
        [(204, true), (405, true), (401, false), (403, false), (301, false), (429, false), (502, false)]
    {
        let (report, urls) = probe(ready(json!({})).as_ref(), ProbeKind::Test, &[(status, "")]);
        assert_eq!(report.outcome == Outcome::Delivered, is_reached, "{status}");
        assert_eq!((report.findings.len(), urls.len()), (usize::from(is_reached), 1));
    }
    assert_eq!(probe(ready(json!({})).as_ref(), ProbeKind::Mapping, &[]).1.len(), 0);
}
