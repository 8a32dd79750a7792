//! How long to wait before the next dial: twice as long each time, never above the cap.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(8);

/// Counts the dials that failed one after the other.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait and the number of the dial behind it. `jitter` in -1..=1 moves it by up to a fifth.
    pub(super) fn next(&mut self, jitter: f64) -> (Duration, u32) {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(8)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        (doubled.mul_f64(1.0 + jitter.clamp(-1.0, 1.0) / 5.0).min(CAP), self.failures)
    }

    /// A connection held: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(0.0).0.as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        backoff.reset();
        assert_eq!(backoff.next(-1.0), (Duration::from_millis(200), 1));
        assert_eq!(backoff.next(1.0), (Duration::from_millis(600), 2));
        for _ in 0..100 {
            assert!(backoff.next(1.0).0 <= CAP);
        }
    }
}
