//! A token bucket: how many pushes of a lane may start now.
//!
//! It holds one token, and what accrues while a claim is under way, so that no second sees more than the rate and one.

use std::time::Duration;

use crate::domain::moment::Moment;

/// How long tokens accrue beyond the first.
const SLACK_SECONDS: f64 = 0.05;

/// Tokens that accrue at a rate, up to a bound.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    pub(super) tokens: f64,
    at: Moment,
}

impl Bucket {
    pub(super) fn new(rate: f64, now: Moment) -> Self {
        Self { rate, tokens: 1.0, at: now }
    }

    pub(super) fn refill(&mut self, now: Moment) {
        let seconds = now.since(self.at).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.rate).min(1.0 + self.rate * SLACK_SECONDS);
        // The time of a claim's answer lies behind that of its question: no time may count twice.
        self.at = self.at.max(now);
    }

    /// When the next whole token is there.
    pub(super) fn next(&self) -> Moment {
        let micros = ((1.0 - self.tokens).max(0.0) / self.rate * 1e6).ceil();
        self.at + Duration::from_micros(micros as u64)
    }
}
