//! ActiveCampaign's answers: a list of errors or one message, and a status whose meaning is documented.

use super::NAME;
use crate::prelude::*;

/// ActiveCampaign says how long to wait; where it does not, the second is full.
const FULL: Duration = Duration::from_secs(1);
/// So many errors of one answer are quoted.
const QUOTED: usize = 5;

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let body = response.json().unwrap_or_default();
    let errors: Vec<&Value> = body["errors"].as_array().into_iter().flatten().collect();
    let code = errors.first().and_then(|error| word(error, "code")).unwrap_or_default();
    let of = errors.first().and_then(|error| attribute(error)).unwrap_or_default();
    let class = match (code, response.status) {
        // Another call has just made the contact, or somebody deleted it: the next attempt finds one or makes it.
        ("duplicate", _) => Some(FailureClass::Transient),
        ("related_missing", _) if ["relid", "contact"].contains(&of) => Some(FailureClass::Transient),
        // The account is not paid for.
        (_, 402) => Some(FailureClass::Credentials),
        _ => None,
    };
    let told: Vec<String> = errors.iter().filter_map(|error| detail(error)).take(QUOTED).collect();
    let told =
        if told.is_empty() { word(&body, "message").unwrap_or_default().to_owned() } else { told.join("; ") };
    let status = response.status.to_string();
    let code = match code {
        _ if told.is_empty() => "",
        "" => &status,
        code => code,
    };
    vendor::refusal(NAME, response, now, [code, &told], class, FULL)
}

/// `email: Email address is invalid`
fn detail(error: &Value) -> Option<String> {
    let said: Vec<&str> = ["title", "detail"].into_iter().filter_map(|key| word(error, key)).collect();
    match (attribute(error), said.join(": ")) {
        (_, said) if said.is_empty() => None,
        (Some(field), said) => Some(format!("{field}: {said}")),
        (None, said) => Some(said),
    }
}

fn attribute(error: &Value) -> Option<&str> {
    error.pointer("/source/pointer")?.as_str()?.strip_prefix("/data/attributes/")
}
