//! Answers of Airtable read: by its code, else by the status.

use std::time::Duration;

use serde_json::Value;

use super::NAME;
use crate::{
    Response,
    vendor::{self, word},
};
use leadline_domain::outcome::Failure;

/// After a 429 nothing succeeds for so long.
const PENALTY: Duration = Duration::from_secs(30);
/// A monthly allowance that is used up comes back by an upgrade or a new month: it is looked for now and then.
const MONTHLY: Duration = Duration::from_secs(60 * 60);

/// Whether the record is written. An answer that is cut still says so.
pub(super) fn is_done(response: &Response) -> bool {
    let has_records = |body: Value| body.get("records").is_some_and(Value::is_array);
    let is_cut = response.truncated && response.body.starts_with(b"{\"records\"");
    response.is_good() && response.json().map_or(is_cut, has_records)
}

/// What went wrong: by Airtable's code, else by the status.
pub(super) fn failure(response: &Response, now: i64) -> Failure {
    let by_status = vendor::by_status(NAME, response, now);
    let told = response.json().and_then(|body| code_of(&body));
    let failure = match &told {
        Some((code, message)) => {
            Failure { error: vendor::told(NAME, by_status.class, code, message).error, ..by_status }
        }
        None => by_status,
    };
    let code = told.as_ref().map_or("", |(code, _)| code.as_str());
    match (code, response.status) {
        ("PUBLIC_API_BILLING_LIMIT_EXCEEDED", _) => vendor::waiting(failure, response, now, MONTHLY),
        (_, 429) => vendor::waiting(failure, response, now, PENALTY),
        _ => failure,
    }
}

/// Code and message, in each of the shapes that Airtable answers with.
fn code_of(body: &Value) -> Option<(String, String)> {
    let message = |error: &Value| word(error, "message").unwrap_or_default().to_owned();
    let first = body.get("errors").and_then(|errors| errors.get(0));
    if let Some(error) = first {
        return Some((word(error, "error")?.to_owned(), message(error)));
    }
    match body.get("error")? {
        Value::String(code) => Some((code.clone(), message(body))),
        error => Some((word(error, "type")?.to_owned(), message(error))),
    }
}
