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
    mem,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedRwLockReadGuard, RwLock, mpsc},
    time::{Instant, sleep, sleep_until},
};

use super::{
    holding::{AccountTask, Holding},
    integration_cache::IntegrationCache,
    pusher::settled,
    tasks::Tasks,
};
use crate::{
    domain::lane::LaneId,
    store::account::{AccountHash, AccountMemory, PriorCalls, TakenAccount},
    telemetry,
};

#[cfg(test)]
mod tests;

/// How often a daemon looks whether it has got the account: first, and from a second on, unless it hears that it may have it.
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
    holding: Holding,
    /// Attempts read it for as long as they run.
    taken: Arc<RwLock<Option<Taken>>>,
    /// Whoever takes the account or gives it away has this. An attempt that has the account never waits for it.
    changing: Mutex<()>,
    /// How many pushes of each lane wait for it.
    waiting: StdMutex<HashMap<LaneId, usize>>,
    /// They may stand in the line.
    is_in_line: AtomicBool,
    /// The lanes of which it was shown that they wait.
    shown: StdMutex<Vec<LaneId>>,
}

/// No other daemon calls the account until this is dropped.
#[derive(Debug)]
pub(super) struct HeldAccount {
    _taken: OwnedRwLockReadGuard<Option<Taken>>,
}

/// What a wait for an account came to.
#[derive(Debug)]
pub(super) enum Hold {
    Held(HeldAccount),
    /// Nobody else could call it, or the database does not let it be known: a limit is worth no lead.
    Without,
    /// The daemon stops: what is not begun is given back.
    Stopping,
}

/// A push that waits.
struct WaitingPush<'a> {
    hold: &'a AccountHold,
    lane: LaneId,
}

impl Drop for WaitingPush<'_> {
    fn drop(&mut self) {
        let AccountHold { account, holding, waiting, is_in_line, .. } = self.hold;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.lane) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.lane);
            }
        }
        if waiting.is_empty() && is_in_line.load(Ordering::Relaxed) {
            holding.own.leave_line(*account);
        }
    }
}

impl AccountHold {
    pub(super) fn new(account: AccountHash, holding: Holding) -> Self {
        Self {
            account,
            holding,
            taken: Arc::default(),
            changing: Mutex::default(),
            waiting: StdMutex::default(),
            is_in_line: AtomicBool::default(),
            shown: StdMutex::default(),
        }
    }

    /// A daemon that was taken for dead has lost its accounts with all else. Before it knows, its lease is not trusted.
    fn is_own(&self, taken: Option<Taken>) -> bool {
        taken.is_some_and(|taken| !taken.is_given && taken.daemon == self.holding.lease.id())
    }

    /// The account, if this daemon has it and nobody asked for it.
    pub(super) fn at_once(&self) -> Option<HeldAccount> {
        let taken = Arc::clone(&self.taken).try_read_owned().ok()?;
        (self.is_own(*taken) && self.holding.lease.is_trusted()).then_some(HeldAccount { _taken: taken })
    }

    /// Waits until this daemon has the account; `import` hears what is known of it elsewhere.
    pub(super) async fn wait(&self, lane: LaneId, may_stop: bool, import: impl Fn(PriorCalls)) -> Hold {
        let waits = self.wait_in_line(lane, import);
        if may_stop {
            return self.holding.own.unless_stopping(waits).await.unwrap_or(Hold::Stopping);
        }
        waits.await
    }

    async fn wait_in_line(&self, lane: LaneId, import: impl Fn(PriorCalls)) -> Hold {
        let _waiting = self.start_waiting(lane);
        loop {
            if !self.holding.lease.is_trusted() {
                sleep(LOOK).await;
                continue;
            }
            let taken = Arc::clone(&self.taken).read_owned().await;
            if self.is_own(*taken) {
                return Hold::Held(HeldAccount { _taken: taken });
            }
            drop(taken);
            let _changing = self.changing.lock().await;
            // Of many that wait one takes it for all.
            let last = *self.taken.read().await;
            if self.is_own(last) {
                continue;
            }
            let Some((daemon, TakenAccount { term, prior })) = self.take(last).await else {
                return Hold::Without;
            };
            let mut taken = Arc::clone(&self.taken).write_owned().await;
            import(prior);
            *taken = Some(Taken { daemon, term, since: Instant::now(), is_given: false });
            self.holding.own.add(self.account, daemon, term);
            return Hold::Held(HeldAccount { _taken: taken.downgrade() });
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
        let Holding { rows, lease, own, .. } = &self.holding;
        let began = Instant::now();
        loop {
            // What is taken under an id that is void is another's at once.
            if !lease.is_trusted() {
                sleep(LOOK).await;
                continue;
            }
            let (daemon, lanes) = (lease.id(), self.waiting());
            let known = last.filter(|taken| taken.daemon == daemon).map(|taken| taken.term);
            self.is_in_line.store(true, Ordering::Relaxed);
            match settled(rows.take(&self.account, daemon, known, &lanes).await).await {
                None => {}
                Some(Ok(Some(taken))) => {
                    self.end_line();
                    return Some((daemon, taken));
                }
                Some(Ok(None)) if began.elapsed() < LOOK_LATER => sleep(LOOK).await,
                Some(Ok(None)) => {
                    self.show(lanes);
                    tokio::select! {
                        () = own.may_take() => {}
                        () = sleep(LOOK_LATER) => {}
                    }
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

    /// Whoever watches these integrations sees that they wait.
    fn show(&self, lanes: Vec<LaneId>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = lanes.into_iter().filter(|lane| !shown.contains(lane)).collect();
        self.holding.show(&new);
        shown.extend(new);
    }

    /// They do not wait any more.
    fn end_line(&self) {
        self.is_in_line.store(false, Ordering::Relaxed);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.holding.show(&mem::take(&mut *shown));
    }

    /// Stands in the line no more, if nobody waits any more.
    pub(super) async fn leave_line(&self) {
        let _changing = self.changing.lock().await;
        if self.waiting().is_empty() {
            self.holding.leave_line(&self.account).await;
            self.end_line();
        }
    }

    /// Gives the account to whoever is next in the line, with what is known of it, once no attempt needs it any more. It was
    /// asked for under this term, or is another's since.
    pub(super) async fn give(&self, term: i64, memory: impl FnOnce() -> AccountMemory) {
        // Who asks is heard all the time.
        let Ok(_changing) = self.changing.try_lock() else { return };
        let Holding { lease, own, .. } = &self.holding;
        // That was before it was taken last.
        if own.term(&self.account, lease.id()).is_some_and(|newer| newer > term) {
            return;
        }
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
        own.remove(&self.account, term);
        self.holding.give(&self.account, term, memory.as_ref()).await;
    }
}

/// Gives away what others ask for, and leaves lines in which nobody stands, until nobody tells of it any more: while the
/// daemon stops, too, as the last of its pushes may take long.
pub(super) async fn see_to_accounts(
    mut asked: mpsc::UnboundedReceiver<AccountTask>,
    integrations: Arc<IntegrationCache>,
    tasks: Tasks,
) {
    while let Some(task) = asked.recv().await {
        let integrations = Arc::clone(&integrations);
        tasks.spawn("handover of an account", async move { integrations.see_to_account(task).await });
    }
}
