//! Which daemon calls an account: one at a time. So the calls of its quota and whom pushes are about are known in one
//! memory, which goes with the account from daemon to daemon.
//!
//! A daemon takes an account with its first push there and keeps it for as long as it lives: no later push asks the
//! database. Another daemon that has pushes for it stands in a line (`store/account.rs`). The one that has it hears so
//! (`membership`), begins no more pushes there, and gives it away once those under way have ended. Both look again and
//! again, so that no message can get lost: a push waits for no longer than others push before it, or, if the daemon that
//! has the account dies, until its row is gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedRwLockReadGuard, RwLock, mpsc},
    time::{Instant, sleep, sleep_until},
};

use super::{
    integration_cache::IntegrationCache,
    membership::{AskedAccount, DaemonLease},
    pusher::settled,
    tasks::Tasks,
};
use crate::{
    domain::lane::LaneId,
    store::{
        Change, Error, Store,
        account::{AccountHash, AccountMemory, Before, TakenAccount},
    },
    telemetry,
};

/// How often a daemon looks whether it has got the account: first, and from a second on.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_LATER: Duration = Duration::from_secs(1);
/// So long a daemon that has pushes for an account keeps it at the least: giving it away makes both wait.
const SLICE: Duration = Duration::from_millis(500);

/// What this daemon had of the account last; what it knows of it is as old.
#[derive(Clone, Copy, Debug)]
struct Taken {
    daemon: i64,
    term: i64,
    since: Instant,
    /// Not any more, or that is not known: the answer is not here.
    is_given: bool,
}

/// An account that other daemons may call too.
#[derive(Debug)]
pub(super) struct AccountHold {
    account: AccountHash,
    store: Store,
    lease: Arc<DaemonLease>,
    /// Attempts read it for as long as they run.
    taken: Arc<RwLock<Option<Taken>>>,
    /// Whoever takes the account or gives it away has this. An attempt that has the account never waits for it.
    changing: Mutex<()>,
    /// How many pushes of each lane wait for it.
    waiting: StdMutex<HashMap<LaneId, usize>>,
}

/// No other daemon calls the account until this is dropped.
#[derive(Debug)]
pub(super) struct HeldAccount {
    _taken: OwnedRwLockReadGuard<Option<Taken>>,
}

/// A push that waits.
struct WaitingPush<'a> {
    hold: &'a AccountHold,
    lane: LaneId,
}

impl Drop for WaitingPush<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hold.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.lane) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.lane);
            }
        }
    }
}

impl AccountHold {
    pub(super) fn new(account: AccountHash, store: Store, lease: Arc<DaemonLease>) -> Self {
        let (taken, changing, waiting) = (Arc::default(), Mutex::default(), StdMutex::default());
        Self { account, store, lease, taken, changing, waiting }
    }

    /// A daemon that was taken for dead has lost its accounts with all else. Before it knows, its lease is not trusted.
    fn is_own(&self, taken: Option<Taken>) -> bool {
        taken.is_some_and(|taken| !taken.is_given && taken.daemon == self.lease.id())
    }

    /// The account, if this daemon has it and nobody asked for it.
    pub(super) fn at_once(&self) -> Option<HeldAccount> {
        let taken = Arc::clone(&self.taken).try_read_owned().ok()?;
        (self.is_own(*taken) && self.lease.is_trusted()).then_some(HeldAccount { _taken: taken })
    }

    /// Waits until this daemon has the account; `take_in` hears what is known of it elsewhere. None if the database does not
    /// let it: a limit is worth no lead.
    pub(super) async fn wait(&self, lane: LaneId, take_in: impl Fn(Before)) -> Option<HeldAccount> {
        let _waiting = self.start_waiting(lane);
        loop {
            if !self.lease.is_trusted() {
                sleep(LOOK).await;
                continue;
            }
            let taken = Arc::clone(&self.taken).read_owned().await;
            if self.is_own(*taken) {
                return Some(HeldAccount { _taken: taken });
            }
            drop(taken);
            let _changing = self.changing.lock().await;
            // Of many that wait one takes it for all.
            let last = *self.taken.read().await;
            if self.is_own(last) {
                continue;
            }
            let (daemon, TakenAccount { term, before }) = self.take(last).await?;
            let mut taken = Arc::clone(&self.taken).write_owned().await;
            take_in(before);
            *taken = Some(Taken { daemon, term, since: Instant::now(), is_given: false });
            return Some(HeldAccount { _taken: taken.downgrade() });
        }
    }

    fn start_waiting(&self, lane: LaneId) -> WaitingPush<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting.entry(lane).or_default() += 1;
        WaitingPush { hold: self, lane }
    }

    fn waiting(&self) -> Vec<LaneId> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    async fn take(&self, last: Option<Taken>) -> Option<(i64, TakenAccount)> {
        let (began, mut shown) = (Instant::now(), Vec::new());
        loop {
            // What is taken under an id that is void is another's at once.
            if !self.lease.is_trusted() {
                sleep(LOOK).await;
                continue;
            }
            let (daemon, lanes) = (self.lease.id(), self.waiting());
            let known = last.filter(|taken| taken.daemon == daemon).map(|taken| taken.term);
            match settled(self.store.take_account(&self.account, daemon, known, &lanes).await).await {
                None => {}
                Some(Ok(Some(taken))) => {
                    self.show(&shown);
                    return Some((daemon, taken));
                }
                Some(Ok(None)) if began.elapsed() < LOOK_LATER => sleep(LOOK).await,
                Some(Ok(None)) => {
                    let new: Vec<_> = lanes.into_iter().filter(|lane| !shown.contains(lane)).collect();
                    self.show(&new);
                    shown.extend(new);
                    sleep(LOOK_LATER).await;
                }
                Some(Err(error)) => {
                    tracing::error!(
                        event = "account_not_taken",
                        error = telemetry::causes(&error),
                        "an account is called without knowing whether another daemon calls it"
                    );
                    return None;
                }
            }
        }
    }

    /// Whoever watches these integrations sees whether they wait for the account.
    fn show(&self, lanes: &[LaneId]) {
        lanes.iter().for_each(|lane| self.store.wake_ups().changed(Change { lane: *lane, config: false }));
    }

    /// Gives the account to whoever is next in the line, with what is known of it, once no attempt needs it any more. It was
    /// asked for under this term.
    pub(super) async fn give(&self, term: i64, memory: impl FnOnce() -> AccountMemory) {
        // Who asks is heard all the time.
        let Ok(_changing) = self.changing.try_lock() else { return };
        if self.taken.try_write().is_err() {
            let since = self.taken.read().await.map(|taken| taken.since);
            sleep_until(since.map_or_else(Instant::now, |since| since + SLICE)).await;
        }
        let mut taken = self.taken.write().await;
        // Whoever took it under a term that nobody told knows nothing of what was given with it.
        let memory = taken.is_some_and(|taken| taken.term == term).then(memory);
        if let Some(taken) = &mut *taken {
            taken.is_given = true;
        }
        report(self.store.give_account(&self.account, self.lease.id(), term, memory.as_ref()).await);
    }
}

/// Gives away what others ask for, until nobody tells of it any more: while the daemon stops, too, as the last of its pushes
/// may take long.
pub(super) async fn give_what_is_asked(
    mut asked: mpsc::UnboundedReceiver<AskedAccount>,
    integrations: Arc<IntegrationCache>,
    tasks: Tasks,
) {
    while let Some((account, term)) = asked.recv().await {
        let integrations = Arc::clone(&integrations);
        tasks.spawn("handover of an account", async move { integrations.give_account(account, term).await });
    }
}

/// What is not given away is asked for again.
pub(super) fn report(given: Result<(), Error>) {
    if let Err(error) = given {
        tracing::warn!(
            event = "account_not_given",
            error = telemetry::causes(&error),
            "an account that another daemon asked for could not be given away; trying again"
        );
    }
}
