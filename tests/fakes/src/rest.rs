//! A CRM that somebody wrote themselves: tokens that run out, idempotency keys that are kept or ignored, and refusals
//! that are dressed as successes.

mod account;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Route, Vendor, pairs},
};

/// The CRM: leads by number, and who may call.
#[derive(Debug)]
pub struct Rest {
    pub client: (String, String),
    /// What tokens are got with on somebody's behalf.
    pub refresh_token: String,
    /// Tokens that still count.
    pub tokens: BTreeSet<String>,
    /// How many tokens were given.
    pub logins: usize,
    /// Bodies of the leads, by the CRM's own id.
    pub leads: BTreeMap<u64, Value>,
    /// Idempotency keys that were seen, with the id that was answered; none if keys are ignored.
    pub keys: Option<BTreeMap<String, u64>>,
    /// Refuses every lead with a 200.
    pub refuses: bool,
}

impl Rest {
    /// An empty CRM that ignores idempotency keys, as most do.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: ("leadline".into(), "0123456789abcdef".into()),
            refresh_token: "refresh-0123456789".into(),
            tokens: BTreeSet::new(),
            logins: 0,
            leads: BTreeMap::new(),
            keys: None,
            refuses: false,
        }
    }

    fn login(&mut self, request: &Request) -> Reply {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let is = |key: &str, value: &str| form.get(key).is_some_and(|given| given == value);
        let (id, secret) = &self.client;
        let is_known = is("client_id", id) && is("client_secret", secret);
        if is_known && is("grant_type", "refresh_token") && !is("refresh_token", &self.refresh_token) {
            return answer(
                400,
                &json!({"error": "invalid_grant", "error_description": "the token was revoked"}),
            );
        }
        if !is_known || !(is("grant_type", "client_credentials") || is("grant_type", "refresh_token")) {
            return answer(401, &json!({"error": "invalid_client", "error_description": "no such client"}));
        }
        self.logins += 1;
        let token = format!("token-{}-0123456789", self.logins);
        self.tokens.insert(token.clone());
        answer(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))
    }

    fn create(&mut self, request: &Request, body: &Value) -> Reply {
        if self.refuses {
            return answer(200, &json!({"status": "error", "error": {"message": "no such venue"}}));
        }
        let key = request.header("idempotency-key").unwrap_or_default().to_owned();
        let next = self.leads.len() as u64 + 1;
        let id = match &mut self.keys {
            Some(keys) => *keys.entry(key).or_insert(next),
            None => next,
        };
        self.leads.insert(id, body.clone());
        answer(201, &json!({"status": "ok", "data": {"id": id}}))
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self::new()
    }
}

impl Vendor for Rest {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        let (method, path) = route.parts();
        if (method, &path[..]) == ("POST", &["token"][..]) {
            return self.login(request);
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.contains(token)) {
            return answer(401, &json!({"status": "error", "error": {"message": "log in first"}}));
        }
        match (method, &path[..]) {
            ("GET", ["me"]) => answer(200, &json!({"name": "leadline"})),
            ("GET", ["leads"]) => {
                let found = self.leads.iter().filter(|(_, lead)| lead["ref"] == json!(route.asked("ref")));
                let items: Vec<Value> = found.map(|(id, _)| json!({"id": id})).collect();
                answer(200, &json!({"items": items}))
            }
            ("POST", ["leads"]) => self.create(request, &route.body),
            ("PUT" | "PATCH", ["leads", id]) => {
                match id.parse().ok().and_then(|id: u64| self.leads.get_mut(&id)) {
                    Some(lead) => {
                        // A PUT says all of it, a PATCH what is new.
                        let kept = if method == "PATCH" { lead.take() } else { json!({}) };
                        let mut whole = kept.as_object().cloned().unwrap_or_default();
                        whole.extend(route.body.as_object().cloned().unwrap_or_default());
                        *lead = Value::Object(whole);
                        answer(200, &json!({"status": "ok"}))
                    }
                    None => answer(404, &json!({"status": "error", "error": {"message": "no such lead"}})),
                }
            }
            _ => answer(404, &json!({"status": "error", "error": {"message": "nothing is here"}})),
        }
    }
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json").body(body.to_string())
}
