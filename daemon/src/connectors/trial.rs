//! Leads of every kind, and pushes of them step by step, for the tests of connectors that make one call.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Call, CallError, CallErrorKind, Exchange, Prepared, Probe, ProbeStep, Push, Response, Step,
    testing::{NOW, push},
};
use crate::domain::{
    integration::{EventKind, ProbeKind},
    outcome::Outcome,
};

/// Every field of the canonical event.
pub(super) fn full() -> Bytes {
    let lead: Value = serde_json::from_str(include_str!("../../../tests/fixtures/lead.json")).unwrap();
    lead.to_string().into()
}

/// What a lead must have, and nothing else.
pub(super) fn minimal() -> Bytes {
    let lead = json!({
        "event": "lead.created", "version": "v1",
        "lead": {"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqf", "name": "Cher", "email": "cher@example.com", "event_type": "other",
            "event_date": "2026-01-31", "guest_count": 1, "gdpr_consent": false},
        "company": {"id": 7, "name": "The Old Barn"}
    });
    lead.to_string().into()
}

/// What breaks requests that are put together carelessly.
pub(super) fn maximal() -> Bytes {
    let mut lead: Value = serde_json::from_slice(&full()).unwrap();
    lead["lead"] = json!({
        "uuid": "01j8h6kqh4yg3xr8rwm6t6xfqg", "name": "Zoë \"𝒵\" O'Brien <!channel> *bold* 👰🤵\r\nBcc: evil@example.com",
        "email": "zoe@example.com\r\nBcc: evil@example.com", "phone": null, "event_type": "private_dining",
        "event_date": "2028-02-29", "guest_count": 5000, "gdpr_consent": true,
        "source_url": "https://theoldbarn.co.uk/book?a=1&b=<script>",
        "utm": {"source": "google", "campaign": "100% \\ off = more"},
        "profile": {"notes": "Line 1\nSubject: no\n.\r\n<https://evil.example|click> & more\u{202e}\u{7}"}
    });
    lead["quote"]["rules_pence"] = json!(-138_001);
    lead["quote"]["total_pence"] = json!(-5);
    lead["quote"]["proposal_url"] = json!("https://quote.innkept.com/p?a=1&b=|x>");
    lead.to_string().into()
}

/// What is rendered for an event, and the first step with it.
pub(super) fn first(prepared: &dyn Prepared, event: EventKind, lead: &Bytes) -> (Option<Bytes>, Step) {
    let fresh = Push { event, ..push(lead) };
    let rendered = prepared.render(&fresh).unwrap();
    let step = prepared.step(&Push { rendered: rendered.as_ref(), ..fresh }, &[]);
    (rendered, step)
}

/// The same push again.
pub(super) fn again(prepared: &dyn Prepared, event: EventKind, lead: &Bytes, rendered: &Bytes) -> Step {
    prepared.step(&Push { event, rendered: Some(rendered), is_repeat: true, ..push(lead) }, &[])
}

/// What an answer comes to: class, error and the wait that is wished for.
pub(super) fn outcome(
    prepared: &dyn Prepared,
    answer: Result<Response, CallError>,
) -> (&'static str, String, Option<u64>) {
    let lead = full();
    let (rendered, step) = first(prepared, EventKind::Created, &lead);
    let Step::Call(call) = step else { panic!("{step:?}") };
    let again = Push { rendered: rendered.as_ref(), ..push(&lead) };
    let Step::Done(outcome) = prepared.step(&again, &[Exchange { call, answer }]) else { panic!("goes on") };
    told(&outcome)
}

/// An outcome as tables have it.
pub(super) fn told(outcome: &Outcome) -> (&'static str, String, Option<u64>) {
    match outcome {
        Outcome::Delivered => ("delivered", String::new(), None),
        Outcome::Failed(failure) => {
            (failure.class.as_str(), failure.error.clone(), failure.retry_after.map(|wait| wait.as_secs()))
        }
    }
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Response, CallError> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Response { status, headers, body: Bytes::from(body.to_owned()), truncated: false })
}

pub(super) fn no_answer(kind: CallErrorKind) -> Result<Response, CallError> {
    Err(CallError { kind, message: "no answer".to_owned() })
}

/// The call of a probe that makes one.
pub(super) fn probe(prepared: &dyn Prepared, kind: ProbeKind, exchanges: &[Exchange]) -> ProbeStep {
    prepared.probe(&Probe { kind, token: None, now: NOW }, exchanges)
}

/// A call as fixtures have it, without the user agent, which changes with every version.
pub(super) fn seen(step: &Step) -> Value {
    let Step::Call(Call::Http(request)) = step else { panic!("{step:?}") };
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .filter(|header| {
            header.name != http::header::USER_AGENT && !header.name.as_str().contains("signature")
        })
        .map(|header| {
            let value = if header.secret { "secret" } else { header.value.to_str().unwrap() };
            (header.name.to_string(), value.into())
        })
        .collect();
    let body: Value = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into_owned().into());
    json!({"method": request.method.as_str(), "url": request.url.as_str(), "shown": request.shown_url,
        "headers": headers, "body": body})
}

/// What is made now, fit to replace the fixture if it is right and differs.
pub(super) fn differing(name: &str, fixture: &str, made: &str) -> Option<String> {
    (fixture.trim_end() != made.trim_end()).then(|| format!("GOLDEN {name}\n{made}\nEND GOLDEN"))
}
