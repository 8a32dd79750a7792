//! The finisher: ended attempts are written in batches, each batch what ended while the last one was written.

use std::{collections::HashMap, time::Duration};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{engine::Event, lanes::LaneId};
use crate::{
    domain::ids::AttemptId,
    store::{Error, FIRST, Store, queue::finish::Finished},
};

/// So many attempts are written in one transaction at most.
const FLUSH_MAX: usize = 500;
/// How long to wait before the database is tried again.
const AWAY_WAIT: Duration = Duration::from_millis(250);

/// What the finisher is told.
#[derive(Debug)]
pub(super) enum Ended {
    /// A claim begins with so many items. Told before any of them ends.
    Claimed {
        daemon: i64,
        claim: i64,
        items: usize,
    },
    Item(Item),
}

/// An item that ended, under the daemon id that claimed it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) daemon: i64,
    pub(super) claim: i64,
    /// The lane in which it held room; none for what was adopted.
    pub(super) lane: Option<LaneId>,
    pub(super) kind: u8,
    pub(super) end: End,
}

/// How an item ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing was left to do for it.
    Nothing,
    /// It was not begun: it goes back to the queue.
    Back(AttemptId),
    Attempt(Box<Finished>),
}

/// Writes what ends until every sender is gone and all is written.
pub(super) async fn run(
    store: Store,
    mut ended: mpsc::Receiver<Ended>,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut open: HashMap<(i64, i64), usize> = HashMap::new();
    let mut batch = Vec::new();
    let finisher = Finisher { store, events };
    while ended.recv_many(&mut batch, FLUSH_MAX).await > 0 {
        let mut items = Vec::with_capacity(batch.len());
        for told in batch.drain(..) {
            match told {
                Ended::Claimed { daemon, claim, items } => *open.entry((daemon, claim)).or_default() += items,
                Ended::Item(item) => items.push(item),
            }
        }
        finisher.flush(&mut open, &items).await;
        if !items.is_empty() {
            finisher.tell(Event::Freed { items: items.len(), lanes: tally(&items) });
        }
    }
}

fn tally(items: &[Item]) -> Vec<(LaneId, [u32; 2])> {
    let mut freed: HashMap<LaneId, [u32; 2]> = HashMap::new();
    for item in items {
        if let Some(lane) = item.lane {
            freed.entry(lane).or_default()[usize::from(item.kind != FIRST)] += 1;
        }
    }
    freed.into_iter().collect()
}

struct Finisher {
    store: Store,
    events: mpsc::UnboundedSender<Event>,
}

impl Finisher {
    async fn flush(&self, open: &mut HashMap<(i64, i64), usize>, items: &[Item]) {
        // The items of one flush belong to more than one daemon only around a lost lease.
        let mut daemons: Vec<i64> = items.iter().map(|item| item.daemon).collect();
        daemons.sort_unstable();
        daemons.dedup();
        for daemon in daemons {
            let (mut finished, mut complete) = (Vec::new(), Vec::new());
            let (mut claims, mut back) = (Vec::new(), Vec::new());
            for item in items.iter().filter(|item| item.daemon == daemon) {
                match &item.end {
                    End::Nothing => {}
                    End::Back(attempt) => {
                        claims.push(item.claim);
                        back.push(attempt.uuid());
                    }
                    End::Attempt(attempt) => finished.push(Finished::clone(attempt)),
                }
                if let Some(left) = open.get_mut(&(daemon, item.claim)) {
                    *left -= 1;
                    if *left == 0 {
                        open.remove(&(daemon, item.claim));
                        complete.push(item.claim);
                    }
                }
            }
            if !back.is_empty() {
                self.give_back(daemon, &claims, &back).await;
            }
            self.write(daemon, &finished, &complete).await;
        }
    }

    /// Before the claims are removed: an item that is in neither a claim nor the queue is lost.
    async fn give_back(&self, daemon: i64, claims: &[i64], attempts: &[Uuid]) {
        loop {
            match self.store.give_back(daemon, claims, attempts).await {
                Ok(()) => return,
                // Any refusal may pass: nothing of what is written here comes from outside.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "deliveries wait to be given back"
                    );
                    tokio::time::sleep(AWAY_WAIT).await;
                }
            }
        }
    }

    /// Writes a batch. A database that is away is waited for; a batch that it refuses is written one by one, so that one bad
    /// row does not keep the others from being written. What cannot be written at all keeps its claim.
    async fn write(&self, daemon: i64, finished: &[Finished], complete: &[i64]) {
        let Err(error) = self.persist(daemon, finished, complete).await else { return };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a flush was refused; writing its attempts one by one"
        );
        let mut complete = complete.to_vec();
        for item in finished {
            let written = match self.persist(daemon, std::slice::from_ref(item), &[]).await {
                Ok(()) => true,
                Err(error) => self.strip_and_write(daemon, item.clone(), &error).await,
            };
            if !written {
                complete.retain(|claim| *claim != item.claim);
            }
        }
        if let Err(error) = self.persist(daemon, &[], &complete).await {
            tracing::error!(error = &error as &dyn std::error::Error, "finished claims could not be removed");
        }
    }

    /// The last resort for an attempt that the database refuses: its outcome counts, what was sent and received is left out.
    async fn strip_and_write(&self, daemon: i64, mut item: Finished, cause: &Error) -> bool {
        tracing::error!(
            error = cause as &dyn std::error::Error,
            "an attempt is written without what was sent and received"
        );
        item.attempt.sent = None;
        item.attempt.answer = None;
        let written = self.persist(daemon, &[item], &[]).await;
        if let Err(error) = &written {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "an attempt could not be written; its delivery is pushed again after this daemon's end"
            );
        }
        written.is_ok()
    }

    async fn persist(&self, daemon: i64, finished: &[Finished], complete: &[i64]) -> Result<(), Error> {
        loop {
            match self.store.finish(daemon, finished, complete).await {
                Ok(flushed) => {
                    for (company, integration, until) in flushed.pauses {
                        self.tell(Event::Pause((company, integration), until));
                    }
                    for (company, integration, until) in flushed.breakers {
                        self.tell(Event::Breaker((company, integration), until));
                    }
                    metrics::histogram!("leadline_finish_flush_attempts").record(finished.len() as f64);
                    if flushed.recorded < finished.len() {
                        tracing::warn!(
                            lost = finished.len() - flushed.recorded,
                            "another daemon took this one for dead: these attempts are not counted, their deliveries are pushed again"
                        );
                    }
                    return Ok(());
                }
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "attempts wait for the database"
                    );
                    tokio::time::sleep(AWAY_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("the engine has stopped: nobody waits for room");
        }
    }
}
