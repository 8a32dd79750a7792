//! How we log in to a custom CRM.

use super::config::{AuthKind, Config, Credentials, TokenAuth};
use crate::{config::shorten, oauth::Grant, prelude::*};

/// The way in that a configuration names.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    Bearer,
    Basic,
    Header(HeaderName),
    Query(String),
    /// Where a token is got, and for what; the client is still to be named.
    ClientCredentials(Box<Grant>),
}

/// The way in, with what opens it.
#[derive(Debug)]
pub(super) enum Key {
    None,
    Bearer(SecretString),
    Basic(String, SecretString),
    Header(SecretString),
    Query(SecretString),
    Client(Box<Grant>),
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
                    scope: config.scope.clone(),
                    audience: config.audience.clone(),
                    is_basic: config.token_auth == TokenAuth::Basic,
                    ..Grant::at(url.0, SecretString::default(), None)
                }))
            }
        })
    }

    /// What opens it, out of the credentials; else what to ask the operator for.
    pub(super) fn key(&self, given: Credentials) -> Result<Key> {
        let get = |part: Option<SecretString>, key| part.ok_or_else(|| crate::config::no_credentials(key));
        Ok(match self {
            Self::None => Key::None,
            Self::Bearer => Key::Bearer(get(given.token, "token")?),
            Self::Basic => Key::Basic(
                get(given.username, "username")?.expose_secret().into(),
                get(given.password, "password")?,
            ),
            Self::Header(_) => Key::Header(get(given.key, "key")?),
            Self::Query(_) => Key::Query(get(given.key, "key")?),
            Self::ClientCredentials(grant) => Key::Client(Box::new(Grant {
                client_id: get(given.client_id, "client_id")?,
                client_secret: Some(get(given.client_secret, "client_secret")?),
                ..(**grant).clone()
            })),
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
}

impl Key {
    /// How an app gets tokens, if this is one.
    pub(super) fn app(&self) -> Option<Grant> {
        let Self::Client(grant) = self else { return None };
        Some((**grant).clone())
    }
}
