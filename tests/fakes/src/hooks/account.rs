//! What is known of a hook at Zapier, Make, n8n or anywhere as of an account at any vendor.

use std::time::Duration;

use serde_json::json;

use super::{Hooks, Product};
use crate::{
    account::{Account, Connection, Record},
    vendor::Quota,
};

impl Hooks {
    /// An account whose hook has a path as that product gives.
    #[must_use]
    pub fn of(product: Product) -> Self {
        let path = match product {
            Product::Zapier => "/hooks/catch/123456/zapier-hook-5f2c/",
            Product::Make => "/abcdefghijklmnopqrstuvwxyz",
            Product::N8n => "/webhook/abcdefghijkl-leads",
            Product::Own => "/webhook/own",
        };
        Self::new(product, path)
    }

    /// The same, where callers show a key too.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { api_key: Some(key.to_owned()), ..self }
    }
}

impl Account for Hooks {
    fn connector(&self) -> &'static str {
        match self.product {
            Product::Zapier => "zapier",
            Product::Make => "make",
            Product::N8n => "n8n",
            Product::Own => "webhook",
        }
    }

    fn connection(&self, url: &str) -> Connection {
        let path = self.hooks.keys().next().map_or("", String::as_str);
        let host = match self.product {
            Product::Zapier => "https://hooks.zapier.com",
            Product::Make => "https://hook.eu2.make.com",
            Product::N8n => "https://n8n.example.com",
            Product::Own => {
                let config = json!({"url": format!("{url}{path}")});
                return Connection { config, credentials: json!(null) };
            }
        };
        let mut credentials = json!({"hook_url": format!("{host}{path}")});
        if let Some(key) = &self.api_key {
            credentials["api_key"] = json!(key);
        }
        Connection { config: json!({"base_url": url}), credentials }
    }

    fn is_told(&self) -> bool {
        true
    }

    fn records(&self) -> Vec<Record> {
        Record::texts("run", &self.events())
    }

    fn refused(&self) -> usize {
        self.quota.refused
    }

    fn pace(&self) -> Option<(usize, Duration)> {
        match self.product {
            Product::Zapier => Some((30, Duration::from_secs(1))),
            Product::Make => Some((300, Duration::from_secs(10))),
            Product::N8n | Product::Own => None,
        }
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }
}
