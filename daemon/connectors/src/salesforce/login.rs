//! The three ways to log in to Salesforce that need nobody at a screen.

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use super::{LOGIN_URL, config::Credentials};
use crate::{Problem, Request, Result, oauth};
use leadline_domain::outcome::{Failure, FailureClass};

/// Salesforce takes assertions that run out within three minutes or so.
const ASSERTION_SECONDS: i64 = 180;

/// What we log in with.
#[derive(Debug)]
pub(super) struct Login {
    client_id: SecretString,
    grant: Grant,
}

#[derive(Debug)]
enum Grant {
    Client { secret: SecretString },
    Refresh { secret: Option<SecretString>, token: SecretString },
    Key { key: SecretString, username: String },
}

impl Login {
    /// Reads credentials; what is wrong is said without what they hold.
    pub(super) fn of(given: &Credentials) -> Result<Self, Problem> {
        let client_id = given.client_id.0.clone().ok_or_else(|| Problem::of("client_id", "is required"))?;
        let secret = given.client_secret.clone();
        let grant = match (given.private_key.clone(), given.refresh_token.clone(), secret) {
            (Some(key), _, _) => {
                oauth::check_key(&key).map_err(|problem| Problem::of("private_key", problem))?;
                let username = given.username.clone().ok_or_else(|| {
                    Problem::at("username", "username is required with private_key: the user that it logs in")
                })?;
                Grant::Key { key, username }
            }
            (None, Some(token), secret) => Grant::Refresh { secret, token },
            (None, None, Some(secret)) => Grant::Client { secret },
            (None, None, None) => {
                return Err(Problem::new("give client_secret, refresh_token, or private_key and username"));
            }
        };
        Ok(Self { client_id, grant })
    }

    /// The refresh token, where that is the way in.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match &self.grant {
            Grant::Refresh { token, .. } => Some(token),
            Grant::Client { .. } | Grant::Key { .. } => None,
        }
    }

    /// The call that gets a token.
    pub(super) fn request(
        &self,
        login_url: &Url,
        audience: &str,
        now: i64,
        refresh: Option<&SecretString>,
    ) -> Result<Request> {
        let request = Request::at(Method::POST, login_url, &["services", "oauth2", "token"]);
        let client_id = self.client_id.expose_secret();
        Ok(match &self.grant {
            Grant::Client { secret } => request.secret_form(&[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", secret.expose_secret()),
            ]),
            Grant::Refresh { secret, token } => {
                let mut pairs = vec![
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("refresh_token", refresh.unwrap_or(token).expose_secret()),
                ];
                pairs.extend(secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
                request.secret_form(&pairs)
            }
            Grant::Key { key, username } => {
                let claims = json!({ "iss": client_id, "sub": username, "aud": audience,
                    "exp": now + ASSERTION_SECONDS });
                let assertion = oauth::assertion(key, None, &claims).map_err(|problem| {
                    Failure::new(FailureClass::Credentials, format!("salesforce: {problem}"))
                })?;
                request.secret_form(&[("grant_type", oauth::JWT_BEARER), ("assertion", &assertion)])
            }
        })
    }
}

/// Whom an assertion is for: sandboxes have a login of their own.
pub(super) fn audience(login_url: &Url) -> String {
    let host = login_url.host_str().unwrap_or_default();
    let is_sandbox = host == "test.salesforce.com" || host.contains(".sandbox.");
    if is_sandbox { "https://test.salesforce.com".to_owned() } else { LOGIN_URL.to_owned() }
}
