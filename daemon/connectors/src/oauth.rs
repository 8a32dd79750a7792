//! Logins over OAuth 2: the answer of a token endpoint, in every vendor's dialect.

use std::time::Duration;

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::{
    Answer, Login, Moment, Request, Result, Token,
    config::{self, Problem, parsed},
    vendor::{self, word},
    webhook,
};
use crate::reading;
use leadline_domain::outcome::{Failure, FailureClass};

/// What we log in with: a token that lasts, or an app that gets one whenever the last has run out.
#[derive(Debug)]
pub(super) enum TokenLogin {
    Token(SecretString),
    App(Box<AppLogin>),
}

/// A login with an app's refresh token.
#[derive(Debug)]
pub(super) struct AppLogin {
    vendor: &'static str,
    /// The member of an answer that says where to call from then on.
    base: &'static str,
    grant: Grant,
}

impl TokenLogin {
    /// The app's, if there is one; else the token's.
    pub(super) fn of(
        token: Option<SecretString>,
        app: Option<Grant>,
        [vendor, base]: [&'static str; 2],
    ) -> Option<Self> {
        let app = app.map(|grant| Self::App(Box::new(AppLogin { vendor, base, grant })));
        app.or_else(|| token.map(Self::Token))
    }

    /// How calls get a token, if theirs does not last.
    pub(super) fn login(&self) -> Option<&dyn Login> {
        match self {
            Self::App(app) => Some(&**app),
            Self::Token(_) => None,
        }
    }
}

impl Login for AppLogin {
    fn request(&self, _now: Moment, refresh: Option<&SecretString>) -> Result<Request> {
        Ok(self.grant.request(refresh))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.grant.refresh_token.as_ref()
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token> {
        token(self.vendor, answer, self.base, now)
    }
}

/// How an app gets tokens: on somebody's behalf with a refresh token, else on its own.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) url: Url,
    pub(super) client_id: SecretString,
    pub(super) client_secret: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
    /// The app is named in `Authorization: Basic`, not in the form.
    pub(super) is_basic: bool,
}

impl Grant {
    /// What is got there with these, and no more said.
    pub(super) fn at(url: Url, client_id: SecretString, client_secret: Option<SecretString>) -> Self {
        let (refresh_token, scope, audience) = (None, None, None);
        Self { url, client_id, client_secret, refresh_token, scope, audience, is_basic: false }
    }

    /// The call that gets a token. `refresh` is the newest refresh token, if that is known.
    pub(super) fn request(&self, refresh: Option<&SecretString>) -> Request {
        let mut form = match refresh.or(self.refresh_token.as_ref()) {
            Some(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())],
            None => vec![("grant_type", "client_credentials")],
        };
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(self.audience.as_deref().map(|audience| ("audience", audience)));
        let mut request = Request::new(Method::POST, self.url.clone());
        let (id, secret) = (self.client_id.expose_secret(), self.client_secret.as_ref());
        if let Some(secret) = secret.filter(|_| self.is_basic) {
            request = request.basic(id, secret);
        } else {
            form.push(("client_id", id));
            form.extend(secret.map(|secret| ("client_secret", secret.expose_secret())));
        }
        request.secret_form(&form)
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
#[derive(Debug)]
pub(super) struct App {
    pub(super) client_id: Option<SecretString>,
    pub(super) client_secret: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
}

impl App {
    /// How it gets tokens there, if all of it is given.
    pub(super) fn at(self, url: Url) -> Option<Grant> {
        let (secret, refresh_token) = self.client_secret.zip(self.refresh_token)?;
        let grant = Grant::at(url, self.client_id?, Some(secret));
        Some(Grant { refresh_token: Some(refresh_token), ..grant })
    }
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
pub(super) fn token(vendor: &str, answer: &Answer, base: &str, now: Moment) -> Result<Token> {
    let response = answer.as_ref().map_err(reading::unanswered)?;
    let body = response.json().unwrap_or(Value::Null);
    if !response.is_good() {
        let refused = refused(vendor, response.status, &body);
        return Err(refused.unwrap_or_else(|| {
            let failure = vendor::by_status(vendor, response, now);
            // Whatever it refuses, it refuses our credentials.
            let class = if response.status < 404 { FailureClass::Credentials } else { failure.class };
            Failure { class, ..failure }
        }));
    }
    let Some(secret) = word(&body, "access_token") else {
        // A page instead of JSON is of something in between. What a login says may hold a token: nothing of it is shown.
        let class = if body.is_null() { FailureClass::Transient } else { FailureClass::Credentials };
        let error = format!("{vendor}: the login was answered without an access_token");
        return Err(Failure::new(class, error));
    };
    let lives = &body["expires_in"];
    let lives = lives.as_u64().or_else(|| lives.as_str()?.parse().ok()).filter(|seconds| *seconds > 0);
    Ok(Token {
        secret: secret.to_owned().into(),
        expires_at: lives.map(|seconds| now + Duration::from_secs(seconds)),
        base: body[base].as_str().and_then(|base| Url::parse(base).ok()),
        refresh: word(&body, "refresh_token").map(SecretString::from),
        is_kept: false,
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
