//! Dataverse's answers: one error with a number, which says more than the status.

use super::NAME;
use crate::prelude::*;

/// Dataverse says how long to wait; where it does not, what was used in the last five minutes counts.
const FULL: Duration = Duration::from_secs(10);

/// What numbers mean: a rule for duplicates and an alternate key that is taken, told with 412 and the first with 500 as
/// well; too many calls, too long calls, too many at once.
const CLASSES: Classes = &[
    (FailureClass::Rejected, "0x80040333 0x80040237"),
    (FailureClass::Throttled, "0x80072322 0x80072321 0x80072326"),
];
const DETECTED: &str = "0x80040333";
const NO_OBJECT: &str = "0x80040217";
const TOO_LONG: &str = "0x80044331";
const NO_CHOICE: &str = "0x8004431a";

/// Whether the record was there once.
pub(super) fn is_gone(response: &Response) -> bool {
    response.status == 404 || !response.is_good() && code(&error(response)) == NO_OBJECT
}

/// Whether the record was there though it was only to be made.
pub(super) fn is_taken(response: &Response) -> bool {
    response.status == 412 && code(&error(response)) != DETECTED
}

/// The column whose text is refused as too long, with how long it may be: `The length of the 'x' attribute of the 'lead'
/// entity exceeded the maximum allowed length of '100'.` Or whose number is none of its choices: `The value 9 of 'x' on
/// record of type 'lead' is outside the valid range.`
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let error = error(response);
    let message = word(&error, "message").unwrap_or_default();
    let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
    let flaw = || match code(&error) {
        TOO_LONG => Some(Flaw::LongerThan(quoted.last()?.parse().ok()?)),
        NO_CHOICE => Some(Flaw::Refused(message.to_owned())),
        _ => None,
    };
    quoted.first().copied().zip(flaw()).map(|(name, flaw)| (name.to_owned(), flaw)).into_iter().collect()
}

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let error = error(response);
    let said = [code(&error), word(&error, "message").unwrap_or_default()];
    vendor::refusal(NAME, response, now, said, class_of(code(&error), CLASSES), FULL)
}

fn error(response: &Response) -> Value {
    let error = response.json().and_then(|mut body| body.pointer_mut("/error").map(Value::take));
    error.unwrap_or_default()
}

fn code(error: &Value) -> &str {
    word(error, "code").unwrap_or_default()
}
