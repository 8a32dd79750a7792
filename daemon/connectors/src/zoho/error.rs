//! Zoho's answers: a code for each record, in a good answer too, or one for the whole call.

use super::NAME;
use crate::prelude::*;

/// Calls at once are fewer in a moment, the credits of the last 24 hours are not; no answer tells which it was.
const CROWDED: Duration = Duration::from_secs(60);
/// A login gives ten tokens in ten minutes.
const LOGINS: Duration = Duration::from_secs(10 * 60);

/// The token may not do what was asked for.
pub(super) const NO_SCOPE: &str = "OAUTH_SCOPE_MISMATCH";
/// What Zoho's codes mean.
const CLASSES: Classes = &[
    (FailureClass::Credentials, "INVALID_TOKEN AUTHENTICATION_FAILURE OAUTH_SCOPE_MISMATCH NO_PERMISSION"),
    (FailureClass::Throttled, "TOO_MANY_REQUESTS LIMIT_EXCEEDED"),
    (FailureClass::Transient, "INTERNAL_ERROR INTERNAL_SERVER_ERROR RECORD_LOCKED"),
];

/// Whether the token is what was refused. A scope that is missing is told with 401 too, and no new token mends it.
pub(super) fn is_token_over(response: &Response) -> bool {
    response.status == 401 && matches!(code(&entry(response)), "INVALID_TOKEN" | "")
}

/// Whether the record was there once, or became a customer.
pub(super) fn is_gone(response: &Response) -> bool {
    let entry = entry(response);
    let names_id = word(&entry, "message").is_some_and(|message| message.contains("the id given"))
        || entry.pointer("/details/api_name").is_some_and(|name| name == "Parent_Id");
    match code(&entry) {
        "NO_RECORDS_FOUND" | "NOT_FOUND" | "ID_ALREADY_CONVERTED" | "CONVERTED_RECORD" => true,
        "INVALID_DATA" => names_id,
        _ => response.status == 404,
    }
}

/// The id of the record that holds the address already.
pub(super) fn existing(response: &Response) -> Option<String> {
    let entry = entry(response);
    let details = &entry["details"];
    let is_email = code(&entry) == "DUPLICATE_DATA" && details["api_name"] == "Email";
    is_email.then(|| id_of(&details["id"]).or_else(|| id_of(&details["duplicate_record"]["id"])))?
}

/// What is wrong with a field: its text is too long, or Zoho does not take its value, as another Lead's must be the only one.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let entry = entry(response);
    let details = &entry["details"];
    let flaw = || {
        let limit = details["maximum_length"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let flaw = limit.map_or_else(|| Flaw::Refused(message(&entry)), Flaw::LongerThan);
        Some((word(details, "api_name")?.to_owned(), flaw))
    };
    let is_flawed = matches!(code(&entry), "INVALID_DATA" | "DUPLICATE_DATA");
    is_flawed.then(flaw).flatten().into_iter().collect()
}

/// What is told of the record that was written.
pub(super) fn done(response: &Response, now: Moment) -> Result<Value> {
    let mut entry = entry(response);
    if response.is_good() && entry["status"] == "success" {
        return Ok(entry["details"].take());
    }
    Err(failure(response, now))
}

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let entry = entry(response);
    let code = code(&entry);
    let is_refused = response.is_good() && !code.is_empty();
    let class = class_of(code, CLASSES).or(is_refused.then_some(FailureClass::Rejected));
    vendor::refusal(NAME, response, now, [code, &message(&entry)], class, CROWDED)
}

/// What a login was refused with, which is told with 200 as well.
pub(super) fn login_failure(response: &Response) -> Option<Failure> {
    let body = response.json()?;
    let code = word(&body, "error").filter(|_| response.status < 500)?;
    let message = word(&body, "error_description").unwrap_or_default();
    if message.contains("too many requests") {
        let failure = vendor::told(NAME, FailureClass::Throttled, "login refused:", message);
        return Some(Failure { retry_after: Some(LOGINS), ..failure });
    }
    Some(vendor::told(NAME, FailureClass::Credentials, "login refused:", &format!("{code} {message}")))
}

/// What an answer says of the one record, or of the call.
fn entry(response: &Response) -> Value {
    let mut body = response.json().unwrap_or_default();
    for list in ["/data/0", "/tags/0"] {
        if let Some(entry) = body.pointer_mut(list) {
            return entry.take();
        }
    }
    body
}

fn code(entry: &Value) -> &str {
    word(entry, "code").unwrap_or_default()
}

/// `Last_Name: required field not found`
fn message(entry: &Value) -> String {
    let message = word(entry, "message").unwrap_or_default();
    let details = &entry["details"];
    let expected = word(details, "expected_data_type").map(|kind| format!(", {kind} is wanted"));
    let expected = expected.unwrap_or_default();
    match word(details, "api_name").or_else(|| word(details, "param_name")) {
        Some(field) => format!("{field}: {message}{expected}"),
        None => format!("{message}{expected}"),
    }
}
