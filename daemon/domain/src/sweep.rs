//! The sweep of one integration's dead deliveries: one canary first, and only if it arrives the rest.

use super::{breaker, delivery::State, integration::Policy};

/// So many deliveries come back in one transaction at most.
pub const BATCH: usize = 500;
/// So many seconds' worth of pushes wait in the queue at most, so that what is cancelled ends soon.
const AHEAD_SECONDS: f64 = 5.0;

/// What is known of a run that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepRun {
    /// None if it is gone.
    pub canary: Option<State>,
    /// Whether the canary arrived, so that the rest follows.
    pub is_passed: bool,
    /// Nobody's command keeps the lane.
    pub is_open: bool,
    pub breaker: breaker::BreakerState,
    /// Whether the lane has retries enough to do.
    pub is_busy: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepStep {
    Wait,
    /// Bring back the next ones.
    Release,
    /// Leave what is still dead to the next run.
    End,
}

impl SweepRun {
    /// Decides.
    #[must_use]
    pub fn next(self) -> SweepStep {
        match (self.is_passed, self.canary) {
            (false, Some(State::Pending)) => SweepStep::Wait,
            (false, Some(State::Delivered)) | (true, _) => {
                // A canary that arrived before the lane was closed says nothing of the target once it is open again.
                if !self.is_open || self.breaker != breaker::BreakerState::Closed {
                    SweepStep::End
                } else if self.is_busy {
                    SweepStep::Wait
                } else {
                    SweepStep::Release
                }
            }
            (false, _) => SweepStep::End,
        }
    }
}

/// How many of a batch a job brings back at a time that keeps this pace: what is due in a second.
#[must_use]
pub fn paced(batch: usize, per_second: Option<f64>) -> usize {
    per_second.map_or(batch, |rate| batch.min((rate.ceil() as usize).max(1)))
}

/// How many deliveries to bring back at a time to a lane with this policy, whose pushes take so long.
#[must_use]
pub fn batch(policy: Policy, push_seconds: f64) -> usize {
    let by_slots = f64::from(policy.concurrency) / push_seconds.max(0.001);
    let per_second = policy.rate_per_second.map_or(by_slots, |rate| rate.min(by_slots));
    ((per_second * AHEAD_SECONDS) as usize).clamp(1, BATCH)
}

/// Whether a lane has retries enough to do, so that nothing is brought back to it: half a batch.
#[must_use]
pub fn is_busy(waiting: usize, batch: usize) -> bool {
    waiting * 2 >= batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_follows_only_a_canary_that_arrived() {
        use State::{Dead, Delivered, Held, Pending, Skipped};
        let run = |canary| SweepRun {
            canary,
            is_passed: false,
            is_open: true,
            breaker: breaker::BreakerState::Closed,
            is_busy: false,
        };
        for (canary, next) in [
            (Some(Pending), SweepStep::Wait),
            (Some(Delivered), SweepStep::Release),
            (Some(Dead), SweepStep::End),
            (Some(Held), SweepStep::End),
            (Some(Skipped), SweepStep::End),
            (None, SweepStep::End),
        ] {
            assert_eq!(run(canary).next(), next, "{canary:?}");
            let passed = SweepRun { is_passed: true, ..run(canary) };
            assert_eq!(passed.next(), SweepStep::Release, "{canary:?}: it had arrived once");
        }
    }

    #[test]
    fn the_rest_goes_at_the_lanes_pace_and_ends_where_it_fails_again() {
        let run = SweepRun {
            canary: Some(State::Delivered),
            is_passed: true,
            is_open: true,
            breaker: breaker::BreakerState::Closed,
            is_busy: false,
        };
        assert_eq!(SweepRun { is_busy: true, ..run }.next(), SweepStep::Wait);
        for breaker in [breaker::BreakerState::Open, breaker::BreakerState::HalfOpen] {
            assert_eq!(SweepRun { breaker, is_busy: true, ..run }.next(), SweepStep::End);
        }
        assert_eq!(SweepRun { is_open: false, ..run }.next(), SweepStep::End);
        assert_eq!(SweepRun { is_open: false, is_passed: false, ..run }.next(), SweepStep::End);
    }

    #[test]
    fn a_batch_is_a_few_seconds_of_work() {
        let policy = Policy { concurrency: 4, ..Policy::default() };
        for (rate, seconds, count) in [
            (None, 0.1, 200),
            (None, 0.0, BATCH),
            (None, 60.0, 1),
            (Some(2.0), 0.1, 10),
            (Some(0.01), 0.1, 1),
        ] {
            assert_eq!(batch(Policy { rate_per_second: rate, ..policy }, seconds), count);
        }
    }
}
