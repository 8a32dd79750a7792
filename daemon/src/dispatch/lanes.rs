//! Lanes: what each integration's queue may do now, in memory and without I/O. The rows are the truth; this only decides
//! where to look, and when.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use self::{
    bucket::Bucket,
    lane::Lane,
    track::{FINE, Track, coarsen},
};

use crate::{
    domain::{delivery::LaneKind, integration::Policy, lane::LaneId, moment::Moment},
    store::{
        DueHint,
        queue::claim::{Ask, Stops},
    },
};

/// So many lanes and rows at most are asked for in one claim.
const CLAIM_LANES: usize = 64;
const CLAIM_ROWS: i32 = 256;
/// First attempts are due when they are committed. Our clock lags behind the database's that dated them, so a hint of
/// one that seems to lie so little ahead is looked at: the claim tells whether it was due.
const LAG_MAX: Duration = Duration::from_secs(1);
/// The shortest time that the database tells apart.
const TICK: Duration = Duration::from_micros(1);

/// An integration as far as its lane must know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) version: i32,
    pub(super) policy: Policy,
    pub(super) is_enabled: bool,
}

/// Every lane this daemon knows of.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneId, Lane>,
    ready: VecDeque<LaneId>,
    /// For rows of one kind that become due, or for another look at the lane.
    timers: BinaryHeap<Reverse<(Moment, LaneId, Option<LaneKind>)>>,
    /// Lanes of which it must be asked when their next row is due.
    peeks: Vec<(LaneId, LaneKind)>,
    /// A lane waits for pushes to be written.
    is_hurried: bool,
    /// When this daemon joined others that may not have heard of it.
    joined: Option<Moment>,
}

impl Lanes {
    /// Takes a hint. True if the lane is new and must be loaded.
    pub(super) fn hint(&mut self, hint: DueHint, is_owned: bool, now: Moment) -> bool {
        let id = hint.lane;
        let is_new = !self.lanes.contains_key(&id);
        let lane = self.lanes.entry(id).or_default();
        if is_new {
            lane.is_owned = is_owned;
            lane.is_taken_over = self.joined.is_some();
        }
        let track = &mut lane.tracks[hint.kind.index()];
        let is_due = hint.due_at <= now;
        if !is_due && hint.kind == LaneKind::First && hint.due_at.since(now) < LAG_MAX {
            track.look_ahead(hint.due_at, now);
            self.enqueue(id, now);
        } else {
            self.plan(hint, now);
        }
        is_new
    }

    /// Looks at a row when it is due by our clock.
    fn plan(&mut self, hint: DueHint, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&hint.lane) else { return };
        let track = &mut lane.tracks[hint.kind.index()];
        if hint.due_at <= now {
            track.look(hint.due_at);
            self.enqueue(hint.lane, now);
        } else if let Some(at) = track.expect(hint.due_at, now) {
            self.timers.push(Reverse((at, hint.lane, Some(hint.kind))));
        }
    }

    /// The pauses that a load which begins now finds written. None if one is not: what is stored says nothing of it.
    pub(super) fn pauses_written(&self, id: LaneId) -> Option<u64> {
        let lane = self.lanes.get(&id)?;
        (!lane.is_pause_unwritten).then_some(lane.pauses)
    }

    /// Sets what was loaded of a lane, and what is stored of its stops. Two loads may overtake each other: an older
    /// version is passed over. `known` are the pauses that were written when the load began: it lifts no other. True if
    /// the stops must be read once more: a pause was lifted or written since they were read.
    pub(super) fn load(
        &mut self,
        id: LaneId,
        loaded: Loaded,
        stops: Stops,
        known: Option<u64>,
        now: Moment,
    ) -> bool {
        let Loaded { version, policy, is_enabled } = loaded;
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.version <= version) else { return false };
        let is_missed = stops.throttled_until.is_none() && lane.paused_until > now;
        let is_lifted = is_missed && known == Some(lane.pauses);
        if is_lifted {
            lane.paused_until = Moment::EPOCH;
            lane.is_one_by_one = true;
        }
        lane.reads_again = is_missed && lane.is_pause_unwritten;
        let is_to_be_read = is_missed && !lane.reads_again;
        lane.version = version;
        lane.is_enabled = is_enabled;
        if lane.policy.is_none_or(|old| old.rate_per_second != policy.rate_per_second) {
            lane.bucket = policy.rate_per_second.map(|rate| Bucket::new(rate, now));
        }
        lane.policy = Some(policy);
        self.look_everywhere(id, now);
        self.set_breaker(id, stops.breaker_until, now);
        if let Some(until) = stops.throttled_until {
            self.pause(id, until, now);
        }
        is_to_be_read
    }

    /// Lets one push at a time go in a lane of which nothing can be read: each fails with the reason, where operators see
    /// it. A lane that was loaded once goes on as it was.
    pub(super) fn load_blindly(&mut self, id: LaneId, stops: Stops, now: Moment) {
        let policy = Policy { concurrency: 1, ..Policy::default() };
        let known = self.pauses_written(id);
        self.load(id, Loaded { version: 0, policy, is_enabled: true }, stops, known, now);
    }

    /// Sets until when retries wait; none if they do not.
    pub(super) fn set_breaker(&mut self, id: LaneId, until: Option<Moment>, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let until = until.map(|until| coarsen(until, now));
        if lane.breaker_until == until {
            return;
        }
        lane.breaker_until = until;
        if let Some(until) = until.filter(|until| *until > now) {
            self.timers.push(Reverse((until, id, None)));
        }
        self.enqueue(id, now);
    }

    /// Forgets a lane whose integration is gone.
    pub(super) fn remove(&mut self, id: LaneId) {
        self.lanes.remove(&id);
    }

    /// Whether a lane is known.
    pub(super) fn contains(&self, id: LaneId) -> bool {
        self.lanes.contains_key(&id)
    }

    /// Says anew which lanes are this daemon's.
    pub(super) fn own(&mut self, mut is_owned: impl FnMut(&LaneId) -> bool, now: Moment) {
        let mut gained = Vec::new();
        for (id, lane) in &mut self.lanes {
            let owned = is_owned(id);
            if owned && !lane.is_owned {
                gained.push(*id);
            }
            lane.is_owned = owned;
            if !owned {
                lane.elsewhere = 0;
            }
        }
        for id in gained {
            self.look_everywhere(id, now);
        }
    }

    /// This daemon has joined others, which may still push in any lane.
    pub(super) fn take_over(&mut self, joined: Moment) {
        self.joined = Some(joined);
        self.lanes.values_mut().for_each(|lane| lane.is_taken_over = true);
    }

    /// The others have let go what is this daemon's, but for so many pushes. True if it must be asked again when those
    /// have ended.
    pub(super) fn handed_over(
        &mut self,
        joined: Moment,
        elsewhere: &HashMap<LaneId, u32>,
        now: Moment,
    ) -> bool {
        if self.joined.is_some_and(|last| last != joined) {
            return false;
        }
        self.joined = None;
        let (mut changed, mut is_some_left) = (Vec::new(), false);
        for (id, lane) in &mut self.lanes {
            let count = elsewhere.get(id).copied().filter(|_| lane.is_owned).unwrap_or(0);
            is_some_left |= count > 0;
            if lane.is_taken_over || lane.elsewhere != count {
                (lane.is_taken_over, lane.elsewhere) = (false, count);
                changed.push(*id);
            }
        }
        for id in changed {
            self.look_everywhere(id, now);
        }
        is_some_left
    }

    /// Lets nothing start in a lane before a time. A claim may have met the pause before this was told of it, and come
    /// back empty: that says nothing of what is there.
    pub(super) fn pause(&mut self, id: LaneId, until: Moment, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.tracks.iter_mut().for_each(Track::look_again);
        if until > now {
            let until = coarsen(until, now);
            if until > lane.paused_until {
                lane.paused_until = until;
                self.timers.push(Reverse((until, id, None)));
            }
        }
        self.enqueue(id, now);
    }

    /// Whether a lane is this daemon's.
    pub(super) fn is_owned(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.is_owned)
    }

    /// Whether a lane was not loaded, or is taken to be disabled.
    pub(super) fn is_idle(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.policy.is_none() || !lane.is_enabled)
    }

    /// The lanes that are known.
    pub(super) fn ids(&self) -> Vec<LaneId> {
        self.lanes.keys().copied().collect()
    }

    /// A push has ended in a lane. Its room is free at once, as long as not too many others wait to be written. `is_up` says whether the
    /// target answered; `pause` until when it asked the lane to wait.
    pub(super) fn ended(
        &mut self,
        id: LaneId,
        kind: LaneKind,
        is_up: bool,
        pause: Option<Moment>,
        now: Moment,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if is_up {
            lane.is_one_by_one = false;
        }
        let at = kind.index();
        lane.in_flight[at] = lane.in_flight[at].saturating_sub(1);
        lane.unwritten[at] += 1;
        if pause.is_some() {
            lane.pauses += 1;
            lane.is_pause_unwritten = true;
        }
        match pause {
            Some(until) => self.pause(id, until, now),
            None => self.enqueue(id, now),
        }
    }

    /// So many pushes of each kind of a lane are written, and what they mean for the breaker is known. True if its stops
    /// must be read once more.
    pub(super) fn written(&mut self, id: LaneId, counts: [u32; 2], now: Moment) -> bool {
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        for (unwritten, count) in lane.unwritten.iter_mut().zip(counts) {
            *unwritten = unwritten.saturating_sub(count);
        }
        lane.is_pause_unwritten &= lane.unwritten != [0, 0];
        let is_to_be_read = !lane.is_pause_unwritten && std::mem::take(&mut lane.reads_again);
        self.enqueue(id, now);
        is_to_be_read
    }

    /// Lets what has become due since into the ready queue, and tells when to call again.
    pub(super) fn wake(&mut self, now: Moment) -> Option<Moment> {
        while let Some(&Reverse((at, id, kind))) = self.timers.peek() {
            if at > now {
                return Some(at);
            }
            self.timers.pop();
            if let Some(lane) = self.lanes.get_mut(&id) {
                if let Some(kind) = kind {
                    lane.tracks[kind.index()].ring(at);
                } else if lane.look_at.is_some_and(|look_at| look_at <= at) {
                    lane.look_at = None;
                }
                self.enqueue(id, now);
            }
        }
        None
    }

    /// What to claim now, round robin over the lanes that have something due and room.
    pub(super) fn asks(&mut self, now: Moment) -> Vec<Ask> {
        let mut asks = Vec::new();
        let mut rows = CLAIM_ROWS;
        while rows > 0 && asks.len() < CLAIM_LANES {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.is_queued = false;
            let room = lane.room(now).min(rows);
            if room == 0 {
                self.look_later(id, now);
                continue;
            }
            for (kind, room) in LaneKind::ALL.into_iter().zip(lane.split(room, now)) {
                let track = &mut lane.tracks[kind.index()];
                if room > 0 {
                    track.fresh = false;
                    rows -= room;
                    asks.push(Ask { lane: id, kind, room, watermark: track.watermark });
                }
            }
        }
        asks
    }

    /// Takes the answer of a claim: for every ask, how many rows came and the latest of their due times.
    pub(super) fn claimed(
        &mut self,
        asks: &[Ask],
        got: &HashMap<(LaneId, LaneKind), (u32, Moment)>,
        now: Moment,
    ) {
        for ask in asks {
            let id = ask.lane;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let (count, latest) = got.get(&(id, ask.kind)).copied().unwrap_or_default();
            lane.in_flight[ask.kind.index()] += count;
            if let Some(bucket) = &mut lane.bucket {
                bucket.tokens -= f64::from(count);
            }
            let track = &mut lane.tracks[ask.kind.index()];
            if !track.fresh {
                for at in track.not_due_yet(now) {
                    self.timers.push(Reverse((at, id, Some(ask.kind))));
                }
                track.more = i64::from(count) >= i64::from(ask.room);
                if count > 0 {
                    track.watermark = latest;
                }
                if !track.more && track.needs_peek() {
                    self.peeks.push((id, ask.kind));
                }
            }
        }
        // Only when all that came is counted is it known who has room.
        for ask in asks {
            self.enqueue(ask.lane, now);
        }
    }

    /// The kinds of lanes that gave all that is due, while rows may wait in them that no hint told of.
    pub(super) fn peeks(&mut self) -> Vec<(LaneId, LaneKind)> {
        std::mem::take(&mut self.peeks)
    }

    /// Takes the answer to a peek: when the next row is due, if there is one.
    pub(super) fn peeked(&mut self, id: LaneId, kind: LaneKind, next: Option<Moment>, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if let Some(track) = lane.tracks.get_mut(kind.index()) {
            track.answered(next.is_some());
        }
        if let Some(due_at) = next {
            // The database has just said that it is not due: to look at once would be to ask again and again.
            self.plan(DueHint { lane: id, kind, due_at }, now);
        }
    }

    /// Whether a lane has come to wait for pushes to be written since this was asked last.
    pub(super) fn take_hurry(&mut self) -> bool {
        std::mem::take(&mut self.is_hurried)
    }

    /// The scan found a due row that no hint may have told of, and there may be others behind it.
    pub(super) fn discovered(&mut self, id: LaneId, kind: LaneKind) {
        if let Some(track) = self.lanes.get_mut(&id).and_then(|lane| lane.tracks.get_mut(kind.index())) {
            track.mark_uncertain();
        }
    }

    /// A claim failed: what it asked for is still there, or comes back behind the watermark.
    pub(super) fn failed(&mut self, asks: &[Ask], now: Moment) {
        for ask in asks {
            self.look_everywhere(ask.lane, now);
        }
    }

    /// Whether a claim would find something.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many lanes are known.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Looks at all that is due in a lane, whatever was known of it.
    pub(super) fn look_everywhere(&mut self, id: LaneId, now: Moment) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.tracks.iter_mut().for_each(Track::rescan);
            self.enqueue(id, now);
        }
    }

    fn enqueue(&mut self, id: LaneId, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.is_queued || !lane.tracks.iter().any(|track| track.more) {
            return;
        }
        if lane.is_ready(now) {
            lane.is_queued = true;
            self.ready.push_back(id);
        } else {
            self.is_hurried |= lane.waits_for_writing(now);
            self.look_later(id, now);
        }
    }

    /// A lane that waits for tokens only is looked at again when one is there; any other wait ends with an event.
    fn look_later(&mut self, id: LaneId, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let Some(policy) = lane.policy else { return };
        if let Some(bucket) = &lane.bucket
            && lane.busy() < policy.concurrency
            && lane.paused_until <= now
            && bucket.tokens < 1.0
        {
            let at = bucket.next().max(now + TICK);
            // One timer is enough, however many hints come while the lane waits and however their sums are rounded.
            if lane.look_at.is_none_or(|look_at| at + FINE < look_at) {
                lane.look_at = Some(at);
                self.timers.push(Reverse((at, id, None)));
            }
        }
    }
}

mod bucket;
mod lane;
mod track;

#[cfg(test)]
mod tests;
