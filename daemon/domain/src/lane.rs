//! Lanes: which one it is, what keeps it, and why it does not push what is due, in one word, and until when.

use std::time::Duration;

use super::{
    ids::{CompanyId, IntegrationId},
    moment::Moment,
};

/// A lane is named by its integration; the company leads every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    pub company: CompanyId,
    pub integration: IntegrationId,
}

impl LaneId {
    #[must_use]
    pub fn new(company: CompanyId, integration: impl Into<IntegrationId>) -> Self {
        Self { company, integration: integration.into() }
    }
}

/// What keeps an integration's lane from pushing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneHolds {
    pub is_disabled: bool,
    pub awaits_cut_over: bool,
    pub paused_since: Option<Moment>,
    /// Until when its target asked us to wait; none once that is over.
    pub throttled_until: Option<Moment>,
    /// The breaker lets no retry start before, and then one that finds out.
    pub breaker_until: Option<Moment>,
}

/// What keeps a lane, with its time if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    Disabled,
    Paused(Moment),
    Rotation,
    Throttled(Moment),
    BreakerOpen(Moment),
    BreakerHalfOpen,
}

impl Keeper {
    /// What the lane waits for, and until when, if that can be told.
    const fn wait(self) -> (Wait, Option<Moment>) {
        match self {
            Self::Disabled => (Wait::Disabled, None),
            Self::Paused(_) => (Wait::Paused, None),
            Self::Rotation => (Wait::CutOver, None),
            Self::Throttled(until) => (Wait::Throttled, Some(until)),
            Self::BreakerOpen(until) => (Wait::Breaker, Some(until)),
            Self::BreakerHalfOpen => (Wait::Breaker, None),
        }
    }
}

impl LaneHolds {
    /// What keeps a delivery that is due at a time, as a retry or not: the one that counts whatever becomes of the others.
    #[must_use]
    pub fn keep(&self, due_at: Option<Moment>, is_retry: bool, now: Moment) -> Option<Keeper> {
        let later = |until: Moment| due_at.map_or(until, |due_at| due_at.max(until));
        if let Some(command) = self.command() {
            return Some(command);
        }
        if let Some(until) = self.throttled_until {
            return Some(Keeper::Throttled(later(until)));
        }
        let until = self.breaker_until.filter(|_| is_retry)?;
        if until > now {
            return Some(Keeper::BreakerOpen(later(until)));
        }
        // Before its time it waits for that.
        due_at.filter(|due_at| *due_at <= now).map(|_| Keeper::BreakerHalfOpen)
    }

    /// Whose command keeps it: nothing of it is pushed until somebody acts.
    #[must_use]
    pub fn command(&self) -> Option<Keeper> {
        if self.is_disabled {
            return Some(Keeper::Disabled);
        }
        let paused = self.paused_since.map(Keeper::Paused);
        paused.or_else(|| self.awaits_cut_over.then_some(Keeper::Rotation))
    }

    /// Whether a retry that is due at a time starts then: nothing is shut that opens later.
    #[must_use]
    pub fn lets_retry(&self, due_at: Moment, now: Moment) -> bool {
        matches!(self.keep(Some(due_at), true, now), None | Some(Keeper::BreakerHalfOpen))
    }
}

/// What is known of a lane at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaneStatus {
    pub now: Moment,
    pub holds: LaneHolds,
    /// Deliveries whose time has come: first attempts, and retries.
    pub due: [i64; 2],
    pub running: i64,
    pub concurrency: u32,
    pub rate_per_second: Option<f64>,
}

/// What a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// An operator disabled the integration.
    Disabled,
    /// Its company is paused.
    Paused,
    /// A rotation of its signing secret holds pushes.
    CutOver,
    /// The target asked for a pause.
    Throttled,
    /// So many pushes are in flight as may be.
    Concurrency,
    /// The next push may not start yet.
    Rate,
    /// The target seems to be down, and retries wait.
    Breaker,
}

impl Wait {
    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Paused => "company paused",
            Self::CutOver => "cut over",
            Self::Throttled => "throttled",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
        }
    }
}

impl LaneStatus {
    /// What the lane waits for, and until when, if that can be told: what keeps it, whether anything is due or not, else
    /// what keeps what is due. None: nothing does.
    #[must_use]
    pub fn waits(&self) -> Option<(Wait, Option<Moment>)> {
        let [first, again] = self.due;
        let keep = |is_retry| self.holds.keep(Some(self.now), is_retry, self.now).map(Keeper::wait);
        // First attempts do not wait for the breaker.
        if let Some(wait) = keep(first == 0) {
            return Some(wait);
        }
        let breaker = keep(true);
        let due = if breaker.is_some() { first } else { first + again };
        if due > 0 && self.running >= i64::from(self.concurrency) {
            return Some((Wait::Concurrency, None));
        }
        // When the last of them may start.
        let rate = self.rate_per_second.filter(|_| due > 0).map(|rate| {
            let last = Duration::try_from_secs_f64(due as f64 / rate).unwrap_or(Duration::MAX);
            (Wait::Rate, Some(self.now + last))
        });
        rate.or(breaker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Option<Moment> {
        Some(Moment::from_micros(micros))
    }

    #[test]
    fn the_first_thing_that_keeps_a_lane_is_told() {
        let open = LaneHolds::default();
        let all = LaneHolds {
            is_disabled: true,
            awaits_cut_over: true,
            paused_since: at(1),
            throttled_until: at(200),
            breaker_until: at(300),
        };
        let free = LaneStatus {
            now: Moment::from_micros(100),
            due: [1, 1],
            running: 2,
            concurrency: 2,
            rate_per_second: Some(4.0),
            ..LaneStatus::default()
        };
        for (holds, expected) in [
            (all, (Wait::Disabled, None)),
            (LaneHolds { is_disabled: false, ..all }, (Wait::Paused, None)),
            (LaneHolds { is_disabled: false, paused_since: None, ..all }, (Wait::CutOver, None)),
            (LaneHolds { throttled_until: at(200), ..open }, (Wait::Throttled, at(200))),
        ] {
            // Whether something is due, and whether it could go but for that, is all one.
            for due in [[1, 1], [0, 1], [0, 0]] {
                assert_eq!(LaneStatus { holds, due, ..free }.waits(), Some(expected), "{holds:?} {due:?}");
            }
        }
        let broken = LaneHolds { breaker_until: at(300), ..open };
        for due in [[0, 0], [0, 1]] {
            let status = LaneStatus { holds: broken, due, ..free };
            assert_eq!(status.waits(), Some((Wait::Breaker, at(300))), "{due:?}");
            let holds = LaneHolds { breaker_until: at(50), ..open };
            assert_eq!(LaneStatus { holds, ..status }.waits(), Some((Wait::Breaker, None)), "half-open");
        }
    }

    #[test]
    fn an_open_lane_waits_for_room_or_its_rate() {
        let free = LaneStatus {
            now: Moment::from_micros(100),
            due: [1, 1],
            concurrency: 2,
            ..LaneStatus::default()
        };
        let broken = LaneHolds { breaker_until: at(200), ..LaneHolds::default() };
        for (status, expected) in [
            (free, None),
            (LaneStatus { running: 2, ..free }, Some((Wait::Concurrency, None))),
            (LaneStatus { rate_per_second: Some(4.0), ..free }, Some((Wait::Rate, at(500_100)))),
            (LaneStatus { due: [0, 0], running: 2, rate_per_second: Some(4.0), ..free }, None),
            // A first attempt goes, and the retry behind it waits.
            (LaneStatus { holds: broken, ..free }, Some((Wait::Breaker, at(200)))),
            (LaneStatus { holds: broken, running: 2, ..free }, Some((Wait::Concurrency, None))),
            (
                LaneStatus { holds: broken, rate_per_second: Some(4.0), ..free },
                Some((Wait::Rate, at(250_100))),
            ),
        ] {
            assert_eq!(status.waits(), expected, "{status:?}");
        }
    }

    #[test]
    fn a_retry_starts_at_its_time_unless_something_is_shut() {
        let now = Moment::from_micros(100);
        let open = LaneHolds::default();
        for (holds, lets) in [
            (open, true),
            (LaneHolds { is_disabled: true, ..open }, false),
            (LaneHolds { paused_since: at(1), ..open }, false),
            (LaneHolds { awaits_cut_over: true, ..open }, false),
            (LaneHolds { throttled_until: at(200), ..open }, false),
            (LaneHolds { breaker_until: at(200), ..open }, false),
            (LaneHolds { breaker_until: at(100), ..open }, true),
        ] {
            for due_at in [now, Moment::from_micros(150)] {
                assert_eq!(holds.lets_retry(due_at, now), lets, "{holds:?}");
            }
        }
    }

    #[test]
    fn every_wait_has_a_word_of_its_own() {
        let all = [
            Wait::Disabled,
            Wait::Paused,
            Wait::CutOver,
            Wait::Throttled,
            Wait::Concurrency,
            Wait::Rate,
            Wait::Breaker,
        ];
        let words: std::collections::BTreeSet<_> = all.iter().map(|wait| wait.as_str()).collect();
        assert_eq!(words.len(), all.len());
    }
}
