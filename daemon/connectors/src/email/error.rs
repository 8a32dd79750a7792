//! What a mail server's reply means: its words first, its enhanced code next, its code last.

use crate::prelude::*;

/// Servers that grey-list rarely say for how long; five minutes is what most want.
const GREYLISTED: Duration = Duration::from_secs(300);
/// A quota of an hour or a day: it is asked again in between.
const OVER_QUOTA: Duration = Duration::from_secs(30 * 60);
const TOO_FAST: Duration = Duration::from_secs(60);
const WAIT_MAX: u64 = 24 * 60 * 60;

/// What is said where a message is taken, and where a server is only greeted.
const MESSAGE: &str = "the message";
const PROBE: &str = "NOOP";

/// What a mail server's reply comes to.
pub(super) fn read(response: &Response) -> Result<()> {
    if response.is_good() {
        // Anything else that is affirmed is a reply out of turn: the message was not taken.
        return if [MESSAGE, PROBE].contains(&stage(response)) {
            Ok(())
        } else {
            Err(Failure::new(FailureClass::Transient, describe(response)))
        };
    }
    let (class, retry_after) = classify(response);
    Err(Failure { class, error: describe(response), retry_after })
}

/// Whether it is the login that failed: a token may have run out.
pub(super) fn refuses_login(response: &Response) -> bool {
    let is_refused = !response.is_good() && classify(response).0 == FailureClass::Credentials;
    is_refused && stage(response).starts_with("AUTH")
}

/// `email 550 5.1.1 no such user (RCPT TO sales@example.com)`
fn describe(response: &Response) -> String {
    let text = reading::one_line(&String::from_utf8_lossy(&response.body), 250);
    let stage = reading::one_line(stage(response), 100);
    let text = if text.is_empty() { text } else { format!(" {text}") };
    format!("email {}{text} ({stage})", response.status)
}

fn stage(response: &Response) -> &str {
    response.header("stage").unwrap_or("no stage")
}

fn classify(response: &Response) -> (FailureClass, Option<Duration>) {
    use FailureClass::{Credentials, Rejected, Throttled, Transient, Unknown};
    let text = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let at_login = stage(response).starts_with("AUTH");
    match response.status {
        status @ 400..=499 => {
            if has(&["greylist", "graylist", "grey list", "gray list"]) {
                return (Transient, Some(asked(&text).unwrap_or(GREYLISTED)));
            }
            // Enhanced codes as the large providers use them; from hearsay, and so are the words.
            if status == 421 && has(&["4.7.28"])
                || has(&["rate limit", "too many", "throttl", "too fast", "slow down"])
            {
                return (Throttled, Some(asked(&text).unwrap_or(TOO_FAST)));
            }
            if has(&["quota", "limit exceeded"]) && !has(&["mailbox"]) {
                return (Throttled, Some(asked(&text).unwrap_or(OVER_QUOTA)));
            }
            (Transient, asked(&text))
        }
        530 | 534 | 535 | 538 => (Credentials, None),
        334 | 500..=599 if at_login => (Credentials, None),
        550 | 552 | 554 if has(&["5.4.5", "sending limit", "sending quota", "rate limit"]) => {
            (Throttled, Some(OVER_QUOTA))
        }
        500..=599 => (Rejected, None),
        _ => (Unknown, None),
    }
}

/// `try again in 300 seconds`, if it says so.
fn asked(text: &str) -> Option<Duration> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| {
        let number: u64 = pair[0].parse().ok()?;
        let unit = match pair[1] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            _ => return None,
        };
        Some(Duration::from_secs(number.saturating_mul(unit).min(WAIT_MAX)))
    })
}
