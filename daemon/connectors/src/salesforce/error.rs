//! Salesforce's answers: lists of errors, whose codes say more than the status. A 403 may be a quota.
//!
//! That the codes for a bad address, a long text, a duplicate and a converted Lead refuse just this lead is not
//! verified; whatever is not listed goes the same way.

use super::NAME;
use crate::prelude::*;

/// The quota is one of a rolling day, or of long calls at once; no answer tells which, or for how long.
const QUOTA_WAIT: Duration = Duration::from_secs(15 * 60);

/// What Salesforce's codes mean.
const CLASSES: Classes = &[
    (FailureClass::Throttled, "REQUEST_LIMIT_EXCEEDED"),
    (FailureClass::Transient, "UNABLE_TO_LOCK_ROW SERVER_UNAVAILABLE QUERY_TIMEOUT UNKNOWN_EXCEPTION"),
    (
        FailureClass::Credentials,
        "INVALID_SESSION_ID API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED INVALID_AUTH_HEADER",
    ),
];

/// A customer takes no changes.
const CONVERTED: &str = "CANNOT_UPDATE_CONVERTED_LEAD";

/// Whether the token is what was refused.
pub(super) fn is_session_over(response: &Response) -> bool {
    response.status == 401 || first(response).is_some_and(|(code, _)| code == "INVALID_SESSION_ID")
}

/// Whether the Lead that a call was about was there once, or became a customer.
pub(super) fn is_gone(response: &Response) -> bool {
    let gone = ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", CONVERTED];
    first(response).is_some_and(|(code, _)| gone.contains(&code.as_str()))
}

/// Whether the record became a customer.
pub(super) fn is_converted(response: &Response) -> bool {
    first(response).is_some_and(|(code, _)| code == CONVERTED)
}

/// Whether what was to be made is there already.
pub(super) fn is_there(response: &Response) -> bool {
    first(response).is_some_and(|(code, _)| code == "DUPLICATE_VALUE")
}

/// What is wrong with which fields: texts that are too long, `… (max length=255)`, and values that are not taken. A field that
/// does not exist is missing from every lead: that is the mapping's fault, and an error names it in its message alone.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let Some(Value::Array(errors)) = response.json().filter(|_| response.status == 400) else {
        return Vec::new();
    };
    // What another record has already is no fault of the field's.
    let of_fields = errors.iter().filter(|error| error["errorCode"] != "DUPLICATE_VALUE");
    let flaws = of_fields.flat_map(|error| {
        let message = word(error, "message").unwrap_or_default();
        let fields = each(&error["fields"]).filter_map(Value::as_str);
        let limit = message.rsplit_once("max length=").map(|(_, limit)| limit.trim_end_matches(')').parse());
        fields.map(move |name| {
            let flaw = match limit {
                Some(Ok(limit)) => Flaw::LongerThan(limit),
                _ => Flaw::Refused(message.to_owned()),
            };
            (name.to_owned(), flaw)
        })
    });
    flaws.collect()
}

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    if response.status == 300 {
        let message = "more than one Lead has this external id: make the field unique";
        return vendor::told(NAME, FailureClass::Rejected, "300", message);
    }
    let Some((code, message)) = first(response) else { return vendor::by_status(NAME, response, now) };
    // A right that is missing is one of the login's; the status of any other refusal says less than its code.
    let is_right = code.starts_with("INSUFFICIENT_ACCESS");
    let by_code = class_of(&code, CLASSES).or(is_right.then_some(FailureClass::Credentials));
    let class = by_code.or((response.status == 403).then_some(FailureClass::Rejected));
    vendor::refusal(NAME, response, now, [&code, &message], class, QUOTA_WAIT)
}

/// What a good answer says of the organization's quota: `api-usage=18/5000`, maybe with more behind it.
pub(super) fn exhausted(response: &Response) -> Option<Failure> {
    let usage = response.header("sforce-limit-info")?.split([';', ',']);
    let (used, of) = usage.filter_map(|part| part.trim().strip_prefix("api-usage=")).find_map(|usage| {
        let (used, of) = usage.split_once('/')?;
        Some((used.parse::<u64>().ok()?, of.parse::<u64>().ok()?))
    })?;
    vendor::nearly_exhausted(NAME, of.saturating_sub(used), of, QUOTA_WAIT)
}

/// The code of the first error, and what it says of which fields.
fn first(response: &Response) -> Option<(String, String)> {
    let body = response.json()?;
    let error = body.as_array()?.first()?;
    let code = error["errorCode"].as_str().filter(|code| !code.is_empty())?;
    let message = error["message"].as_str().unwrap_or_default();
    // The vendor's own documents spell it in both ways.
    let rule =
        ["duplicateResult", "duplicateResut"].iter().find_map(|key| error[key]["duplicateRule"].as_str());
    let message = &rule.map_or_else(|| message.to_owned(), |rule| format!("{message} (rule {rule})"));
    let fields: Vec<&str> = each(&error["fields"]).filter_map(Value::as_str).collect();
    let message = if fields.is_empty() || fields.iter().all(|field| message.contains(field)) {
        message.to_owned()
    } else {
        format!("{message} ({})", fields.join(", "))
    };
    Some((code.to_owned(), message))
}
