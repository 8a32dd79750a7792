//! The doors of Zapier, Make and n8n: each takes an event in its own way, and each fails in its own words.

mod account;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Vendor},
};

/// Whose door it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Zapier,
    Make,
    N8n,
    /// A receiver of plain webhooks takes what n8n takes.
    Own,
}

/// What stands behind a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    On,
    Off,
    /// More has come than it can work on.
    Full,
}

/// An account with its hooks.
#[derive(Debug)]
pub struct Hooks {
    product: Product,
    /// By path.
    pub hooks: BTreeMap<String, Scenario>,
    /// The key that Make asks for, if it does.
    pub api_key: Option<String>,
    /// Every run, with the request that started it.
    pub runs: Vec<Request>,
    pub quota: Quota,
}

impl Hooks {
    /// An account whose one hook has this path.
    #[must_use]
    pub fn new(product: Product, path: &str) -> Self {
        let quota = match product {
            Product::Zapier => Quota::new(30, Duration::from_secs(1)),
            Product::Make => Quota::new(300, Duration::from_secs(10)),
            Product::N8n | Product::Own => Quota::unlimited(),
        };
        let hooks = BTreeMap::from([(path.to_owned(), Scenario::On)]);
        Self { product, hooks, api_key: None, runs: Vec::new(), quota }
    }

    /// What each run was given.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.runs.iter().map(|run| serde_json::from_slice(&run.body).unwrap_or(Value::Null)).collect()
    }

    fn run(&mut self, request: &Request, answer: Reply) -> Reply {
        self.runs.push(request.clone());
        answer
    }

    fn zapier(&mut self, request: &Request, scenario: Option<Scenario>) -> Reply {
        match scenario {
            None => Reply::status(404).body("Not Found"),
            // A Zap that is off answers as one that is on.
            Some(Scenario::Off) => Reply::json(200, &json!({"status": "success", "attempt": "1"})),
            Some(Scenario::Full) => Reply::status(429).body("Too Many Requests"),
            Some(Scenario::On) => {
                let id = format!("run-{}", self.runs.len());
                self.run(
                    request,
                    Reply::json(
                        200,
                        &json!({"status": "success", "attempt": id, "id": id, "request_id": id}),
                    ),
                )
            }
        }
    }

    fn make(&mut self, request: &Request, scenario: Option<Scenario>) -> Reply {
        if self.api_key.is_some() && self.api_key.as_deref() != request.header("x-make-apikey") {
            return Reply::status(401).body("Unauthorized");
        }
        match scenario {
            None => Reply::status(404).body("Not Found"),
            Some(Scenario::Off) => {
                Reply::status(410).body("There is no scenario listening for this webhook.")
            }
            Some(Scenario::Full) => Reply::status(400).body("Queue is full."),
            Some(Scenario::On) => self.run(request, Reply::status(200).body("Accepted")),
        }
    }

    fn n8n(&mut self, request: &Request, scenario: Option<Scenario>) -> Reply {
        match scenario {
            None | Some(Scenario::Off) => {
                let path = request.path.trim_start_matches("/webhook/");
                let message =
                    format!("The requested webhook \"{} {path}\" is not registered.", request.method);
                Reply::json(
                    404,
                    &json!({"code": 404, "message": message, "hint": "The workflow must be active."}),
                )
            }
            Some(Scenario::Full) => Reply::json(503, &json!({"code": 503, "message": "Service unavailable"})),
            Some(Scenario::On) => {
                self.run(request, Reply::json(200, &json!({"message": "Workflow was started"})))
            }
        }
    }
}

impl Vendor for Hooks {
    fn handle(&mut self, request: &Request) -> Reply {
        if !self.quota.admit(request.at) {
            return Reply::status(429).body("Too Many Requests");
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let scenario = self.hooks.get(path).copied();
        match self.product {
            Product::Zapier => self.zapier(request, scenario),
            Product::Make => self.make(request, scenario),
            Product::N8n | Product::Own => self.n8n(request, scenario),
        }
    }
}
