//! `slack`: a message for people through an incoming webhook.
//!
//! What a lead contains stands in plain text only, so that it can neither mention anybody nor dress up.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Conversation, Found, Manifest, Pace, Prepared, Push, Request, Response, config,
    crm::{self, cut, units, unrenderable},
    hook_url, reading, summary,
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// The connector `slack`.
#[derive(Debug)]
pub(super) struct Slack;

const WEBHOOK_URL: &str = "webhook_url";
const CREDENTIALS: &[ConfigField] = &[ConfigField::required(
    WEBHOOK_URL,
    "text",
    "The incoming webhook's URL, as https://hooks.slack.com/services/T…/B…/…",
)];

/// The usual clouds; a sandbox is reached by `base_url`.
const HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];
/// What Slack takes of a header, of a text in a section, and of the text that notifications show; in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const TEXT_MAX: usize = 3000;
/// A link that is longer is left out.
const LINK_MAX: usize = 2000;
/// About one message a second is allowed for each webhook; from hearsay, like the wait where Slack names none.
const PACE: Pace = Pace { calls: 1, per: Duration::from_secs(1) };
const WAIT: Duration = Duration::from_secs(5);

fn is_slack(url: &Url) -> Result<(), String> {
    let is_host = url.host_str().is_some_and(|host| HOSTS.contains(&host));
    if is_host && url.path().trim_matches('/').contains('/') {
        Ok(())
    } else {
        Err("must be the URL of an incoming webhook: https://hooks.slack.com/services/…".to_owned())
    }
}

static MANIFEST: Manifest = Manifest {
    takes_notices: true,
    ..Manifest::new("slack", "Posts a message about each lead to a Slack channel", &[], CREDENTIALS)
};

impl Connector for Slack {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(
        &self,
        _config: &Value,
        mapping: &Value,
        _egress: &EgressPolicy,
        _brand: &str,
    ) -> Vec<String> {
        Mapping::parse(mapping).err().unwrap_or_default()
    }

    fn credential_problems(&self, credentials: &Value, egress: &EgressPolicy) -> Vec<String> {
        hook_url::check(credentials, WEBHOOK_URL, egress, is_slack)
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let mapping =
            Mapping::parse(&integration.mapping).map_err(|problems| unrenderable(problems.join("; ")))?;
        let url = hook_url::read(&integration.credentials, WEBHOOK_URL)
            .map(|url| url.and_then(|url| hook_url::rebased(&url, &integration.config)))
            .transpose()
            .map_err(unrenderable)?;
        Ok(Box::new(Ready { mapping, url }))
    }
}

/// A channel that is ready for messages.
struct Ready {
    mapping: Mapping,
    url: Option<Url>,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let event = crm::event(push)?;
        let text = summary::body(&self.mapping, &event, push)?;
        let headline = summary::headline(&event, push.event);
        Ok(Some(message(&headline, &text, &links(&event)).to_string().into()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let url = self.url()?;
        let answer = ctx.send(request(url, summary::whole(self, push)?)).await?;
        read(&answer, url, ctx.now)
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    fn probes(&self, kind: ProbeKind) -> bool {
        kind != ProbeKind::Mapping
    }

    /// An empty message is refused by a webhook that is alive, so that nobody sees the test.
    async fn probe(
        &self,
        _kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        _found: &mut Found,
    ) -> Result<(), Failure> {
        let url = self.url()?;
        let answer = ctx.send(request(url, Bytes::from_static(b"{}"))).await?;
        if is_alive(&answer) { Ok(()) } else { read(&answer, url, ctx.now) }
    }
}

impl Ready {
    fn url(&self) -> Result<&Url, Failure> {
        self.url.as_ref().ok_or_else(|| config::no_credentials(WEBHOOK_URL))
    }
}

fn request(url: &Url, body: Bytes) -> Request {
    let mut request = Request::new(Method::POST, url.clone()).json(body);
    request.shown_url = hook_url::shown(url);
    request
}

/// What Slack answers to an empty message; the exact word is hearsay.
fn is_alive(response: &Response) -> bool {
    let code = code(response);
    response.status == 400
        && matches!(&*code, "no_text" | "invalid_payload" | "missing_text_or_fallback_or_attachments")
}

/// The message: blocks for those who read it, and a text for notifications.
fn message(headline: &str, text: &str, links: &str) -> Value {
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![json!({"type": "header", "text": plain(&fitting(headline, HEADER_MAX))})];
    if !text.is_empty() {
        blocks.push(json!({"type": "section", "text": plain(&fitting(text, SECTION_MAX))}));
    }
    if !links.is_empty() {
        let element = json!({"type": "mrkdwn", "text": links, "verbatim": true});
        blocks.push(json!({"type": "context", "elements": [element]}));
    }
    json!({"text": fitting(headline, TEXT_MAX), "mrkdwn": false, "blocks": blocks})
}

/// A text with Slack's three characters escaped, cut so that it fits afterwards too.
fn fitting(text: &str, max: usize) -> String {
    let mut room = max;
    loop {
        let escaped = escape(&cut(text, room));
        let excess = units(&escaped).saturating_sub(max);
        if excess == 0 {
            return escaped;
        }
        // An escaped character takes at most five, so this ends near the limit.
        room = room.min(units(text)).saturating_sub(excess.div_ceil(5));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Links that can be clicked: the proposal.
fn links(event: &Json) -> String {
    let proposal = event.at("quote.proposal_url").map(crm::text);
    proposal.and_then(|url| link(&url, "Open the proposal")).unwrap_or_default()
}

/// A link in Slack's markup, if the URL is one that cannot end it early.
fn link(url: &str, label: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let url = url.as_str().replace('|', "%7C").replace('<', "%3C").replace('>', "%3E").replace('&', "&amp;");
    (url.len() <= LINK_MAX).then(|| format!("<{url}|{label}>"))
}

/// Slack's word for what it answers: plain text for webhooks, JSON where something else stands before them.
fn code(response: &Response) -> String {
    let json = response.json();
    let word = json.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    let text = String::from_utf8_lossy(&response.body);
    reading::one_line(word.unwrap_or(&text), 80)
}

fn read(response: &Response, url: &Url, now: i64) -> Result<(), Failure> {
    let code = code(response);
    let asked = reading::retry_after(response, now);
    let class = match &*code {
        "invalid_token"
        | "token_revoked"
        | "action_prohibited"
        | "restricted_action"
        | "channel_not_found"
        | "no_service"
        | "no_service_id"
        | "no_team"
        | "team_disabled"
        | "user_not_found"
        | "account_inactive"
        | "posting_to_general_channel_denied" => FailureClass::Credentials,
        "invalid_payload"
        | "no_text"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "msg_too_long"
        | "too_many_attachments"
        | "missing_text_or_fallback_or_attachments"
        | "channel_is_archived" => FailureClass::Rejected,
        "rollup_error" => FailureClass::Transient,
        "rate_limited" | "ratelimited" | "message_limit_exceeded" => FailureClass::Throttled,
        _ => return read_status(response, url, now),
    };
    let retry_after = match class {
        FailureClass::Throttled => asked.or(Some(WAIT)),
        FailureClass::Transient => asked,
        _ => None,
    };
    Err(Failure { class, error: format!("slack {code}{}", advice(&code)), retry_after })
}

fn read_status(response: &Response, url: &Url, now: i64) -> Result<(), Failure> {
    if response.is_good() {
        return Ok(());
    }
    let mut failure = reading::failure(response, now);
    if response.status == 429 {
        failure.retry_after = failure.retry_after.or(Some(WAIT));
    }
    failure.error = format!("slack {}", hook_url::scrubbed(&failure.error, url));
    Err(failure)
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

#[cfg(test)]
mod tests;
