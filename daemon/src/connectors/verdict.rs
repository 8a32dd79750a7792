//! Failures told in a vendor's own words, and reports that say them.

use std::time::Duration;

use serde_json::Value;

use super::{Exchange, ProbeStep, Report, Response, reading};
use crate::domain::outcome::{Failure, FailureClass, Outcome};

/// The longest error, in characters.
const ERROR_MAX: usize = 400;

/// A failure with the vendor's code and message: `airtable UNKNOWN_FIELD_NAME Unknown field name: "Gusts"`.
#[must_use]
pub fn told(connector: &str, class: FailureClass, code: &str, message: &str) -> Failure {
    Failure::new(class, reading::one_line(&format!("{connector} {code} {message}"), ERROR_MAX))
}

/// What the status says, where the body says nothing that we know. A success that cannot be read is no success yet.
#[must_use]
pub fn by_status(connector: &str, exchange: &Exchange, now: i64) -> Failure {
    let (class, retry_after) = match reading::read(exchange, now) {
        Outcome::Failed(failure) => (failure.class, failure.retry_after),
        Outcome::Delivered => (FailureClass::Unknown, None),
    };
    let error = reading::one_line(&format!("{connector} {}", reading::summary(exchange)), ERROR_MAX);
    Failure { class, error, retry_after }
}

/// The same failure, which makes the lane wait: as long as the answer says, else for this time.
#[must_use]
pub fn waiting(mut failure: Failure, exchange: &Exchange, now: i64, or: Duration) -> Failure {
    let asked =
        exchange.answer.as_ref().ok().and_then(|response: &Response| reading::retry_after(response, now));
    failure.class = FailureClass::Throttled;
    failure.retry_after = Some(asked.unwrap_or_default().max(or));
    failure
}

/// The JSON of an answer with this kind of status, if it is one.
#[must_use]
pub fn success(exchange: &Exchange) -> Option<Value> {
    let response = exchange.answer.as_ref().ok()?;
    if (200..300).contains(&response.status) { response.json() } else { None }
}

/// A text member of a JSON object.
#[must_use]
pub fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The end of a probe: it failed.
#[must_use]
pub fn failed(account: Option<String>, failure: Failure) -> ProbeStep {
    ProbeStep::Done(Report { outcome: Outcome::Failed(failure), account, findings: Vec::new() })
}

/// The end of a probe: pushes would arrive, but for what is found.
#[must_use]
pub fn reached(account: Option<String>, findings: Vec<String>) -> ProbeStep {
    ProbeStep::Done(Report { outcome: Outcome::Delivered, account, findings })
}
