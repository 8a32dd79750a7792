//! Whether the machine slept: the clock on the wall went on, and nothing that waits in here did.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// What the two clocks may differ by without that.
const DRIFT: SignedDuration = SignedDuration::from_secs(3);

/// When both clocks were last looked at.
pub(super) struct Awake {
    waited: Instant,
    clock: Timestamp,
}

impl Awake {
    /// From now on.
    pub(super) const fn since(waited: Instant, clock: Timestamp) -> Self {
        Self { waited, clock }
    }

    /// Whether the machine slept since that was asked last.
    pub(super) fn slept(&mut self, waited: Instant, clock: Timestamp) -> bool {
        let within =
            SignedDuration::try_from(waited.duration_since(self.waited)).unwrap_or(SignedDuration::MAX);
        let passed = clock.duration_since(self.clock);
        *self = Self { waited, clock };
        passed.saturating_sub(within) >= DRIFT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleep_is_what_the_clock_alone_went_on_for() {
        let (begun, clock) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut awake = Awake::since(begun, clock);
        let at = |waited: u64, passed: i64| {
            (begun + Duration::from_secs(waited), clock + SignedDuration::from_secs(passed))
        };
        for (waited, passed, slept) in [
            (10, 10, false),
            (20, 22, false),
            (21, 8 * 3600, true),
            // It is told once, and a clock that is put back is no sleep.
            (22, 8 * 3600 + 1, false),
            (23, 3600, false),
        ] {
            let (waited_at, now) = at(waited, passed);
            assert_eq!(awake.slept(waited_at, now), slept, "{waited} {passed}");
        }
    }
}
