//! A target's quota: how many calls of an account may be made, over all pushes and integrations of this daemon.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use super::person_lock::PersonLocks;
use crate::{connectors::Pace, domain::outcome::Failure};

/// What an account takes. Integrations may share it.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// None if the target takes any number of calls.
    window: Option<Arc<Window>>,
    /// Whom pushes are about now.
    pub(super) people: PersonLocks,
    /// Until when pushes fail, and how, as what the target counts for all its callers is all but used.
    exhausted: Mutex<Option<(Instant, Failure)>>,
}

/// The calls that a target takes in its window.
#[derive(Debug)]
struct Window {
    pace: Pace,
    /// Room for each call of the window.
    room: Arc<Semaphore>,
    /// When the calls of the window ended, earliest first; none for a call that was not made yet.
    ended: Mutex<VecDeque<Option<Instant>>>,
    /// Until when others may have called: who waits already waits for that too.
    others_until: Mutex<Option<Instant>>,
}

/// The right to make a call, until this is dropped.
#[derive(Debug)]
pub(super) struct CallPermit {
    window: Arc<Window>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.window.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back(Some(Instant::now()));
    }
}

impl Quota {
    /// A quota. Its window begins full if others may have called until some time: what they did is not known here.
    fn new(pace: Option<Pace>, others_until: Option<Instant>) -> Self {
        let window = pace.map(|pace| {
            let calls = pace.calls.max(1) as usize;
            let room = Arc::new(Semaphore::new(calls));
            let ended = Mutex::new(vec![None; calls].into());
            Arc::new(Window { pace, room, ended, others_until: Mutex::new(others_until) })
        });
        Self { window, people: PersonLocks::new(others_until), exhausted: Mutex::default() }
    }

    /// Waits until another call may be made. A call counts from its end, not from its start: the target counts
    /// arrivals, and one call may be on its way for longer than the next.
    pub(super) async fn permit(&self) -> Option<CallPermit> {
        let window = Arc::clone(self.window.as_ref()?);
        // It is never closed.
        let room = Arc::clone(&window.room).acquire_owned().await.ok();
        let earlier = window.ended.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let permit = CallPermit { window, _room: room };
        loop {
            let others = *permit.window.others_until.lock().unwrap_or_else(PoisonError::into_inner);
            let free =
                earlier.flatten().into_iter().chain(others).max().map(|at| at + permit.window.pace.per);
            match free.filter(|at| *at > Instant::now()) {
                Some(at) => sleep_until(at).await,
                None => return Some(permit),
            }
        }
    }

    /// Other daemons may have called until then: the window is full of what they did.
    fn meet_others(&self, until: Instant) {
        self.people.meet_others(until);
        if let Some(window) = &self.window {
            *window.others_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }

    /// Lets pushes fail so until the failure's wait has passed; with none, lets them go.
    pub(super) fn set_exhausted(&self, failure: Option<Failure>) {
        let until =
            failure.map(|failure| (Instant::now() + failure.retry_after.unwrap_or_default(), failure));
        *self.exhausted.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How pushes fail now without a call, if they do.
    pub(super) fn exhausted(&self) -> Option<Failure> {
        let exhausted = self.exhausted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (until, failure) = exhausted?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(Failure { retry_after: Some(left), ..failure })
    }
}

/// An account and what it is paced at, without the credentials that it is known by.
type AccountHash = [u8; 32];

/// The quotas of the accounts that integrations of this daemon push to.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashMap<AccountHash, Weak<Quota>>>);

impl Quotas {
    /// Other daemons may have pushed to any account until then.
    pub(super) fn meet_others(&self, until: Instant) {
        let quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.values().filter_map(Weak::upgrade).for_each(|quota| quota.meet_others(until));
    }

    /// The quota of a connector's account: one for all integrations that name the same. One that was not known yet
    /// begins as if others had called until that time.
    pub(super) fn of(
        &self,
        connector: &str,
        account: &str,
        pace: Option<Pace>,
        others_until: Option<Instant>,
    ) -> Arc<Quota> {
        let account = Sha256::digest(format!("{connector}\n{pace:?}\n{account}")).into();
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quota) = quotas.get(&account).and_then(Weak::upgrade) {
            return quota;
        }
        quotas.retain(|_, quota| quota.strong_count() > 0);
        let quota = Arc::new(Quota::new(pace, others_until));
        quotas.insert(account, Arc::downgrade(&quota));
        quota
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::outcome::FailureClass;

    fn quota(calls: u32, per: Duration) -> Arc<Quota> {
        Arc::new(Quota::new(Some(Pace { calls, per }), None))
    }

    async fn is_there_room(quota: &Arc<Quota>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), quota.permit()).await.is_ok()
    }

    #[tokio::test]
    async fn no_stretch_of_time_holds_more_calls_than_the_pace_allows() {
        let quota = quota(3, Duration::from_millis(60));
        let arrivals = Mutex::new(Vec::new());
        // The later a call starts, the faster it arrives.
        let call = async |n: u64| {
            let permit = quota.permit().await;
            tokio::time::sleep(Duration::from_millis(12_u64.saturating_sub(n))).await;
            arrivals.lock().unwrap().push(Instant::now());
            drop(permit);
        };
        futures::future::join_all((0..12).map(call)).await;
        let mut arrivals = arrivals.into_inner().unwrap();
        arrivals.sort();
        assert_eq!(arrivals.len(), 12);
        for window in arrivals.windows(4) {
            assert!(window[3] - window[0] >= Duration::from_millis(60));
        }
    }

    #[tokio::test]
    async fn a_window_that_has_room_makes_nobody_wait() {
        let quota = quota(5, Duration::from_secs(3600));
        for _ in 0..5 {
            drop(quota.permit().await);
        }
        assert!(!is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn a_pace_without_a_window_limits_what_is_under_way_at_once() {
        let quota = quota(2, Duration::ZERO);
        let (one, _two) = (quota.permit().await, quota.permit().await);
        assert!(!is_there_room(&quota).await);
        drop(one);
        assert!(is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn a_permit_that_is_given_up_makes_room() {
        let quota = quota(1, Duration::from_millis(20));
        drop(quota.permit().await);
        assert!(!is_there_room(&quota).await);
        drop(quota.permit().await);
    }

    #[test]
    fn a_quota_that_is_spent_holds_pushes_until_its_wait_has_passed() {
        let quota = Quota::default();
        assert_eq!(quota.exhausted(), None);
        let failure = Failure::new(FailureClass::Throttled, "exhausted");
        let exhaust =
            |wait| quota.set_exhausted(Some(Failure { retry_after: Some(wait), ..failure.clone() }));
        exhaust(Duration::from_secs(900));
        let exhausted = quota.exhausted().unwrap();
        assert_eq!((exhausted.class, exhausted.error.as_str()), (FailureClass::Throttled, "exhausted"));
        assert!(
            exhausted.retry_after.is_some_and(|left| left <= Duration::from_secs(900) && !left.is_zero())
        );
        quota.set_exhausted(None);
        assert_eq!(quota.exhausted(), None, "a later answer says that there is more");
        exhaust(Duration::ZERO);
        assert_eq!(quota.exhausted(), None);
    }

    #[tokio::test]
    async fn what_others_may_have_called_fills_the_window() {
        let (hour, now) = (Duration::from_secs(3600), Instant::now());
        let pace = Some(Pace { calls: 5, per: hour });
        assert!(!is_there_room(&Arc::new(Quota::new(pace, Some(now)))).await);
        assert!(is_there_room(&Arc::new(Quota::new(pace, Some(now - hour)))).await);
    }

    #[tokio::test]
    async fn what_other_daemons_did_meanwhile_fills_the_window_too() {
        let quotas = Quotas::default();
        let pace = Some(Pace { calls: 5, per: Duration::from_secs(3600) });
        let quota = quotas.of("hubspot", "token", pace, None);
        assert!(is_there_room(&quota).await);
        quotas.meet_others(Instant::now());
        assert!(!is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn integrations_of_one_account_share_its_quota() {
        let quotas = Quotas::default();
        let pace = Some(Pace { calls: 1, per: Duration::from_secs(3600) });
        let of = |connector, account| quotas.of(connector, account, pace, None);
        let first = of("hubspot", "token");
        drop(first.permit().await);
        assert!(!is_there_room(&of("hubspot", "token")).await);
        assert!(is_there_room(&of("hubspot", "another")).await);
        assert!(is_there_room(&of("pipedrive", "token")).await);
        drop(first);
        let _new = of("airtable", "base");
        assert_eq!(quotas.0.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }
}
