//! How Salesforce lets in: by an application, a refresh token or a signed assertion.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Salesforce;
use crate::{
    http::Request,
    receiver::Reply,
    vendor::{basic, pairs},
};

impl Salesforce {
    pub(super) fn log_in(&mut self, request: &Request) -> Reply {
        self.logins += 1;
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let given = |key: &str| form.get(key).map_or("", String::as_str);
        let refuse =
            |code: &str, text: &str| Reply::json(400, &json!({ "error": code, "error_description": text }));
        let (id, secret) = &self.client;
        // Who asks is told in the form or in a header.
        let is_client = given("client_id") == id && given("client_secret") == secret
            || request.header("authorization") == Some(&basic(id, secret));
        match given("grant_type") {
            "client_credentials" if is_client => {}
            "client_credentials" => return refuse("invalid_client", "invalid client credentials"),
            "refresh_token" if !self.refresh_tokens.contains(given("refresh_token")) => {
                return refuse("invalid_grant", "expired access/refresh token");
            }
            "refresh_token" => {}
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                // Whose signature it is was tested where it is made; here the claims count.
                let claims = claims(given("assertion"));
                if claims["iss"] != json!(self.client.0) || claims["aud"] != "https://login.salesforce.com" {
                    return refuse("invalid_grant", "audience is invalid");
                }
                if !claims["sub"].as_str().is_some_and(|user| self.users.contains(user)) {
                    return refuse("invalid_grant", "user hasn't approved this consumer");
                }
            }
            _ => return refuse("unsupported_grant_type", "grant type not supported"),
        }
        let session = format!("00D!session-{}", self.logins);
        self.sessions.insert(session.clone());
        Reply::json(
            200,
            &json!({ "access_token": session, "instance_url": self.instance_url, "token_type": "Bearer",
            "id": "https://login.salesforce.com/id/00D/005", "issued_at": "1795000000000", "signature": "x" }),
        )
    }
}

/// What an assertion claims; null if it is none.
fn claims(assertion: &str) -> Value {
    let payload = assertion.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}
