//! One lane: how many pushes of each kind may start now.

use super::{bucket::Bucket, track::Track};
use crate::domain::{breaker, integration::Policy, moment::Moment};

/// A lane that only ever has room for one lets a retry go first after so many first attempts.
const PASSED_OVER_MAX: u8 = 3;

/// What is known of a lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// None until it was loaded.
    pub(super) policy: Option<Policy>,
    /// The version of the integration that was loaded.
    pub(super) version: i32,
    pub(super) is_enabled: bool,
    pub(super) is_owned: bool,
    /// By kind.
    pub(super) in_flight: [u32; 2],
    /// Another daemon may still push in it, and how much is not known.
    pub(super) is_taken_over: bool,
    /// Pushes that another daemon had begun when the lane was taken over, and that have not ended.
    pub(super) elsewhere: u32,
    pub(super) paused_until: Moment,
    /// How many pauses pushes of this lane have brought.
    pub(super) pauses: u64,
    /// One of them is not written yet: what is stored does not know of it.
    pub(super) is_pause_unwritten: bool,
    /// Stops were read that do not know of it: they are read once more when it is written.
    pub(super) reads_again: bool,
    /// The pause was lifted before its time: one push at a time, until the target answers one.
    pub(super) is_one_by_one: bool,
    /// None while the breaker is closed; half-open from then on.
    pub(super) breaker_until: Option<Moment>,
    /// Pushes that have ended and are not written yet, by kind: as many as may be in flight, at most. After a crash they
    /// are pushed again as those are.
    pub(super) unwritten: [u32; 2],
    pub(super) bucket: Option<Bucket>,
    /// When a timer stands to look for a token.
    pub(super) look_at: Option<Moment>,
    pub(super) tracks: [Track; 2],
    pub(super) is_queued: bool,
    pub(super) passed_over: u8,
}

impl Lane {
    /// How many pushes may start now.
    pub(super) fn room(&mut self, now: Moment) -> i32 {
        let Some(policy) = self.policy else { return 0 };
        if !self.is_enabled || !self.is_owned || self.is_taken_over || self.paused_until > now {
            return 0;
        }
        let concurrency = if self.is_one_by_one { 1 } else { policy.concurrency };
        let open = self.busy() + self.unwritten[0] + self.unwritten[1];
        let mut room = concurrency.saturating_sub(self.busy()).min((2 * concurrency).saturating_sub(open));
        if let Some(bucket) = &mut self.bucket {
            bucket.refill(now);
            room = room.min(bucket.tokens as u32);
        }
        i32::try_from(room).unwrap_or(i32::MAX)
    }

    /// The pushes that are under way, here and elsewhere.
    pub(super) fn busy(&self) -> u32 {
        self.in_flight[0] + self.in_flight[1] + self.elsewhere
    }

    /// How many retries the breaker lets start now: any, none, or one that finds out.
    pub(super) fn allowed(&self, now: Moment) -> i32 {
        match breaker::BreakerState::at(self.breaker_until, now) {
            breaker::BreakerState::Closed => i32::MAX,
            breaker::BreakerState::Open => 0,
            // What the last one came to is known when it is written.
            breaker::BreakerState::HalfOpen => i32::from(self.in_flight[1] + self.unwritten[1] == 0),
        }
    }

    /// Whether a claim would ask for something.
    pub(super) fn is_ready(&mut self, now: Moment) -> bool {
        let waits = self.tracks[0].more || self.tracks[1].more && self.allowed(now) > 0;
        waits && self.room(now) > 0
    }

    /// Whether pushes wait for nothing but that others are written.
    pub(super) fn waits_for_writing(&self, now: Moment) -> bool {
        let Some(policy) = self.policy.filter(|_| self.is_enabled && self.is_owned) else { return false };
        let unwritten = self.unwritten[0] + self.unwritten[1];
        let is_full = unwritten > 0 && self.busy() + unwritten >= 2 * policy.concurrency;
        let finds_out = self.unwritten[1] > 0 && self.tracks[1].more && self.allowed(now) == 0;
        (is_full || finds_out) && self.tracks.iter().any(|track| track.more)
    }

    /// Splits the room: first attempts go first, retries keep a quarter where both wait.
    pub(super) fn split(&mut self, room: i32, now: Moment) -> [i32; 2] {
        let allowed = self.allowed(now);
        match (self.tracks[0].more, self.tracks[1].more && allowed > 0) {
            (false, false) => [0, 0],
            (true, false) => [room, 0],
            (false, true) => [0, room.min(allowed)],
            (true, true) if room == 1 => {
                self.passed_over += 1;
                if self.passed_over > PASSED_OVER_MAX {
                    self.passed_over = 0;
                    [0, 1]
                } else {
                    [1, 0]
                }
            }
            (true, true) => {
                let retries = (room / 4).clamp(1, allowed);
                [room - retries, retries]
            }
        }
    }
}
