//! Answers read: by Google's status word and reason first, by the number second.

use super::NAME;
use crate::prelude::*;

/// Quotas are filled again every minute, and it is not said when. Who is refused again waits longer each time.
const WAIT: Duration = Duration::from_secs(15);

/// What Google's status words mean, and reasons that go before them.
const CLASSES: Classes = &[
    (FailureClass::Throttled, "RESOURCE_EXHAUSTED"),
    (FailureClass::Credentials, "UNAUTHENTICATED PERMISSION_DENIED"),
    (FailureClass::Transient, "ABORTED INTERNAL UNAVAILABLE DEADLINE_EXCEEDED CANCELLED"),
    (FailureClass::Rejected, "INVALID_ARGUMENT NOT_FOUND FAILED_PRECONDITION OUT_OF_RANGE"),
];
const QUOTAS: Terms = "RATE_LIMIT_EXCEEDED rateLimitExceeded userRateLimitExceeded";

/// What went wrong.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let body = response.json().unwrap_or_default();
    let error = &body["error"];
    let said = |key: &str| word(error, key).unwrap_or_default();
    let (status, message, reason) = (said("status"), said("message"), reason(error));
    let is_quota = !status.is_empty() && named(QUOTAS, reason);
    let class = if is_quota { Some(FailureClass::Throttled) } else { class_of(status, CLASSES) };
    let told = match advice(class, status, reason, message) {
        "" => message.to_owned(),
        advice => format!("{}: {advice}", message.trim_end_matches('.')),
    };
    vendor::refusal(NAME, response, now, [status, &told], class, WAIT)
}

/// The reason in an error's details, as Google's APIs give it now, or in its list, as they used to.
fn reason(error: &Value) -> &str {
    let in_list = |key: &str| error[key].as_array().into_iter().flatten().find_map(|one| word(one, "reason"));
    in_list("details").or_else(|| in_list("errors")).unwrap_or_default()
}

/// What to do about it.
fn advice(class: Option<FailureClass>, status: &str, reason: &str, message: &str) -> &'static str {
    match (status, reason) {
        _ if class == Some(FailureClass::Throttled) => "",
        ("PERMISSION_DENIED", "SERVICE_DISABLED") => "",
        ("PERMISSION_DENIED", _) => "share the spreadsheet with the service account's address, as an editor",
        ("NOT_FOUND", _) => "there is no such spreadsheet; correct spreadsheet_id",
        (_, _) if message.starts_with("Unable to parse range") => "there is no such sheet; correct sheet",
        _ => "",
    }
}
