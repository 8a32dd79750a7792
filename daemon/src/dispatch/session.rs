//! What the pushes of one integration share: the token they are logged in with, and the pace of their calls.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use crate::{
    connectors::{Pace, Token},
    domain::outcome::Failure,
};

/// A token is renewed so long before it runs out.
const MARGIN_SECONDS: i64 = 60;

/// A token with the integration's version that it was made for: new credentials need a new login.
type Held = Option<(i32, Arc<Token>)>;

/// Outlives the versions of its integration.
#[derive(Debug, Default)]
pub(super) struct Session {
    quota: Arc<Mutex<Option<Arc<Quota>>>>,
    token: AsyncMutex<Held>,
    /// Until when pushes fail, and how, as the target's quota is all but used.
    spent: Arc<Mutex<Option<(Instant, Failure)>>>,
}

/// The calls that a target takes in its window.
#[derive(Debug)]
struct Quota {
    pace: Pace,
    /// One permit for each call of the window.
    room: Arc<Semaphore>,
    /// When the calls of the window ended, earliest first; none for a call that was not made yet.
    ended: Mutex<VecDeque<Option<Instant>>>,
}

/// The right to make a call, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    quota: Arc<Quota>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.quota.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back(Some(Instant::now()));
    }
}

impl Session {
    /// A session with a login of its own, whose calls count with these: the target's quota is the account's.
    pub(super) fn with_other_login(&self) -> Self {
        Self { quota: Arc::clone(&self.quota), token: AsyncMutex::default(), spent: Arc::clone(&self.spent) }
    }

    /// Lets pushes fail so until the failure's wait has passed.
    pub(super) fn rest(&self, failure: Failure) {
        let until = Instant::now() + failure.retry_after.unwrap_or_default();
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, failure));
    }

    /// How pushes fail now without a call, if they do.
    pub(super) fn spent(&self) -> Option<Failure> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (until, failure) = spent?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(Failure { retry_after: Some(left), ..failure })
    }

    /// Waits until another call may be made. A call counts from its end, not from its start: the target counts
    /// arrivals, and one call may be on its way for longer than the next.
    pub(super) async fn turn(&self, pace: Pace) -> Turn {
        let quota = self.quota(pace);
        // It is never closed.
        let permit = Arc::clone(&quota.room).acquire_owned().await.ok();
        let earlier = quota.ended.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let turn = Turn { quota, _permit: permit };
        if let Some(Some(ended)) = earlier {
            sleep_until(ended + pace.per).await;
        }
        turn
    }

    fn quota(&self, pace: Pace) -> Arc<Quota> {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        match &*quota {
            Some(quota) if quota.pace == pace => Arc::clone(quota),
            earlier => {
                let calls = pace.calls.max(1) as usize;
                let room = Arc::new(Semaphore::new(calls));
                // Calls under an earlier pace may have filled the window.
                let ended = Mutex::new(vec![earlier.as_ref().map(|_| Instant::now()); calls].into());
                Arc::clone(quota.insert(Arc::new(Quota { pace, room, ended })))
            }
        }
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
    use std::time::Duration;

    use super::*;
    use crate::domain::outcome::FailureClass;

    #[tokio::test]
    async fn no_stretch_of_time_holds_more_calls_than_the_pace_allows() {
        let session = Session::default();
        let pace = Pace { calls: 3, per: Duration::from_millis(60) };
        let arrivals = Mutex::new(Vec::new());
        // The later a call starts, the faster it arrives.
        let call = async |n: u64| {
            let turn = session.turn(pace).await;
            tokio::time::sleep(Duration::from_millis(12_u64.saturating_sub(n))).await;
            arrivals.lock().unwrap().push(Instant::now());
            drop(turn);
        };
        futures::future::join_all((0..12).map(call)).await;
        let mut arrivals = arrivals.into_inner().unwrap();
        arrivals.sort();
        assert_eq!(arrivals.len(), 12);
        for window in arrivals.windows(4) {
            assert!(window[3] - window[0] >= pace.per);
        }
    }

    #[tokio::test]
    async fn a_window_that_has_room_makes_nobody_wait() {
        let session = Session::default();
        let pace = Pace { calls: 5, per: Duration::from_secs(3600) };
        for _ in 0..5 {
            drop(session.turn(pace).await);
        }
        assert!(tokio::time::timeout(Duration::from_millis(1), session.turn(pace)).await.is_err());
        let pace = Pace { calls: 6, ..pace };
        assert!(tokio::time::timeout(Duration::from_millis(1), session.turn(pace)).await.is_err());
    }

    #[tokio::test]
    async fn a_turn_that_is_given_up_makes_room() {
        let session = Session::default();
        let pace = Pace { calls: 1, per: Duration::from_millis(20) };
        drop(session.turn(pace).await);
        let given_up = tokio::time::timeout(Duration::from_millis(1), session.turn(pace)).await;
        assert!(given_up.is_err());
        drop(session.turn(pace).await);
    }

    #[test]
    fn a_quota_that_is_spent_holds_pushes_until_its_wait_has_passed() {
        let session = Session::default();
        assert_eq!(session.spent(), None);
        let failure = Failure::new(FailureClass::Throttled, "spent");
        let rest = |wait| session.rest(Failure { retry_after: Some(wait), ..failure.clone() });
        rest(Duration::from_secs(900));
        let spent = session.with_other_login().spent().unwrap();
        assert_eq!((spent.class, spent.error.as_str()), (FailureClass::Throttled, "spent"));
        assert!(spent.retry_after.is_some_and(|left| left <= Duration::from_secs(900) && !left.is_zero()));
        rest(Duration::ZERO);
        assert_eq!(session.spent(), None);
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
