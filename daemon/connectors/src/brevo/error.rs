//! Answers read: by Brevo's code first, by the status second.

use super::NAME;
use crate::prelude::*;

/// Where no header says when calls are taken again.
const WAIT: Duration = Duration::from_secs(10);

/// What Brevo's codes mean.
const CLASSES: Classes = &[
    (FailureClass::Credentials, "unauthorized permission_denied not_enough_credits account_under_validation"),
    (FailureClass::Credentials, "not_acceptable"),
    (FailureClass::Rejected, "invalid_parameter missing_parameter duplicate_parameter out_of_range"),
    (FailureClass::Rejected, "document_not_found method_not_allowed bad_request"),
    (FailureClass::Throttled, "too_many_requests"),
];

/// Attributes that answers refuse, by what these call them.
const CALLED: [(&str, &[&str]); 3] = [
    ("WHATSAPP", &["WhatsApp", "WHATSAPP"]),
    ("LANDLINE_NUMBER", &["landline", "Landline", "LANDLINE_NUMBER"]),
    ("SMS", &["SMS", "phone number"]),
];

/// What went wrong.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let body = response.json().unwrap_or_default();
    let code = word(&body, "code").unwrap_or_default();
    let said = [code, word(&body, "message").unwrap_or_default()];
    let wait = reset(response).unwrap_or(WAIT);
    vendor::refusal(NAME, response, now, said, class_of(code, CLASSES), wait)
}

/// In how many seconds calls are taken again.
fn reset(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.header("x-sib-ratelimit-reset")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 3600)))
}

/// The attribute that an answer refuses, with the reason: a number that is none, or that another contact has.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let body = response.json().filter(|_| response.status == 400).unwrap_or_default();
    let code =
        word(&body, "code").filter(|code| matches!(*code, "invalid_parameter" | "duplicate_parameter"));
    let Some(code) = code else { return Vec::new() };
    let message = word(&body, "message").unwrap_or_default();
    let doubled = each(&body["metadata"]["duplicate_identifiers"]).filter_map(Value::as_str);
    let doubled: Vec<&str> = doubled.collect();
    let reason = if message.is_empty() { code } else { message };
    let is_it =
        |name: &&str| message.contains(*name) || doubled.iter().any(|own| own.eq_ignore_ascii_case(name));
    let refused = CALLED.iter().filter(|(_, names)| names.iter().any(is_it)).take(1);
    refused.map(|(own, _)| ((*own).to_owned(), Flaw::Refused(reason.to_owned()))).collect()
}
