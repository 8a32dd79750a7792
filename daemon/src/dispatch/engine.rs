//! The engine: one loop that knows the lanes, claims what is due where there is room, and starts the pushes.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    crash_suspects::{CrashSuspects, is_crash_suspect, was_pushed},
    integration_cache::{IntegrationCache, PreparedIntegration},
    lanes::{Lanes, Loaded},
    membership::{BEAT, DaemonLease, owner},
    pusher::Pusher,
    tasks::Tasks,
};
use crate::{
    domain::{delivery::LaneKind, lane::LaneId, moment::Moment},
    store::{
        Change, DueHint, Error, Store,
        queue::{
            claim::{Ask, Claimed, Claimer, Stops},
            daemons::Wake,
        },
    },
    telemetry,
};

/// A round of one row costs nearly as much as one of ten: rounds keep this distance, unless the last one was full.
const ROUND: Duration = Duration::from_millis(2);
/// So many events are taken at once, at most.
const EVENTS_AT_ONCE: usize = 256;
/// How often the lanes that nobody hinted at are looked for.
const DISCOVER: Duration = Duration::from_secs(30);
/// How often it is looked at all, should the database's clock have jumped; and while no push may start, as nothing tells
/// that it may again.
const IDLE_LOOK: Duration = Duration::from_secs(10);
const DISTRUST_LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the database failed.
pub(super) const AWAY_WAIT: Duration = Duration::from_millis(250);

/// What the engine hears of.
#[derive(Debug)]
pub(super) enum Event {
    /// Which daemons live.
    Living(Vec<i64>),
    /// What another daemon tells.
    Wake(Wake),
    /// Claims of dead daemons, now this one's.
    Orphans(Vec<Claimed>),
    /// A push has ended. `is_up` says whether the target answered; `pause` until when it asked the whole lane to
    /// wait.
    PushEnded { lane: LaneId, kind: LaneKind, is_up: bool, pause: Option<Moment> },
    /// Every other daemon has heard of this one, which joined then. So many pushes that they had begun have not ended.
    HandedOver { joined: Moment, elsewhere: HashMap<LaneId, u32> },
    /// So many pushes of each kind of lanes were written.
    Written(HashMap<LaneId, [u32; 2]>),
    /// Claims of these lanes are gone: a database that crashes forgets those of its last moments, and what they took is due
    /// again behind the watermarks.
    ClaimsLost(HashSet<LaneId>),
    /// That a target asked its lane to wait was written, and until when. The wait that is stored begins with its flush:
    /// a claim before its end would come back empty.
    Throttled(LaneId, Moment),
    /// A crash suspect's push has ended.
    CrashSuspectEnded,
    /// A flush has ended with this breaker in a lane: closed, or open until then.
    Breaker(LaneId, Option<Moment>),
    /// A lane was loaded, with its stops; none if its integration is gone. `known` are the pauses that were written when
    /// that began.
    Loaded { lane: LaneId, loaded: Option<(Arc<PreparedIntegration>, Stops)>, known: Option<u64> },
    /// A lane's integration cannot be read: its pushes say so, one at a time.
    NotLoadable(LaneId, Stops),
    /// It was asked when the next row of these is due, and these have one.
    Peeked { asked: Vec<(LaneId, LaneKind)>, hints: Vec<DueHint> },
    /// The loose index scan has answered.
    Discovered(Vec<DueHint>),
}

type ClaimAnswer = (Claimer, Vec<Ask>, Result<(Moment, Vec<Claimed>), Error>);
type ClaimFuture = Pin<Box<dyn Future<Output = ClaimAnswer> + Send>>;

/// The loop's state.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) integrations: Arc<IntegrationCache>,
    pub(super) pusher: Arc<Pusher>,
    pub(super) tasks: Tasks,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) outbox: mpsc::UnboundedSender<Wake>,
    /// Tells the finisher that a lane waits for it.
    pub(super) hurry: Arc<Notify>,
    pub(super) lanes: Lanes,
    pub(super) living: Vec<i64>,
    pub(super) in_flight: usize,
    pub(super) crash_suspects: CrashSuspects,
}

impl Engine {
    /// Runs until told to stop. Pushes in flight go on; the caller waits for them.
    pub(super) async fn run(
        mut self,
        mut heard: mpsc::UnboundedReceiver<Event>,
        mut hints: mpsc::UnboundedReceiver<Vec<DueHint>>,
        stop: CancellationToken,
    ) {
        let mut claimer = Some(Claimer::new(self.store.clone()));
        let mut claiming: Option<ClaimFuture> = None;
        let mut next_round = Instant::now();
        let mut configs = self.store.wake_ups().watch_configs();
        let mut discover = ticks(DISCOVER);
        let wake_ups = Arc::clone(self.store.wake_ups());
        // Which daemons live is known before anything is claimed.
        self.take_more(&mut heard);
        loop {
            let timer = self.lanes.wake(self.lease.now());
            if claiming.is_none() && Instant::now() >= next_round && self.may_claim() {
                claiming = claimer.take().and_then(|idle| self.start_claim(idle, &mut claimer));
            }
            if self.lanes.take_hurry() {
                self.hurry.notify_one();
            }
            let wait = self.next_look(timer, claiming.is_none().then_some(next_round));
            tokio::select! {
                () = stop.cancelled() => break,
                answer = async { claiming.as_mut().unwrap_or(&mut never()).await }, if claiming.is_some() => {
                    claiming = None;
                    let (idle, asks, claimed) = answer;
                    claimer = Some(idle);
                    next_round = Instant::now() + self.take_claim(&asks, claimed);
                }
                Some(batch) = hints.recv() => self.take_hints(batch),
                Some(event) = heard.recv() => {
                    self.take_event(event);
                    self.take_more(&mut heard);
                }
                change = configs.recv() => self.take_change(change),
                () = wake_ups.probes.notified() => self.start_probes(Some(self.outbox.clone())),
                _ = discover.tick() => {
                    self.start_discover();
                    self.integrations.close_idle().await;
                }
                () = sleep_until(wait) => {}
            }
        }
        // A claim that is under way must be known before what was not pushed is given back.
        if let Some(claiming) = claiming
            && let (_, asks, Err(error)) = claiming.await
        {
            tracing::debug!(error = telemetry::causes(&error), lanes = asks.len(), "the last claim failed");
        }
    }

    fn may_claim(&self) -> bool {
        self.lanes.is_ready() && self.lease.is_trusted()
    }

    fn next_look(&self, timer: Option<Moment>, next_round: Option<Instant>) -> Instant {
        let idle = Instant::now() + if self.lease.is_trusted() { IDLE_LOOK } else { DISTRUST_LOOK };
        let due = timer.map(|at| Instant::now() + at.since(self.lease.now()));
        let round = next_round.filter(|_| self.may_claim());
        [Some(idle), due, round].into_iter().flatten().min().unwrap_or(idle)
    }

    fn start_claim(&mut self, mut idle: Claimer, free: &mut Option<Claimer>) -> Option<ClaimFuture> {
        let asks = self.lanes.asks(self.lease.now());
        if asks.is_empty() {
            *free = Some(idle);
            return None;
        }
        let daemon = self.lease.id();
        Some(Box::pin(async move {
            let started = Instant::now();
            let claimed = idle.claim(daemon, &asks).await;
            metrics::histogram!("leadline_claim_seconds").record(started.elapsed());
            (idle, asks, claimed)
        }))
    }

    /// Takes a claim's answer, and says how long to wait before the next.
    fn take_claim(&mut self, asks: &[Ask], claimed: Result<(Moment, Vec<Claimed>), Error>) -> Duration {
        let (now, items) = match claimed {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    event = "claim_failed",
                    error = telemetry::causes(&error),
                    "the claim failed; trying again"
                );
                self.lanes.failed(asks, self.lease.now());
                return AWAY_WAIT;
            }
        };
        let mut got: HashMap<(LaneId, LaneKind), (u32, Moment)> = HashMap::new();
        for item in &items {
            let (count, latest) = got.entry((item.lane, item.kind)).or_default();
            *count += 1;
            *latest = item.due_at.max(*latest);
        }
        self.lanes.claimed(asks, &got, now);
        let peeks = self.lanes.peeks();
        if !peeks.is_empty() {
            self.start_peek(peeks, now);
        }
        metrics::histogram!("leadline_claim_rows").record(items.len() as f64);
        let asked: i64 = asks.iter().map(|ask| i64::from(ask.room)).sum();
        let is_full = i64::try_from(items.len()).is_ok_and(|got| got >= asked);
        self.take_items(items);
        if is_full { Duration::ZERO } else { ROUND }
    }

    fn take_items(&mut self, mut items: Vec<Claimed>) {
        items.sort_by_key(|item| item.due_at);
        for item in items {
            self.in_flight += 1;
            let pusher = Arc::clone(&self.pusher);
            if !is_crash_suspect(&item) {
                // Boxed once: a spawn moves its future several times.
                self.tasks.spawn("push", Box::pin(async move { pusher.push(item).await }));
                continue;
            }
            match self.crash_suspects.start(item.lane, Instant::now()) {
                Ok(()) => {
                    let events = self.events.clone();
                    self.tasks.spawn("push of a crash suspect", async move {
                        pusher.push_alone(item).await;
                        send(&events, Event::CrashSuspectEnded);
                    });
                }
                Err(wait) => {
                    self.tasks.spawn("return", async move { pusher.give_back(item, wait).await });
                }
            }
        }
    }

    fn take_hints(&mut self, hints: Vec<DueHint>) {
        let (now, me) = (self.lease.now(), self.lease.id());
        let mut wake = Wake::default();
        for hint in hints {
            let is_own = owner(hint.lane, &self.living).is_none_or(|owner| owner == me);
            if is_own {
                self.hint(hint, now);
            } else {
                wake.add_due(hint);
            }
        }
        self.publish(wake);
    }

    fn hint(&mut self, hint: DueHint, now: Moment) {
        let id = hint.lane;
        let is_own = owner(id, &self.living).is_none_or(|owner| owner == self.lease.id());
        if self.lanes.hint(hint, is_own, now) {
            self.start_load(id);
        }
    }

    fn publish(&self, wake: Wake) {
        if !wake.is_empty() && self.outbox.send(wake).is_err() {
            tracing::debug!("the membership has ended");
        }
    }

    /// What else was told meanwhile, before the next look at the lanes.
    fn take_more(&mut self, heard: &mut mpsc::UnboundedReceiver<Event>) {
        for _ in 0..EVENTS_AT_ONCE {
            let Ok(event) = heard.try_recv() else { return };
            self.take_event(event);
        }
    }

    /// Takes in which daemons live: they say which lanes are this one's, and what new ones did is unknown.
    fn meet(&mut self, living: Vec<i64>) {
        let me = self.lease.id();
        let has_joined = living.len() > 1 && living.contains(&me) && !self.living.contains(&me);
        if has_joined {
            let joined = self.lease.now();
            self.lanes.take_over(joined);
            self.start_handover(joined);
        }
        self.lanes.own(|id| owner(*id, &living).is_none_or(|owner| owner == me), self.lease.now());
        let is_new = |id: &i64| *id != me && !(living.contains(id) && self.living.contains(id));
        if living.iter().chain(&self.living).any(is_new) {
            // Those that lose a lane hear of it a beat later at most.
            self.integrations.meet_others(Instant::now() + BEAT);
        }
        self.living = living;
        metrics::gauge!("leadline_daemons").set(self.living.len() as f64);
        self.start_discover();
    }

    /// Takes what another daemon tells.
    fn take_wake(&mut self, wake: &Wake, now: Moment) {
        for hint in wake.hints() {
            self.hint(hint, now);
        }
        for id in wake.changes() {
            self.reload(id);
        }
        if wake.probes {
            self.start_probes(None);
        }
    }

    fn take_event(&mut self, event: Event) {
        let now = self.lease.now();
        match event {
            Event::Living(living) => self.meet(living),
            Event::Wake(wake) => self.take_wake(&wake, now),
            Event::Orphans(items) => self.take_orphans(items),
            Event::PushEnded { lane, kind, is_up, pause } => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.lanes.ended(lane, kind, is_up, pause, now);
                metrics::gauge!("leadline_pushes_in_flight").set(self.in_flight as f64);
            }
            Event::HandedOver { joined, elsewhere } => {
                if self.lanes.handed_over(joined, &elsewhere, now) {
                    self.start_handover(joined);
                }
            }
            Event::Written(lanes) => {
                for (id, counts) in lanes {
                    if self.lanes.written(id, counts, now) {
                        self.start_load(id);
                    }
                }
            }
            Event::ClaimsLost(lanes) => lanes.into_iter().for_each(|id| self.lanes.look_everywhere(id, now)),
            Event::Throttled(id, until) => {
                self.lanes.pause(id, until, now);
                if !self.lanes.is_owned(id) {
                    // It went over to another daemon during the push.
                    self.publish(Wake::of_change(id));
                }
            }
            Event::CrashSuspectEnded => self.crash_suspects.ended(),
            Event::Breaker(id, until) => self.lanes.set_breaker(id, until, now),
            Event::Loaded { lane, loaded: Some((ready, stops)), known } => {
                let PreparedIntegration { integration, policy, .. } = &*ready;
                let loaded =
                    Loaded { version: integration.version, policy: *policy, is_enabled: integration.enabled };
                if self.lanes.load(lane, loaded, stops, known, now) {
                    self.start_load(lane);
                }
            }
            Event::Loaded { lane, loaded: None, .. } => self.lanes.remove(lane),
            Event::NotLoadable(lane, stops) => self.lanes.load_blindly(lane, stops, now),
            Event::Peeked { asked, hints } => {
                let next: HashMap<_, _> =
                    hints.into_iter().map(|hint| ((hint.lane, hint.kind), hint.due_at)).collect();
                for (id, kind) in asked {
                    self.lanes.peeked(id, kind, next.get(&(id, kind)).copied(), now);
                }
            }
            Event::Discovered(hints) => {
                let mut still = HashSet::new();
                for hint in hints {
                    let id = hint.lane;
                    // It may have been enabled, and the word of it been lost.
                    if self.lanes.is_idle(id) && self.lanes.is_owned(id) {
                        still.insert(id);
                    }
                    self.hint(hint, now);
                    self.lanes.discovered(id, hint.kind);
                }
                still.into_iter().for_each(|id| self.start_load(id));
                metrics::gauge!("leadline_lanes").set(self.lanes.len() as f64);
            }
        }
    }

    /// What a dead daemon was pushing is an attempt that died; the finisher counts it as one.
    fn take_orphans(&self, items: Vec<Claimed>) {
        for item in items {
            let pusher = Arc::clone(&self.pusher);
            self.tasks.spawn("take over", async move {
                if was_pushed(&item) {
                    pusher.mark_crashed(item).await;
                } else {
                    pusher.give_back(item, Duration::ZERO).await;
                }
            });
        }
    }

    fn take_change(&mut self, change: Result<Change, broadcast::error::RecvError>) {
        match change {
            Ok(change) => {
                self.reload(change.lane);
                self.publish(Wake::of_change(change.lane));
            }
            Err(error) => {
                tracing::debug!(
                    error = telemetry::causes(&error),
                    "changes were missed; reading every lane anew"
                );
                for id in self.lanes.ids() {
                    self.start_load(id);
                }
            }
        }
    }

    /// An integration changed: what is known of its lane is read anew, and whatever is due there is looked for.
    fn reload(&mut self, id: LaneId) {
        if self.lanes.contains(id) {
            self.start_load(id);
        }
    }
}

pub(super) fn send(events: &mpsc::UnboundedSender<Event>, event: Event) {
    if events.send(event).is_err() {
        tracing::debug!("the engine has stopped");
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Stands where no claim is under way.
fn never() -> ClaimFuture {
    Box::pin(std::future::pending())
}
