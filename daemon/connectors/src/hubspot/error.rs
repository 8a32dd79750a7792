//! HubSpot's answers, read by what they say before their status.
//!
//! Only the envelope of an error is specified. The codes in it are as seen, so whatever is not known goes by its status.

use super::NAME;
use crate::prelude::*;

/// The daily quota comes back at midnight in the account's own time zone, which an answer does not tell.
pub(super) const DAILY_WAIT: Duration = Duration::from_secs(60 * 60);
const ROLLING_WAIT: Duration = Duration::from_secs(10);
const SECONDLY_WAIT: Duration = Duration::from_secs(1);
/// So many errors of one answer are quoted.
const QUOTED: usize = 5;

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let body = response.json().unwrap_or(Value::Null);
    let category = body["category"].as_str().or_else(|| body["errorType"].as_str()).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    if response.status == 429 || matches!(category, "RATE_LIMIT" | "RATE_LIMITS") {
        return throttled(response, &body, category, message, now);
    }
    // 423: the record is locked; 477: the account is being moved, and Retry-After says for how long.
    if matches!(response.status, 423 | 477) {
        let mut failure = vendor::by_status(NAME, response, now);
        failure.class = FailureClass::Transient;
        failure.retry_after = reading::retry_after(response, now);
        return failure;
    }
    if category.is_empty() || response.status >= 500 {
        return vendor::by_status(NAME, response, now);
    }
    let class = match category {
        "INVALID_AUTHENTICATION" | "EXPIRED_AUTHENTICATION" | "MISSING_SCOPES" => FailureClass::Credentials,
        _ if matches!(response.status, 401 | 403) => FailureClass::Credentials,
        _ => FailureClass::Rejected,
    };
    match details(&body) {
        details if details.is_empty() => vendor::told(NAME, class, category, message),
        details => vendor::told(NAME, class, &details, ""),
    }
}

fn throttled(response: &Response, body: &Value, category: &str, message: &str, now: Moment) -> Failure {
    let policy = body["policyName"].as_str().unwrap_or_default();
    let wait = match policy {
        "DAILY" => DAILY_WAIT,
        "TEN_SECONDLY_ROLLING" => ROLLING_WAIT,
        _ if message.contains("secondly") => SECONDLY_WAIT,
        _ if message.contains("daily") => DAILY_WAIT,
        _ => ROLLING_WAIT,
    };
    let code =
        [category, policy].iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ");
    // Whoever stands before HubSpot refuses in words of its own.
    let said = if code.is_empty() && message.is_empty() { reading::describe(response) } else { code };
    let said = if said.is_empty() { "429".to_owned() } else { said };
    let mut failure = vendor::told(NAME, FailureClass::Throttled, &said, message);
    failure.retry_after = Some(reading::retry_after(response, now).unwrap_or(wait));
    failure
}

/// Which properties do not take their values. One that does not exist is missing from every lead: that is the mapping's fault.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let body = response.json().filter(|_| response.status == 400).unwrap_or_default();
    let named = |error: &Value| {
        let name = error["context"]["propertyName"][0].as_str().or_else(|| word(error, "name"))?;
        let reason = word(error, "message").unwrap_or("it is refused");
        Some((name.to_owned(), Flaw::Refused(reason.to_owned())))
    };
    let is_unknown =
        |error: &Value| ["code", "error"].iter().any(|key| error[key] == "PROPERTY_DOESNT_EXIST");
    errors(&body).iter().filter(|error| !is_unknown(error)).filter_map(named).collect()
}

/// The single errors of an answer; in an older shape they are JSON within the message.
fn errors(body: &Value) -> Vec<Value> {
    let listed = body["errors"].as_array().cloned().unwrap_or_default();
    let message = word(body, "message").unwrap_or_default();
    let within = || message.find('[').and_then(|at| serde_json::from_str(&message[at..]).ok());
    if listed.is_empty() { within().unwrap_or_default() } else { listed }
}

/// `PROPERTY_DOESNT_EXIST wedding_date_property`, for each error in an answer.
fn details(body: &Value) -> String {
    let mut details: Vec<String> = errors(body).iter().filter_map(detail).collect();
    details.dedup();
    details.truncate(QUOTED);
    details.join(", ")
}

fn detail(error: &Value) -> Option<String> {
    let code = error["code"].as_str().or_else(|| error["error"].as_str())?;
    let listed = |key: &str| {
        let names: Vec<&str> = error["context"][key].as_array()?.iter().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    let name = listed("propertyName")
        .or_else(|| listed("requiredGranularScopes"))
        .or_else(|| listed("requiredScopes"))
        .or_else(|| error["name"].as_str().or_else(|| error["in"].as_str()).map(str::to_owned));
    let message = error["message"].as_str().unwrap_or_default();
    Some(match (code, name) {
        ("PROPERTY_DOESNT_EXIST" | "MISSING_SCOPES", Some(name)) => format!("{code} {name}"),
        (code, Some(name)) => format!("{code} {name}: {message}"),
        (code, None) => format!("{code} {message}"),
    })
}

/// The id of the contact that is in the way of a new one.
pub(super) fn existing(response: &Response) -> Option<String> {
    if response.status != 409 {
        return None;
    }
    let body = response.json()?;
    let (_, id) = body["message"].as_str()?.rsplit_once("Existing ID:")?;
    let id: String = id.trim().chars().take_while(char::is_ascii_digit).collect();
    (!id.is_empty()).then_some(id)
}

/// The newest of a contact's notes, newest first. Two shapes of the list are known.
pub(super) fn newest(notes: &[Value], count: usize) -> Vec<String> {
    let id = |note: &Value| id_of(&note["id"]).or_else(|| id_of(&note["toObjectId"]));
    let mut ids: Vec<String> = notes.iter().filter_map(id).collect();
    // Ids are numbers that grow.
    ids.sort_by_key(|id| std::cmp::Reverse((id.len(), id.clone())));
    ids.dedup();
    ids.truncate(count);
    ids
}
