//! Which integration changed last when: one small map for all watchers, so that a slow one costs nothing and a
//! returning one gets only what it missed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast::error::RecvError, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{Store, integration::read::Mark},
    telemetry,
};

/// How often changes of other daemons are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// How many integrations are remembered before the change log starts anew.
const CAPACITY: usize = 100_000;

/// The change log of one life of the daemon.
#[derive(Debug)]
pub(super) struct ChangeLog {
    life: String,
    pages: Mutex<Pages>,
    latest: watch::Sender<u64>,
    /// Somebody began to watch.
    watched: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    latest: u64,
    /// What happened up to here is forgotten.
    forgotten: u64,
    last: HashMap<LaneId, u64>,
}

/// What a watcher missed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// These changed; now it is at this entry.
    Changed(Vec<LaneId>, u64),
    /// Nobody knows any more: a snapshot is due.
    Forgotten,
}

impl ChangeLog {
    pub(super) fn new() -> Self {
        Self {
            life: Ulid::generate().to_string(),
            pages: Mutex::default(),
            latest: watch::Sender::new(0),
            watched: Notify::new(),
        }
    }

    /// The cursor of an entry.
    pub(super) fn cursor(&self, entry: u64) -> String {
        format!("{}.{entry}", self.life)
    }

    /// The entry of a cursor, if it was made in this life.
    pub(super) fn entry(&self, cursor: &str) -> Option<u64> {
        let (life, entry) = cursor.split_once('.')?;
        let entry = entry.parse().ok()?;
        (life == self.life && entry <= self.pages().latest).then_some(entry)
    }

    /// The latest entry. Rows read after this are at least as new.
    pub(super) fn latest(&self) -> u64 {
        self.pages().latest
    }

    /// Hears of new entries from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        let receiver = self.latest.subscribe();
        self.watched.notify_one();
        receiver
    }

    /// What changed behind an entry, of one company or of all.
    pub(super) fn since(&self, company: Option<CompanyId>, entry: u64) -> Gap {
        let pages = self.pages();
        if entry < pages.forgotten {
            return Gap::Forgotten;
        }
        let changed = pages
            .last
            .iter()
            .filter(|(key, last)| **last > entry && company.is_none_or(|company| key.company == company));
        Gap::Changed(changed.map(|(key, _)| *key).collect(), pages.latest)
    }

    fn note(&self, keys: impl IntoIterator<Item = LaneId>) {
        let mut pages = self.pages();
        let before = pages.latest;
        for key in keys {
            pages.latest += 1;
            let latest = pages.latest;
            pages.last.insert(key, latest);
        }
        if pages.last.len() > CAPACITY {
            pages.last.clear();
            pages.forgotten = pages.latest;
        }
        let latest = pages.latest;
        drop(pages);
        if latest > before {
            self.latest.send_replace(latest);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the change log until told to stop: by this daemon's own changes at once, by those of others every now and
    /// then while somebody watches.
    pub(super) async fn keep(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let mut changes = store.wake_ups().watch();
        let mut others = Others::default();
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let is_watched = others.unknown || self.latest.receiver_count() > 0;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.watched.notified() => {}
                change = changes.recv() => match change {
                    Ok(change) => self.note([change.lane]),
                    // What was missed may be any of them.
                    Err(RecvError::Lagged(_)) => {
                        self.look(&mut others, &store).await;
                        self.note(others.marks.keys().copied());
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = look.tick(), if is_watched => self.look(&mut others, &store).await,
            }
        }
    }

    async fn look(&self, others: &mut Others, store: &Store) {
        match store.integration_marks().await {
            Ok(marks) => {
                self.note(others.compare(marks.into_iter().collect()));
            }
            Err(error) => {
                tracing::debug!(error = telemetry::causes(&error), "cannot look for changes of other daemons")
            }
        }
    }
}

/// What the rows looked like last time.
struct Others {
    marks: HashMap<LaneId, Mark>,
    /// What had changed then.
    changed: HashSet<LaneId>,
    /// Nothing was read yet.
    unknown: bool,
}

impl Default for Others {
    fn default() -> Self {
        Self { marks: HashMap::new(), changed: HashSet::new(), unknown: true }
    }
}

impl Others {
    /// What came, went or changed since the last time, and once more what had changed then: pushes that go well leave no
    /// mark for a second behind one that did, and a look comes later than that.
    fn compare(&mut self, marks: HashMap<LaneId, Mark>) -> Vec<LaneId> {
        let before = std::mem::replace(&mut self.marks, marks);
        self.unknown = false;
        let came_or_changed = self.marks.iter().filter(|(key, mark)| before.get(key) != Some(mark));
        let went = before.keys().filter(|key| !self.marks.contains_key(key));
        let changed: HashSet<LaneId> = came_or_changed.map(|(key, _)| *key).chain(went.copied()).collect();
        let again = std::mem::replace(&mut self.changed, changed.clone());
        changed.union(&again).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ids::IntegrationId, moment::Moment};

    fn mark(at: i64) -> Mark {
        (1, Moment::from_micros(at))
    }

    fn key(company: i64) -> LaneId {
        LaneId::new(CompanyId(company), IntegrationId::generate())
    }

    #[test]
    fn a_watcher_gets_what_it_missed_once() {
        let change_log = ChangeLog::new();
        let (a, b) = (key(7), key(8));
        change_log.note([a, b, a]);
        assert_eq!(change_log.since(None, 2), Gap::Changed(vec![a], 3));
        assert_eq!(change_log.since(Some(b.company), 0), Gap::Changed(vec![b], 3));
        assert_eq!(change_log.since(None, 3), Gap::Changed(vec![], 3));
    }

    #[test]
    fn cursors_of_another_life_or_of_the_future_are_unknown() {
        let change_log = ChangeLog::new();
        change_log.note([key(7)]);
        assert_eq!(change_log.entry(&change_log.cursor(1)), Some(1));
        for unknown in
            [change_log.cursor(2), ChangeLog::new().cursor(0), String::new(), "x.1".into(), "1".into()]
        {
            assert_eq!(change_log.entry(&unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_full_change_log_starts_anew() {
        let change_log = ChangeLog::new();
        change_log.note((0..=CAPACITY).map(|_| key(7)));
        assert_eq!(change_log.since(None, 1), Gap::Forgotten);
        assert_eq!(change_log.since(None, change_log.latest()), Gap::Changed(vec![], change_log.latest()));
    }

    #[test]
    fn other_daemons_changes_are_found_by_comparing() {
        let (a, b, c) = (key(7), key(7), key(7));
        let mut others = Others::default();
        others.compare(HashMap::from([(a, mark(1)), (b, mark(1))]));
        let mut expected = vec![a, b, c];
        expected.sort_unstable();
        for _ in 0..2 {
            let mut changed = others.compare(HashMap::from([(a, mark(2)), (c, mark(1))]));
            changed.sort_unstable();
            assert_eq!(changed, expected, "and once more at the next look");
        }
        assert_eq!(others.compare(HashMap::from([(a, mark(2)), (c, mark(1))])), vec![]);
    }
}
