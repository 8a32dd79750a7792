//! The finisher: ended attempts are written in batches.
//!
//! An attempt waits for others to be written with, as nobody waits for it: its sender and its target have their answers.
//! A lane that may start nothing more before it is written hurries the batch.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::engine::Event;
use crate::{
    domain::{ids::AttemptId, lane::LaneId},
    store::{
        Error, Store,
        queue::{
            claim::Claimed,
            finish::{Finished, ListedArrivals},
        },
    },
    telemetry,
};

/// So many attempts are written in one transaction at most.
const FLUSH_MAX: usize = 500;
/// How long to wait before the database is tried again.
const AWAY_WAIT: Duration = Duration::from_millis(250);
/// A flush of one row costs nearly as much as one of ten: so long one waits for more, unless a lane waits for it.
const GATHER: Duration = Duration::from_millis(50);
/// Flushes keep this distance, however many lanes wait.
const ROUND: Duration = Duration::from_millis(5);
/// How long to wait before what somebody has locked is tried again.
const LOCKED_WAIT: Duration = Duration::from_millis(100);
/// How long what shares a lane with something locked is written one by one: others' attempts wait meanwhile.
const ONE_BY_ONE_MAX: Duration = Duration::from_millis(50);

/// A claimed item that is no longer worked on, and what is to be written of it.
#[derive(Debug)]
pub(super) enum Completed {
    /// Nothing is left to do for it.
    Nothing(Claimed),
    /// It left this claim for one of its own, under which it is worked on.
    Isolated(Claimed),
    /// It was not begun: it goes back to the queue, due no earlier than after this wait.
    Requeue(Claimed, Duration),
    Attempt(Box<Finished>),
}

impl Completed {
    /// What was claimed.
    pub(super) fn claimed(&self) -> &Claimed {
        match self {
            Self::Nothing(claimed) | Self::Isolated(claimed) | Self::Requeue(claimed, _) => claimed,
            Self::Attempt(finished) => &finished.claimed,
        }
    }

    /// The lane in which it held room; none for what was adopted, or goes on.
    pub(super) fn lane(&self) -> Option<LaneId> {
        let claimed = self.claimed();
        let held_room = !claimed.is_adopted && !matches!(self, Self::Isolated(_));
        held_room.then_some(claimed.lane)
    }
}

/// Writes what ends until every sender is gone and all is written. What somebody has locked is kept for later.
pub(super) async fn run(
    store: Store,
    completions: mpsc::Receiver<Completed>,
    hurry: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
) {
    // Without a bound, for a flush must not wait for what is forgotten behind it: it adds a message for each company.
    let (listed, to_forget) = mpsc::unbounded_channel();
    let gatherer = Gatherer { completions, hurry, last_flush: Instant::now() };
    let finisher = Finisher { store: store.clone(), events, listed };
    tokio::join!(write_all(finisher, gatherer), forget_arrived(store, to_forget));
}

async fn write_all(finisher: Finisher, mut gatherer: Gatherer) {
    let mut open: HashMap<(i64, i64), usize> = HashMap::new();
    let (mut locked, mut again_at) = (Vec::new(), Instant::now());
    loop {
        let batch = gatherer.gather((!locked.is_empty()).then_some(again_at)).await;
        if batch.is_empty() && locked.is_empty() {
            return;
        }
        let was_locked = !locked.is_empty();
        locked.extend(finisher.flush(&mut open, batch).await);
        // By itself, so that nobody else's attempts wait for it.
        if was_locked && again_at <= Instant::now() {
            locked = finisher.flush(&mut open, locked).await;
        }
        if !was_locked || again_at <= Instant::now() {
            again_at = Instant::now() + LOCKED_WAIT;
        }
    }
}

/// Takes away from what is undelivered what arrived while somebody had locked that.
async fn forget_arrived(store: Store, mut listed: mpsc::UnboundedReceiver<ListedArrivals>) {
    while let Some(arrivals) = listed.recv().await {
        if let Err(error) = store.forget_arrived(&arrivals).await {
            tracing::warn!(
                event = "arrived_not_forgotten",
                error = telemetry::causes(&error),
                company = %arrivals.company,
                "what arrived is listed as undelivered until the next look for such rows"
            );
        }
    }
}

/// Makes batches of what ends.
struct Gatherer {
    completions: mpsc::Receiver<Completed>,
    /// A lane waits for what is not written.
    hurry: Arc<Notify>,
    last_flush: Instant,
}

impl Gatherer {
    /// The next batch: empty if every sender is gone, or when it is time for what is locked.
    async fn gather(&mut self, locked_until: Option<Instant>) -> Vec<Completed> {
        let mut batch = Vec::new();
        let until = locked_until.unwrap_or_else(Instant::now);
        tokio::select! {
            _ = self.completions.recv_many(&mut batch, FLUSH_MAX) => {}
            () = sleep_until(until), if locked_until.is_some() => {}
        }
        if batch.is_empty() {
            // Every sender is gone, or it is time.
            sleep_until(until).await;
        }
        let mut enough = pin!(sleep_until(Instant::now() + GATHER));
        let mut hurried = pin!(hurried(&self.hurry, self.last_flush + ROUND));
        while !batch.is_empty() && batch.len() < FLUSH_MAX {
            let room = FLUSH_MAX - batch.len();
            tokio::select! {
                count = self.completions.recv_many(&mut batch, room) => {
                    if count == 0 {
                        break;
                    }
                }
                () = &mut enough => break,
                () = &mut hurried => break,
            }
        }
        self.last_flush = Instant::now();
        batch
    }
}

/// A lane waits, and the last flush is a moment ago.
async fn hurried(hurry: &Notify, earliest: Instant) {
    hurry.notified().await;
    sleep_until(earliest).await;
}

/// The claims of which nothing is open any more once these items are written.
fn complete<'a>(open: &mut HashMap<(i64, i64), usize>, items: impl Iterator<Item = &'a Claimed>) -> Vec<i64> {
    let mut complete = Vec::new();
    for item in items {
        let claim = (item.daemon, item.claim);
        let left = open.entry(claim).or_insert(item.claim_items);
        *left = left.saturating_sub(1);
        if *left == 0 {
            open.remove(&claim);
            complete.push(item.claim);
        }
    }
    complete
}

/// How many of each kind of each lane are written.
fn tally(items: &[Completed]) -> HashMap<LaneId, [u32; 2]> {
    let mut written: HashMap<LaneId, [u32; 2]> = HashMap::new();
    for item in items {
        if let Some(lane) = item.lane() {
            written.entry(lane).or_default()[item.claimed().kind.index()] += 1;
        }
    }
    written
}

struct Finisher {
    store: Store,
    events: mpsc::UnboundedSender<Event>,
    /// To whoever takes away what is listed of what arrived.
    listed: mpsc::UnboundedSender<ListedArrivals>,
}

impl Finisher {
    /// Writes items. Answers those that are left because somebody has locked what they change, first those to be tried
    /// first.
    async fn flush(&self, open: &mut HashMap<(i64, i64), usize>, items: Vec<Completed>) -> Vec<Completed> {
        if items.is_empty() {
            return items;
        }
        let left = self.write_items(open, &items).await;
        let places: HashMap<AttemptId, usize> = left.into_iter().zip(0..).collect();
        let (mut locked, written): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| places.contains_key(&item.claimed().attempt));
        locked.sort_by_key(|item| places[&item.claimed().attempt]);
        self.send(Event::Written(tally(&written)));
        locked
    }

    /// Answers the attempts that are left.
    async fn write_items(
        &self,
        open: &mut HashMap<(i64, i64), usize>,
        items: &[Completed],
    ) -> Vec<AttemptId> {
        let mut left = Vec::new();
        // The items of one flush belong to more than one daemon only around a lost lease.
        let mut daemons: Vec<i64> = items.iter().map(|item| item.claimed().daemon).collect();
        daemons.sort_unstable();
        daemons.dedup();
        for daemon in daemons {
            let own = || items.iter().filter(|item| item.claimed().daemon == daemon);
            let mut back: BTreeMap<Duration, Vec<&Claimed>> = BTreeMap::new();
            for item in own() {
                if let Completed::Requeue(claimed, wait) = item {
                    back.entry(*wait).or_default().push(claimed);
                }
            }
            for (wait, items) in back {
                left.extend(self.give_back(daemon, &items, wait).await);
            }
            let claimed = own().map(Completed::claimed);
            let complete = complete(open, claimed.filter(|claimed| !left.contains(&claimed.attempt)));
            let finished: Vec<&Finished> = own()
                .filter_map(|item| match item {
                    Completed::Attempt(finished) => Some(&**finished),
                    Completed::Nothing(_) | Completed::Isolated(_) | Completed::Requeue(..) => None,
                })
                .collect();
            for Finished { claimed, .. } in self.write(daemon, &finished, &complete).await {
                *open.entry((daemon, claimed.claim)).or_default() += 1;
                left.push(claimed.attempt);
            }
        }
        left
    }

    /// Before the claims are removed: an item that is in neither a claim nor the queue is lost. Answers those that are
    /// left because somebody has locked their deliveries.
    async fn give_back(&self, daemon: i64, items: &[&Claimed], wait: Duration) -> Vec<AttemptId> {
        let claims: Vec<i64> = items.iter().map(|item| item.claim).collect();
        let attempts: Vec<Uuid> = items.iter().map(|item| item.attempt.uuid()).collect();
        loop {
            match self.store.give_back(daemon, &claims, &attempts, wait).await {
                Ok(left) => return left.into_iter().map(AttemptId::from).collect(),
                // Any refusal may pass: nothing of what is written here comes from outside.
                Err(error) => {
                    tracing::warn!(
                        event = "give_back_waits",
                        error = telemetry::causes(&error),
                        "deliveries wait to be given back"
                    );
                    tokio::time::sleep(AWAY_WAIT).await;
                }
            }
        }
    }

    /// Writes a batch. A database that is away is waited for. Where it refuses a batch, or somebody has locked a part of
    /// it, the rest is written one by one, so that one row does not keep the others from being written. Answers what is
    /// left for the next flush, because it is locked, cannot be ended now, or there was no time for it.
    async fn write<'a>(&self, daemon: i64, finished: &[&'a Finished], complete: &[i64]) -> Vec<&'a Finished> {
        let (rest, until): (Vec<&Finished>, _) = match self.persist(daemon, finished, complete).await {
            Ok(left) if left.is_empty() => return Vec::new(),
            Ok(left) => {
                let is_left = |item: &&Finished| left.contains(&item.claimed.attempt);
                let rest = finished.iter().copied().filter(is_left);
                (rest.collect(), Some(Instant::now() + ONE_BY_ONE_MAX))
            }
            Err(error) => {
                tracing::warn!(
                    event = "finish_refused",
                    error = telemetry::causes(&error),
                    "a flush was refused; writing its attempts one by one"
                );
                let is_locked = matches!(error, Error::Locked);
                (finished.to_vec(), is_locked.then(|| Instant::now() + ONE_BY_ONE_MAX))
            }
        };
        let mut complete = complete.to_vec();
        let (mut untried, mut locked) = (Vec::new(), Vec::new());
        for item in rest {
            let written = if until.is_some_and(|until| until <= Instant::now()) {
                untried.push(item);
                false
            } else {
                match self.persist(daemon, &[item], &[]).await {
                    Ok(left) if left.is_empty() => true,
                    Ok(_) | Err(Error::Locked) => {
                        locked.push(item);
                        false
                    }
                    Err(error) => {
                        let is_written = self.strip_and_write(daemon, item.clone(), &error).await;
                        locked.extend((!is_written).then_some(item));
                        is_written
                    }
                }
            };
            if !written {
                complete.retain(|claim| *claim != item.claimed.claim);
            }
        }
        if let Err(error) = self.persist(daemon, &[], &complete).await {
            tracing::error!(
                event = "claim_removal_failed",
                error = telemetry::causes(&error),
                "finished claims could not be removed"
            );
        }
        untried.extend(locked);
        untried
    }

    /// The last resorts for an attempt that the database refuses: its outcome counts, all else is left out; where that is
    /// refused, too, its delivery ends without it, so that it neither stays in a claim nor is pushed again. False if it is
    /// to be tried again.
    async fn strip_and_write(&self, daemon: i64, mut item: Finished, cause: &Error) -> bool {
        tracing::error!(
            event = "attempt_written_in_part",
            error = telemetry::causes(cause),
            "an attempt is written without what was sent and received"
        );
        item.result.strip();
        let refused = match self.persist(daemon, &[&item], &[]).await {
            Ok(left) => return left.is_empty(),
            Err(Error::Locked) => return false,
            Err(error) => error,
        };
        tracing::error!(
            event = "attempt_not_written",
            error = telemetry::causes(&refused),
            "an attempt could not be written; its delivery ends without it"
        );
        let ended = self.store.end_unwritten(daemon, &item).await;
        if let Err(error) = &ended {
            tracing::warn!(
                event = "unwritten_waits",
                error = telemetry::causes(error),
                "a delivery whose attempt cannot be written waits to be ended"
            );
            tokio::time::sleep(AWAY_WAIT).await;
        }
        ended.is_ok()
    }

    /// Answers the attempts that are left because somebody has locked what they change.
    async fn persist(
        &self,
        daemon: i64,
        finished: &[&Finished],
        complete: &[i64],
    ) -> Result<Vec<AttemptId>, Error> {
        loop {
            match self.store.finish(daemon, finished, complete).await {
                Ok(flushed) => {
                    for (lane, until) in flushed.pauses {
                        self.send(Event::Throttled(lane, until));
                    }
                    for (lane, until) in flushed.breakers {
                        self.send(Event::Breaker(lane, until));
                    }
                    for arrivals in flushed.listed {
                        if self.listed.send(arrivals).is_err() {
                            tracing::debug!("nobody forgets what arrived any more");
                        }
                    }
                    metrics::histogram!("leadline_finish_flush_attempts").record(finished.len() as f64);
                    let lost = finished.len().saturating_sub(flushed.recorded + flushed.left.len());
                    if lost > 0 {
                        tracing::warn!(
                            event = "lease_lost_attempts",
                            lost,
                            "another daemon took this one for dead, or the database lost the claim when it crashed: these attempts are not counted, their deliveries are pushed again"
                        );
                        self.send(Event::ClaimsLost(finished.iter().map(|item| item.claimed.lane).collect()));
                    }
                    return Ok(flushed.left);
                }
                Err(Error::Locked) => return Err(Error::Locked),
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        event = "finish_waits",
                        error = telemetry::causes(&error),
                        "attempts wait for the database"
                    );
                    tokio::time::sleep(AWAY_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("the engine has stopped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CompanyId;

    fn completed() -> Completed {
        Completed::Nothing(Claimed::first(LaneId::new(CompanyId(7), Uuid::nil()), None))
    }

    #[tokio::test]
    async fn what_ends_waits_for_others_unless_a_lane_waits_or_nobody_is_left() {
        let (sender, completions) = mpsc::channel(8);
        let hurry = Arc::new(Notify::new());
        let mut gatherer = Gatherer { completions, hurry: Arc::clone(&hurry), last_flush: Instant::now() };
        let late = async {
            sender.send(completed()).await.unwrap();
            tokio::task::yield_now().await;
            sender.send(completed()).await.unwrap();
        };
        let began = Instant::now();
        assert_eq!(tokio::join!(gatherer.gather(None), late).0.len(), 2, "both share a flush");
        assert!(began.elapsed() >= GATHER);
        sender.send(completed()).await.unwrap();
        hurry.notify_one();
        assert_eq!(gatherer.gather(None).await.len(), 1);
        sender.send(completed()).await.unwrap();
        drop(sender);
        assert_eq!(gatherer.gather(None).await.len(), 1);
        assert!(gatherer.gather(None).await.is_empty(), "nobody comes any more");
    }
}
