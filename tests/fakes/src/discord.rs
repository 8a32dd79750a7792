//! Discord's webhooks: channels that take messages within Discord's limits, five in two seconds.

mod account;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor},
};

/// A webhook and its channel.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub token: String,
    pub name: String,
    pub channel: String,
    /// Messages must say which post they belong to.
    pub is_forum: bool,
}

/// A server with its webhooks.
#[derive(Debug)]
pub struct Discord {
    pub server: String,
    /// By id. Any other is gone.
    pub webhooks: BTreeMap<String, Webhook>,
    /// What was posted, in the order it came.
    pub messages: Vec<Value>,
    pub quota: Quota,
}

impl Discord {
    /// A server with one webhook.
    #[must_use]
    pub fn new(id: &str, token: &str) -> Self {
        let webhook =
            Webhook { token: token.into(), name: "Leads".into(), channel: "1200".into(), is_forum: false };
        Self {
            server: "77".into(),
            webhooks: BTreeMap::from([(id.to_owned(), webhook)]),
            messages: Vec::new(),
            quota: Quota::new(5, Duration::from_secs(2)),
        }
    }

    /// The texts that would notify somebody.
    #[must_use]
    pub fn pings(&self) -> Vec<String> {
        let silent = json!({"parse": []});
        let loud = self.messages.iter().filter(|message| message["allowed_mentions"] != silent);
        loud.map(|message| message["content"].to_string()).filter(|text| text.contains('@')).collect()
    }
}

impl Vendor for Discord {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        let (method, path) = route.parts();
        let ["api", "webhooks", id, token] = path[..] else { return refusal(404, 0, "404: Not Found") };
        let Some(webhook) = self.webhooks.get(id).cloned() else {
            return refusal(404, 10015, "Unknown Webhook");
        };
        if webhook.token != token {
            return refusal(401, 50027, "Invalid Webhook Token");
        }
        if method == "GET" {
            let reported = json!({"id": id, "type": 1, "name": webhook.name, "channel_id": webhook.channel,
                "guild_id": self.server, "token": token, "avatar": null, "application_id": null});
            return answer(200, &reported);
        }
        if !self.quota.admit(request.at) {
            let reported =
                json!({"message": "You are being rate limited.", "retry_after": 0.45, "global": false});
            return answer(429, &reported).header("Retry-After", "1").header("X-RateLimit-Scope", "user");
        }
        if webhook.is_forum && route.asked("thread_id").is_empty() {
            let message = "Webhooks posted to forum channels must have a thread_name or thread_id";
            return refusal(400, 220_001, message);
        }
        if let Err((code, message)) = check(&route.body) {
            return refusal(400, code, message);
        }
        self.messages.push(route.body.clone());
        let mut reported = route.body.clone();
        reported["id"] = json!(format!("13{:05}", self.messages.len()));
        reported["channel_id"] = json!(webhook.channel);
        if route.asked("wait").eq_ignore_ascii_case("true") {
            answer(200, &reported)
        } else {
            Reply::status(204)
        }
    }
}

/// Whether Discord would take a message, as far as its limits go.
fn check(message: &Value) -> Result<(), (u32, &'static str)> {
    let (empty, invalid) = ((50006, "Cannot send an empty message"), (50035, "Invalid Form Body"));
    let length = |text: &Value| text.as_str().map_or(0, |text| text.encode_utf16().count());
    let none = Vec::new();
    let embeds = message["embeds"].as_array().unwrap_or(&none);
    if length(&message["content"]) == 0 && embeds.is_empty() {
        return Err(empty);
    }
    let mut total = 0;
    let fits = embeds.iter().all(|embed| {
        let fields = embed["fields"].as_array().unwrap_or(&none);
        let lengths = [length(&embed["title"]), length(&embed["description"])];
        total += lengths.iter().sum::<usize>();
        total += fields.iter().map(|field| length(&field["name"]) + length(&field["value"])).sum::<usize>();
        let is_field = |field: &Value| {
            (1..=256).contains(&length(&field["name"])) && (1..=1024).contains(&length(&field["value"]))
        };
        lengths[0] <= 256 && lengths[1] <= 4096 && fields.len() <= 25 && fields.iter().all(is_field)
    });
    let is_short = length(&message["content"]) <= 2000 && embeds.len() <= 10;
    if fits && is_short && total <= 6000 { Ok(()) } else { Err(invalid) }
}

fn refusal(status: u16, code: u32, message: &str) -> Reply {
    answer(status, &json!({"message": message, "code": code}))
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json").body(body.to_string())
}
