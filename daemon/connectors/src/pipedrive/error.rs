//! Pipedrive's answers, read by what they say before their status.

use jiff::Timestamp;

use super::{NAME, config::is_custom, plan::Plan};
use crate::prelude::*;

/// Calls of the day come back at midnight of a server whose zone is not told.
pub(super) const DAILY_WAIT: Duration = Duration::from_secs(60 * 60);
/// Who keeps calling after a 429 is shut out by the network in front of Pipedrive, with a page instead of JSON.
const SHUT_OUT_WAIT: Duration = Duration::from_secs(10 * 60);
const BURST_WAIT_SECONDS: u64 = 2;

/// What a refusal means.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let body = response.json().filter(Value::is_object);
    match (response.status, &body) {
        (429, _) => throttled(response, body.as_ref(), now),
        (403, None) => {
            let said = reading::describe(response);
            let mut failure =
                vendor::told(NAME, FailureClass::Throttled, &said, "(shut out for calling too often)");
            failure.retry_after = Some(reading::retry_after(response, now).unwrap_or(SHUT_OUT_WAIT));
            failure
        }
        (400..=499, Some(body)) => refused(response, body, now),
        _ => vendor::by_status(NAME, response, now),
    }
}

fn refused(response: &Response, body: &Value, now: Moment) -> Failure {
    let code = body["code"].as_str().filter(|code| !code.is_empty());
    let said = body["error"].as_str().unwrap_or_default();
    let class = match response.status {
        // The plan allows no more deals, or the like: the account's owner must act, and the login is good.
        403 if code.is_some_and(|code| code.starts_with("feature_capping")) => FailureClass::Rejected,
        // 402, a suspended account, is not verified.
        401..=403 => FailureClass::Credentials,
        408 | 425 => FailureClass::Transient,
        _ => FailureClass::Rejected,
    };
    if code.is_none() && said.is_empty() {
        return vendor::by_status(NAME, response, now);
    }
    // What Pipedrive adds is mostly an advertisement of its documentation.
    let info = body["error_info"].as_str().filter(|info| !info.contains("developers.pipedrive.com"));
    let status = response.status.to_string();
    vendor::told(NAME, class, code.unwrap_or(&status), &format!("{said} {}", info.unwrap_or_default()))
}

fn throttled(response: &Response, body: Option<&Value>, now: Moment) -> Failure {
    let number = |name: &str| response.number(name);
    let is_out =
        number("x-daily-ratelimit-token-remaining") == Some(0) || number("x-daily-requests-left") == Some(0);
    let wait = if is_out {
        DAILY_WAIT
    } else {
        Duration::from_secs(number("x-ratelimit-reset").unwrap_or(BURST_WAIT_SECONDS).clamp(1, 3600))
    };
    let said = match body.and_then(|body| body["error"].as_str()) {
        Some(error) => format!("429 {error}"),
        None => reading::describe(response),
    };
    let quota = if is_out { "(daily quota)" } else { "(burst quota)" };
    let mut failure = vendor::told(NAME, FailureClass::Throttled, &said, quota);
    failure.retry_after = Some(reading::retry_after(response, now).unwrap_or(wait));
    failure
}

/// The account's own fields that do not take their values, by the keys that the message names. One that the account does not
/// have is missing from every lead: that is the mapping's fault.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let body = response.json().filter(|_| response.status == 400).unwrap_or_default();
    let said = word(&body, "error").filter(|said| !said.contains("Unknown key")).unwrap_or_default();
    let keys = said.split('\'').filter(|key| is_custom(key));
    keys.map(|key| (format!("custom_fields.{key}"), Flaw::Refused(said.to_owned()))).collect()
}

/// The oldest of these persons who has this address: a search finds longer ones too, and tells addresses alone.
pub(super) fn oldest<'a>(persons: impl Iterator<Item = &'a Value>, email: &str) -> Option<String> {
    let has = |person: &&Value| {
        let own = each(&person["emails"]).filter_map(|own| own.as_str().or_else(|| own["value"].as_str()));
        own.map(|own| own.trim().to_lowercase()).any(|own| own == email)
    };
    persons.filter(has).filter_map(|person| person["id"].as_u64()).min().map(|id| id.to_string())
}

/// The deal that an earlier attempt made: with the lead's uuid in the field for it, else alike and of the same time.
pub(super) fn same_deal(
    deals: &[Value],
    plan: &Plan,
    wanted: &Json,
    lead_field: Option<&str>,
) -> Option<String> {
    let title = wanted.get("title").map(crm::text);
    let is_ours = |deal: &&Value| match lead_field {
        Some(field) => {
            let own = &deal["custom_fields"][field];
            own.as_str().or_else(|| own["value"].as_str()) == Some(&plan.lead)
        }
        None => deal["title"].as_str() == title.as_deref() && added_since(deal, plan.since),
    };
    deals.iter().find(is_ours).and_then(|deal| id_of(&deal["id"]))
}

fn added_since(deal: &Value, since: Moment) -> bool {
    let added = deal["add_time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    // A time that cannot be read must not make a second deal.
    added.is_none_or(|added| Moment::from(added) >= since)
}
