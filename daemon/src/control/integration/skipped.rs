//! How many deliveries of integrations are skipped: a count that many consoles ask for again and again, and that costs a
//! read of deliveries. What was counted is told for a while to whoever asks.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::ids::IntegrationId;

/// How long a count is told again.
const KEPT: Duration = Duration::from_secs(60);

/// What was counted in the last minute.
#[derive(Debug, Default)]
pub(in crate::control) struct SkippedCounts(Mutex<KeptCounts>);

#[derive(Debug, Default)]
struct KeptCounts {
    counts: HashMap<IntegrationId, (Instant, i64)>,
    /// Grows with each time that all is forgotten: what was being counted then is not kept.
    age: u64,
}

/// What is known of some integrations, and of which nothing is.
#[derive(Debug)]
pub(super) struct KnownCounts {
    pub(super) counts: HashMap<IntegrationId, i64>,
    pub(super) unknown: Vec<IntegrationId>,
    age: u64,
}

impl SkippedCounts {
    /// What is known of these integrations at a time.
    pub(super) fn of(&self, integrations: &[IntegrationId], now: Instant) -> KnownCounts {
        let known = self.known();
        let mut found = KnownCounts { counts: HashMap::new(), unknown: Vec::new(), age: known.age };
        for id in integrations {
            match known.counts.get(id).filter(|(at, _)| now.duration_since(*at) < KEPT) {
                Some((_, count)) => {
                    found.counts.insert(*id, *count);
                }
                None => found.unknown.push(*id),
            }
        }
        found
    }

    /// Keeps what was counted behind a look that was begun at a time.
    pub(super) fn keep(&self, looked: &KnownCounts, counted: &HashMap<IntegrationId, i64>, begun: Instant) {
        let mut known = self.known();
        if known.age != looked.age {
            return;
        }
        known.counts.retain(|_, (at, _)| begun.duration_since(*at) < KEPT);
        known.counts.extend(counted.iter().map(|(id, count)| (*id, (begun, *count))));
    }

    /// Forgets all counts: an operator has changed something.
    pub(in crate::control) fn forget(&self) {
        let mut known = self.known();
        known.counts.clear();
        known.age += 1;
    }

    fn known(&self) -> MutexGuard<'_, KeptCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_again_for_a_minute_and_not_behind_an_act() {
        let (skipped, begun) = (SkippedCounts::default(), Instant::now());
        let [one, other] = [IntegrationId::generate(), IntegrationId::generate()];
        let looked = skipped.of(&[one], begun);
        assert_eq!(looked.unknown, [one]);
        skipped.keep(&looked, &HashMap::from([(one, 3)]), begun);
        let soon = skipped.of(&[one, other], begun + KEPT / 2);
        assert_eq!((soon.counts, soon.unknown), (HashMap::from([(one, 3)]), vec![other]));
        assert_eq!(skipped.of(&[one], begun + KEPT).unknown, [one], "a minute later");
        // What was counted while an operator skipped is told once, and not kept.
        let looked = skipped.of(&[other], begun);
        skipped.forget();
        skipped.keep(&looked, &HashMap::from([(other, 1)]), begun);
        assert_eq!(skipped.of(&[one, other], begun).unknown, [one, other]);
        let later = begun + KEPT * 2;
        let looked = skipped.of(&[one], begun);
        skipped.keep(&looked, &HashMap::from([(one, 3)]), begun);
        skipped.keep(&looked, &HashMap::from([(other, 1)]), later);
        assert_eq!(skipped.known().counts.len(), 1, "what is old is dropped");
    }
}
