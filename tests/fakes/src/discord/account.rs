//! What is known of a channel at Discord as of an account at any vendor.

use serde_json::json;

use super::Discord;
use crate::{
    account::{Account, Connection, Record},
    vendor::Quota,
};

impl Account for Discord {
    fn connector(&self) -> &'static str {
        "discord"
    }

    fn connection(&self, url: &str) -> Connection {
        let (id, token) = self.webhooks.iter().next().map_or(("", ""), |(id, hook)| (id, &hook.token));
        Connection {
            config: json!({"base_url": url}),
            credentials: json!({"webhook_url": format!("https://discord.com/api/webhooks/{id}/{token}")}),
        }
    }

    fn is_told(&self) -> bool {
        true
    }

    fn records(&self) -> Vec<Record> {
        Record::texts("message", &self.messages)
    }

    fn refused(&self) -> usize {
        self.quota.refused
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }
}
