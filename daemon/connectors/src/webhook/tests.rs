//! Requests as they leave, and answers as they are read.

mod configs;

use bytes::Bytes;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::{
    CallError, CallErrorKind, Connector, Request, Response,
    testkit::{
        self, NO_IDS, Script, again, differing, first, first_call, full, maximal_bytes, minimal_bytes, play,
        seen,
    },
};
use leadline_domain::{
    ids::{CompanyId, IntegrationId},
    integration::{EventKind, Integration},
    json::Json,
    outcome::{Failure, FailureClass, Outcome},
    signing::{self, StandardHeaders, verify_simple, verify_standard},
    telling::Telling,
};

const EVENT: &str = r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Sarah Patel","email":"sarah@example.com","phone":null,"event_date":"2026-09-12","budget":1.10},"quote":{"total_pence":1269600},"company":{"id":7,"name":"The Old Barn"}}"#;
const ID: &str = "01J8H6KQH4YG3XR8RWM6T6XFQE";
const NOW: Moment = Moment::from_seconds(1_614_265_330);
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "a new secret that was brought";

fn integration(config: Value, mapping: Value) -> Integration {
    let secret = |version, text: &str, expires_at| SigningSecret {
        version,
        secret: SecretString::from(text.to_owned()),
        expires_at,
        staged: false,
    };
    Integration {
        company: CompanyId(7),
        company_name: "The Old Barn".to_owned(),
        id: IntegrationId::generate(),
        name: "hook".to_owned(),
        connector: "webhook".to_owned(),
        enabled: true,
        config,
        credentials: Value::Null,
        mapping,
        payload: "v1".to_owned(),
        version: 1,
        credentials_for: None,
        brand: None,
        telling: Telling::default(),
        secrets: vec![
            secret(3, NEW, None),
            secret(2, OLD, Some(NOW + Duration::from_secs(1))),
            secret(1, "gone", Some(NOW)),
        ],
    }
}

fn push(body: &Bytes) -> Push<'_> {
    Push {
        id: ID,
        event: EventKind::Created,
        body,
        rendered: None,
        is_repeat: false,
        same: &[],
        since: NOW,
        ids: &NO_IDS,
        before: None,
        telling: &testkit::TELLING,
        now: NOW,
    }
}

fn called(integration: &Integration, event: &str) -> Result<Request> {
    let body = Bytes::from(event.to_owned());
    let ready = Webhook.prepare(integration, "Innkept/1.0").unwrap();
    first_call(ready.as_ref(), push(&body)).map(testkit::request)
}

fn request(config: Value) -> Request {
    called(&integration(config, Value::Null), EVENT).unwrap()
}

#[test]
fn the_requests_are_those_that_were_looked_at() {
    use EventKind::{Created, Updated};
    let config = json!({ "url": "https://hooks.example.com/leads/{{ lead.uuid }}?from={{ lead.email }}",
        "query": { "key": "a-long-secret-key" }, "headers": { "X-Venue": "{{ company.name }}" } });
    let mapping = json!({ "lead.phone": "lead.contact.tel", "lead.source_url": null });
    let ready = Webhook.prepare(&integration(config, mapping), "Innkept/1.0").unwrap();
    let mut found = Vec::new();
    for (event, lead, name, fixture) in [
        (Created, full(), "create", include_str!("fixtures/create.json")),
        (Updated, full(), "update", include_str!("fixtures/update.json")),
        (Created, full(), "repeat", include_str!("fixtures/repeat.json")),
        (Created, minimal_bytes(), "minimal", include_str!("fixtures/minimal.json")),
        (Created, maximal_bytes(), "maximal", include_str!("fixtures/maximal.json")),
    ] {
        let (_, mut call) = first(ready.as_ref(), event, &lead);
        if name == "repeat" {
            call = again(ready.as_ref(), event, &lead, &testkit::request(call).body);
        }
        found.extend(differing(name, fixture, &serde_json::to_string_pretty(&seen(&call)).unwrap()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|header| header.name == name).map(|header| header.value.to_str().unwrap())
}

#[test]
fn a_plain_webhook_posts_the_event_signed() {
    let request = request(json!({"url": "https://example.com/hook"}));
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://example.com/hook"));
    assert_eq!(request.body, EVENT);
    let names: Vec<_> = request.headers.iter().map(|header| header.name.as_str()).collect();
    let expected = [
        "content-type",
        "user-agent",
        "x-innkept-event",
        "x-innkept-signature",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ];
    assert_eq!(names, expected);
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert_eq!(header(&request, "user-agent"), Some("Innkept/1.0"));
    assert_eq!(header(&request, "x-innkept-event"), Some("lead.created"));
    assert_eq!(request.secret_version, Some(3));
    let simple = header(&request, "x-innkept-signature").unwrap();
    assert!(verify_simple(NEW, &request.body, simple) && !verify_simple(OLD, &request.body, simple));
    let signature = header(&request, "webhook-signature").unwrap();
    assert_eq!(signature.split(' ').count(), 2, "an expired secret signs nothing");
    assert!(signature.starts_with(&signing::standard(NEW, ID, NOW, &request.body)), "newest first");
    for (secret, good) in [(NEW, true), (OLD, true), ("gone", false)] {
        let headers = StandardHeaders {
            id: header(&request, "webhook-id").unwrap(),
            timestamp: header(&request, "webhook-timestamp").unwrap(),
            signature,
        };
        assert_eq!(verify_standard(secret, headers, &request.body, NOW), good, "{secret}");
    }
}

#[test]
fn templates_stand_in_url_query_headers_and_body() {
    let request = request(json!({
        "url": "https://example.com/c/{{ contact._id }}/{{ lead.name }}?type={{ event.type }}&key=sk_live_abcdef&flag",
        "method": "PUT",
        "query": {"who & what": "a b {{ lead.email }}", "n": 5},
        "headers": {"Authorization": "Bearer sk_live_123", "X-Contact": "{{ lead.email }}",
            "X-Plain": {"value": "shown to all", "public": true}, "User-Agent": "mine", "Content-Type": "text/x"},
        "body": "{\"amount\": {{ quote.total_pence | money }}, \"budget\": {{ lead[\"budget\"] }}, \"phone\": {{ lead.phone }}}",
    }));
    assert_eq!(
        request.url.as_str(),
        "https://example.com/c/01j8h6kqh4yg3xr8rwm6t6xfqe/Sarah%20Patel?type=lead.created&key=sk_live_abcdef&flag&who%20%26%20what=a%20b%20sarah%40example.com&n=5"
    );
    assert_eq!(
        request.shown_url,
        "https://example.com/c/01j8h6kqh4yg3xr8rwm6t6xfqe/Sarah%20Patel?type=lead.created&key=sk_l…&flag&who%20%26%20what=a%20…&n=…"
    );
    assert_eq!(request.body, r#"{"amount": 12696.00, "budget": 1.10, "phone": null}"#);
    let secrets: Vec<_> =
        request.headers.iter().filter(|header| header.secret).map(|h| h.name.as_str()).collect();
    assert_eq!(secrets, ["authorization", "user-agent", "content-type"]);
    assert_eq!(header(&request, "user-agent"), Some("mine"));
    assert_eq!(header(&request, "content-type"), Some("text/x"));
    assert_eq!(header(&request, "x-contact"), Some("sarah@example.com"));
    assert_eq!(header(&request, "x-plain"), Some("shown to all"));
    assert!(verify_simple(NEW, &request.body, header(&request, "x-innkept-signature").unwrap()));
}

#[test]
fn who_sends_a_body_and_of_which_type() {
    for (config, body, content_type) in [
        (json!({"method": "GET"}), "", None),
        (json!({"method": "GET", "body": "  "}), "", None),
        (
            json!({"method": "GET", "body": "id={{ event.id }}"}),
            "id=01J8H6KQH4YG3XR8RWM6T6XFQE",
            Some("text/plain; charset=utf-8"),
        ),
        (json!({"method": "DELETE"}), EVENT, Some("application/json")),
        (json!({"method": "PATCH", "body": ""}), EVENT, Some("application/json")),
        (json!({"body": "[{{ lead.name }}]"}), "[\"Sarah Patel\"]", Some("application/json")),
    ] {
        let mut whole = config.clone();
        whole["url"] = json!("https://example.com");
        let request = request(whole);
        assert_eq!(request.body, body, "{config}");
        assert_eq!(header(&request, "content-type"), content_type, "{config}");
        assert!(verify_simple(NEW, body.as_bytes(), header(&request, "x-innkept-signature").unwrap()));
    }
}

#[test]
fn a_mapping_moves_fields_and_a_repeat_sends_the_same_bytes() {
    let mapping =
        json!({"lead.event_date": "wedding_date", "lead.phone": null, "version": null, "quote": null});
    let integration = integration(json!({"url": "https://example.com"}), mapping);
    let first = called(&integration, EVENT).unwrap();
    assert_eq!(
        first.body,
        r#"{"event":"lead.created","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Sarah Patel","email":"sarah@example.com","budget":1.10},"company":{"id":7,"name":"The Old Barn"},"wedding_date":"2026-09-12"}"#
    );
    let (event, rendered) = (Bytes::from_static(b"not looked at"), Bytes::from_static(b"{\"kept\": 1}"));
    let push = Push { rendered: Some(&rendered), ..push(&event) };
    let ready = Webhook.prepare(&integration, "").unwrap();
    let again = testkit::request(first_call(ready.as_ref(), push).unwrap());
    assert_eq!(again.body, rendered);
    assert_eq!(header(&again, "user-agent"), Some(concat!("Leadline/", env!("CARGO_PKG_VERSION"))));
    assert!(header(&again, "x-leadline-event").is_some());
}

#[test]
fn the_company_brand_and_the_base_url_go_first() {
    let config = json!({"url": "https://example.com/a?b=c", "base_url": "http://127.0.0.1:9000"});
    let integration = Integration { brand: Some("Leadpush".to_owned()), ..integration(config, Value::Null) };
    let request = called(&integration, EVENT).unwrap();
    assert_eq!(request.url.as_str(), "http://127.0.0.1:9000/a?b=c");
    assert!(header(&request, "x-leadpush-signature").is_some());
    assert!(header(&request, "user-agent").unwrap().starts_with("Leadline/"));
}

#[test]
fn no_lead_fails_for_an_accent_in_a_header() {
    let config = json!({"url": "https://example.com", "headers": {"X-Name": "{{ lead.name }}"}});
    let request = called(&integration(config, Value::Null), &EVENT.replace("Sarah", "Zoë")).unwrap();
    assert_eq!(header(&request, "x-name"), Some("Zo%C3%AB Patel"));
}

#[test]
fn values_are_escaped_as_the_content_type_says() {
    let event = EVENT.replace("Sarah Patel", "Love & Peace=50%&admin=1 <b>");
    for (content_type, body, expected) in [
        (
            json!("application/x-www-form-urlencoded"),
            "name={{ lead.name }}&email={{ lead.email }}",
            "name=Love%20%26%20Peace%3D50%25%26admin%3D1%20%3Cb%3E&email=sarah%40example.com",
        ),
        (
            json!({"value": "text/xml; charset=utf-8", "public": true}),
            "<lead name='{{ lead.name }}'/>",
            "<lead name='Love &amp; Peace=50%&amp;admin=1 &lt;b&gt;'/>",
        ),
        (json!("text/plain"), "{{ lead.name }}", "Love & Peace=50%&admin=1 <b>"),
    ] {
        let config =
            json!({"url": "https://example.com", "headers": {"content-type": content_type}, "body": body});
        let request = called(&integration(config, Value::Null), &event).unwrap();
        assert_eq!(String::from_utf8_lossy(&request.body), expected);
    }
}

#[test]
fn a_redirect_may_be_named_a_success() {
    for (config, status, expected) in [
        (json!({}), 302, "blocked"),
        (json!({"success": {"statuses": ["2xx", 302]}}), 302, "delivered"),
        (json!({"success": {"statuses": ["2xx", 302]}}), 204, "delivered"),
        (json!({"success": {"statuses": [302]}}), 200, "unknown"),
    ] {
        let mut whole = json!({"url": "https://example.com"});
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let ready = Webhook.prepare(&integration(whole, Value::Null), "").unwrap();
        let lead = full();
        let outcome =
            play(ready.as_ref(), push(&lead), Script::new([Ok(testkit::response(status, &[], ""))])).outcome;
        assert_eq!(testkit::told(&outcome).0, expected, "{config} {status}");
    }
}

#[test]
fn what_cannot_be_rendered_is_a_mapping_failure() {
    for (config, event, expected) in [
        (
            json!({"url": "https://example.com/{{ lead.name }}/x"}),
            EVENT.replace("Sarah Patel", ".."),
            "url: the path /../x has a segment of dots, which would change where it leads",
        ),
        (
            json!({"url": "https://example.com/{{ lead.name }}/x"}),
            "{".to_owned(),
            "the event cannot be read: expected a key in quotes, found the end of the text at line 1, column 2",
        ),
        (
            json!({"headers": {"X-Name": "{{ lead.name }}"}}),
            EVENT.replace("Sarah", &"x".repeat(5000)),
            "header x-name: the value gets longer than 4 KiB",
        ),
    ] {
        let mut whole = json!({"url": "https://example.com"});
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let failure = called(&integration(whole, Value::Null), &event).unwrap_err();
        assert_eq!((failure.class, failure.error.as_str()), (FailureClass::Mapping, expected));
    }
    let none = Integration {
        secrets: Vec::new(),
        ..integration(json!({"url": "https://example.com"}), Value::Null)
    };
    let failure = called(&none, EVENT).unwrap_err();
    assert_eq!(failure.error, "there is no signing secret; rotate it to make one");
    for broken in [integration(json!({}), Value::Null), Integration { payload: "v9".to_owned(), ..none }] {
        assert_eq!(Webhook.prepare(&broken, "").err().unwrap().class, FailureClass::Mapping);
    }
}

#[test]
fn the_answer_is_the_outcome() {
    let integration = integration(json!({"url": "https://example.com"}), Value::Null);
    let ready = Webhook.prepare(&integration, "").unwrap();
    let body = Bytes::from_static(b"{}");
    let unread = Response { status: 200, headers: Vec::new(), body: Bytes::new(), truncated: true };
    let cut = Response { body: Bytes::from_static(b"as much as is read"), ..unread.clone() };
    let error = CallError { kind: CallErrorKind::NoAnswer, message: "timed out".to_owned() };
    for (answer, expected, note) in [
        (Ok(unread), Outcome::Delivered, Some("the answer cannot be read beyond its status, 200")),
        (Ok(cut), Outcome::Delivered, None),
        (Err(error), Outcome::Failed(Failure::new(FailureClass::Unknown, "timed out")), None),
    ] {
        let played = play(ready.as_ref(), push(&body), Script::new([answer]));
        assert_eq!((played.calls.len(), played.outcome, played.note.as_deref()), (1, expected, note));
    }
}

proptest! {
    #[test]
    fn no_lead_changes_host_path_or_framing(name in any::<String>()) {
        let config = json!({
            "url": "https://example.com/a/{{ lead.name }}/b?q={{ lead.name }}", "query": {"r": "<{{ lead.name }}>"},
            "headers": {"X-Name": "{{ lead.name }}"}, "body": "{\"name\": \"{{ lead.name }}\"}",
        });
        let mut event = Json::parse(EVENT.as_bytes()).unwrap();
        event.set_at("lead.name", Json::string(&name));
        match called(&integration(config, Value::Null), &event.to_string()) {
            Err(failure) => prop_assert_eq!(failure.class, FailureClass::Mapping),
            Ok(request) => {
                prop_assert_eq!(request.url.host_str(), Some("example.com"));
                prop_assert_eq!(request.url.path_segments().unwrap().count(), 3);
                let pairs: Vec<_> = request.url.query_pairs().into_owned().collect();
                prop_assert_eq!(pairs, [("q".to_owned(), name.clone()), ("r".to_owned(), format!("<{name}>"))]);
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                prop_assert_eq!(body, json!({"name": name}));
            }
        }
    }
}

#[test]
fn an_integration_is_pushed_the_payload_that_it_names() {
    let named = |payload: &str, config: Value, mapping: Value| Integration {
        payload: payload.to_owned(),
        ..integration(config, mapping)
    };
    let plain = || json!({"url": "https://example.com/{{ lead.uuid }}"});
    let pushed = |integration: &Integration| called(integration, EVENT).unwrap();
    let flat = pushed(&named("save_lead", plain(), Value::Null));
    assert_eq!(
        flat.body,
        r#"{"data":{"email":"sarah@example.com","company":"","first_name":"Sarah","last_name":"Patel","phone":"","website":"","position":"","twitter":"","linkedin":"","notes":"","score":0}}"#
    );
    assert_eq!(header(&flat, "x-innkept-event"), Some("save_lead"));
    assert_eq!(header(&flat, "content-type"), Some("application/json"));
    assert_eq!(flat.url.path(), "/01j8h6kqh4yg3xr8rwm6t6xfqe", "templates speak of the canonical event");
    assert!(verify_simple(NEW, &flat.body, header(&flat, "x-innkept-signature").unwrap()));
    assert_eq!(pushed(&named("v1", plain(), Value::Null)).body, EVENT);

    let templated = json!({"url": "https://example.com/", "body": "Hello {{ lead.name }}"});
    assert_eq!(pushed(&named("save_lead", templated, Value::Null)).body, "Hello Sarah Patel");
    let get = json!({"url": "https://example.com/", "method": "GET"});
    assert!(pushed(&named("save_lead", get, Value::Null)).body.is_empty());

    let refused = |integration: &Integration| match Webhook.prepare(integration, "Innkept/1.0") {
        Err(failure) => failure.error,
        Ok(_) => panic!("prepared"),
    };
    assert_eq!(
        refused(&named("save_lead", plain(), json!({"lead.name": "who"}))),
        "mapping: payload save_lead has a shape of its own; leave the mapping out, or use payload v1 or a body template"
    );
    assert!(
        refused(&named("v3", plain(), Value::Null))
            .starts_with("payload v3 is not known; use v1 or save_lead")
    );
}
