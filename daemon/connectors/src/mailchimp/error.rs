//! Answers read: by the title of the problem first, by the status second.

use super::NAME;
use crate::prelude::*;

/// Mailchimp names no time: too many connections are gone in a moment.
const CROWDED: Duration = Duration::from_secs(10);
/// The throttle that is dressed as a refusal lasts longer.
const SHUT_OUT: Duration = Duration::from_secs(60);

/// Whether a call did what it should. An answer that is cut says so as well as a whole one.
pub(super) fn is_done(response: &Response) -> bool {
    match response.status {
        204 => true,
        200..=299 if response.truncated => response.body.starts_with(b"{"),
        200..=299 => response.json().is_some_and(|body| body.is_object()),
        _ => false,
    }
}

/// The merge fields that an answer refuses, each with the reason.
pub(super) fn flaws(response: &Response) -> Vec<(String, Flaw)> {
    let Some(problem) = response.json().filter(|_| response.status == 400) else { return Vec::new() };
    let errors = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = errors.iter().filter_map(|error| Some((word(error, "field")?, word(error, "message")?)));
    named.map(|(field, message)| (field.to_owned(), Flaw::Refused(message.to_owned()))).collect()
}

/// What went wrong.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let by_status = vendor::by_status(NAME, response, now);
    let problem = response.json().filter(|body| word(body, "title").is_some());
    let Some(problem) = problem else {
        return match response.status {
            // Too many calls are answered so too, by something that stands before the API and speaks no JSON.
            403 => vendor::waiting(by_status, response, now, SHUT_OUT),
            429 => vendor::waiting(by_status, response, now, CROWDED),
            _ => by_status,
        };
    };
    let title = word(&problem, "title").unwrap_or_default();
    let class = match title {
        // Who left, bounced or was erased has to come back by themselves: pushing again changes nothing.
        "Member In Compliance State" | "Forgotten Email Not Subscribed" => Some(FailureClass::Rejected),
        "API Key Invalid" | "API Key Missing" | "Wrong Datacenter" | "User Disabled" => {
            Some(FailureClass::Credentials)
        }
        _ => None,
    };
    vendor::refusal(NAME, response, now, [title, &detail(&problem)], class, CROWDED)
}

/// The detail, and what is said of single fields.
fn detail(problem: &Value) -> String {
    let errors = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fields = errors.iter().map(|error| {
        let said = |key| word(error, key).unwrap_or("?");
        format!("{}: {}", said("field"), said("message"))
    });
    let detail = word(problem, "detail").unwrap_or_default().to_owned();
    // The fields are what an operator needs; the detail may be long.
    fields.chain(Some(detail).filter(|detail| !detail.is_empty())).collect::<Vec<_>>().join("; ")
}

/// `Innkept Ltd, audience Leads (12 members)`
pub(super) fn account(name: &str, audience: &Value) -> String {
    let list = word(audience, "name").unwrap_or("?");
    match audience.pointer("/stats/member_count").and_then(Value::as_u64) {
        Some(1) => format!("{name}, audience {list} (1 member)"),
        Some(count) => format!("{name}, audience {list} ({count} members)"),
        None => format!("{name}, audience {list}"),
    }
}
