//! Slack's answers read: by its word, else by the status.

use crate::prelude::*;

/// How long to wait where Slack names no time; from hearsay.
const WAIT: Duration = Duration::from_secs(5);

/// What Slack's words mean.
const CLASSES: Classes = &[
    (FailureClass::Credentials, "invalid_token token_revoked action_prohibited restricted_action no_team"),
    (FailureClass::Credentials, "channel_not_found no_service no_service_id team_disabled user_not_found"),
    (FailureClass::Credentials, "account_inactive posting_to_general_channel_denied"),
    (FailureClass::Rejected, "invalid_payload no_text invalid_blocks invalid_blocks_format msg_too_long"),
    (FailureClass::Rejected, "channel_is_archived too_many_attachments"),
    (FailureClass::Rejected, "missing_text_or_fallback_or_attachments"),
    (FailureClass::Transient, "rollup_error"),
    (FailureClass::Throttled, "rate_limited ratelimited message_limit_exceeded"),
];

/// What Slack answers to an empty message; the exact word is hearsay.
pub(super) fn is_alive(response: &Response) -> bool {
    let alive = "no_text invalid_payload missing_text_or_fallback_or_attachments";
    response.status == 400 && named(alive, &code(response))
}

/// Slack's word for what it answers: plain text for webhooks, JSON where something else stands before them.
fn code(response: &Response) -> String {
    let json = response.json();
    let word = json.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    let text = String::from_utf8_lossy(&response.body);
    reading::one_line(word.unwrap_or(&text), 80)
}

/// Whether the message is there; what is quoted of the URL is taken out.
pub(super) fn read(response: &Response, url: &Url, now: Moment) -> Result<()> {
    let code = code(response);
    let class = class_of(&code, CLASSES);
    if class.is_none() && response.is_good() {
        return Ok(());
    }
    let told = class.map(|_| format!("{code}{}", advice(&code))).unwrap_or_default();
    let wait = reading::retry_after(response, now).unwrap_or(WAIT);
    let failure = vendor::refusal("slack", response, now, [&told, ""], class, wait);
    Err(Failure { error: hook_url::scrubbed(&failure.error, url), ..failure })
}

/// What to do about it.
fn advice(code: &str) -> &'static str {
    match code {
        "no_service" | "no_service_id" | "invalid_token" | "token_revoked" | "no_team" => {
            ": the incoming webhook is gone; make another and set the credentials"
        }
        "channel_not_found" => ": the channel is gone; make a webhook for another and set the credentials",
        "channel_is_archived" => ": bring the channel back, or make a webhook for another",
        "action_prohibited" | "restricted_action" | "posting_to_general_channel_denied" => {
            ": an administrator of the workspace does not allow it"
        }
        _ => "",
    }
}
