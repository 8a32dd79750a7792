//! The default reading of an answer: which failure class a status means, where the connector knows no better.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::{Answer, CallError, CallErrorKind, Conversation, Moment, Response};
use leadline_domain::outcome::{Failure, FailureClass, Outcome};

/// The longest wait that a target may ask for.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest part of a body that an error quotes, in characters.
const MAX_QUOTE: usize = 200;

/// What a call came to. `now` is for a `Retry-After` that is a date.
#[must_use]
pub fn read(answer: &Answer, now: Moment) -> Outcome {
    match answer {
        Ok(response) if response.is_good() => Outcome::Delivered,
        Ok(response) => Outcome::Failed(failure(response, now)),
        Err(error) => Outcome::Failed(unanswered(error)),
    }
}

/// What it means that there is no answer.
#[must_use]
pub fn unanswered(error: &CallError) -> Failure {
    let class = match error.kind {
        CallErrorKind::Blocked => FailureClass::Blocked,
        CallErrorKind::NotSent => FailureClass::Transient,
        CallErrorKind::NoAnswer => FailureClass::Unknown,
    };
    Failure::new(class, one_line(&error.message, 400))
}

/// What an answer that is not a success means, going by its status.
pub(super) fn failure(response: &Response, now: Moment) -> Failure {
    let wait = retry_after(response, now);
    let class = match response.status {
        300..=399 => FailureClass::Blocked,
        401 | 403 => FailureClass::Credentials,
        408 | 425 => FailureClass::Transient,
        429 => FailureClass::Throttled,
        400..=499 => FailureClass::Rejected,
        503 if wait.is_some() => FailureClass::Throttled,
        500..=599 => FailureClass::Transient,
        _ => FailureClass::Unknown,
    };
    let retry_after = if class.is_retried() { wait } else { None };
    Failure { class, error: describe(response), retry_after }
}

/// Notes of a success that no more can be read of its answer. One that was cut at the cap was read as far as that goes.
pub(super) fn note_unread(response: &Response, ctx: &mut Conversation<'_>) {
    if response.truncated && response.headers.is_empty() && response.body.is_empty() {
        ctx.note(format!("the answer cannot be read beyond its status, {}", response.status));
    }
}

/// What a call came to, in a line.
#[must_use]
pub fn summary(answer: &Answer) -> String {
    match answer {
        Ok(response) => describe(response),
        Err(error) => one_line(&error.message, 400),
    }
}

/// `500 Internal Server Error: <the first words of the body>`
#[must_use]
pub fn describe(response: &Response) -> String {
    let reason = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let status = match reason {
        Some(reason) => format!("{} {reason}", response.status),
        None => response.status.to_string(),
    };
    if (300..400).contains(&response.status) {
        let location = response.header("location").map(|to| format!(" to {}", one_line(to, MAX_QUOTE)));
        return format!("{status}: redirects{} are not followed", location.unwrap_or_default());
    }
    match one_line(&String::from_utf8_lossy(&response.body), MAX_QUOTE) {
        body if body.is_empty() => status,
        body => format!("{status}: {body}"),
    }
}

/// How long the target asks us to wait: seconds or a date, at most a day; nonsense counts as nothing.
#[must_use]
pub fn retry_after(response: &Response, now: Moment) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(MAX_WAIT, Duration::from_secs)
    } else {
        let at: SystemTime = httpdate::parse_http_date(value).ok()?;
        // The date is to the second.
        at.duration_since(Moment::from_seconds(now.as_seconds()).system_time()).unwrap_or_default()
    };
    Some(wait.min(MAX_WAIT))
}

/// The beginning of a text as one line: white space and control characters become single spaces.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let mut line = String::new();
    let mut left = limit;
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() && left > 0 {
            line.push(' ');
            left -= 1;
        }
        line.extend(word.chars().take(left));
        left = left.saturating_sub(word.chars().count());
        if left == 0 {
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::CallError;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: Moment = Moment::from_seconds(784_111_777);

    fn answered(status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let response = Response { status, headers, body: Bytes::from(body.to_owned()), truncated: false };
        read(&Ok(response), NOW)
    }

    #[test]
    fn every_status_has_its_class() {
        use FailureClass::*;
        for (status, headers, class, wait) in [
            (200, None, None, None),
            (204, None, None, None),
            (299, Some("5"), None, None),
            (301, None, Some(Blocked), None),
            (304, None, Some(Blocked), None),
            (400, Some("5"), Some(Rejected), None),
            (401, None, Some(Credentials), None),
            (403, None, Some(Credentials), None),
            (404, None, Some(Rejected), None),
            (408, None, Some(Transient), None),
            (410, None, Some(Rejected), None),
            (422, None, Some(Rejected), None),
            (425, None, Some(Transient), None),
            (429, None, Some(Throttled), None),
            (429, Some("3"), Some(Throttled), Some(3)),
            (500, None, Some(Transient), None),
            (502, Some("7"), Some(Transient), Some(7)),
            (503, None, Some(Transient), None),
            (503, Some("0"), Some(Throttled), Some(0)),
            (503, Some("garbage"), Some(Transient), None),
            (101, None, Some(Unknown), None),
            (600, None, Some(Unknown), None),
        ] {
            let headers: Vec<(&str, &str)> =
                headers.into_iter().map(|value| ("Retry-After", value)).collect();
            let outcome = answered(status, &headers, "");
            let told = match &outcome {
                Outcome::Delivered => (None, None),
                Outcome::Failed(failure) => {
                    (Some(failure.class), failure.retry_after.map(|wait| wait.as_secs()))
                }
            };
            assert_eq!(told, (class, wait), "{status} {headers:?}");
        }
    }

    #[test]
    fn the_wish_to_wait_is_seconds_or_a_date() {
        for (value, wait) in [
            ("3", Some(3)),
            (" 3 ", Some(3)),
            ("99999", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sat, 06 Nov 1999 08:00:00 GMT", Some(86_400)),
            ("", None),
            ("-3", None),
            ("3.5", None),
            ("soon", None),
        ] {
            let Outcome::Failed(failure) = answered(429, &[("retry-after", value)], "") else {
                panic!("{value}")
            };
            assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), wait, "{value:?}");
        }
    }

    #[test]
    fn errors_are_one_line() {
        let long = "x".repeat(1000);
        for (status, headers, body, expected) in [
            (
                500,
                None,
                "{\n  \"error\":\r\n\"no\u{1b}[2J\"}\n",
                "500 Internal Server Error: { \"error\": \"no [2J\"}".to_owned(),
            ),
            (500, None, "", "500 Internal Server Error".to_owned()),
            (599, None, " \n", "599".to_owned()),
            (400, None, &*long, format!("400 Bad Request: {}…", "x".repeat(200))),
            (
                302,
                Some(("Location", "https://other/\n")),
                "moved",
                "302 Found: redirects to https://other/ are not followed".to_owned(),
            ),
            (302, None, "", "302 Found: redirects are not followed".to_owned()),
        ] {
            let headers: Vec<_> = headers.into_iter().collect();
            let Outcome::Failed(failure) = answered(status, &headers, body) else { panic!("{status}") };
            assert_eq!(failure.error, expected);
        }
    }

    #[test]
    fn what_got_no_answer_has_its_class_too() {
        for (kind, class) in [
            (CallErrorKind::Blocked, FailureClass::Blocked),
            (CallErrorKind::NotSent, FailureClass::Transient),
            (CallErrorKind::NoAnswer, FailureClass::Unknown),
        ] {
            let error = CallError { kind, message: "connect timed out".to_owned() };
            let expected = Outcome::Failed(Failure::new(class, "connect timed out"));
            assert_eq!(read(&Err(error), NOW), expected);
        }
    }
}
