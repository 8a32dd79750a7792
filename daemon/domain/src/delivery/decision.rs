//! What follows from an attempt: one pure function of what is known, with time and chance as arguments.

use std::time::Duration;

use super::Reason;
use crate::outcome::{FailureClass, Outcome};

/// The gaps before the automatic retries; the last one repeats where a policy has more.
const GAPS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// By how much a gap may be lengthened, never shortened.
const JITTER: f64 = 0.2;
/// The longest wait that a target is given, unless the daemon is configured otherwise.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Waits that targets asked for double from the first gap up to this, however short they ask for.
const WAIT_GAP_MAX: Duration = Duration::from_secs(15 * 60);
/// After so many waits in a row that a target asked for, the integration is failing.
pub const WAITS_FAILING: i16 = 4;
/// While a delivery is younger, an attempt whose target named a time uses up no retry.
const PATIENCE: Duration = Duration::from_secs(72 * 3600);
/// So many daemons may die during a delivery's attempts before it is taken for poison.
pub const CRASHES_MAX: i16 = 3;
/// After so many crashes a delivery is pushed with nothing beside it.
pub const CRASHES_SUSPECT: i16 = 2;

/// What is known of a delivery when one of its attempts ends.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFacts {
    /// Automatic retries used up on the current schedule.
    pub retries: u32,
    /// How many the integration's policy allows.
    pub retries_max: u32,
    /// Waits on the current schedule that the target asked for, and that used up no retry.
    pub waits: i16,
    /// Daemons that died during its attempts, this one included.
    pub crashes: i16,
    /// Since it came to be.
    pub age: Duration,
    /// Whether the sweep made this attempt: there is one for each run.
    pub is_sweep: bool,
}

/// When the sweep comes back to the dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepPolicy {
    /// From one run to the next, and from a death to the first.
    pub interval: Duration,
    /// Older deliveries are left to operators.
    pub age: Duration,
}

impl Default for SweepPolicy {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15 * 60), age: Duration::from_secs(72 * 3600) }
    }
}

/// What happens to a delivery now.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    Delivered,
    Retry {
        /// From the end of the attempt.
        after: Duration,
        /// Automatic retries used up, the coming one included.
        retries: u32,
        /// Waits that the target asked for, this one included.
        waits: i16,
        /// The whole lane waits as long.
        throttle: bool,
    },
    Dead {
        reason: Reason,
        /// The lane waits all the same: the target asked for it.
        throttle: Option<Duration>,
    },
    /// It must not be pushed any more; nothing was sent.
    Skipped {
        reason: Reason,
    },
}

impl Transition {
    /// How long the whole lane waits, if the target asked for it.
    #[must_use]
    pub fn throttle(&self) -> Option<Duration> {
        match self {
            Self::Retry { after, throttle: true, .. } => Some(*after),
            Self::Dead { throttle, .. } => *throttle,
            Self::Retry { .. } | Self::Delivered | Self::Skipped { .. } => None,
        }
    }
}

/// Decides. `jitter` is a random number from 0 to 1.
#[must_use]
pub fn decide(facts: DeliveryFacts, outcome: &Outcome, jitter: f64) -> Transition {
    let failure = match outcome {
        Outcome::Delivered => return Transition::Delivered,
        Outcome::Failed(failure) => failure,
    };
    if facts.crashes >= CRASHES_MAX {
        let reason = Reason::Crashed(facts.crashes);
        return Transition::Dead { reason, throttle: None };
    }
    let throttle = failure.class == FailureClass::Throttled;
    if !failure.class.is_retried() {
        let reason = Reason::Failed(failure.class);
        return Transition::Dead { reason, throttle: None };
    }
    let gap = gap(facts.retries, jitter);
    // A time that is no longer than the gap says nothing: the attempt counts as any other.
    let named = failure.retry_after.filter(|wait| *wait > gap);
    let after = named.map_or(gap, |wait| wait.max(wait_gap(facts.waits, jitter)));
    let is_free = named.is_some() && facts.age < PATIENCE;
    let used = if facts.is_sweep { facts.retries_max } else { facts.retries };
    if !is_free && used >= facts.retries_max {
        let reason = exhausted(failure.class, facts);
        return Transition::Dead { reason, throttle: throttle.then_some(after) };
    }
    let waits = if is_free { facts.waits.saturating_add(1) } else { facts.waits };
    Transition::Retry { after, retries: used + u32::from(!is_free), waits, throttle }
}

const fn exhausted(class: FailureClass, facts: DeliveryFacts) -> Reason {
    match facts {
        DeliveryFacts { is_sweep: true, .. } => Reason::SweepFailed(class),
        DeliveryFacts { retries: 0, .. } => Reason::Failed(class),
        DeliveryFacts { retries, .. } => Reason::RetriesFailed { class, retries },
    }
}

/// The wait before the retry that comes after `used` others.
#[must_use]
pub fn gap(used: u32, jitter: f64) -> Duration {
    let base = GAPS[(used as usize).min(GAPS.len() - 1)];
    base + base.mul_f64(JITTER * jitter.clamp(0.0, 1.0))
}

/// The shortest wait after so many others that a target asked for.
fn wait_gap(waits: i16, jitter: f64) -> Duration {
    let base = GAPS[0].saturating_mul(1 << waits.clamp(0, 16)).min(WAIT_GAP_MAX);
    base + base.mul_f64(JITTER * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Failure;

    const FRESH: DeliveryFacts = DeliveryFacts {
        retries: 0,
        retries_max: 3,
        waits: 0,
        crashes: 0,
        age: Duration::ZERO,
        is_sweep: false,
    };

    fn failed(class: FailureClass, retry_after: Option<u64>) -> Outcome {
        Outcome::Failed(Failure {
            class,
            error: "x".into(),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    fn retry(after: u64, retries: u32, throttle: bool) -> Transition {
        Transition::Retry { after: Duration::from_secs(after), retries, waits: 0, throttle }
    }

    fn wait(after: u64, retries: u32, waits: i16) -> Transition {
        Transition::Retry { after: Duration::from_secs(after), retries, waits, throttle: true }
    }

    #[test]
    fn every_class_has_its_consequence() {
        use FailureClass::{Blocked, Credentials, Mapping, Rejected, Throttled, Transient, Unknown};
        for class in [Mapping, Blocked, Credentials, Rejected] {
            let reason = Reason::Failed(class);
            let expected = Transition::Dead { reason, throttle: None };
            assert_eq!(decide(FRESH, &failed(class, None), 0.0), expected);
        }
        for class in [Transient, Unknown] {
            assert_eq!(decide(FRESH, &failed(class, None), 0.0), retry(1, 1, false));
        }
        assert_eq!(decide(FRESH, &failed(Throttled, None), 0.0), retry(1, 1, true));
        assert_eq!(decide(FRESH, &Outcome::Delivered, 0.0), Transition::Delivered);
    }

    #[test]
    fn the_schedule_is_1_4_15_then_dead() {
        let outcome = failed(FailureClass::Transient, None);
        let at = |retries| decide(DeliveryFacts { retries, ..FRESH }, &outcome, 0.0);
        assert_eq!(at(0), retry(1, 1, false));
        assert_eq!(at(1), retry(4, 2, false));
        assert_eq!(at(2), retry(15, 3, false));
        let exhausted = Reason::RetriesFailed { class: FailureClass::Transient, retries: 3 };
        assert!(matches!(at(3), Transition::Dead { reason, .. } if reason == exhausted));
    }

    #[test]
    fn a_named_time_replaces_a_shorter_gap_and_uses_up_nothing_for_three_days() {
        let outcome = failed(FailureClass::Throttled, Some(30));
        assert_eq!(decide(FRESH, &outcome, 0.0), wait(30, 0, 1));
        let late = DeliveryFacts { retries: 2, age: PATIENCE, ..FRESH };
        assert_eq!(decide(late, &outcome, 0.0), retry(30, 3, true));
        let exhausted = DeliveryFacts { retries: 3, ..FRESH };
        assert_eq!(decide(exhausted, &outcome, 0.0), wait(30, 3, 1));
        let old = DeliveryFacts { retries: 3, age: PATIENCE, ..FRESH };
        assert!(matches!(decide(old, &outcome, 0.0), Transition::Dead { throttle: Some(_), .. }));
    }

    #[test]
    fn a_named_time_that_is_no_longer_than_the_gap_counts_for_nothing() {
        for asked in [0, 1] {
            let outcome = failed(FailureClass::Throttled, Some(asked));
            let mut facts = FRESH;
            let mut gaps = Vec::new();
            while let Transition::Retry { after, retries, waits, .. } = decide(facts, &outcome, 0.0) {
                gaps.push(after.as_secs());
                facts = DeliveryFacts { retries, waits, ..facts };
            }
            assert_eq!(gaps, [1, 4, 15], "Retry-After: {asked}");
        }
    }

    #[test]
    fn gaps_grow_though_the_target_asks_for_the_same_time_again_and_again() {
        let outcome = failed(FailureClass::Throttled, Some(2));
        let mut facts = FRESH;
        let mut gaps = Vec::new();
        for _ in 0..12 {
            let Transition::Retry { after, retries, waits, .. } = decide(facts, &outcome, 0.0) else {
                panic!("it waits as long as it is asked to")
            };
            assert_eq!((retries, waits), (0, facts.waits + 1));
            gaps.push(after.as_secs());
            facts = DeliveryFacts { waits, ..facts };
        }
        assert_eq!(gaps, [2, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    }

    #[test]
    fn the_sweep_comes_back_to_what_may_work_later_and_tries_once() {
        use FailureClass::{Throttled, Transient, Unknown};
        let dead = |reason| Transition::Dead { reason, throttle: None };
        for class in [Transient, Unknown] {
            let exhausted = DeliveryFacts { retries: 3, ..FRESH };
            let reason = Reason::RetriesFailed { class, retries: 3 };
            assert_eq!(decide(exhausted, &failed(class, None), 0.0), dead(reason));
            let swept = DeliveryFacts { is_sweep: true, ..FRESH };
            assert_eq!(decide(swept, &failed(class, None), 0.0), dead(Reason::SweepFailed(class)));
        }
        let swept = DeliveryFacts { is_sweep: true, ..FRESH };
        assert_eq!(decide(swept, &failed(Throttled, Some(9)), 0.0), wait(9, 3, 1), "a named time is kept");
        let poison = DeliveryFacts { crashes: 3, is_sweep: true, ..FRESH };
        let rejected = decide(FRESH, &failed(FailureClass::Rejected, None), 0.0);
        for (transition, is_swept) in [
            (dead(Reason::RetriesFailed { class: Transient, retries: 3 }), true),
            (dead(Reason::SweepFailed(Unknown)), true),
            (decide(DeliveryFacts { retries_max: 0, ..FRESH }, &failed(Transient, None), 0.0), true),
            (rejected, false),
            (decide(poison, &failed(Unknown, None), 0.0), false),
        ] {
            let Transition::Dead { reason, .. } = transition else { panic!("{transition:?} is not dead") };
            assert_eq!(reason.is_swept(), is_swept, "{reason:?}");
        }
    }

    #[test]
    fn the_third_crash_is_the_last() {
        let outcome = failed(FailureClass::Unknown, None);
        assert_eq!(decide(DeliveryFacts { crashes: 2, ..FRESH }, &outcome, 0.0), retry(1, 1, false));
        let third = decide(DeliveryFacts { crashes: 3, ..FRESH }, &outcome, 0.0);
        assert!(matches!(third, Transition::Dead { reason: Reason::Crashed(3), .. }));
    }

    proptest! {
        #[test]
        fn any_run_of_failures_ends_and_no_gap_is_shortened(
            max in 0_u32..20, jitter in 0.0_f64..1.0, classes in prop::collection::vec(0_usize..7, 64),
        ) {
            let mut facts = DeliveryFacts { retries_max: max, ..FRESH };
            let mut retried = 0;
            for class in classes {
                let outcome = failed(FailureClass::ALL[class], None);
                match decide(facts, &outcome, jitter) {
                    Transition::Retry { after, retries, .. } => {
                        prop_assert!(after >= gap(facts.retries, 0.0));
                        prop_assert!(after <= gap(facts.retries, 1.0));
                        facts.retries = retries;
                        retried += 1;
                    }
                    Transition::Dead { .. } => break,
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert!(retried <= max);
        }
    }
}
