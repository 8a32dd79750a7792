//! The finisher: ended attempts are written in batches, each batch what ended while the last one was written.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

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
/// How long to wait before what somebody has locked is tried again.
const LOCKED_WAIT: Duration = Duration::from_millis(100);

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
    pub(super) attempt: AttemptId,
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
    Back,
    Attempt(Box<Finished>),
}

/// Writes what ends until every sender is gone and all is written. What somebody has locked is kept for a later flush.
pub(super) async fn run(
    store: Store,
    mut ended: mpsc::Receiver<Ended>,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut open: HashMap<(i64, i64), usize> = HashMap::new();
    let mut batch = Vec::new();
    let mut locked: Vec<Item> = Vec::new();
    let finisher = Finisher { store, events };
    loop {
        let received = tokio::select! {
            count = ended.recv_many(&mut batch, FLUSH_MAX) => count,
            () = tokio::time::sleep(LOCKED_WAIT), if !locked.is_empty() => 0,
        };
        if received == 0 && locked.is_empty() {
            return;
        }
        let mut items = std::mem::take(&mut locked);
        for told in batch.drain(..) {
            match told {
                Ended::Claimed { daemon, claim, items } => *open.entry((daemon, claim)).or_default() += items,
                Ended::Item(item) => items.push(item),
            }
        }
        let left = finisher.flush(&mut open, &items).await;
        (locked, items) = items.into_iter().partition(|item| left.contains(&item.attempt));
        if !items.is_empty() {
            finisher.tell(Event::Freed { items: items.len(), lanes: tally(&items) });
        }
        if received == 0 && !locked.is_empty() {
            tokio::time::sleep(LOCKED_WAIT).await;
        }
    }
}

/// The claims of which nothing is open any more once these items are written.
fn complete<'a>(open: &mut HashMap<(i64, i64), usize>, items: impl Iterator<Item = &'a Item>) -> Vec<i64> {
    let mut complete = Vec::new();
    for item in items {
        let claim = (item.daemon, item.claim);
        if let Some(left) = open.get_mut(&claim) {
            *left -= 1;
            if *left == 0 {
                open.remove(&claim);
                complete.push(item.claim);
            }
        }
    }
    complete
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
    /// Writes items. Answers the attempts of those that are left because somebody has locked what they change.
    async fn flush(&self, open: &mut HashMap<(i64, i64), usize>, items: &[Item]) -> HashSet<AttemptId> {
        let mut left = HashSet::new();
        // The items of one flush belong to more than one daemon only around a lost lease.
        let mut daemons: Vec<i64> = items.iter().map(|item| item.daemon).collect();
        daemons.sort_unstable();
        daemons.dedup();
        for daemon in daemons {
            let own = || items.iter().filter(|item| item.daemon == daemon);
            let back: Vec<&Item> = own().filter(|item| matches!(item.end, End::Back)).collect();
            if !back.is_empty() {
                left.extend(self.give_back(daemon, &back).await);
            }
            let complete = complete(open, own().filter(|item| !left.contains(&item.attempt)));
            let finished: Vec<Finished> = own()
                .filter_map(|item| match &item.end {
                    End::Attempt(attempt) => Some(Finished::clone(attempt)),
                    End::Nothing | End::Back => None,
                })
                .collect();
            for item in self.write(daemon, &finished, &complete).await {
                *open.entry((daemon, item.claim)).or_default() += 1;
                left.insert(item.attempt.id);
            }
        }
        left
    }

    /// Before the claims are removed: an item that is in neither a claim nor the queue is lost. Answers those that are
    /// left because somebody has locked their deliveries.
    async fn give_back(&self, daemon: i64, items: &[&Item]) -> Vec<AttemptId> {
        let claims: Vec<i64> = items.iter().map(|item| item.claim).collect();
        let attempts: Vec<Uuid> = items.iter().map(|item| item.attempt.uuid()).collect();
        loop {
            match self.store.give_back(daemon, &claims, &attempts).await {
                Ok(left) => return left.into_iter().map(AttemptId::from).collect(),
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

    /// Writes a batch. A database that is away is waited for. Where it refuses a batch, or somebody has locked a part of
    /// it, the rest is written one by one, so that one row does not keep the others from being written. What cannot be
    /// written at all keeps its claim. Answers what is locked still.
    async fn write<'a>(&self, daemon: i64, finished: &'a [Finished], complete: &[i64]) -> Vec<&'a Finished> {
        let rest: Vec<&Finished> = match self.persist(daemon, finished, complete).await {
            Ok(left) if left.is_empty() => return Vec::new(),
            Ok(left) => finished.iter().filter(|item| left.contains(&item.attempt.id)).collect(),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a flush was refused; writing its attempts one by one"
                );
                finished.iter().collect()
            }
        };
        let mut complete = complete.to_vec();
        let mut locked = Vec::new();
        for item in rest {
            let written = match self.persist(daemon, std::slice::from_ref(item), &[]).await {
                Ok(left) if left.is_empty() => true,
                Ok(_) | Err(Error::Locked) => {
                    locked.push(item);
                    false
                }
                Err(error) => self.strip_and_write(daemon, item.clone(), &error).await,
            };
            if !written {
                complete.retain(|claim| *claim != item.claim);
            }
        }
        if let Err(error) = self.persist(daemon, &[], &complete).await {
            tracing::error!(error = &error as &dyn std::error::Error, "finished claims could not be removed");
        }
        locked
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
        written.is_ok_and(|left| left.is_empty())
    }

    /// Answers the attempts that are left because somebody has locked what they change.
    async fn persist(
        &self,
        daemon: i64,
        finished: &[Finished],
        complete: &[i64],
    ) -> Result<Vec<AttemptId>, Error> {
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
                    let lost = finished.len().saturating_sub(flushed.recorded + flushed.left.len());
                    if lost > 0 {
                        tracing::warn!(
                            lost,
                            "another daemon took this one for dead: these attempts are not counted, their deliveries are pushed again"
                        );
                    }
                    return Ok(flushed.left);
                }
                Err(Error::Locked) => return Err(Error::Locked),
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
