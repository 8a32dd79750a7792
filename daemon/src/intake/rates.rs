//! How much a second comes from somebody, as far as this daemon sees it: leads with a key, posts of a form's client.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many keys are remembered before those that are idle are forgotten.
const KEYS_CAP: usize = 10_000;

/// When each one's allowance is used up to.
#[derive(Debug)]
pub(super) struct Rates<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// Counts one, or says how long to wait until it may come. A second's worth may come at once.
    pub(super) fn admit(&self, key: K, rate: Option<f64>) -> Result<(), Duration> {
        match rate {
            Some(rate) => self.admit_at(key, rate, rate.floor(), Instant::now()),
            None => Ok(()),
        }
    }

    /// The same, where so many may come at once.
    pub(super) fn admit_some(&self, key: K, rate: f64, at_once: u32) -> Result<(), Duration> {
        self.admit_at(key, rate, at_once.into(), Instant::now())
    }

    fn admit_at(&self, key: K, rate: f64, at_once: f64, now: Instant) -> Result<(), Duration> {
        let gap =
            Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX).min(Duration::from_secs(86_400));
        let ahead = gap.mul_f64((at_once - 1.0).max(0.0));
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
    use crate::domain::ids::KeyId;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_the_rate_holds() {
        let (rates, key, start) = (Rates::default(), KeyId::generate(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let admitted = |rate, millis| rates.admit_at(key, rate, rate.floor(), at(millis));
        for _ in 0..4 {
            assert_eq!(admitted(4.0, 0), Ok(()));
        }
        assert_eq!(admitted(4.0, 0), Err(Duration::from_millis(250)));
        assert_eq!(admitted(4.0, 249), Err(Duration::from_millis(1)));
        assert_eq!(admitted(4.0, 250), Ok(()));
        assert_eq!(admitted(4.0, 250), Err(Duration::from_millis(250)), "what was refused is not counted");
        let taken = (0..10_000).filter(|millis| admitted(4.0, 1_000 + millis).is_ok()).count();
        assert!((40..=44).contains(&taken), "{taken}");
        assert_eq!(rates.admit_at(KeyId::generate(), 0.5, 0.0, start), Ok(()), "each key has its own");
        let slow = KeyId::generate();
        assert_eq!(rates.admit_at(slow, 0.5, 0.0, start), Ok(()));
        assert_eq!(rates.admit_at(slow, 0.5, 0.0, at(500)), Err(Duration::from_millis(1500)));
        assert_eq!(rates.admit(slow, None), Ok(()));
        let posted =
            (0..20).filter(|_| rates.admit_some(KeyId::from(slow.uuid()), 0.001, 10).is_ok()).count();
        assert!(posted < 10, "{posted}");
        let fresh = KeyId::generate();
        assert_eq!((0..20).filter(|_| rates.admit_some(fresh, 0.001, 10).is_ok()).count(), 10);
    }
}
