//! One account in memory, of a database that keeps what it is told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{AccountNews, AccountRows, AccountTask, Holding};
use crate::{
    dispatch::membership::DaemonLease,
    domain::lane::LaneId,
    store::{
        Error, WakeUps,
        account::{AccountHash, AccountMemory, PriorCalls, TakenAccount},
    },
};

#[derive(Debug, Default)]
struct Row {
    term: i64,
    holder: Option<i64>,
    memory: Option<AccountMemory>,
    line: Vec<i64>,
    /// How often it was asked for.
    asked: usize,
    fails: bool,
}

/// The row of an account.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct FakeRows(Mutex<Row>);

impl FakeRows {
    pub(in crate::dispatch) fn holder(&self) -> Option<i64> {
        self.0.lock().unwrap().holder
    }

    pub(in crate::dispatch) fn line(&self) -> Vec<i64> {
        self.0.lock().unwrap().line.clone()
    }

    pub(in crate::dispatch) fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    /// Whether each answer is an error from here on.
    pub(in crate::dispatch) fn fail(&self, fails: bool) {
        self.0.lock().unwrap().fails = fails;
    }

    /// Whoever has it is dead, or loses it without a word; nobody, or this daemon, has it then.
    pub(in crate::dispatch) fn take_away(&self, heir: Option<i64>) {
        let mut row = self.0.lock().unwrap();
        (row.holder, row.memory) = (heir, None);
        row.term += 1;
    }
}

#[async_trait]
impl AccountRows for FakeRows {
    async fn take(
        &self,
        _account: &AccountHash,
        daemon: i64,
        known: Option<i64>,
        _lanes: &[LaneId],
    ) -> Result<Option<TakenAccount>, Error> {
        let mut row = self.0.lock().unwrap();
        row.asked += 1;
        if row.fails {
            return Err(Error::Corrupt("account"));
        }
        let is_own = row.holder == Some(daemon);
        if !is_own && (row.holder.is_some() || row.line.first().is_some_and(|first| *first != daemon)) {
            if !row.line.contains(&daemon) {
                row.line.push(daemon);
            }
            return Ok(None);
        }
        let prior = match row.memory.take() {
            _ if row.term == 0 || is_own && known == Some(row.term) => PriorCalls::Own,
            Some(memory) => PriorCalls::Given(memory),
            None => PriorCalls::Unknown(Default::default()),
        };
        row.term += 1;
        row.holder = Some(daemon);
        row.line.retain(|waits| *waits != daemon);
        Ok(Some(TakenAccount { term: row.term, prior }))
    }

    async fn give(
        &self,
        _account: &AccountHash,
        daemon: i64,
        term: i64,
        memory: Option<&AccountMemory>,
    ) -> Result<(), Error> {
        let mut row = self.0.lock().unwrap();
        if row.holder == Some(daemon) && row.term == term {
            (row.holder, row.memory) = (None, memory.cloned());
            row.term += 1;
        }
        Ok(())
    }

    async fn leave_line(&self, _account: &AccountHash, daemon: i64) -> Result<(), Error> {
        self.0.lock().unwrap().line.retain(|waits| *waits != daemon);
        Ok(())
    }
}

/// A daemon, 1, at this row.
pub(in crate::dispatch) struct FakeDaemon {
    pub(in crate::dispatch) rows: Arc<FakeRows>,
    pub(in crate::dispatch) lease: Arc<DaemonLease>,
    pub(in crate::dispatch) holding: Holding,
    pub(in crate::dispatch) news: AccountNews,
    pub(in crate::dispatch) tasks: mpsc::UnboundedReceiver<AccountTask>,
    pub(in crate::dispatch) stopping: CancellationToken,
}

impl FakeDaemon {
    pub(in crate::dispatch) fn new() -> Self {
        let (rows, lease) = (Arc::<FakeRows>::default(), Arc::new(DaemonLease::of(1)));
        let stopping = CancellationToken::new();
        let (own, news, tasks) = AccountNews::new(stopping.clone());
        let holding = Holding {
            rows: Arc::<FakeRows>::clone(&rows),
            wake_ups: Arc::new(WakeUps::new().0),
            lease: Arc::clone(&lease),
            own,
        };
        Self { rows, lease, holding, news, tasks, stopping }
    }
}
