//! What the pushes of one integration share: the token they are logged in with, and the pace of their calls.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep_until},
};

use crate::connectors::{Pace, Token};

/// A token is renewed so long before it runs out.
const MARGIN_SECONDS: i64 = 60;
/// A target counts arrivals, which are a little less even than departures.
const GUARD: Duration = Duration::from_millis(20);

/// A token with the integration's version that it was made for: new credentials need a new login.
type Held = Option<(i32, Arc<Token>)>;

/// Outlives the versions of its integration.
#[derive(Debug, Default)]
pub(super) struct Session {
    calls: Mutex<VecDeque<Instant>>,
    token: AsyncMutex<Held>,
}

impl Session {
    /// Waits until another call may be made, and counts it.
    pub(super) async fn wait_turn(&self, pace: Pace) {
        sleep_until(self.next_turn(pace)).await;
    }

    /// When the next call may be made, which is booked.
    fn next_turn(&self, pace: Pace) -> Instant {
        let mut booked = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, calls) = (Instant::now(), pace.calls.max(1) as usize);
        // The call that lies so many calls back must lie a whole window back.
        let earlier = booked.len().checked_sub(calls).and_then(|at| booked.get(at));
        let at = earlier.map_or(now, |earlier| now.max(*earlier + pace.per + GUARD));
        booked.push_back(at);
        if booked.len() > calls {
            booked.pop_front();
        }
        at
    }

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
    async fn no_stretch_of_time_holds_more_calls_than_the_pace_allows() {
        let session = Session::default();
        let pace = Pace { calls: 3, per: Duration::from_secs(2) };
        let turns: Vec<Instant> = (0..20).map(|_| session.next_turn(pace)).collect();
        for window in turns.windows(4) {
            assert!(window[3] - window[0] > pace.per);
        }
    }

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
