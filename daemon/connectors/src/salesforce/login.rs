//! The three ways to log in to Salesforce that need nobody at a screen.

use super::{LOGIN_URL, config::Credentials};
use crate::prelude::*;

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
    App { secret: Option<SecretString>, token: Option<SecretString> },
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
            (None, None, None) => {
                return Err(Problem::new("give client_secret, refresh_token, or private_key and username"));
            }
            (None, token, secret) => Grant::App { secret, token },
        };
        Ok(Self { client_id, grant })
    }

    /// The refresh token, where that is the way in.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match &self.grant {
            Grant::App { token, .. } => token.as_ref(),
            Grant::Key { .. } => None,
        }
    }

    /// The call that gets a token.
    pub(super) fn request(
        &self,
        login_url: &Url,
        audience: &str,
        now: Moment,
        refresh: Option<&SecretString>,
    ) -> Result<Request> {
        let request = Request::at(Method::POST, login_url, &["services", "oauth2", "token"]);
        let client_id = self.client_id.expose_secret();
        Ok(match &self.grant {
            Grant::App { secret, token } => {
                let grant = oauth::Grant::at(request.url, self.client_id.clone(), secret.clone());
                grant.request(refresh.or(token.as_ref()))
            }
            Grant::Key { key, username } => {
                let claims = json!({ "iss": client_id, "sub": username, "aud": audience,
                    "exp": now.as_seconds() + ASSERTION_SECONDS });
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
