//! Golden requests: what a connector sends for the same few leads, compared with what was looked at and kept.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Call, Exchange, Ids, Prepared, Push, Response, Step,
    testing::{self, NOW},
};
use crate::domain::{
    integration::EventKind,
    outcome::{Failure, Outcome},
};

/// Leads that differ in all that matters to a vendor.
pub(super) fn lead() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/lead.json")).unwrap()
}

/// Nothing that may be absent.
pub(super) fn minimal() -> Value {
    json!({"event": "lead.created", "version": "v1", "lead": {"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqf", "name": "Cher",
        "email": " CHER@Example.com ", "event_type": "other", "event_date": "2026-01-31", "guest_count": 1,
        "gdpr_consent": false}, "company": {"id": 7, "name": "The Old Barn"}})
}

/// Everything, and all of it awkward.
pub(super) fn maximal() -> Value {
    let mut lead = lead();
    lead["lead"] = json!({"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqg", "name": "Zoë \"𝒵\" O'Brien-García 👰🤵",
        "email": "zoë.o'brien+venue@bücher.example", "phone": "+44 (0) 7700 900123 ext. \"9\"",
        "event_type": "private_dining", "event_date": "2028-02-29", "guest_count": 5000, "gdpr_consent": true,
        "source_url": "https://theoldbarn.co.uk/book?a=1&b=<script>",
        "utm": {"source": "google", "medium": "cpc", "campaign": "100% \\ off", "term": "barn", "content": "a/b"},
        "profile": {"first_name": "Zoë", "last_name": "O'Brien-García", "company": "Bücher & Söhne", "notes": "Line 1\nLine 2 <b>"},
        "budget": 1e3});
    lead["quote"]["rules_pence"] = json!(-138_001);
    lead["quote"]["total_pence"] = json!(999_999_999_999_i64);
    lead
}

/// What a push says in its calls, given the vendor's answers, and how it ends.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) calls: Vec<Value>,
    pub(super) ids: Ids,
    pub(super) outcome: Outcome,
    pub(super) rendered: Option<Bytes>,
}

/// Drives a push with these answers; a call without an answer fails the test.
pub(super) fn drive(
    prepared: &dyn Prepared,
    event: EventKind,
    lead: &Value,
    ids: Ids,
    rendered: Option<Bytes>,
    answers: &[(u16, Value)],
) -> Said {
    let body = Bytes::from(lead.to_string());
    let is_repeat = rendered.is_some();
    let (mut ids, mut rendered) = (ids, rendered);
    let mut exchanges: Vec<Exchange> = Vec::new();
    let token = super::Token { secret: "token-of-a-login".to_owned().into(), expires_at: None, base: None };
    let has_login = prepared.login(NOW).is_some();
    loop {
        let mut push =
            Push { event, is_repeat, ids: &ids, rendered: rendered.as_ref(), ..testing::push(&body) };
        push.token = has_login.then_some(&token);
        if push.rendered.is_none() {
            match prepared.render(&push) {
                Ok(made) => rendered = made,
                Err(failure) => {
                    let outcome = Outcome::Failed(failure);
                    return Said { calls: calls(&exchanges), ids, outcome, rendered };
                }
            }
            continue;
        }
        match prepared.step(&push, &exchanges) {
            Step::Done(outcome) => return Said { calls: calls(&exchanges), ids, outcome, rendered },
            Step::Keep(more) => ids.extend(more),
            Step::Renew => panic!("no token was refused"),
            Step::Call(call) => {
                let Call::Http(request) = &call else { panic!("{call:?}") };
                let (status, answer) = answers
                    .get(exchanges.len())
                    .unwrap_or_else(|| panic!("no answer to {} {}", request.method, request.shown_url));
                let body = if answer.is_null() { String::new() } else { answer.to_string() };
                let response = Response {
                    status: *status,
                    headers: Vec::new(),
                    body: Bytes::from(body),
                    truncated: false,
                };
                exchanges.push(Exchange { call, answer: Ok(response) });
            }
        }
    }
}

fn calls(exchanges: &[Exchange]) -> Vec<Value> {
    let told = exchanges.iter().map(|exchange| {
        let Call::Http(request) = &exchange.call else { return Value::Null };
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&request.body)));
        json!({ "method": request.method.as_str(), "url": request.shown_url, "body": body })
    });
    told.collect()
}

/// Fails with what is said now, fit to replace the file if it is right.
pub(super) fn assert_golden(name: &str, golden: &str, said: &Said) {
    let now = serde_json::to_string_pretty(&said.calls).unwrap();
    assert!(golden.trim() == now, "GOLDEN {name}\n{now}\nEND GOLDEN");
}

/// Fails unless each error of the table is read as it says.
pub(super) fn assert_errors(table: &str, read: fn(&Response, i64) -> Failure) {
    let rows: Vec<Value> = serde_json::from_str(table).unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let body = match &row["body"] {
            Value::Null => String::new(),
            Value::String(page) => page.clone(),
            json => json.to_string(),
        };
        let headers = row["headers"].as_object().unwrap().iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let status = row["status"].as_u64().unwrap().try_into().unwrap();
        let failure = read(&Response { status, headers, body: body.into(), truncated: false }, NOW);
        let told = json!({ "class": failure.class.as_str(), "wait": failure.retry_after.map(|wait| wait.as_secs()),
            "error": failure.error });
        let expected = json!({ "class": row["class"], "wait": row["wait"], "error": row["error"] });
        assert_eq!(told, expected, "{row}");
    }
}
