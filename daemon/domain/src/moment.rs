//! Moments by the database's clock, the only one where a time decides something.

use std::{
    ops::Add,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment, to the microsecond as the database keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    /// The beginning of 1970: before all that happens here.
    pub const EPOCH: Self = Self(0);

    /// Microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Milliseconds since 1970, as ids have them.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// So long before.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(micros(time)))
    }

    /// As the standard library has it; what lies before 1970 is 1970.
    #[must_use]
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(self.0).unwrap_or_default())
    }

    /// How long it is after another; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The next multiple of a step, counted from 1970: always later.
    #[must_use]
    pub fn next_multiple_of(self, step: Duration) -> Self {
        let step = micros(step).max(1);
        Self(self.0.div_euclid(step).saturating_add(1).saturating_mul(step))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(micros(time)))
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        let end = if moment.0 < 0 { Self::MIN } else { Self::MAX };
        Self::from_microsecond(moment.0).unwrap_or(end)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_added_and_told_apart() {
        let at = Moment::from_seconds(10);
        assert_eq!(at + Duration::from_micros(5), Moment::from_micros(10_000_005));
        assert_eq!((at + Duration::from_secs(2)).since(at), Duration::from_secs(2));
        assert_eq!(at.since(at + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(at + Duration::MAX, Moment::from_micros(i64::MAX));
        assert_eq!(Moment::from_micros(-1).as_seconds(), -1);
        assert_eq!(at.before(Duration::from_secs(4)), Moment::from_seconds(6));
        assert_eq!(at.system_time(), UNIX_EPOCH + Duration::from_secs(10));
        assert_eq!(Moment::from_seconds(-1).system_time(), UNIX_EPOCH);
    }

    #[test]
    fn a_multiple_lies_always_ahead() {
        let step = Duration::from_millis(4);
        for (at, next) in [(0, 4_000), (3_999, 4_000), (4_000, 8_000), (-1, 0)] {
            assert_eq!(Moment::from_micros(at).next_multiple_of(step), Moment::from_micros(next));
        }
    }

    #[test]
    fn timestamps_keep_their_time_and_what_is_out_of_range_its_side() {
        let at = Moment::from_millis(1_700_000_000_123);
        assert_eq!(Moment::from(Timestamp::from(at)), at);
        assert_eq!(Timestamp::from(Moment::from_micros(i64::MAX)), Timestamp::MAX);
        assert_eq!(Timestamp::from(Moment::from_micros(i64::MIN)), Timestamp::MIN);
    }
}
