//! Answers read: by the workflow service's code first, by the status second.

use super::NAME;
use crate::prelude::*;

/// Where no time is named.
const WAIT: Duration = Duration::from_secs(60);

/// What went wrong. What is quoted of the URL is taken out.
pub(super) fn failure(response: &Response, url: &Url, now: Moment) -> Failure {
    let failure = read(response, now);
    Failure { error: hook_url::scrubbed(&failure.error, url), ..failure }
}

fn read(response: &Response, now: Moment) -> Failure {
    let body = response.json().unwrap_or_default();
    let said = |key: &str| word(&body["error"], key).unwrap_or_default();
    let (class, advice) = meaning(said("code"));
    let message = if advice.is_empty() { said("message") } else { advice };
    let wait = reading::retry_after(response, now).unwrap_or(WAIT);
    vendor::refusal(NAME, response, now, [said("code"), message], class, wait)
}

/// What a code says, and what to do about it.
fn meaning(code: &str) -> (Option<FailureClass>, &'static str) {
    match code {
        "WorkflowTriggerIsNotEnabled"
        | "WorkflowDisabled"
        | "WorkflowNotFound"
        | "WorkflowTriggerNotFound" => (
            Some(FailureClass::Credentials),
            "the workflow is off or gone; switch it on, or make another and set the credentials",
        ),
        "DirectApiAuthorizationRequired" | "DirectApiInvalidAuthorizationScheme" => (
            Some(FailureClass::Credentials),
            "the workflow asks for a login; let anyone trigger it, and set its new URL as the credentials",
        ),
        "AuthorizationFailed" | "InvalidSignature" | "SignatureExpired" => (
            Some(FailureClass::Credentials),
            "the URL is not the whole or not the newest; copy it from the workflow again",
        ),
        "RequestEntityTooLarge" | "InvalidRequestContent" | "TriggerInputSchemaMismatch" => {
            (Some(FailureClass::Rejected), "")
        }
        _ if code.contains("Throttled") => (Some(FailureClass::Throttled), ""),
        _ => (None, ""),
    }
}
