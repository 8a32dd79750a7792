//! The ways to log in to a mail server: a password, a token, or an app that gets tokens.

use super::config::Credentials;
use crate::{MailLogin, oauth::Grant, prelude::*};

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
    grant: Grant,
}

impl Login {
    /// Reads credentials; what is wrong is said without what they hold.
    pub(super) fn of(given: Credentials) -> Result<Self, Problem> {
        let is_app = given.client_id.is_some()
            || given.client_secret.is_some()
            || given.refresh_token.is_some()
            || given.token_url.is_some()
            || given.scope.is_some();
        let username = given.username.as_ref().map(|name| name.0.clone());
        let password = given.password.as_ref().map(|password| password.0.clone());
        let fixed = |username, secret, is_token| Self::Fixed(MailLogin { username, secret, is_token });
        match (username, password, given.access_token.clone(), is_app) {
            (None, None, None, false) => Ok(Self::None),
            (Some(_), None, None, false) | (None, Some(_), None, false) => {
                Err(Problem::new("give username and password, or neither for a server without login"))
            }
            (None, ..) => {
                Err(Problem::at("username", "username is required: the mailbox that the token opens"))
            }
            (Some(username), Some(password), None, false) => Ok(fixed(username, password, false)),
            (Some(username), None, Some(token), false) => Ok(fixed(username, token, true)),
            (Some(username), None, None, true) => App::of(given, username).map(Self::App),
            _ => Err(Problem::new("give password, access_token or client_id, each a login of its own")),
        }
    }

    /// Where it gets tokens, if it does.
    pub(super) fn token_url(&self) -> Option<&Url> {
        match self {
            Self::App(app) => Some(&app.grant.url),
            Self::None | Self::Fixed(_) => None,
        }
    }

    /// The refresh token of an app that has one.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match self {
            Self::App(app) => app.grant.refresh_token.as_ref(),
            Self::None | Self::Fixed(_) => None,
        }
    }

    /// The call that gets a token.
    pub(super) fn request(&self, refresh: Option<&SecretString>) -> Option<Request> {
        let Self::App(app) = self else { return None };
        Some(app.grant.request(refresh))
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
    fn of(given: Credentials, username: String) -> Result<Box<Self>, Problem> {
        let (Some(client_id), Some(client_secret), Some(token_url)) =
            (given.client_id, given.client_secret, given.token_url)
        else {
            return Err(Problem::new("client_id, client_secret and token_url belong together"));
        };
        let grant = Grant::at(token_url.0, client_id, Some(client_secret));
        let grant = Grant { refresh_token: given.refresh_token, scope: given.scope, ..grant };
        Ok(Box::new(Self { username, grant }))
    }
}
