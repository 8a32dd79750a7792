//! Answers read: by Discord's code first, by the status second.

use super::NAME;
use crate::prelude::*;

/// Where Discord names no time: what stands before it shuts clients out for longer.
const SHUT_OUT: Duration = Duration::from_secs(60);

/// What went wrong. What is quoted of the URL is taken out.
pub(super) fn failure(response: &Response, url: &Url, now: Moment) -> Failure {
    let failure = read(response, now);
    Failure { error: hook_url::scrubbed(&failure.error, url), ..failure }
}

fn read(response: &Response, now: Moment) -> Failure {
    let body = response.json().filter(|body| word(body, "message").is_some());
    let Some(body) = body else {
        // Nothing of Discord's own: its guard speaks HTML.
        let is_shut_out = response.is_one_of(&[403, 429]);
        let class = is_shut_out.then_some(FailureClass::Throttled);
        return vendor::refusal(NAME, response, now, ["", ""], class, SHUT_OUT);
    };
    let code = body["code"].as_u64().unwrap_or_default();
    let message = word(&body, "message").unwrap_or_default();
    let class = match code {
        // The webhook, its token, its channel or its right to post is gone.
        10003 | 10015 | 50001 | 50013 | 50027 => Some(FailureClass::Credentials),
        40005 | 50006 | 50035 | 220_001..=220_003 => Some(FailureClass::Rejected),
        // The guard before it, which speaks so, too.
        40333 => Some(FailureClass::Throttled),
        _ => None,
    };
    let told = format!("{message}{}{}", refused(&body), advice(code));
    let code = if code == 0 { response.status.to_string() } else { code.to_string() };
    vendor::refusal(NAME, response, now, [&code, &told], class, wait(&body))
}

/// The seconds that the body names, which it does to the thousandth; more exactly than the header.
fn wait(body: &Value) -> Duration {
    let seconds = body["retry_after"].as_f64().filter(|seconds| (0.0..86_400.0).contains(seconds));
    seconds.map_or(SHUT_OUT, |seconds| Duration::from_secs_f64(seconds.ceil()))
}

/// Which part of the message is refused, and why.
fn refused(body: &Value) -> String {
    let told = |errors: &Value| format!(": {}", reading::one_line(&errors.to_string(), 200));
    body.get("errors").map(told).unwrap_or_default()
}

/// What to do about it.
fn advice(code: u64) -> &'static str {
    match code {
        10003 | 10015 | 50027 => ": the webhook is gone; make another and set the credentials",
        220_001..=220_003 => ": the channel is a forum; add ?thread_id=… of one of its posts to webhook_url",
        _ => "",
    }
}
