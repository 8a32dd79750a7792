//! What is known of a channel at Slack as of an account at any vendor.

use std::time::Duration;

use serde_json::json;

use super::Slack;
use crate::{
    account::{Account, Connection, Record},
    vendor::Quota,
};

impl Account for Slack {
    fn connector(&self) -> &'static str {
        "slack"
    }

    fn connection(&self, url: &str) -> Connection {
        let path = self.webhooks.keys().next().map_or("", String::as_str);
        Connection {
            config: json!({"base_url": url}),
            credentials: json!({"webhook_url": format!("https://hooks.slack.com{path}")}),
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

    fn pace(&self) -> Option<(usize, Duration)> {
        Some((1, Duration::from_secs(1)))
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }
}
