//! What the holds of all accounts share: where it stands who has one, and what goes between them and whoever listens to the
//! other daemons.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{membership::DaemonLease, pusher::settled};
use crate::{
    domain::lane::LaneId,
    store::{
        Change, Error, Store, WakeUps,
        account::{AccountHash, AccountMemory, TakenAccount},
    },
    telemetry,
};

#[cfg(test)]
pub(super) mod fake;

/// Where it stands who has an account, and who waits for it.
#[async_trait]
pub(super) trait AccountRows: fmt::Debug + Send + Sync {
    async fn take(
        &self,
        account: &AccountHash,
        daemon: i64,
        known: Option<i64>,
        lanes: &[LaneId],
    ) -> Result<Option<TakenAccount>, Error>;

    async fn give(
        &self,
        account: &AccountHash,
        daemon: i64,
        term: i64,
        memory: Option<&AccountMemory>,
    ) -> Result<(), Error>;

    async fn leave_line(&self, account: &AccountHash, daemon: i64) -> Result<(), Error>;
}

#[async_trait]
impl AccountRows for Store {
    async fn take(
        &self,
        account: &AccountHash,
        daemon: i64,
        known: Option<i64>,
        lanes: &[LaneId],
    ) -> Result<Option<TakenAccount>, Error> {
        self.take_account(account, daemon, known, lanes).await
    }

    async fn give(
        &self,
        account: &AccountHash,
        daemon: i64,
        term: i64,
        memory: Option<&AccountMemory>,
    ) -> Result<(), Error> {
        self.give_account(account, daemon, term, memory).await
    }

    async fn leave_line(&self, account: &AccountHash, daemon: i64) -> Result<(), Error> {
        self.leave_account_line(account, daemon).await
    }
}

/// What is to be done about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountTask {
    /// Others have calls to make to it, or have it by now. This daemon took it under this term.
    Give(AccountHash, i64),
    /// Nobody waits for it here any more.
    LeaveLine(AccountHash),
}

/// What this daemon takes for its own, and what it hears of the others.
#[derive(Debug)]
pub(super) struct OwnAccounts {
    /// Under which daemon id and which term it has each.
    terms: Mutex<HashMap<AccountHash, (i64, i64)>>,
    /// Nobody has an account that somebody waits for here.
    may_take: Notify,
    /// No more pushes begin.
    stopping: CancellationToken,
    /// Until whoever listens to the other daemons has ended.
    tasks: mpsc::WeakUnboundedSender<AccountTask>,
}

impl OwnAccounts {
    /// Those that were taken under a daemon id, each with its term.
    fn of(&self, daemon: i64) -> Vec<(AccountHash, i64)> {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let own = terms.iter().filter(|(_, (taken_as, _))| *taken_as == daemon);
        own.map(|(account, (_, term))| (*account, *term)).collect()
    }

    /// The term of an account that was taken under a daemon id.
    pub(super) fn term(&self, account: &AccountHash, daemon: i64) -> Option<i64> {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        terms.get(account).filter(|(taken_as, _)| *taken_as == daemon).map(|(_, term)| *term)
    }

    pub(super) fn add(&self, account: AccountHash, daemon: i64, term: i64) {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).insert(account, (daemon, term));
    }

    /// What was taken under this term is not this daemon's any more.
    pub(super) fn remove(&self, account: &AccountHash, term: i64) {
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        if terms.get(account).is_some_and(|(_, last)| *last <= term) {
            terms.remove(account);
        }
    }

    /// Resolves when an account that somebody waits for here may be nobody's.
    pub(super) async fn may_take(&self) {
        self.may_take.notified().await;
    }

    /// What the work comes to; none if the daemon stops meanwhile.
    pub(super) async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.stopping.run_until_cancelled(work).await
    }

    /// Asks for the line for an account to be left, if nobody waits any more.
    pub(super) fn leave_line(&self, account: AccountHash) {
        let sent = self.tasks.upgrade().map(|tasks| tasks.send(AccountTask::LeaveLine(account)));
        if !matches!(sent, Some(Ok(()))) {
            tracing::debug!("a daemon that has ended stands in no line");
        }
    }
}

/// The end at which whoever listens to the other daemons tells what it hears of accounts.
#[derive(Debug)]
pub(super) struct AccountNews {
    own: Arc<OwnAccounts>,
    tasks: mpsc::UnboundedSender<AccountTask>,
}

impl AccountNews {
    /// With what holds hear of it, and what is to be done.
    pub(super) fn new(
        stopping: CancellationToken,
    ) -> (Arc<OwnAccounts>, Self, mpsc::UnboundedReceiver<AccountTask>) {
        let (tasks, to_do) = mpsc::unbounded_channel();
        let (terms, may_take) = (Mutex::default(), Notify::new());
        let own = Arc::new(OwnAccounts { terms, may_take, stopping, tasks: tasks.downgrade() });
        (Arc::clone(&own), Self { own, tasks }, to_do)
    }

    /// What was taken under a daemon id.
    pub(super) fn held(&self, daemon: i64) -> Vec<(AccountHash, i64)> {
        self.own.of(daemon)
    }

    /// Others ask for these accounts, or have them by now.
    pub(super) fn give(&self, accounts: Vec<(AccountHash, i64)>) {
        for (account, term) in accounts {
            if self.tasks.send(AccountTask::Give(account, term)).is_err() {
                tracing::debug!("nothing is given away any more");
            }
        }
    }

    /// Nobody has an account that somebody waits for here.
    pub(super) fn may_take(&self) {
        self.own.may_take.notify_waiters();
    }
}

/// What a hold works with.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) rows: Arc<dyn AccountRows>,
    pub(super) wake_ups: Arc<WakeUps>,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) own: Arc<OwnAccounts>,
}

impl Holding {
    pub(super) fn new(store: &Store, lease: Arc<DaemonLease>, own: Arc<OwnAccounts>) -> Self {
        Self { rows: Arc::new(store.clone()), wake_ups: Arc::clone(store.wake_ups()), lease, own }
    }

    /// Of a daemon that nobody tells anything.
    #[cfg(test)]
    pub(super) fn unheard(store: &Store, lease: Arc<DaemonLease>) -> Self {
        Self::new(store, lease, AccountNews::new(CancellationToken::new()).0)
    }

    /// Whoever watches these integrations sees whether they wait for the account.
    pub(super) fn show(&self, lanes: &[LaneId]) {
        lanes.iter().for_each(|lane| self.wake_ups.changed(Change { lane: *lane, config: false }));
    }

    /// Gives an account away, with what is known of it. What is not given away is asked for again.
    pub(super) async fn give(&self, account: &AccountHash, term: i64, memory: Option<&AccountMemory>) {
        if let Err(error) = self.rows.give(account, self.lease.id(), term, memory).await {
            tracing::warn!(
                event = "account_not_given",
                error = telemetry::causes(&error),
                "an account that another daemon asked for could not be given away; trying again"
            );
        }
    }

    /// Stands in the line for an account no more.
    pub(super) async fn leave_line(&self, account: &AccountHash) {
        loop {
            match settled(self.rows.leave_line(account, self.lease.id()).await).await {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    tracing::warn!(
                        event = "account_line_not_left",
                        error = telemetry::causes(&error),
                        "an account may be given to this daemon, which has no calls to make to it"
                    );
                    return;
                }
            }
        }
    }
}
