//! What the pushes of one integration share: the token they are logged in with. Integrations that log in with the same
//! refresh token share it, too: a login of one may end the token of the other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as StdMutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    connectors::{Login, Token},
    domain::{integration::Integration, moment::Moment, origins::origins, outcome::Failure},
    store::{Error, integration::refresh::LoginHash},
};

/// A token is renewed so long before it runs out.
const MARGIN: Duration = Duration::from_secs(60);

/// What daemons know a login with a refresh token by: a hash of its credentials; none if it has none. Whoever has the same
/// has all of the credentials, and sends what they give to the same places.
pub(super) fn login_hash(integration: &Integration, login: Option<&dyn Login>) -> Option<LoginHash> {
    let login = login.filter(|login| login.refresh_token().is_some())?;
    let request = login.request(Moment::EPOCH, None).ok()?;
    let mut hash = Sha256::new();
    for part in [integration.connector.as_str(), &origins(&integration.config), request.url.as_str()] {
        hash.update(part);
        hash.update("\n");
    }
    // The others tell which version of Leadline it is.
    for header in request.headers.iter().filter(|header| header.secret) {
        hash.update(header.value.as_bytes());
        hash.update("\n");
    }
    hash.update(&request.body);
    Some(hash.finalize().into())
}

/// Whether a token is good for a while longer.
fn is_lasting(token: &Token, now: Moment) -> bool {
    token.expires_at.is_none_or(|at| at > now + MARGIN)
}

/// A token as it is kept for other daemons.
#[derive(Serialize, Deserialize)]
struct KeptToken {
    secret: String,
    expires_at: Option<Moment>,
    base: Option<Url>,
}

/// A token to be sealed and kept.
pub(super) fn serialize_token(token: &Token) -> Result<SecretString, Error> {
    let secret = token.secret.expose_secret().to_owned();
    let kept = KeptToken { secret, expires_at: token.expires_at, base: token.base.clone() };
    serde_json::to_string(&kept).map(SecretString::from).map_err(|_| Error::Corrupt("token"))
}

/// A token that was kept, if it is good for a while and another than the one that was refused.
pub(super) fn parse_token(
    text: &SecretString,
    refused: Option<&SecretString>,
    now: Moment,
) -> Result<Option<Token>, Error> {
    let read = serde_json::from_str(text.expose_secret());
    let KeptToken { secret, expires_at, base } = read.map_err(|_| Error::Corrupt("token"))?;
    let is_refused = refused.is_some_and(|refused| refused.expose_secret() == secret);
    let token = Token { secret: secret.into(), expires_at, base, refresh: None, is_kept: true };
    Ok((!is_refused && is_lasting(&token, now)).then_some(token))
}

/// The sessions of integrations that log in alike.
#[derive(Debug, Default)]
pub(super) struct Sessions(StdMutex<HashMap<LoginHash, Weak<Session>>>);

impl Sessions {
    pub(super) fn of(&self, login: LoginHash) -> Arc<Session> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&login).and_then(Weak::upgrade) {
            return session;
        }
        sessions.retain(|_, session| session.strong_count() > 0);
        let session = Arc::default();
        sessions.insert(login, Arc::downgrade(&session));
        session
    }
}

/// What the last login came to, with the integration's version that it was made for: new credentials need a new one.
#[derive(Debug, Default)]
struct Held {
    token: Option<(i32, Arc<Token>)>,
    /// Which failure it was, counted.
    failed: Option<(i32, u64, Failure)>,
}

/// Outlives the versions of its integration.
#[derive(Debug, Default)]
pub(super) struct Session {
    held: Mutex<Held>,
    failures: AtomicU64,
}

impl Session {
    /// The token for a version of the integration. If there is none, or it is about to run out, or it is the one that
    /// was refused, `login` gets another: once, however many pushes ask, and its failure is that of all who waited for
    /// it. Where it is not needed it is not begun.
    pub(super) async fn token(
        &self,
        version: i32,
        refused: Option<&Arc<Token>>,
        now: Moment,
        login: impl Future<Output = Result<Token, Failure>>,
    ) -> Result<Arc<Token>, Failure> {
        let known = self.failures.load(Ordering::Relaxed);
        let mut held = self.held.lock().await;
        if let Some((made_for, token)) = &held.token
            && *made_for == version
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token))
            && is_lasting(token, now)
        {
            return Ok(Arc::clone(token));
        }
        if let Some((made_for, count, failure)) = &held.failed
            && *made_for == version
            && *count > known
        {
            return Err(failure.clone());
        }
        held.token = None;
        match login.await {
            Ok(token) => {
                let token = Arc::new(token);
                held.token = Some((version, Arc::clone(&token)));
                Ok(token)
            }
            Err(failure) => {
                let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                held.failed = Some((version, count, failure.clone()));
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::FailureClass;

    #[tokio::test]
    async fn a_login_is_shared_until_its_token_is_refused_or_runs_out() {
        let session = Session::default();
        let logins = std::cell::Cell::new(0);
        let login = async || {
            logins.set(logins.get() + 1);
            let secret = logins.get().to_string().into();
            Ok(Token {
                secret,
                expires_at: Some(Moment::from_seconds(1000)),
                base: None,
                refresh: None,
                is_kept: false,
            })
        };
        let first = session.token(1, None, Moment::EPOCH, login()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &session.token(1, None, Moment::EPOCH, login()).await.unwrap()));
        let second = session.token(1, Some(&first), Moment::EPOCH, login()).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        // A push that was refused with the old token takes the one that another push got meanwhile.
        assert!(Arc::ptr_eq(&second, &session.token(1, Some(&first), Moment::EPOCH, login()).await.unwrap()));
        session.token(1, None, Moment::from_seconds(950), login()).await.unwrap();
        session.token(2, None, Moment::EPOCH, login()).await.unwrap();
        assert_eq!(logins.get(), 4);
    }

    #[test]
    fn a_token_is_kept_for_others_until_it_runs_out_or_is_refused() {
        let base = Some("https://eu.example.com/".parse().unwrap());
        let at = Moment::from_seconds;
        let expires_at = Some(at(1000));
        let token = Token { secret: "first".into(), expires_at, base, refresh: None, is_kept: false };
        let text = serialize_token(&token).unwrap();
        let read = parse_token(&text, Some(&"another".into()), at(900)).unwrap().unwrap();
        assert_eq!((read.secret.expose_secret(), read.expires_at), ("first", expires_at));
        assert_eq!((read.base, read.is_kept), (token.base, true));
        assert!(parse_token(&text, Some(&"first".into()), at(900)).unwrap().is_none(), "it was refused");
        assert!(parse_token(&text, None, at(950)).unwrap().is_none(), "it is about to run out");
        assert!(parse_token(&"{}".into(), None, at(0)).is_err());
    }

    #[tokio::test]
    async fn a_login_that_fails_fails_all_who_waited_for_it_and_nobody_later() {
        let session = Session::default();
        let logins = std::cell::Cell::new(0);
        let login = async || {
            logins.set(logins.get() + 1);
            tokio::task::yield_now().await;
            Err(Failure::new(FailureClass::Credentials, "no such app"))
        };
        let asked = (0..16).map(|_| session.token(1, None, Moment::EPOCH, login()));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(logins.get(), 1);
        session.token(1, None, Moment::EPOCH, login()).await.unwrap_err();
        assert_eq!(logins.get(), 2);
    }
}
