//! Messages as they leave, texts that lead nowhere, and what Slack's words mean.

use serde_json::{Value, json};

use super::*;
use crate::{
    CallErrorKind, Connector,
    testkit::{
        self, again, differing, first, first_call, full, maximal_bytes, minimal_bytes, no_answer, outcome,
        probe_with, request, response, seen, told,
    },
};
use crate::{config::no_credentials, crm};
use leadline_domain::{integration::EventKind, notice::Notice, outcome::Outcome};

const HOOK: &str = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnop";

fn prepared(config: Value, credentials: Value, mapping: Value) -> Box<dyn Prepared> {
    Slack.prepare(&testkit::integration("slack", config, credentials, mapping), "Leadline").unwrap()
}

fn ready() -> Box<dyn Prepared> {
    prepared(json!({}), json!({"webhook_url": HOOK}), Value::Null)
}

#[test]
fn the_messages_are_those_that_were_looked_at() {
    use EventKind::{Created, Test, Updated};
    let mut found = Vec::new();
    for (event, lead, name, fixture) in [
        (Created, full(), "create", include_str!("fixtures/create.json")),
        (Updated, full(), "update", include_str!("fixtures/update.json")),
        (Test, minimal_bytes(), "minimal", include_str!("fixtures/minimal.json")),
        (Created, maximal_bytes(), "maximal", include_str!("fixtures/maximal.json")),
    ] {
        let ready = ready();
        let (rendered, call) = first(ready.as_ref(), event, &lead);
        found.extend(differing(name, fixture, &serde_json::to_string_pretty(&seen(&call)).unwrap()));
        let repeat = again(ready.as_ref(), event, &minimal_bytes(), &rendered.unwrap());
        assert_eq!(seen(&repeat), seen(&call), "a repeat is the same bytes, whatever became of the lead");
        if name == "create" {
            let fixture = include_str!("fixtures/repeat.json");
            let made = serde_json::to_string_pretty(&seen(&repeat)).unwrap();
            found.extend(differing("repeat", fixture, &made));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_notice_goes_to_people_in_its_own_words() {
    let notice = Bytes::from_static(br#"{"event":"notice.no_leads","message":"No lead came in <!here>.","company":{"name":"The Old Barn"}}"#);
    let push =
        Push { event: EventKind::Notice(Notice::NoLeads), rendered: Some(&notice), ..testkit::push(&notice) };
    let body = request(first_call(ready().as_ref(), push).unwrap()).body;
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(message["text"], "Leadline: no leads");
    assert_eq!(
        message["blocks"][1]["text"]["text"],
        "No lead came in &lt;!here&gt;.\n\nCompany: The Old Barn"
    );
}

#[test]
fn nothing_that_a_lead_contains_is_read_as_markup() {
    let (rendered, _) = first(ready().as_ref(), EventKind::Created, &maximal_bytes());
    let message: Value = serde_json::from_slice(&rendered.unwrap()).unwrap();
    for block in message["blocks"].as_array().unwrap() {
        if block["type"] != "context" {
            assert_eq!(block["text"]["type"], "plain_text");
        }
    }
    let text = message.to_string();
    assert!(!text.contains("<!channel>") && !text.contains("<https://evil.example"), "{text}");
    assert_eq!(message["mrkdwn"], false);
    assert_eq!(
        message["blocks"][2]["elements"][0]["text"],
        "<https://quote.innkept.com/p?a=1&amp;b=%7Cx%3E|Open the proposal>"
    );
}

#[test]
fn texts_are_cut_to_what_slack_takes() {
    for (text, max) in
        [("&".repeat(4000), 150), ("👰".repeat(200), 150), ("a&".repeat(2000), 3000), ("x".repeat(10), 150)]
    {
        let fitted = push::fitting(&text, max);
        let length = crm::units(&fitted);
        assert!(length <= max, "{length}");
        assert!(length + 10 > max.min(crm::units(&push::escape(&text))), "{length} is cut too short");
        assert!(!fitted.trim_end_matches('…').ends_with("&am"), "no escape is cut in two");
    }
}

#[test]
fn a_long_value_pushes_out_no_line_behind_it() {
    let mut lead: Value = serde_json::from_slice(&full()).unwrap();
    lead["lead"]["source_url"] = format!("https://example.com/?{}", "x".repeat(3000)).into();
    lead["lead"]["message"] = "& ".repeat(3000).into();
    let prepared = prepared(json!({}), json!({"webhook_url": HOOK}), Value::Null);
    let lead = bytes::Bytes::from(lead.to_string());
    let (rendered, _) = first(prepared.as_ref(), EventKind::Created, &lead);
    let message: Value = serde_json::from_slice(&rendered.unwrap()).unwrap();
    let blocks = message["blocks"].as_array().unwrap();
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
    assert!(texts.iter().all(|text| crm::units(text) <= 3000), "{texts:?}");
    let all = texts.join("\n");
    for told in
        ["Consent: yes", "Campaign: google", "message: &amp; &amp;", "Lead: 01j8h6kqh4yg3xr8rwm6t6xfqe"]
    {
        assert!(all.contains(told), "{told} is cut away: {all}");
    }
}

#[test]
fn a_mapping_renames_and_leaves_out() {
    let mapping = json!({"lead.email": null, "lead.phone": "Tel", "lead.profile.company": {"to": "Employer", "default": "none"}});
    let prepared = prepared(json!({}), json!({"webhook_url": HOOK}), mapping);
    let (rendered, _) = first(prepared.as_ref(), EventKind::Created, &full());
    let message: Value = serde_json::from_slice(&rendered.unwrap()).unwrap();
    let text = message["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(text.contains("\nTel: +447700900123\n") && text.ends_with("\nEmployer: none"), "{text}");
    assert!(!text.contains("sarah@example.com"), "{text}");
}

#[test]
fn slacks_words_have_their_classes() {
    let gone = ": the incoming webhook is gone; make another and set the credentials";
    for (status, headers, body, class, error, wait) in [
        (200, None, "ok", "delivered", "".to_owned(), None),
        (400, None, "invalid_payload", "rejected", "slack invalid_payload".to_owned(), None),
        (400, None, "no_text", "rejected", "slack no_text".to_owned(), None),
        (400, None, "invalid_blocks", "rejected", "slack invalid_blocks".to_owned(), None),
        (403, None, "invalid_token", "credentials", format!("slack invalid_token{gone}"), None),
        (403, None, "action_prohibited", "credentials", "slack action_prohibited: an administrator of the workspace does not allow it".to_owned(), None),
        (404, None, "no_service", "credentials", format!("slack no_service{gone}"), None),
        (404, None, "channel_not_found", "credentials", "slack channel_not_found: the channel is gone; make a webhook for another and set the credentials".to_owned(), None),
        (404, None, "user_not_found", "credentials", "slack user_not_found".to_owned(), None),
        (410, None, "channel_is_archived", "rejected", "slack channel_is_archived: bring the channel back, or make a webhook for another".to_owned(), None),
        (403, None, "channel_is_archived", "rejected", "slack channel_is_archived: bring the channel back, or make a webhook for another".to_owned(), None),
        (429, Some("30"), "rate_limited", "throttled", "slack rate_limited".to_owned(), Some(30)),
        (429, None, "", "throttled", "slack 429 Too Many Requests".to_owned(), Some(5)),
        (500, None, "rollup_error", "transient", "slack rollup_error".to_owned(), None),
        (200, None, r#"{"ok":false,"error":"invalid_token"}"#, "credentials", format!("slack invalid_token{gone}"), None),
        (503, None, "down", "transient", "slack 503 Service Unavailable: down".to_owned(), None),
        (403, None, "<html>no</html>", "credentials", "slack 403 Forbidden: <html>no</html>".to_owned(), None),
    ] {
        let headers: Vec<_> = headers.into_iter().map(|value| ("Retry-After", value)).collect();
        assert_eq!(outcome(ready().as_ref(), Ok(response(status, &headers, body))), (class, error, wait), "{status} {body}");
    }
    for (kind, class) in [(CallErrorKind::NotSent, "transient"), (CallErrorKind::NoAnswer, "unknown")] {
        assert_eq!(outcome(ready().as_ref(), no_answer(kind)).0, class);
    }
}

#[test]
fn a_test_posts_nothing() {
    let ready = ready();
    for (status, body, class) in [
        (400, "no_text", "delivered"),
        (400, "invalid_payload", "delivered"),
        (404, "no_service", "credentials"),
        (403, "action_prohibited", "credentials"),
        (500, "rollup_error", "transient"),
    ] {
        let answer = Ok(response(status, &[], body));
        let (report, calls) = probe_with(ready.as_ref(), ProbeKind::Credentials, [answer]).unwrap();
        assert_eq!(told(&report.outcome).0, class, "{status} {body}");
        let request = request(calls[0].clone());
        assert_eq!((calls.len(), &request.body[..], request.url.as_str()), (1, &b"{}"[..], HOOK));
    }
    let bare = prepared(json!({}), Value::Null, Value::Null);
    let (report, _) = probe_with(bare.as_ref(), ProbeKind::Test, []).unwrap();
    assert_eq!(report.outcome, Outcome::Failed(no_credentials("webhook_url")));
    assert!(probe_with(bare.as_ref(), ProbeKind::Mapping, []).is_none());
}

#[test]
fn urls_are_slacks_own_unless_the_daemon_allows_a_sandbox() {
    let local = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    for (url, egress, is_fine) in [
        (HOOK, &EgressPolicy::default(), true),
        ("https://hooks.slack-gov.com/services/T/B/X", &local, true),
        ("https://hooks.slack.com/", &local, false),
        ("https://hooks.slack.com.evil.example/services/T/B/X", &local, false),
        ("https://example.com/services/T/B/X", &local, false),
        ("http://hooks.slack.com/services/T/B/X", &EgressPolicy::default(), false),
        ("http://127.0.0.1:9000/services/T/B/X", &local, true),
        ("http://127.0.0.1:9000/services/T/B/X", &EgressPolicy::default(), false),
    ] {
        assert_eq!(
            testkit::refused_credentials(&Slack, &json!({"webhook_url": url}), egress).is_empty(),
            is_fine,
            "{url}"
        );
    }
    let rebased =
        prepared(json!({"base_url": "http://127.0.0.1:9000"}), json!({"webhook_url": HOOK}), Value::Null);
    let (_, call) = first(rebased.as_ref(), EventKind::Created, &full());
    let request = request(call);
    assert_eq!(request.url.as_str(), "http://127.0.0.1:9000/services/T00000000/B00000000/abcdefghijklmnop");
    assert_eq!(request.shown_url, "http://127.0.0.1:9000/…mnop");
}
