//! Answers read: by the workflow service's code first, by the status second.

use std::time::Duration;

use url::Url;

use super::NAME;
use crate::{
    Response, hook_url, reading,
    vendor::{self, word},
};
use leadline_domain::outcome::{Failure, FailureClass};

/// Where no time is named.
const WAIT: Duration = Duration::from_secs(60);

/// What went wrong. What is quoted of the URL is taken out.
pub(super) fn failure(response: &Response, url: &Url, now: i64) -> Failure {
    let failure = read(response, now);
    Failure { error: hook_url::scrubbed(&failure.error, url), ..failure }
}

fn read(response: &Response, now: i64) -> Failure {
    let by_status = vendor::by_status(NAME, response, now);
    let body = response.json().unwrap_or_default();
    let (failure, code) = match word(&body["error"], "code") {
        Some(code) => {
            let (class, advice) = meaning(code, by_status.class);
            let message = match advice {
                "" => word(&body["error"], "message").unwrap_or_default(),
                advice => advice,
            };
            let told = vendor::told(NAME, class, code, message);
            (Failure { retry_after: by_status.retry_after.filter(|_| class.is_retried()), ..told }, code)
        }
        None => (by_status, ""),
    };
    if response.status == 429 || code.contains("Throttled") {
        let asked = reading::retry_after(response, now);
        return vendor::waiting(failure, response, now, asked.unwrap_or(WAIT));
    }
    failure
}

/// What a code says, and what to do about it.
fn meaning(code: &str, by_status: FailureClass) -> (FailureClass, &'static str) {
    match code {
        "WorkflowTriggerIsNotEnabled"
        | "WorkflowDisabled"
        | "WorkflowNotFound"
        | "WorkflowTriggerNotFound" => (
            FailureClass::Credentials,
            "the workflow is off or gone; switch it on, or make another and set the credentials",
        ),
        "DirectApiAuthorizationRequired" | "DirectApiInvalidAuthorizationScheme" => (
            FailureClass::Credentials,
            "the workflow asks for a login; let anyone trigger it, and set its new URL as the credentials",
        ),
        "AuthorizationFailed" | "InvalidSignature" | "SignatureExpired" => (
            FailureClass::Credentials,
            "the URL is not the whole or not the newest; copy it from the workflow again",
        ),
        "RequestEntityTooLarge" | "InvalidRequestContent" | "TriggerInputSchemaMismatch" => {
            (FailureClass::Rejected, "")
        }
        _ => (by_status, ""),
    }
}
