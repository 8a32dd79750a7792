//! A target's quota: how many calls of an account may be made, over all pushes and integrations. One daemon at a time makes
//! them (`account_hold`).

use std::{
    collections::{HashMap, VecDeque},
    iter::repeat_n,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use super::{
    account_hold::{AccountHold, Hold},
    holding::{AccountTask, Holding},
    person_lock::PersonLocks,
};
use crate::{
    connectors::Pace,
    domain::{lane::LaneId, outcome::Failure},
    store::account::{AccountHash, AccountMemory, PriorCalls},
};

/// What an account takes of an integration.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    /// None if the target takes any number of calls. Integrations that are paced alike share it.
    window: Option<Arc<Window>>,
    account: Arc<Account>,
}

/// An account, to which several integrations may push.
#[derive(Debug, Default)]
struct Account {
    /// One for each pace that integrations are set to.
    windows: Mutex<Vec<Weak<Window>>>,
    /// Whom pushes are about now.
    people: PersonLocks,
    /// Until when pushes fail, and how, as what the target counts for all its callers is all but used.
    exhausted: Mutex<Option<(Instant, Failure)>>,
    /// None where no other daemon could call it.
    hold: Option<AccountHold>,
}

/// The calls that a target takes in its window.
#[derive(Debug)]
struct Window {
    pace: Pace,
    /// One permit for each call of the window.
    room: Arc<Semaphore>,
    /// When the calls of the window ended, earliest first; none for a call that was not made yet.
    ended: Mutex<VecDeque<Option<Instant>>>,
    /// Until when others may have called: who waits already waits for that too.
    others_until: Mutex<Option<Instant>>,
}

/// The right to make a call, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    window: Arc<Window>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.window.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back(Some(Instant::now()));
    }
}

impl Window {
    /// A window that begins full if others may have called until some time: what they did is not known here.
    fn new(pace: Pace, others_until: Option<Instant>) -> Self {
        let calls = pace.calls.max(1) as usize;
        Self {
            pace,
            room: Arc::new(Semaphore::new(calls)),
            ended: Mutex::new(vec![None; calls].into()),
            others_until: others_until.into(),
        }
    }

    /// How long ago calls ended that count.
    fn ended(&self) -> Vec<Duration> {
        let counts = |at: &Instant| at.elapsed() < self.pace.per;
        let others = *self.others_until.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if others.as_ref().is_some_and(counts) {
            // Which of the window's places they took is not known, nor whether they took those of the calls made here.
            let last = ended.iter().flatten().copied().chain(others).max();
            return vec![last.map_or(Duration::ZERO, |at| at.elapsed()); self.pace.calls as usize];
        }
        ended.iter().flatten().copied().filter(counts).map(|at| at.elapsed()).collect()
    }

    /// The calls of the window ended so long ago: another daemon made them, and has counted those that this one made before.
    fn import(&self, ages: &[Duration]) {
        let now = Instant::now();
        let mut made: Vec<_> = ages.iter().map(|age| now.checked_sub(*age)).collect();
        made.sort();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        made.drain(..made.len().saturating_sub(ended.len()));
        *ended = repeat_n(None, ended.len() - made.len()).chain(made).collect();
    }

    /// Other daemons may have called until then: the window is full of what they did.
    fn assume_others_called_until(&self, until: Instant) {
        let mut others = self.others_until.lock().unwrap_or_else(PoisonError::into_inner);
        *others = Some(until).max(*others);
    }
}

impl Account {
    /// An account to which others may have called until some time.
    fn new(others_until: Option<Instant>, hold: Option<AccountHold>) -> Self {
        let (windows, exhausted) = (Mutex::default(), Mutex::default());
        Self { windows, people: PersonLocks::new(others_until), exhausted, hold }
    }

    fn windows(&self) -> Vec<Arc<Window>> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter().filter_map(Weak::upgrade).collect()
    }

    /// The window of a pace. One that was not there yet begins as if others had called until that time.
    fn window(&self, pace: Pace, others_until: Option<Instant>) -> Arc<Window> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.iter().filter_map(Weak::upgrade).find(|window| window.pace == pace) {
            return window;
        }
        windows.retain(|window| window.strong_count() > 0);
        let window = Arc::new(Window::new(pace, others_until));
        windows.push(Arc::downgrade(&window));
        window
    }

    /// What another daemon is to know of it.
    fn memory(&self) -> AccountMemory {
        AccountMemory {
            ended: self.windows().iter().flat_map(|window| window.ended()).collect(),
            last_push: self.people.last_push().map(|at| at.elapsed()),
            exhausted: self.exhausted(),
        }
    }

    /// What another daemon knew counts here from now on.
    fn import(&self, prior: PriorCalls) {
        let ago = |age| Instant::now().checked_sub(age);
        match prior {
            PriorCalls::Own => {}
            PriorCalls::Given(AccountMemory { ended, last_push, exhausted }) => {
                self.windows().iter().for_each(|window| window.import(&ended));
                if let Some(at) = last_push.and_then(ago) {
                    self.people.assume_others_pushed_until(at);
                }
                self.set_exhausted(exhausted);
            }
            PriorCalls::Unknown(age) => {
                if let Some(until) = ago(age) {
                    self.assume_others_called_until(until);
                }
            }
        }
    }

    fn assume_others_called_until(&self, until: Instant) {
        self.people.assume_others_pushed_until(until);
        self.windows().iter().for_each(|window| window.assume_others_called_until(until));
    }

    fn set_exhausted(&self, failure: Option<Failure>) {
        let until =
            failure.map(|failure| (Instant::now() + failure.retry_after.unwrap_or_default(), failure));
        *self.exhausted.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn exhausted(&self) -> Option<Failure> {
        let exhausted = self.exhausted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (until, failure) = exhausted?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(Failure { retry_after: Some(left), ..failure })
    }
}

impl Quota {
    /// Whether the target counts calls.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// Whom pushes to the account are about now.
    pub(super) fn people(&self) -> &PersonLocks {
        &self.account.people
    }

    /// Waits until no other daemon calls the account. Whoever waits for a person or a turn, or for a login that takes one,
    /// has it before: nobody waits for it with what those need who must end first. With `may_stop`, a daemon that stops
    /// waits no longer.
    pub(super) async fn hold(&self, lane: LaneId, may_stop: bool) -> Hold {
        let account = &self.account;
        let Some(hold) = &account.hold else { return Hold::Without };
        match hold.at_once() {
            Some(held) => Hold::Held(held),
            None => Box::pin(hold.wait(lane, may_stop, |prior| account.import(prior))).await,
        }
    }

    /// Waits until another call may be made. A call counts from its end, not from its start: the target counts
    /// arrivals, and one call may be on its way for longer than the next.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let window = Arc::clone(self.window.as_ref()?);
        // It is never closed.
        let permit = Arc::clone(&window.room).acquire_owned().await.ok();
        let earlier = window.ended.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let turn = Turn { window, _permit: permit };
        loop {
            let others = *turn.window.others_until.lock().unwrap_or_else(PoisonError::into_inner);
            let free = earlier.flatten().into_iter().chain(others).max().map(|at| at + turn.window.pace.per);
            match free.filter(|at| *at > Instant::now()) {
                Some(at) => sleep_until(at).await,
                None => return Some(turn),
            }
        }
    }

    /// Lets pushes fail so until the failure's wait has passed; with none, lets them go.
    pub(super) fn set_exhausted(&self, failure: Option<Failure>) {
        self.account.set_exhausted(failure);
    }

    /// How pushes fail now without a call, if they do.
    pub(super) fn exhausted(&self) -> Option<Failure> {
        self.account.exhausted()
    }
}

/// The quotas of the accounts that integrations of this daemon push to.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    accounts: Mutex<HashMap<AccountHash, Weak<Account>>>,
    /// Where daemons agree who calls an account; none where there is but one.
    holding: Option<Holding>,
}

impl Quotas {
    /// Those of one daemon among others.
    pub(super) fn among(holding: Holding) -> Self {
        Self { accounts: Mutex::default(), holding: Some(holding) }
    }

    fn known(&self, account: &AccountHash) -> Option<Arc<Account>> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(account).and_then(Weak::upgrade)
    }

    /// Does what is to be done about an account.
    pub(super) async fn see_to(&self, task: AccountTask) {
        let Some(holding) = &self.holding else { return };
        let (AccountTask::Give(account, _) | AccountTask::LeaveLine(account)) = task;
        let known = self.known(&account);
        let hold = known.as_ref().and_then(|known| Some((known, known.hold.as_ref()?)));
        match (task, hold) {
            (AccountTask::Give(_, term), Some((known, hold))) => hold.give(term, || known.memory()).await,
            (AccountTask::LeaveLine(_), Some((_, hold))) => hold.leave_line().await,
            // No integration is pushed to there any more.
            (AccountTask::Give(_, term), None) => {
                holding.own.remove(&account, term);
                holding.give(&account, term, None).await;
            }
            (AccountTask::LeaveLine(_), None) => holding.leave_line(&account).await,
        }
    }

    /// Other daemons may have pushed to any account until then.
    pub(super) fn assume_others_called_until(&self, until: Instant) {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.values().filter_map(Weak::upgrade).for_each(|known| known.assume_others_called_until(until));
    }

    /// The quota of a connector's account: one for all integrations that name the same, with a window for each pace. One
    /// that was not known yet begins as if others had called until that time.
    pub(super) fn of(
        &self,
        connector: &str,
        account: &str,
        pace: Option<Pace>,
        others_until: Option<Instant>,
    ) -> Quota {
        let hash: AccountHash = Sha256::digest(format!("{connector}\n{account}")).into();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.get(&hash).and_then(Weak::upgrade).unwrap_or_else(|| {
            accounts.retain(|_, account| account.strong_count() > 0);
            let hold = self.holding.as_ref().map(|holding| AccountHold::new(hash, holding.clone()));
            let account = Arc::new(Account::new(others_until, hold));
            accounts.insert(hash, Arc::downgrade(&account));
            account
        });
        Quota { window: pace.map(|pace| account.window(pace, others_until)), account }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::FailureClass;

    fn quota(calls: u32, per: Duration) -> Quota {
        quota_after(calls, per, None)
    }

    /// To which others may have called until then.
    fn quota_after(calls: u32, per: Duration, others_until: Option<Instant>) -> Quota {
        Quotas::default().of("hubspot", "token", Some(Pace { calls, per }), others_until)
    }

    async fn is_there_room(quota: &Quota) -> bool {
        tokio::time::timeout(Duration::from_millis(1), quota.turn()).await.is_ok()
    }

    #[tokio::test]
    async fn no_stretch_of_time_holds_more_calls_than_the_pace_allows() {
        let quota = quota(3, Duration::from_millis(60));
        let arrivals = Mutex::new(Vec::new());
        // The later a call starts, the faster it arrives.
        let call = async |n: u64| {
            let turn = quota.turn().await;
            tokio::time::sleep(Duration::from_millis(12_u64.saturating_sub(n))).await;
            arrivals.lock().unwrap().push(Instant::now());
            drop(turn);
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
            drop(quota.turn().await);
        }
        assert!(!is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn a_pace_without_a_window_limits_what_is_under_way_at_once() {
        let quota = quota(2, Duration::ZERO);
        let (one, _two) = (quota.turn().await, quota.turn().await);
        assert!(!is_there_room(&quota).await);
        drop(one);
        assert!(is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn a_turn_that_is_given_up_makes_room() {
        let quota = quota(1, Duration::from_millis(20));
        drop(quota.turn().await);
        assert!(!is_there_room(&quota).await);
        drop(quota.turn().await);
    }

    #[test]
    fn a_quota_that_is_exhausted_holds_pushes_until_its_wait_has_passed() {
        let quota = Quota::default();
        assert_eq!(quota.exhausted(), None);
        let failure = Failure::new(FailureClass::Throttled, "exhausted");
        let exhaust =
            |wait| quota.set_exhausted(Some(Failure { retry_after: Some(wait), ..failure.clone() }));
        exhaust(Duration::from_secs(900));
        let exhausted = quota.exhausted().unwrap();
        assert_eq!((exhausted.class, exhausted.error.as_str()), (FailureClass::Throttled, "exhausted"));
        let left = exhausted.retry_after.unwrap();
        assert!(left <= Duration::from_secs(900) && !left.is_zero());
        quota.set_exhausted(None);
        assert_eq!(quota.exhausted(), None, "a later answer says that there is more");
        exhaust(Duration::ZERO);
        assert_eq!(quota.exhausted(), None);
    }

    #[tokio::test]
    async fn what_others_may_have_called_fills_the_window() {
        let (hour, now) = (Duration::from_secs(3600), Instant::now());
        assert!(!is_there_room(&quota_after(5, hour, Some(now))).await);
        assert!(is_there_room(&quota_after(5, hour, Some(now - hour))).await);
    }

    #[tokio::test]
    async fn what_other_daemons_did_meanwhile_fills_the_window_too() {
        let quotas = Quotas::default();
        let pace = Some(Pace { calls: 5, per: Duration::from_secs(3600) });
        let quota = quotas.of("hubspot", "token", pace, None);
        assert!(is_there_room(&quota).await);
        quotas.assume_others_called_until(Instant::now());
        assert!(!is_there_room(&quota).await);
    }

    #[tokio::test]
    async fn integrations_of_one_account_share_its_quota() {
        let quotas = Quotas::default();
        let pace = Some(Pace { calls: 1, per: Duration::from_secs(3600) });
        let of = |connector, account| quotas.of(connector, account, pace, None);
        let first = of("hubspot", "token");
        drop(first.turn().await);
        assert!(!is_there_room(&of("hubspot", "token")).await);
        assert!(is_there_room(&of("hubspot", "another")).await);
        assert!(is_there_room(&of("pipedrive", "token")).await);
        // Each pace has a window of its own; whom they push for, and what is left of the day, is the account's.
        let slower =
            quotas.of("hubspot", "token", Some(Pace { calls: 1, per: Duration::from_secs(7200) }), None);
        assert!(is_there_room(&slower).await);
        assert!(Arc::ptr_eq(&slower.account, &first.account));
        assert_eq!(first.account.memory().ended.len(), 2, "whoever has it next counts the calls of both");
        drop((first, slower));
        let _new = of("airtable", "base");
        assert_eq!(quotas.accounts.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }

    #[tokio::test]
    async fn a_window_goes_from_daemon_to_daemon_with_the_calls_that_count() {
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let first = quota(3, hour);
        for _ in 0..2 {
            drop(first.turn().await);
        }
        let memory = first.account.memory();
        assert_eq!((memory.ended.len(), memory.last_push), (2, None));
        let of = |ended: &[Duration]| {
            let next = quota(3, hour);
            let given = AccountMemory { ended: ended.to_vec(), ..AccountMemory::default() };
            next.account.import(PriorCalls::Given(given));
            next
        };
        let next = of(&memory.ended);
        assert!(is_there_room(&next).await, "there was room for one more");
        assert!(!is_there_room(&next).await);
        assert!(!is_there_room(&of(&[second; 9])).await, "a window has no more places than it has");
        assert!(is_there_room(&of(&[hour * 2, second, second])).await, "what is over counts no more");

        // So does what is left of the day's quota.
        let failure = Failure::new(FailureClass::Throttled, "exhausted");
        first.set_exhausted(Some(Failure { retry_after: Some(hour), ..failure.clone() }));
        next.account.import(PriorCalls::Given(first.account.memory()));
        assert_eq!(next.exhausted().unwrap().error, failure.error);
        first.set_exhausted(None);
        next.account.import(PriorCalls::Given(first.account.memory()));
        assert_eq!(next.exhausted(), None);

        // What is not known fills it, for whoever gets it later, too.
        let unknown = quota(3, hour);
        unknown.account.import(PriorCalls::Unknown(second));
        assert!(!is_there_room(&unknown).await);
        assert_eq!(unknown.account.memory().ended.len(), 3);
        assert!(unknown.account.memory().last_push.is_some_and(|age| age >= second));
        let long_ago = quota(3, hour);
        long_ago.account.import(PriorCalls::Unknown(hour * 2));
        assert!(is_there_room(&long_ago).await);
    }

    #[tokio::test]
    async fn calls_that_were_under_way_when_others_may_have_called_are_told_too() {
        let quota = quota(2, Duration::from_secs(3600));
        let turn = quota.turn().await;
        quota.account.assume_others_called_until(Instant::now() - Duration::from_secs(1));
        let before = Instant::now();
        drop(turn);
        let ended = quota.account.memory().ended;
        let since = before.elapsed();
        assert!(ended.len() == 2 && ended.iter().all(|age| *age <= since), "{ended:?}");
    }
}
