//! Klaviyo's answers: lists of errors, whose codes say more than the status.
//!
//! The envelope is specified. Of the codes only those that are read here are known, from published answers, so whatever
//! else goes by its status.

use super::NAME;
use crate::prelude::*;

/// Klaviyo says how long to wait; where it does not, a window of a second or of a minute is full.
const FULL: Duration = Duration::from_secs(10);
/// So many errors of one answer are quoted.
const QUOTED: usize = 5;

/// What Klaviyo's codes mean.
const CLASSES: Classes = &[
    (FailureClass::Throttled, "throttled"),
    (FailureClass::Credentials, "not_authenticated authentication_failed permission_denied"),
];

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let errors = errors(response);
    let code = errors.first().and_then(|error| word(error, "code")).unwrap_or_default();
    vendor::refusal(NAME, response, now, [code, &details(&errors)], class_of(code, CLASSES), FULL)
}

/// The attributes of a profile that are refused, each with the reason: `/data/attributes/phone_number`.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    if !response.is_one_of(&[400, 409]) {
        return Vec::new();
    }
    let named = |error: &Value| {
        let (reason, attribute) = said(error)?;
        let flaw = Flaw::Refused(reason.to_owned());
        // A number that is another profile's already: which identifier it is, the answer need not say.
        if word(error, "code") == Some("duplicate_profile") {
            return Some(("phone_number".to_owned(), flaw));
        }
        Some((attribute?.replace('/', "."), flaw))
    };
    errors(response).iter().filter_map(named).collect()
}

fn errors(response: &Response) -> Vec<Value> {
    each(&response.json().unwrap_or_default()["errors"]).cloned().collect()
}

/// Why an error refuses, and the attribute that it is about, if it names one.
fn said(error: &Value) -> Option<(&str, Option<&str>)> {
    let reason = word(error, "detail").or_else(|| word(error, "title"))?;
    let pointer = error.pointer("/source/pointer").and_then(Value::as_str).unwrap_or_default();
    let attribute = pointer.strip_prefix("/data/attributes/");
    Some((reason, attribute.map(|attribute| attribute.trim_end_matches('/'))))
}

/// `phone_number: Invalid phone number format.`, for each error.
fn details(errors: &[Value]) -> String {
    let detail = |error: &Value| {
        let (reason, attribute) = said(error)?;
        Some(attribute.map_or_else(|| reason.to_owned(), |attribute| format!("{attribute}: {reason}")))
    };
    errors.iter().filter_map(detail).take(QUOTED).collect::<Vec<_>>().join("; ")
}
