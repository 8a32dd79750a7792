//! Answers of Airtable read: by its code, else by the status.

use super::NAME;
use crate::prelude::*;

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
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let (code, message) = response.json().and_then(|body| code_of(&body)).unwrap_or_default();
    let is_spent = code == "PUBLIC_API_BILLING_LIMIT_EXCEEDED";
    let class = is_spent.then_some(FailureClass::Throttled);
    let wait = if is_spent { MONTHLY } else { PENALTY };
    vendor::refusal(NAME, response, now, [&code, &message], class, wait)
}

/// Which column does not take its value: `Field "Score" cannot accept the provided value`. One that does not exist is missing
/// from every lead: that is the mapping's fault, unless the table may be older than the column.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let (code, message) = response.json().and_then(|body| code_of(&body)).unwrap_or_default();
    let quoted = message.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
    let column = quoted.map(|(column, _)| column.to_owned()).filter(|column| match &*code {
        "INVALID_VALUE_FOR_COLUMN" => true,
        "UNKNOWN_FIELD_NAME" => crm::YOUNG_COLUMNS.contains(&&**column),
        _ => false,
    });
    Vec::from_iter(column.map(|column| (column, Flaw::Refused(message))))
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
