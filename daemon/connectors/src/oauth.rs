//! Logins over OAuth 2: the answer of a token endpoint, in every vendor's dialect.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::{
    Answer, Result, Token,
    config::{self, Problem, parsed},
    vendor, webhook,
};
use crate::reading;
use leadline_domain::outcome::{Failure, FailureClass};

/// What we log in with: a token that lasts, or an app that gets one whenever the last has run out.
#[derive(Debug)]
pub(super) enum TokenLogin {
    Token(SecretString),
    App { client_id: SecretString, client_secret: SecretString, refresh_token: SecretString },
}

impl TokenLogin {
    /// The refresh token of an app.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match self {
            Self::App { refresh_token, .. } => Some(refresh_token),
            Self::Token(_) => None,
        }
    }

    /// The app's, if all of it is there; else the token.
    pub(super) fn of(token: Option<SecretString>, app: App) -> Option<Self> {
        match (app.client_id, app.client_secret, app.refresh_token) {
            (Some(client_id), Some(client_secret), Some(refresh_token)) => {
                Some(Self::App { client_id, client_secret, refresh_token })
            }
            _ => token.map(Self::Token),
        }
    }
}

/// The grant of a login that signs for itself.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What such a login says of itself, signed. What is wrong is said without what the key holds.
pub(super) fn assertion(
    key: &SecretString,
    key_id: Option<String>,
    claims: &Value,
) -> Result<String, Problem> {
    let header = Header { kid: key_id, ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, claims, &encoding_key(key)?)
        .map_err(|_| Problem::at("private_key", "private_key cannot sign"))
}

/// Whether a key can sign.
pub(super) fn check_key(key: &SecretString) -> Result<(), Problem> {
    encoding_key(key).map(drop)
}

/// Keys often come through shells and JSON with their lines joined by `\n`.
fn encoding_key(key: &SecretString) -> Result<EncodingKey, Problem> {
    let pem = key.expose_secret().replace("\\n", "\n");
    EncodingKey::from_rsa_pem(pem.as_bytes())
        .map_err(|_| Problem::new("must be an RSA key in PEM, from its BEGIN line to its END line"))
}

/// What an app logs in with, as far as it is given.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) client_id: Option<SecretString>,
    pub(super) client_secret: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
}

parsed! {
    /// Where tokens are got.
    pub(crate) struct TokenUrl(Url) = token_url;
    const SHOWN: Option<fn(&Value) -> Value> = Some(webhook::shown)
}

fn token_url(text: &str) -> Result<Url, Problem> {
    let url = config::url(text)?;
    if !matches!(url.scheme(), "https" | "http") || !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::new("must be an https URL without a login in it"));
    }
    Ok(url)
}

/// The token in an answer. `base` is the member that says where to call from now on.
pub(super) fn token(vendor: &str, answer: &Answer, base: &str, now: i64) -> Result<Token> {
    let response = answer.as_ref().map_err(reading::unanswered)?;
    let body = response.json().unwrap_or(Value::Null);
    if !response.is_good() {
        let refused = refused(vendor, response.status, &body);
        return Err(refused.unwrap_or_else(|| vendor::by_status(vendor, response, now)));
    }
    let secret = body["access_token"].as_str().filter(|token| !token.is_empty());
    let Some(secret) = secret else {
        let error = format!("{vendor}: the login was answered without an access_token");
        return Err(Failure::new(FailureClass::Transient, error));
    };
    Ok(Token {
        secret: secret.to_owned().into(),
        expires_at: body["expires_in"].as_i64().map(|seconds| now.saturating_add(seconds)),
        base: body[base].as_str().and_then(|base| Url::parse(base).ok()),
        refresh: body["refresh_token"].as_str().filter(|token| !token.is_empty()).map(SecretString::from),
    })
}

/// A refused login is ours to mend, whatever 4xx it was told with; nothing of what we sent is repeated.
fn refused(vendor: &str, status: u16, body: &Value) -> Option<Failure> {
    let code =
        body["error"].as_str().or_else(|| body["category"].as_str()).or_else(|| body["status"].as_str())?;
    let message = body["error_description"].as_str().or_else(|| body["message"].as_str()).unwrap_or_default();
    let is_ours = (400..500).contains(&status) && !matches!(status, 408 | 425 | 429);
    is_ours.then(|| {
        let error = format!("{vendor} login refused: {code} {message}");
        Failure::new(FailureClass::Credentials, reading::one_line(&error, 400))
    })
}
