//! How we log in to a custom CRM.

use http::{HeaderName, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{
    NAME,
    config::{AuthKind, Config, Credentials, TokenAuth},
};
use crate::{
    Answer, Problem, Request, Result, Token,
    config::shorten,
    reading,
    vendor::{self, word},
};
use leadline_domain::outcome::{Failure, FailureClass};

/// The way in that a configuration names.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    Bearer,
    Basic,
    Header(HeaderName),
    Query(String),
    ClientCredentials(Box<Grant>),
}

/// Where a token is got, and for what.
#[derive(Debug)]
pub(super) struct Grant {
    url: Url,
    scope: Option<String>,
    audience: Option<String>,
    /// The client is named in `Authorization: Basic`, not in the form.
    is_basic: bool,
}

/// The way in, with what opens it.
#[derive(Debug)]
pub(super) enum Key {
    None,
    Bearer(SecretString),
    Basic(String, SecretString),
    Header(SecretString),
    Query(SecretString),
    Client { id: String, secret: SecretString },
}

impl Auth {
    /// Reads `auth` and the keys that belong to it.
    pub(super) fn read(config: &Config) -> Result<Self, Problem> {
        let name = |own: &str| config.auth_name.clone().unwrap_or_else(|| own.to_owned());
        Ok(match config.auth {
            AuthKind::None => Self::None,
            AuthKind::Bearer => Self::Bearer,
            AuthKind::Basic => Self::Basic,
            AuthKind::Header => {
                let name = name("X-Api-Key");
                let header = HeaderName::try_from(&name);
                let wrong = |_| Problem::at("auth_name", format!("auth_name {name} is not a header's name"));
                Self::Header(header.map_err(wrong)?)
            }
            AuthKind::Query => Self::Query(name("api_key")),
            AuthKind::ClientCredentials => {
                let problem = "token_url is required with auth client_credentials: where tokens are got";
                let url = config.token_url.clone().ok_or_else(|| Problem::at("token_url", problem))?;
                Self::ClientCredentials(Box::new(Grant {
                    url: url.0,
                    scope: config.scope.clone(),
                    audience: config.audience.clone(),
                    is_basic: config.token_auth == TokenAuth::Basic,
                }))
            }
        })
    }

    /// What opens it, out of the credentials; else what to ask the operator for.
    pub(super) fn key(&self, given: Credentials) -> Result<Key, &'static str> {
        let plain = |text: SecretString| text.expose_secret().to_owned();
        Ok(match self {
            Self::None => Key::None,
            Self::Bearer => Key::Bearer(given.token.ok_or("token")?),
            Self::Basic => {
                Key::Basic(given.username.map(plain).ok_or("username")?, given.password.ok_or("password")?)
            }
            Self::Header(_) => Key::Header(given.key.ok_or("key")?),
            Self::Query(_) => Key::Query(given.key.ok_or("key")?),
            Self::ClientCredentials(_) => Key::Client {
                id: given.client_id.map(plain).ok_or("client_id")?,
                secret: given.client_secret.ok_or("client_secret")?,
            },
        })
    }

    /// The request, logged in.
    pub(super) fn apply(&self, mut request: Request, key: &Key) -> Request {
        match (self, key) {
            (_, Key::Bearer(token)) => request.bearer(token),
            (_, Key::Basic(name, password)) => request.basic(name, password),
            (Self::Header(name), Key::Header(value)) => {
                request.secret_header(name.clone(), value.expose_secret())
            }
            (Self::Query(name), Key::Query(value)) => {
                let value = value.expose_secret();
                let before = if request.url.query().is_some() { '&' } else { '?' };
                request.url.query_pairs_mut().append_pair(name, value);
                request.shown_url.push_str(&format!("{before}{name}={}", shorten(value)));
                request
            }
            _ => request,
        }
    }

    /// The call that gets a token, if this way in needs one.
    pub(super) fn login(&self, key: &Key) -> Option<Request> {
        let (Self::ClientCredentials(grant), Key::Client { id, secret }) = (self, key) else { return None };
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(grant.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(grant.audience.as_deref().map(|audience| ("audience", audience)));
        let mut request = Request::new(Method::POST, grant.url.clone());
        if grant.is_basic {
            request = request.basic(id, secret);
        } else {
            form.extend([("client_id", id.as_str()), ("client_secret", secret.expose_secret())]);
        }
        Some(request.secret_form(&form))
    }
}

/// Reads what the login answered. Whatever it refuses, it refuses our credentials.
pub(super) fn token(answer: &Answer, now: i64) -> Result<Token> {
    let response = answer.as_ref().map_err(reading::unanswered)?;
    let by_status = vendor::by_status(NAME, response, now);
    let read = response.json();
    let is_json = read.is_some();
    let body = read.unwrap_or(Value::Null);
    if response.is_good()
        && let Some(secret) = word(&body, "access_token")
    {
        let lives =
            body.get("expires_in").and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        let expires_at = lives.filter(|seconds| *seconds > 0).map(|seconds| now.saturating_add(seconds));
        return Ok(Token { secret: SecretString::from(secret), expires_at, base: None, refresh: None });
    }
    let said = |key| word(&body, key).unwrap_or_default();
    match response.status {
        // What a 2xx says may contain a token: nothing of it is shown.
        200..=299 => {
            let error = format!("{NAME} login: {} without an access_token", response.status);
            // A page instead of JSON is of something in between, not of the login.
            let class = if is_json { FailureClass::Credentials } else { FailureClass::Transient };
            Err(Failure::new(class, error))
        }
        400..=403 => {
            let failure = match said("error") {
                "" => by_status,
                code => vendor::told(NAME, FailureClass::Credentials, code, said("error_description")),
            };
            Err(Failure { class: FailureClass::Credentials, ..failure })
        }
        _ => Err(by_status),
    }
}
