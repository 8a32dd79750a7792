//! The ways to log in to a mail server: a password, a token, or an app that gets tokens.

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::{MailLogin, Request, config, oauth};

/// What only an app has.
const APP: [&str; 5] = ["client_id", "client_secret", "refresh_token", "token_url", "scope"];

/// What we log in with, if the server wants a login.
#[derive(Debug)]
pub(super) enum Login {
    None,
    Fixed(MailLogin),
    App(Box<App>),
}

/// An app that gets tokens: on somebody's behalf with a refresh token, else on its own.
#[derive(Debug)]
pub(super) struct App {
    username: String,
    token_url: Url,
    client_id: SecretString,
    client_secret: SecretString,
    refresh_token: Option<SecretString>,
    scope: Option<String>,
}

impl Login {
    /// Reads credentials; what is wrong is said without what they hold.
    pub(super) fn of(credentials: &Value) -> Result<Self, String> {
        let read = |key| config::credential(credentials, key);
        // A password may begin or end with a space.
        let password = config::text(credentials, "password").map(SecretString::from);
        let username = config::text(credentials, "username").map(ToOwned::to_owned);
        let is_app = APP.iter().any(|key| config::text(credentials, key).is_some());
        let fixed = |username, secret, is_token| Self::Fixed(MailLogin { username, secret, is_token });
        match (username, password, read("access_token"), is_app) {
            (None, None, None, false) => Ok(Self::None),
            (Some(_), None, None, false) | (None, Some(_), None, false) => {
                Err("give username and password, or neither for a server without login".to_owned())
            }
            (None, ..) => Err("username is required: the mailbox that the token opens".to_owned()),
            (Some(username), Some(password), None, false) => Ok(fixed(username, password, false)),
            (Some(username), None, Some(token), false) => Ok(fixed(username, token, true)),
            (Some(username), None, None, true) => App::of(credentials, username).map(Self::App),
            _ => Err("give password, access_token or client_id, each a login of its own".to_owned()),
        }
    }

    /// Where it gets tokens, if it does.
    pub(super) fn token_url(&self) -> Option<&Url> {
        match self {
            Self::App(app) => Some(&app.token_url),
            Self::None | Self::Fixed(_) => None,
        }
    }

    /// The refresh token of an app that has one.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match self {
            Self::App(app) => app.refresh_token.as_ref(),
            Self::None | Self::Fixed(_) => None,
        }
    }

    /// The call that gets a token.
    pub(super) fn request(&self, refresh: Option<&SecretString>) -> Option<Request> {
        let Self::App(app) = self else { return None };
        let mut form = vec![
            ("client_id", app.client_id.expose_secret()),
            ("client_secret", app.client_secret.expose_secret()),
        ];
        match refresh.or(app.refresh_token.as_ref()) {
            Some(token) => {
                form.extend([("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())]);
            }
            None => form.push(("grant_type", "client_credentials")),
        }
        form.extend(app.scope.as_deref().map(|scope| ("scope", scope)));
        Some(Request::new(Method::POST, app.token_url.clone()).secret_form(&form))
    }

    /// What a server is told. The runtime puts in the token of an app.
    pub(super) fn told(&self) -> Option<MailLogin> {
        match self {
            Self::Fixed(login) => Some(login.clone()),
            Self::App(app) => Some(MailLogin {
                username: app.username.clone(),
                secret: SecretString::default(),
                is_token: true,
            }),
            Self::None => None,
        }
    }
}

impl App {
    fn of(credentials: &Value, username: String) -> Result<Box<Self>, String> {
        let read = |key| config::credential(credentials, key);
        let (Some(client_id), Some(client_secret), Some(token_url)) =
            (read("client_id"), read("client_secret"), config::text(credentials, "token_url"))
        else {
            return Err("client_id, client_secret and token_url belong together".to_owned());
        };
        Ok(Box::new(Self {
            username,
            token_url: oauth::token_url(token_url)?,
            client_id,
            client_secret,
            refresh_token: read("refresh_token"),
            scope: config::text(credentials, "scope").map(ToOwned::to_owned),
        }))
    }
}
