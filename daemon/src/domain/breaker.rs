//! The circuit breaker of an integration: after many failures in a row that say its target is down, retries and sweeps
//! wait, while every new lead still gets its first attempt.
//!
//! Closed: nothing waits. Open: retries and sweeps wait until a time. Half-open, when that time has come: one of them
//! goes ahead, and what becomes of it, or of any first attempt, decides.

use std::time::Duration;

use super::outcome::FailureClass;

/// After so many failures in a row it opens.
pub const THRESHOLD: i32 = 20;
/// How long it stays open the first time; each further time twice as long.
pub const FIRST_WAIT: Duration = Duration::from_secs(15);
/// The longest that it stays open.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// What an attempt says of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered: it is up, whatever it said.
    Up,
    /// It seems to be down.
    Down,
    /// Neither: nothing was sent, or it is up and has asked for a pause, which is kept by itself.
    Neither,
}

impl Sign {
    /// The sign of an attempt: its failure class, none if it delivered, and whether anything was sent.
    #[must_use]
    pub const fn of(class: Option<FailureClass>, is_sent: bool) -> Self {
        match class {
            None | Some(FailureClass::Rejected | FailureClass::Credentials) => Self::Up,
            // A daemon that dies or cannot load an integration says nothing of the target.
            Some(FailureClass::Transient | FailureClass::Unknown) if is_sent => Self::Down,
            Some(_) => Self::Neither,
        }
    }
}

/// The signs of several attempts, in the order in which they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whether one of them found the target up.
    pub is_up: bool,
    /// How many behind the last such one found it down.
    pub down: i32,
}

impl Tally {
    /// Adds the sign of the next attempt.
    pub const fn add(&mut self, sign: Sign) {
        match sign {
            Sign::Up => *self = Self { is_up: true, down: 0 },
            Sign::Down => self.down = self.down.saturating_add(1),
            Sign::Neither => {}
        }
    }
}

/// A breaker; times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row.
    pub streak: i32,
    /// How often it opened since the target was last up.
    pub trips: i32,
    /// None while it is closed.
    pub until: Option<i64>,
}

/// What a breaker is at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    /// The state at a moment.
    #[must_use]
    pub fn at(until: Option<i64>, now: i64) -> Self {
        match until {
            None => Self::Closed,
            Some(until) if until > now => Self::Open,
            Some(_) => Self::HalfOpen,
        }
    }

    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    /// The breaker after a flush of attempts. The finish does the same in its statement, on rows that it has locked;
    /// a test holds the two together.
    #[must_use]
    pub fn after(self, tally: Tally, now: i64) -> Self {
        let base = if tally.is_up { Self::default() } else { self };
        let streak = base.streak.saturating_add(tally.down);
        let may_open = State::at(base.until, now) != State::Open;
        if tally.down == 0 || streak < THRESHOLD || !may_open {
            return Self { streak, ..base };
        }
        let until = now + i64::try_from(wait(base.trips).as_micros()).unwrap_or(i64::MAX / 2);
        Self { streak, trips: base.trips + 1, until: Some(until) }
    }
}

/// How long it stays open when it has opened so often before.
#[must_use]
pub fn wait(trips: i32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << trips.clamp(0, 10));
    doubled.min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn down(count: i32) -> Tally {
        Tally { is_up: false, down: count }
    }

    const UP: Tally = Tally { is_up: true, down: 0 };

    #[test]
    fn what_an_attempt_says_of_the_target() {
        use FailureClass::{Blocked, Credentials, Mapping, Rejected, Throttled, Transient, Unknown};
        for (class, sign) in [
            (None, Sign::Up),
            (Some(Rejected), Sign::Up),
            (Some(Credentials), Sign::Up),
            (Some(Transient), Sign::Down),
            (Some(Unknown), Sign::Down),
            (Some(Throttled), Sign::Neither),
            (Some(Blocked), Sign::Neither),
            (Some(Mapping), Sign::Neither),
        ] {
            assert_eq!(Sign::of(class, true), sign, "{class:?}");
        }
        assert_eq!(Sign::of(Some(Unknown), false), Sign::Neither, "the daemon died, not the target");
    }

    #[test]
    fn it_opens_after_the_threshold_and_closes_with_the_first_answer() {
        let mut breaker = Breaker::default();
        for n in 1..THRESHOLD {
            breaker = breaker.after(down(1), 0);
            assert_eq!((breaker.streak, breaker.until), (n, None));
        }
        let open = breaker.after(down(1), 1_000);
        assert_eq!((open.trips, open.until), (1, Some(15_001_000)));
        assert_eq!(State::at(open.until, 1_000), State::Open);
        assert_eq!(State::at(open.until, 15_001_000), State::HalfOpen);
        let longer = open.after(down(5), 2_000);
        assert_eq!(
            (longer.streak, longer.until),
            (THRESHOLD + 5, open.until),
            "open, it counts but does not move"
        );
        assert_eq!(open.after(UP, 2_000), Breaker::default());
        let tally = Tally { is_up: true, down: 3 };
        assert_eq!(open.after(tally, 2_000), Breaker { streak: 3, ..Breaker::default() });
    }

    #[test]
    fn half_open_one_failure_opens_it_for_twice_as_long_up_to_a_bound() {
        let mut breaker = Breaker::default().after(down(THRESHOLD), 0);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let now = breaker.until.unwrap();
            breaker = breaker.after(down(1), now);
            waits.push((breaker.until.unwrap() - now) / 1_000_000);
        }
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
        let same = breaker.after(down(0), i64::MAX / 4);
        assert_eq!(same, breaker, "what says nothing changes nothing");
    }

    #[test]
    fn a_tally_counts_behind_the_last_answer() {
        let mut tally = Tally::default();
        for sign in [Sign::Down, Sign::Neither, Sign::Up, Sign::Down, Sign::Neither, Sign::Down] {
            tally.add(sign);
        }
        assert_eq!(tally, Tally { is_up: true, down: 2 });
    }
}
