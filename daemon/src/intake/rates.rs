//! How many leads a second come in with a key, as far as this daemon sees them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::ids::KeyId;

/// So many keys are remembered before those that are idle are forgotten.
const KEYS_CAP: usize = 10_000;

/// When each key's allowance is used up to. A second's worth may come at once.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<KeyId, Instant>>);

impl Rates {
    /// Counts one lead, or says how long to wait until it may come.
    pub(super) fn admit(&self, key: KeyId, rate: Option<f64>) -> Result<(), Duration> {
        match rate {
            Some(rate) => self.admit_at(key, rate, Instant::now()),
            None => Ok(()),
        }
    }

    fn admit_at(&self, key: KeyId, rate: f64, now: Instant) -> Result<(), Duration> {
        let gap =
            Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX).min(Duration::from_secs(86_400));
        let ahead = gap.mul_f64((rate.floor() - 1.0).max(0.0));
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= KEYS_CAP {
            used.retain(|_, until| *until > now);
        }
        let until = used.get(&key).copied().unwrap_or(now).max(now);
        match until.duration_since(now).checked_sub(ahead) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                used.insert(key, until + gap);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_the_rate_holds() {
        let (rates, key, start) = (Rates::default(), KeyId::generate(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let admitted = |rate, millis| rates.admit_at(key, rate, at(millis));
        for _ in 0..4 {
            assert_eq!(admitted(4.0, 0), Ok(()));
        }
        assert_eq!(admitted(4.0, 0), Err(Duration::from_millis(250)));
        assert_eq!(admitted(4.0, 249), Err(Duration::from_millis(1)));
        assert_eq!(admitted(4.0, 250), Ok(()));
        assert_eq!(admitted(4.0, 250), Err(Duration::from_millis(250)), "what was refused is not counted");
        let taken = (0..10_000).filter(|millis| admitted(4.0, 1_000 + millis).is_ok()).count();
        assert!((40..=44).contains(&taken), "{taken}");
        assert_eq!(rates.admit_at(KeyId::generate(), 0.5, start), Ok(()), "each key has its own");
        let slow = KeyId::generate();
        assert_eq!(rates.admit_at(slow, 0.5, start), Ok(()));
        assert_eq!(rates.admit_at(slow, 0.5, at(500)), Err(Duration::from_millis(1500)));
        assert_eq!(rates.admit(slow, None), Ok(()));
    }
}
