//! Membership: one daemon among others. It renews its lease, takes over from those that died, and exchanges hints.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::engine::Event;
use crate::{
    domain::{lane::LaneId, moment::Moment},
    store::{
        Error, Store,
        key_rotation::{KeysInUse, MissingKey},
        queue::daemons::{Beat, Waits, Wake},
    },
    telemetry,
};

/// How long a daemon that is silent is taken to be alive.
pub(super) const LEASE: Duration = Duration::from_secs(10);
pub(super) const BEAT: Duration = Duration::from_secs(2);
/// Past this part of the lease since the last good beat was sent, no push starts.
const TRUST: f64 = 0.75;
/// How often the others are listened to.
const HEAR: Duration = Duration::from_millis(150);

/// The lease of this daemon: under which id it claims, and whether it may still start pushes.
#[derive(Debug)]
pub(super) struct DaemonLease {
    id: AtomicI64,
    beat_sent: Mutex<Instant>,
    /// The database's clock at a moment of ours.
    clock: Mutex<(Instant, Moment)>,
    /// Every daemon that lives, this one included.
    living: Mutex<Vec<i64>>,
}

impl DaemonLease {
    /// The fence.
    pub(super) fn id(&self) -> i64 {
        self.id.load(Ordering::Acquire)
    }

    /// Whether the others surely still take this daemon to be alive.
    pub(super) fn is_trusted(&self) -> bool {
        let sent = *self.beat_sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.elapsed() < LEASE.mul_f64(TRUST)
    }

    /// Whether a push may start that was claimed under this daemon id.
    pub(super) fn may_push(&self, daemon: i64) -> bool {
        self.id() == daemon && self.is_trusted()
    }

    /// Whether a lane is this daemon's, as far as it knows who lives.
    pub(super) fn owns(&self, lane: LaneId) -> bool {
        let living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        owner(lane, &living).is_some_and(|owner| owner == self.id())
    }

    /// The database's clock now, carried on by ours.
    pub(super) fn now(&self) -> Moment {
        let (at, reported) = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        reported + at.elapsed()
    }

    /// Sets the clock by an answer of the database.
    pub(super) fn set_clock(&self, now: Moment) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), now);
    }

    /// A lease that was just renewed under this id.
    #[cfg(test)]
    pub(super) fn of(id: i64) -> Self {
        let now = Instant::now();
        Self {
            id: id.into(),
            beat_sent: now.into(),
            clock: (now, Moment::EPOCH).into(),
            living: Mutex::default(),
        }
    }

    /// As if it had not been renewed for long.
    #[cfg(test)]
    pub(super) fn lapse(&self) {
        self.beat(Instant::now().checked_sub(LEASE).unwrap());
    }

    fn beat(&self, sent: Instant) {
        *self.beat_sent.lock().unwrap_or_else(PoisonError::into_inner) = sent;
    }
}

/// Renews the lease and listens to the other daemons.
#[derive(Debug)]
pub(super) struct Membership {
    store: Store,
    lease: Arc<DaemonLease>,
    events: mpsc::UnboundedSender<Event>,
    /// What this daemon wants to tell the others.
    outbox: mpsc::UnboundedReceiver<Wake>,
    living: Vec<i64>,
    seq: i64,
    heard: HashMap<i64, i64>,
    /// Orphaned claims that are being taken over; kept until the answer is here, for it may get lost.
    adopting: Vec<i64>,
    /// Said once, not at each beat.
    lacks_next_key: bool,
}

impl Membership {
    /// Starts a lease. A sole owner of the database knows that every other daemon is dead.
    pub(super) async fn enroll(
        store: Store,
        events: mpsc::UnboundedSender<Event>,
        outbox: mpsc::UnboundedReceiver<Wake>,
        is_sole: bool,
    ) -> Result<Self, Error> {
        let sent = Instant::now();
        let id = store.enroll(LEASE.as_secs_f64()).await?;
        let lease = DaemonLease {
            id: id.into(),
            beat_sent: sent.into(),
            clock: (sent, Moment::EPOCH).into(),
            living: Mutex::default(),
        };
        let mut membership = Self {
            store,
            lease: Arc::new(lease),
            events,
            outbox,
            living: Vec::new(),
            seq: 0,
            heard: HashMap::new(),
            adopting: Vec::new(),
            lacks_next_key: false,
        };
        if is_sole {
            membership.store.remove_expired(id, true).await?;
        }
        membership.beat().await?;
        Ok(membership)
    }

    pub(super) fn lease(&self) -> Arc<DaemonLease> {
        Arc::clone(&self.lease)
    }

    /// Beats and listens until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut beat = ticks(BEAT);
        let mut hear = ticks(HEAR);
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => self.beat().await,
                _ = hear.tick(), if self.living.len() > 1 => self.hear().await,
                Some(wake) = self.outbox.recv() => self.publish(wake).await,
            };
            if let Err(error) = done {
                if let Error::MasterKey(_) = error {
                    tracing::error!(
                        event = "master_key_missing",
                        error = telemetry::causes(&error),
                        "this daemon lacks a master key that secrets are sealed with, and ends"
                    );
                    return;
                }
                tracing::warn!(
                    event = "beat_failed",
                    error = telemetry::causes(&error),
                    "the beat failed; trying again"
                );
            }
        }
    }

    async fn beat(&mut self) -> Result<(), Error> {
        let sent = Instant::now();
        let Beat { is_alive, living, now, waits, keys } =
            self.store.beat(self.lease.id(), LEASE.as_secs_f64()).await?;
        self.lease.set_clock(now);
        if is_alive {
            self.lease.beat(sent);
        } else {
            self.start_new_lease().await?;
        }
        if living != self.living {
            self.heard.retain(|daemon, _| living.contains(daemon));
            self.living.clone_from(&living);
            self.lease.living.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&living);
            self.send(Event::Living(living));
        }
        if self.follow_keys(&keys)? {
            // Whoever rotates waits for this word.
            self.store.beat(self.lease.id(), LEASE.as_secs_f64()).await?;
        }
        self.take_up(waits).await?;
        if self.living.len() > 1 {
            self.store.forget_wakes().await?;
        }
        Ok(())
    }

    /// Sees to what waits.
    async fn take_up(&mut self, waits: Waits) -> Result<(), Error> {
        let wake_ups = self.store.wake_ups();
        if waits.probes {
            wake_ups.probes.notify_one();
        }
        if waits.notices {
            wake_ups.notices.notify_one();
        }
        if waits.tasks {
            wake_ups.tasks.notify_one();
        }
        if waits.expired {
            self.store.remove_expired(self.lease.id(), false).await?;
        }
        if waits.expired || waits.orphans || !self.adopting.is_empty() {
            let store = self.store.clone();
            store.unless_silent(self.adopt()).await?;
        }
        Ok(())
    }

    /// Follows the database to the master keys that it asks for. True if this daemon has others than before. Without the
    /// next one it works on, and the rotation waits.
    fn follow_keys(&mut self, keys: &KeysInUse) -> Result<bool, Error> {
        let followed = self.store.follow_keys(keys);
        let was_missing =
            mem::replace(&mut self.lacks_next_key, matches!(followed, Err(MissingKey::Next { .. })));
        match followed {
            Err(error @ MissingKey::Next { .. }) => {
                if !was_missing {
                    tracing::warn!(
                        event = "next_master_key_missing",
                        error = telemetry::causes(&error),
                        "the master key is being rotated, and this daemon does not have the next one"
                    );
                }
                Ok(false)
            }
            followed => Ok(followed?),
        }
    }

    async fn adopt(&mut self) -> Result<(), Error> {
        if self.adopting.is_empty() {
            self.adopting = self.store.orphans().await?;
        }
        if !self.adopting.is_empty() {
            let items = self.store.adopt(self.lease.id(), &self.adopting).await?;
            self.adopting.clear();
            self.send(Event::Orphans(items));
        }
        Ok(())
    }

    /// Somebody took this daemon for dead, and its claims: what it holds is void, and it goes on under a new id.
    async fn start_new_lease(&mut self) -> Result<(), Error> {
        tracing::warn!(
            event = "lease_lost",
            daemon = self.lease.id(),
            "this daemon was taken for dead; it starts a new lease"
        );
        let sent = Instant::now();
        let id = self.store.enroll(LEASE.as_secs_f64()).await?;
        self.lease.id.store(id, Ordering::Release);
        self.lease.beat(sent);
        self.seq = 0;
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), Error> {
        let me = self.lease.id();
        let from: Vec<(i64, i64)> = self
            .living
            .iter()
            .filter(|daemon| **daemon != me)
            .map(|daemon| (*daemon, self.heard.get(daemon).copied().unwrap_or(0)))
            .collect();
        for (daemon, seq, wake) in self.store.hear(&from).await? {
            self.heard.insert(daemon, seq);
            self.send(Event::Wake(wake));
        }
        Ok(())
    }

    async fn publish(&mut self, mut wake: Wake) -> Result<(), Error> {
        while let Ok(more) = self.outbox.try_recv() {
            wake.merge(more);
        }
        if self.living.len() < 2 {
            return Ok(());
        }
        self.seq += 1;
        self.store.publish(self.lease.id(), self.seq, &wake).await
    }

    fn send(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("the engine has stopped");
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Which of the living daemons owns a lane: the one with the highest hash of both, so that a change of the living moves
/// only the lanes it must. All lanes of a company are one daemon's, as its integrations may share an account, whose quota
/// and people are known only where it is pushed to.
pub(super) fn owner(lane: LaneId, living: &[i64]) -> Option<i64> {
    living.iter().copied().max_by_key(|daemon| mix(lane.company.0 as u64 ^ mix(*daemon as u64)))
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CompanyId, IntegrationId};

    #[test]
    fn companies_are_shared_evenly_and_only_a_leavers_lanes_move() {
        let lanes: Vec<_> =
            (0..10_000).map(|n| LaneId::new(CompanyId(n), IntegrationId::generate())).collect();
        let four = [3, 7, 8, 20];
        let three = [3, 7, 20];
        for daemon in four {
            let own = lanes.iter().filter(|lane| owner(**lane, &four) == Some(daemon)).count();
            assert!((2_250..2_750).contains(&own), "{daemon} owns {own} of 10000");
        }
        for lane in lanes {
            let (before, after) = (owner(lane, &four), owner(lane, &three));
            assert!(before == after || before == Some(8));
            let sibling = LaneId::new(lane.company, IntegrationId::generate());
            assert_eq!(owner(sibling, &four), before, "what may share an account is one daemon's");
        }
        assert_eq!(owner(LaneId::new(CompanyId(1), IntegrationId::generate()), &[]), None);
    }
}
