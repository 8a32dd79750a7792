//! Slack's incoming webhooks: channels that take messages made as Slack wants them, about one a second.

mod account;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Vendor},
};

/// What a webhook's channel is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Open,
    Archived,
    /// An administrator allows no messages.
    Prohibited,
}

/// A workspace with its webhooks.
#[derive(Debug)]
pub struct Slack {
    /// By path, as `/services/T/B/X`. Any other is gone.
    pub webhooks: BTreeMap<String, Channel>,
    /// What was posted, in the order it came.
    pub messages: Vec<Value>,
    /// Messages to one webhook.
    pub quota: Quota,
}

impl Slack {
    /// A workspace whose one webhook has this path.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            webhooks: BTreeMap::from([(path.to_owned(), Channel::Open)]),
            messages: Vec::new(),
            quota: Quota::new(1, Duration::from_secs(1)),
        }
    }

    /// Every text that is read as markup, where `<!channel>` would call everybody.
    #[must_use]
    pub fn markup(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.messages.iter().for_each(|message| collect_markup(message, &mut found));
        found
    }
}

impl Vendor for Slack {
    fn handle(&mut self, request: &Request) -> Reply {
        let Some(channel) = self.webhooks.get(&request.path).copied() else {
            return Reply::status(404).body("no_service");
        };
        if request.method != "POST" {
            return Reply::status(400).body("invalid_payload");
        }
        if !self.quota.admit(request.at) {
            return Reply::status(429).header("Retry-After", "1").body("rate_limited");
        }
        match (channel, check(&request.body)) {
            (Channel::Archived, _) => Reply::status(410).body("channel_is_archived"),
            (Channel::Prohibited, _) => Reply::status(403).body("action_prohibited"),
            (Channel::Open, Err(code)) => Reply::status(400).body(code),
            (Channel::Open, Ok(message)) => {
                self.messages.push(message);
                Reply::status(200).header("Content-Type", "text/html").body("ok")
            }
        }
    }
}

fn check(body: &[u8]) -> Result<Value, &'static str> {
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_payload")?;
    let text = message["text"].as_str().unwrap_or_default();
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    if text.is_empty() && blocks.is_empty() {
        return Err("no_text");
    }
    if text.encode_utf16().count() > 40_000 {
        return Err("msg_too_long");
    }
    if blocks.len() > 50 || !blocks.iter().all(is_block) {
        return Err("invalid_blocks");
    }
    Ok(message)
}

fn is_block(block: &Value) -> bool {
    match block["type"].as_str() {
        Some("header") => block["text"]["type"] == "plain_text" && is_text(&block["text"], 150),
        Some("section") => is_text(&block["text"], 3000),
        Some("context") => block["elements"].as_array().is_some_and(|elements| {
            (1..=10).contains(&elements.len()) && elements.iter().all(|text| is_text(text, 3000))
        }),
        Some("divider") => true,
        _ => false,
    }
}

fn is_text(object: &Value, max: usize) -> bool {
    let is_kind = match object["type"].as_str() {
        Some("plain_text") => object.get("verbatim").is_none(),
        Some("mrkdwn") => object.get("emoji").is_none(),
        _ => false,
    };
    is_kind && object["text"].as_str().is_some_and(|text| (1..=max).contains(&text.encode_utf16().count()))
}

fn collect_markup(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let is_markup =
                members.get("type").is_some_and(|kind| kind == "mrkdwn") || members.contains_key("blocks");
            if let (true, Some(Value::String(text))) = (is_markup, members.get("text")) {
                found.push(text.clone());
            }
            members.values().for_each(|member| collect_markup(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_markup(item, found)),
        _ => {}
    }
}
