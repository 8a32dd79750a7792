//! Lanes: which one it is, and why it does not push what is due, in one word, and until when.

use std::time::Duration;

use super::{
    breaker,
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

/// What is known of a lane at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaneStatus {
    pub now: Moment,
    pub is_enabled: bool,
    pub throttled_until: Option<Moment>,
    pub breaker_until: Option<Moment>,
    /// Deliveries whose time has come: first attempts, and retries.
    pub due: [i64; 2],
    pub running: i64,
    /// Those in flight here wait for another daemon that calls the account.
    pub awaits_account: bool,
    pub concurrency: u32,
    pub rate_per_second: Option<f64>,
}

/// What a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// An operator disabled the integration.
    Disabled,
    /// The target asked for a pause.
    Throttled,
    /// So many pushes are in flight as may be.
    Concurrency,
    /// The next push may not start yet.
    Rate,
    /// Only retries are due, and the target seems to be down.
    Breaker,
    /// Another daemon calls the account, and its pushes end first.
    Account,
}

impl Wait {
    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Throttled => "throttled",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Account => "account",
        }
    }
}

impl LaneStatus {
    /// What what is due waits for, and until when, if that can be told. None: nothing is due, or nothing holds it back. For an
    /// account what is in flight waits.
    #[must_use]
    pub fn waits(&self) -> Option<(Wait, Option<Moment>)> {
        let due = self.due[0] + self.due[1];
        if due == 0 {
            return self.awaits_account.then_some((Wait::Account, None));
        }
        if !self.is_enabled {
            return Some((Wait::Disabled, None));
        }
        if let Some(until) = self.throttled_until.filter(|until| *until > self.now) {
            return Some((Wait::Throttled, Some(until)));
        }
        if self.awaits_account {
            return Some((Wait::Account, None));
        }
        let breaker = breaker::BreakerState::at(self.breaker_until, self.now);
        if self.due[0] == 0 && breaker != breaker::BreakerState::Closed {
            let until = self.breaker_until.filter(|_| breaker == breaker::BreakerState::Open);
            return Some((Wait::Breaker, until));
        }
        if self.running >= i64::from(self.concurrency) {
            return Some((Wait::Concurrency, None));
        }
        // When the last of them may start.
        self.rate_per_second.map(|rate| {
            let last = Duration::try_from_secs_f64(due as f64 / rate).unwrap_or(Duration::MAX);
            (Wait::Rate, Some(self.now + last))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_holds_a_lane_back_is_told() {
        let free = LaneStatus {
            now: Moment::from_micros(100),
            is_enabled: true,
            due: [1, 1],
            concurrency: 2,
            ..LaneStatus::default()
        };
        let until = |at| Some(Moment::from_micros(at));
        for (standing, expected) in [
            (free, None),
            (LaneStatus { due: [0, 0], is_enabled: false, ..free }, None),
            (
                LaneStatus { is_enabled: false, throttled_until: until(200), ..free },
                Some((Wait::Disabled, None)),
            ),
            (
                LaneStatus { throttled_until: until(200), running: 2, ..free },
                Some((Wait::Throttled, until(200))),
            ),
            (LaneStatus { throttled_until: until(100), ..free }, None),
            (LaneStatus { awaits_account: true, running: 2, ..free }, Some((Wait::Account, None))),
            (LaneStatus { awaits_account: true, due: [0, 0], ..free }, Some((Wait::Account, None))),
            (
                LaneStatus { awaits_account: true, throttled_until: until(200), ..free },
                Some((Wait::Throttled, until(200))),
            ),
            (LaneStatus { running: 2, ..free }, Some((Wait::Concurrency, None))),
            (LaneStatus { rate_per_second: Some(4.0), ..free }, Some((Wait::Rate, until(500_100)))),
            (LaneStatus { breaker_until: until(200), ..free }, None),
            (
                LaneStatus { breaker_until: until(200), due: [0, 1], ..free },
                Some((Wait::Breaker, until(200))),
            ),
            (LaneStatus { breaker_until: until(50), due: [0, 1], ..free }, Some((Wait::Breaker, None))),
        ] {
            assert_eq!(standing.waits(), expected, "{standing:?}");
        }
    }
}
