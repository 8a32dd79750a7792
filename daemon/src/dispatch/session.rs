//! What the pushes of one integration share: the token they are logged in with, and whom they are about.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::people::People;
use crate::connectors::Token;

/// A token is renewed so long before it runs out.
const MARGIN_SECONDS: i64 = 60;

/// A token with the integration's version that it was made for: new credentials need a new login.
type Held = Option<(i32, Arc<Token>)>;

/// Outlives the versions of its integration.
#[derive(Debug, Default)]
pub(super) struct Session {
    token: Mutex<Held>,
    pub(super) people: People,
}

impl Session {
    /// The token for a version of the integration. If there is none, or it is about to run out, or it is the one that
    /// was refused, `login` gets another: once, however many pushes ask. Where it is not needed it is not begun.
    pub(super) async fn token<E>(
        &self,
        version: i32,
        refused: Option<&Arc<Token>>,
        now: i64,
        login: impl Future<Output = Result<Token, E>>,
    ) -> Result<Arc<Token>, E> {
        let mut held = self.token.lock().await;
        if let Some((made_for, token)) = &*held
            && *made_for == version
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token))
            && token.expires_at.is_none_or(|at| at - MARGIN_SECONDS > now)
        {
            return Ok(Arc::clone(token));
        }
        *held = None;
        let token = Arc::new(login.await?);
        *held = Some((version, Arc::clone(&token)));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_is_shared_until_its_token_is_refused_or_runs_out() {
        let session = Session::default();
        let logins = std::cell::Cell::new(0);
        let login = async || {
            logins.set(logins.get() + 1);
            let secret = logins.get().to_string().into();
            Ok::<_, ()>(Token { secret, expires_at: Some(1000), base: None })
        };
        let first = session.token(1, None, 0, login()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &session.token(1, None, 0, login()).await.unwrap()));
        let second = session.token(1, Some(&first), 0, login()).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        // A push that was refused with the old token takes the one that another push got meanwhile.
        assert!(Arc::ptr_eq(&second, &session.token(1, Some(&first), 0, login()).await.unwrap()));
        session.token(1, None, 950, login()).await.unwrap();
        session.token(2, None, 0, login()).await.unwrap();
        assert_eq!(logins.get(), 4);
    }
}
