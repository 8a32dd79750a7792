//! What the pushes of one integration share: the token they are logged in with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use crate::{
    connectors::Token,
    domain::{moment::Moment, outcome::Failure},
};

/// A token is renewed so long before it runs out.
const MARGIN: Duration = Duration::from_secs(60);

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
            && token.expires_at.is_none_or(|at| at > now + MARGIN)
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
            Ok(Token { secret, expires_at: Some(Moment::from_seconds(1000)), base: None, refresh: None })
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
