//! The circuit breaker of an integration: after many failures in a row that say its target is down, retries and sweeps
//! wait, while every new lead still gets its first attempt.
//!
//! Closed: nothing waits. Open: retries and sweeps wait until a time. Half-open, when that time has come: one of them
//! goes ahead, and what becomes of it, or of any first attempt, decides.
//!
//! When it opens, and for how long, is decided in the database (`breaker_after`), on rows that a finish has locked.

use super::{moment::Moment, outcome::FailureClass};

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

/// Why a breaker is not closed, in a sentence: so many pushes in a row found the target down, the last one in this way.
#[must_use]
pub fn why(streak: i32, error: Option<&str>) -> String {
    let error = error.unwrap_or("the target seems to be down");
    format!("{streak} pushes in a row failed, the last one so: {error}")
}

/// What a breaker is at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    /// The state at a moment.
    #[must_use]
    pub fn at(until: Option<Moment>, now: Moment) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_says_why_it_is_open_even_without_an_error() {
        assert_eq!(why(20, None), "20 pushes in a row failed, the last one so: the target seems to be down");
    }

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
    fn it_is_half_open_when_its_time_has_come() {
        for (until, state) in [
            (None, BreakerState::Closed),
            (Some(101), BreakerState::Open),
            (Some(100), BreakerState::HalfOpen),
            (Some(7), BreakerState::HalfOpen),
        ] {
            let until = until.map(Moment::from_micros);
            assert_eq!(BreakerState::at(until, Moment::from_micros(100)), state, "{until:?}");
        }
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
