//! What leaves for each product, which URLs it takes for its own, and what its answers mean.

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::{
    Call, CallErrorKind, Connector, Request,
    config::no_credentials,
    testkit::{
        self, FULL, PushCase, again, differing, first, first_call, full, maximal_bytes, minimal_bytes,
        no_answer, outcome, push, response, seen,
    },
};
use leadline_domain::{
    integration::{EventKind, SigningSecret},
    signing::verify_simple,
};

const ZAPIER_HOOK: &dyn Connector = &ZAPIER;
const MAKE_HOOK: &dyn Connector = &MAKE;
const N8N_HOOK: &dyn Connector = &N8N;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ZAP: &str = "https://hooks.zapier.com/hooks/catch/123456/abcdefg/";
const SCENARIO: &str = "https://hook.eu2.make.com/abcdefghijklmnopqrstuvwxyz";
const WORKFLOW: &str = "https://n8n.example.com/webhook/5d2b1c3e-leads";

fn prepared(hook: &dyn Connector, config: Value, credentials: Value) -> Box<dyn Prepared> {
    let mut integration = testkit::integration(hook.manifest().name, config, credentials, Value::Null);
    let secret = SecretString::from(SECRET);
    integration.secrets = vec![SigningSecret { version: 1, secret, expires_at: None, staged: false }];
    hook.prepare(&integration, "Leadline").unwrap()
}

fn with_url(hook: &dyn Connector) -> Box<dyn Prepared> {
    let url = [(ZAPIER_HOOK, ZAP), (MAKE_HOOK, SCENARIO), (N8N_HOOK, WORKFLOW)];
    let url = url.iter().find(|(other, _)| other.manifest().name == hook.manifest().name).unwrap().1;
    prepared(hook, json!({}), json!({"hook_url": url, "api_key": "make-key-1234567890"}))
}

fn request(call: Call) -> Request {
    testkit::request(call)
}

/// The request of a first push.
fn pushed(prepared: &dyn Prepared, push: Push<'_>) -> Request {
    request(first_call(prepared, push).unwrap())
}

#[test]
fn the_requests_are_those_that_were_looked_at() {
    use EventKind::{Created, Test, Updated};
    let mut found = Vec::new();
    for (hook, event, lead, name, fixture) in [
        (ZAPIER_HOOK, Created, full(), "zapier_create", include_str!("fixtures/zapier_create.json")),
        (ZAPIER_HOOK, Updated, full(), "zapier_update", include_str!("fixtures/zapier_update.json")),
        (ZAPIER_HOOK, Created, full(), "zapier_repeat", include_str!("fixtures/zapier_repeat.json")),
        (
            ZAPIER_HOOK,
            Created,
            minimal_bytes(),
            "zapier_minimal",
            include_str!("fixtures/zapier_minimal.json"),
        ),
        (
            ZAPIER_HOOK,
            Created,
            maximal_bytes(),
            "zapier_maximal",
            include_str!("fixtures/zapier_maximal.json"),
        ),
        (MAKE_HOOK, Created, full(), "make_create", include_str!("fixtures/make_create.json")),
        (MAKE_HOOK, Updated, full(), "make_update", include_str!("fixtures/make_update.json")),
        (MAKE_HOOK, Created, full(), "make_repeat", include_str!("fixtures/make_repeat.json")),
        (MAKE_HOOK, Created, minimal_bytes(), "make_minimal", include_str!("fixtures/make_minimal.json")),
        (MAKE_HOOK, Created, maximal_bytes(), "make_maximal", include_str!("fixtures/make_maximal.json")),
        (N8N_HOOK, Created, full(), "n8n_create", include_str!("fixtures/n8n_create.json")),
        (N8N_HOOK, Updated, full(), "n8n_update", include_str!("fixtures/n8n_update.json")),
        (N8N_HOOK, Created, full(), "n8n_repeat", include_str!("fixtures/n8n_repeat.json")),
        (N8N_HOOK, Created, minimal_bytes(), "n8n_minimal", include_str!("fixtures/n8n_minimal.json")),
        (N8N_HOOK, Created, maximal_bytes(), "n8n_maximal", include_str!("fixtures/n8n_maximal.json")),
        (N8N_HOOK, Test, full(), "n8n_test", include_str!("fixtures/n8n_test.json")),
    ] {
        let ready = with_url(hook);
        let (rendered, mut call) = first(ready.as_ref(), event, &lead);
        assert_eq!(rendered, None, "the body of the one request is what is kept");
        if name.ends_with("repeat") {
            call = again(ready.as_ref(), event, &minimal_bytes(), &request(call).body);
        }
        found.extend(differing(name, fixture, &serde_json::to_string_pretty(&seen(&call)).unwrap()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_repeat_sends_the_same_bytes_under_the_same_id_signed() {
    for hook in [ZAPIER_HOOK, MAKE_HOOK, N8N_HOOK] {
        let prepared = with_url(hook);
        let lead = full();
        let one = pushed(prepared.as_ref(), push(&lead));
        let other = full().slice(..).to_vec();
        let changed = Bytes::from(String::from_utf8(other).unwrap().replace("Sarah", "Sally"));
        let repeat = Push { rendered: Some(&one.body), is_repeat: true, ..push(&changed) };
        let two = pushed(prepared.as_ref(), repeat);
        assert_eq!(one.body, two.body);
        let header = |request: &Request, name: &str| {
            request
                .headers
                .iter()
                .find(|header| header.name == name)
                .unwrap()
                .value
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(header(&one, "webhook-id"), header(&two, "webhook-id"));
        assert!(
            verify_simple(SECRET, &two.body, &header(&two, "x-leadline-signature")),
            "{}",
            hook.manifest().name
        );
    }
}

#[test]
fn numbers_and_names_of_the_sender_stay_as_they_are() {
    let lead = Bytes::from_static(br#"{"event":"lead.created","event_id":"mine","lead":{"uuid":"U","budget":1.10},"big":18446744073709551616}"#);
    let body = pushed(with_url(ZAPIER_HOOK).as_ref(), push(&lead)).body;
    assert_eq!(body, lead);
}

#[test]
fn a_template_of_the_operators_goes_before_the_event() {
    let config = json!({"body": "{\"id\": \"{{ event.id }}\", \"who\": \"{{ lead.name }}\"}",
        "headers": {"Authorization": "Bearer a-long-secret-token"}, "query": {"from": "leadline"}, "method": "PUT"});
    let request = pushed(prepared(N8N_HOOK, config, json!({"hook_url": WORKFLOW})).as_ref(), push(&full()));
    assert_eq!(request.body, r#"{"id": "01J8H6KQH4YG3XR8RWM6T6XFQ0", "who": "Sarah Patel"}"#);
    assert_eq!((request.method.as_str(), request.url.query()), ("PUT", Some("from=leadline")));
    assert!(request.headers.iter().any(|header| header.name == "authorization" && header.secret));
}

#[test]
fn only_make_asks_for_a_key() {
    let has_key = |hook| {
        let request = pushed(with_url(hook).as_ref(), push(&full()));
        request.headers.iter().any(|header| header.name == "x-make-apikey" && header.secret)
    };
    assert!(has_key(MAKE_HOOK) && !has_key(ZAPIER_HOOK) && !has_key(N8N_HOOK));
    assert_eq!(
        testkit::refused_credentials(
            N8N_HOOK,
            &json!({"hook_url": WORKFLOW, "api_key": "x"}),
            &EgressPolicy::default()
        )
        .len(),
        1
    );
}

#[test]
fn the_base_url_stands_in_for_the_products_own() {
    let config = json!({"base_url": "http://127.0.0.1:9000"});
    let request = pushed(prepared(ZAPIER_HOOK, config, json!({"hook_url": ZAP})).as_ref(), push(&full()));
    assert_eq!(request.url.as_str(), "http://127.0.0.1:9000/hooks/catch/123456/abcdefg/");
    assert_eq!(request.shown_url, "http://127.0.0.1:9000/…defg");
}

#[test]
fn without_a_url_the_push_fails_and_says_so() {
    for hook in [ZAPIER_HOOK, MAKE_HOOK, N8N_HOOK] {
        let failure = first_call(prepared(hook, json!({}), Value::Null).as_ref(), push(&full())).unwrap_err();
        assert_eq!(failure, no_credentials("hook_url"));
    }
}

#[test]
fn each_product_knows_its_urls() {
    let zapier = "hook_url: must be the URL of a Catch Hook: https://hooks.zapier.com/hooks/catch/…";
    let make = "hook_url: must be the URL of a custom webhook: https://hook.ZONE.make.com/…";
    let n8n = "hook_url: must be the production URL of a Webhook node: https://HOST/webhook/…";
    for (hook, url, expected) in [
        (ZAPIER_HOOK, ZAP, ""),
        (ZAPIER_HOOK, "https://hooks.zapier.com/hooks/catch/abc/", ""),
        (ZAPIER_HOOK, "https://hooks.zapier.com/hooks/catch/123/abc/silent/", ""),
        (ZAPIER_HOOK, "https://hooks.zapier.com/hooks/catch/", zapier),
        (ZAPIER_HOOK, "https://hooks.zapier.com.evil.example/hooks/catch/1/a/", zapier),
        (ZAPIER_HOOK, "https://zapier.com/hooks/catch/1/a/", zapier),
        (ZAPIER_HOOK, "http://hooks.zapier.com/hooks/catch/1/a/", "hook_url: plain http to"),
        (MAKE_HOOK, SCENARIO, ""),
        (MAKE_HOOK, "https://hook.us1.make.com/abcdefgh", ""),
        (MAKE_HOOK, "https://hook.integromat.com/abcdefgh", ""),
        (MAKE_HOOK, "https://www.make.com/abcdefgh", make),
        (MAKE_HOOK, "https://hook.eu1.make.com/", make),
        (MAKE_HOOK, "https://hook.evil.example/make.com", make),
        (N8N_HOOK, WORKFLOW, ""),
        (N8N_HOOK, "https://example.com/flows/webhook/leads?x=y", ""),
        (N8N_HOOK, "https://n8n.example.com/", n8n),
        (N8N_HOOK, "https://n8n.example.com/webhook-test/leads", "hook_url: is a test URL"),
        (N8N_HOOK, "http://127.0.0.1:5678/webhook-test/leads", "hook_url: is a test URL"),
        (N8N_HOOK, "https://192.168.1.5/webhook/leads", "hook_url: 192.168.1.5 is not a public address"),
    ] {
        let local = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let strict = EgressPolicy::default();
        let egress = if url.contains("127.0.0.1") { &local } else { &strict };
        let problems = testkit::refused_credentials(hook, &json!({"hook_url": url}), egress);
        match expected {
            "" => assert_eq!(problems, [""; 0], "{url}"),
            _ => assert!(problems.len() == 1 && problems[0].starts_with(expected), "{url}: {problems:?}"),
        }
    }
    assert!(
        testkit::refused_credentials(ZAPIER_HOOK, &json!({}), &EgressPolicy::default())[0]
            .contains("hook_url is required")
    );
}

#[test]
fn configurations_are_checked_as_those_of_webhooks() {
    let check = |hook: &dyn Connector, config, mapping| testkit::refused(hook, &config, &mapping);
    assert_eq!(check(ZAPIER_HOOK, json!({}), json!({"lead.phone": "tel"})), [""; 0]);
    for (config, mapping, expected) in [
        (json!({"url": "https://example.com"}), Value::Null, "unknown key url"),
        (json!({"method": "PUT"}), Value::Null, "unknown key method"),
        (json!({"body": "{{ lead.emial }}"}), Value::Null, "body: {{ lead.emial }}: unknown variable"),
        (json!({"headers": {"webhook-id": "1"}}), Value::Null, "header webhook-id: is reserved"),
        (json!({}), json!({"lead.fone": "x"}), "unknown field lead.fone"),
    ] {
        let problems = check(ZAPIER_HOOK, config.clone(), mapping);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{config}: {problems:?}");
    }
    assert_eq!(check(N8N_HOOK, json!({"method": "PUT"}), Value::Null), [""; 0]);
}

#[test]
fn answers_mean_what_the_product_means() {
    let not_registered =
        r#"{"code":404,"message":"The requested webhook \"POST 5d2b1c3e-leads\" is not registered."}"#;
    for (hook, status, headers, body, class, error, wait) in [
        (ZAPIER_HOOK, 200, None, r#"{"status":"success"}"#, "delivered", "", None),
        (ZAPIER_HOOK, 429, None, "", "throttled", "zapier 429 Too Many Requests", Some(60)),
        (ZAPIER_HOOK, 429, Some("7"), "", "throttled", "zapier 429 Too Many Requests", Some(7)),
        (
            ZAPIER_HOOK,
            404,
            None,
            "no such thing",
            "rejected",
            "zapier 404 there is no such hook: copy the URL of the Zap's Catch Hook again",
            None,
        ),
        (ZAPIER_HOOK, 500, None, "oops", "transient", "zapier 500 Internal Server Error: oops", None),
        (MAKE_HOOK, 200, None, "Accepted", "delivered", "", None),
        (
            MAKE_HOOK,
            400,
            None,
            "Queue is full.",
            "throttled",
            "make 400 queue is full: the scenario does not keep up",
            Some(10),
        ),
        (MAKE_HOOK, 400, None, "Bad", "rejected", "make 400 Bad Request: Bad", None),
        (MAKE_HOOK, 401, None, "Unauthorized", "credentials", "make 401 Unauthorized: Unauthorized", None),
        (
            MAKE_HOOK,
            410,
            None,
            "gone",
            "rejected",
            "make 410 the webhook is gone or its scenario is off: switch the scenario on, or copy the URL again",
            None,
        ),
        (N8N_HOOK, 200, None, "{}", "delivered", "", None),
        (
            N8N_HOOK,
            404,
            None,
            not_registered,
            "transient",
            "n8n 404 the webhook is not registered: activate the workflow, and see that its method is the same",
            None,
        ),
        (N8N_HOOK, 403, None, "at /webhook/5d2b1c3e-leads", "credentials", "n8n 403 Forbidden: at …", None),
        (N8N_HOOK, 503, Some("9"), "", "throttled", "n8n 503 Service Unavailable", Some(9)),
    ] {
        let headers: Vec<_> = headers.into_iter().map(|value| ("Retry-After", value)).collect();
        let found = outcome(with_url(hook).as_ref(), Ok(response(status, &headers, body)));
        assert_eq!(found, (class, error.to_owned(), wait), "{} {status} {body}", hook.manifest().name);
    }
    let unread = Response { truncated: true, ..response(200, &[], "") };
    let taken = PushCase::created(FULL).run_with(with_url(N8N_HOOK).as_ref(), vec![unread]);
    assert_eq!(taken.note.as_deref(), Some("the answer cannot be read beyond its status, 200"));
    for (kind, class) in [(CallErrorKind::NotSent, "transient"), (CallErrorKind::NoAnswer, "unknown")] {
        assert_eq!(outcome(with_url(MAKE_HOOK).as_ref(), no_answer(kind)).0, class);
    }
}
