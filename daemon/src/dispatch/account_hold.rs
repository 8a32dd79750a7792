//! Which daemon calls an account: one at a time. So the calls of its quota and whom pushes are about are known in one
//! memory, which goes with the account from daemon to daemon.
//!
//! A daemon takes an account with its first push there and keeps it for as long as it lives: no later push asks the
//! database. Another daemon that has pushes for it asks. The one that has it hears so (`membership`), begins no more pushes
//! there, and gives it away once those under way have ended.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedRwLockReadGuard, RwLock},
    time::{Instant, sleep, sleep_until},
};

use super::{membership::DaemonLease, pusher::settled};
use crate::{
    store::{
        Error, Store,
        account::{AccountHash, AccountMemory, Before},
    },
    telemetry,
};

/// How often a daemon looks whether it has got the account.
const LOOK: Duration = Duration::from_millis(100);
/// So long a daemon that has pushes for an account keeps it at the least: giving it away makes both wait.
const SLICE: Duration = Duration::from_millis(500);

/// Under which id this daemon took the account, and when; none if another may have it.
type Taken = Option<(i64, Instant)>;

/// An account that other daemons may call too.
#[derive(Debug)]
pub(super) struct AccountHold {
    account: AccountHash,
    store: Store,
    lease: Arc<DaemonLease>,
    /// Attempts read it for as long as they run.
    taken: Arc<RwLock<Taken>>,
    /// Whoever takes the account or gives it away has this. An attempt that has the account never waits for it.
    changing: Mutex<()>,
}

/// No other daemon calls the account until this is dropped.
#[derive(Debug)]
pub(super) struct HeldAccount {
    _taken: OwnedRwLockReadGuard<Taken>,
}

impl AccountHold {
    pub(super) fn new(account: AccountHash, store: Store, lease: Arc<DaemonLease>) -> Self {
        Self { account, store, lease, taken: Arc::default(), changing: Mutex::default() }
    }

    /// A daemon that was taken for dead has lost its accounts with all else.
    fn is_own(&self, taken: Taken) -> bool {
        taken.is_some_and(|(daemon, _)| daemon == self.lease.id())
    }

    /// The account, if this daemon has it and nobody asked for it.
    pub(super) fn at_once(&self) -> Option<HeldAccount> {
        let taken = Arc::clone(&self.taken).try_read_owned().ok()?;
        self.is_own(*taken).then_some(HeldAccount { _taken: taken })
    }

    /// Waits until this daemon has the account; `take_in` hears what is known of it elsewhere. None if the database does not
    /// let it: a limit is worth no lead.
    pub(super) async fn wait(&self, take_in: impl Fn(Before)) -> Option<HeldAccount> {
        loop {
            let taken = Arc::clone(&self.taken).read_owned().await;
            if self.is_own(*taken) {
                return Some(HeldAccount { _taken: taken });
            }
            drop(taken);
            let _changing = self.changing.lock().await;
            // Of many that wait one takes it for all.
            if self.is_own(*self.taken.read().await) {
                continue;
            }
            let (daemon, before) = self.take().await?;
            let mut taken = Arc::clone(&self.taken).write_owned().await;
            take_in(before);
            *taken = Some((daemon, Instant::now()));
            return Some(HeldAccount { _taken: taken.downgrade() });
        }
    }

    async fn take(&self) -> Option<(i64, Before)> {
        loop {
            let daemon = self.lease.id();
            match settled(self.store.take_account(&self.account, daemon).await).await {
                None => {}
                Some(Ok(Some(before))) => return Some((daemon, before)),
                Some(Ok(None)) => sleep(LOOK).await,
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

    /// Gives the account to whoever asked for it, with what is known of it, once no attempt needs it any more.
    pub(super) async fn give(&self, memory: impl FnOnce() -> AccountMemory) {
        // Who asks is heard all the time.
        let Ok(_changing) = self.changing.try_lock() else { return };
        if self.taken.try_write().is_err() {
            let since = self.taken.read().await.map(|(_, since)| since);
            sleep_until(since.map_or_else(Instant::now, |since| since + SLICE)).await;
        }
        let mut taken = self.taken.write().await;
        let daemon = taken.take().map_or_else(|| self.lease.id(), |(daemon, _)| daemon);
        report(self.store.give_account(&self.account, daemon, Some(&memory())).await);
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
