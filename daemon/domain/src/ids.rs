//! Typed ids, so that a delivery's cannot be passed for an attempt's.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use ulid::Ulid;
use uuid::Uuid;

use crate::moment::Moment;

/// A company's id: the one id that operators choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyId(pub i64);

impl fmt::Display for CompanyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no ULID: 26 characters of Crockford's base 32, the first at most `7`.
#[derive(Debug, thiserror::Error)]
#[error("not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7")]
pub struct NotUlid;

/// Reads a ULID in either case and refuses what would overflow, which the `ulid` crate truncates in silence.
pub fn parse_ulid(text: &str) -> Result<Ulid, NotUlid> {
    if text.len() != 26 || !matches!(text.as_bytes()[0], b'0'..=b'7') {
        return Err(NotUlid);
    }
    Ulid::from_string(text).map_err(|_| NotUlid)
}

/// How far the database's clock is before this machine's, in milliseconds.
static CLOCK_OFFSET: AtomicI64 = AtomicI64::new(0);
/// A smaller difference is one of the measuring.
const OFFSET_MIN: i64 = 100;

/// From now on ids are made by the clock of the database, which was measured to be so many milliseconds before this
/// machine's: the ids of several daemons are then in one order, and "newest first" is. What is known stays where the
/// measuring was not exact enough to say otherwise: a slow answer must not turn the order of our own ids around.
pub fn set_clock_offset(millis: i64, uncertainty: i64) {
    let known = CLOCK_OFFSET.load(Ordering::Relaxed);
    CLOCK_OFFSET.store(measured_offset(known, millis, uncertainty), Ordering::Relaxed);
}

fn measured_offset(known: i64, measured: i64, uncertainty: i64) -> i64 {
    if (measured - known).abs() < uncertainty.saturating_add(OFFSET_MIN) {
        known
    } else if measured.abs() < OFFSET_MIN {
        0
    } else {
        measured
    }
}

/// A new ULID, by the clock of the database.
#[must_use]
pub fn new_ulid() -> Ulid {
    shifted(Ulid::generate(), CLOCK_OFFSET.load(Ordering::Relaxed))
}

fn shifted(ulid: Ulid, offset: i64) -> Ulid {
    match offset {
        0 => ulid,
        offset => Ulid::from_parts(ulid.timestamp_ms().saturating_add_signed(offset), ulid.random()),
    }
}

/// The least id that is made at a time: whatever was made before is below it, nothing else is. None is made before 1970.
#[must_use]
pub fn least_id_at(at: Timestamp) -> Uuid {
    Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or_default(), 0).into()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id, ordered by time.
            #[must_use]
            pub fn generate() -> Self {
                Self(new_ulid())
            }

            /// When it was made, by the clock of the database.
            #[must_use]
            pub fn made_at(self) -> Moment {
                Moment::from_millis(self.0.timestamp_ms())
            }

            /// As the database stores it.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0.into()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid.into())
            }
        }

        impl From<Ulid> for $name {
            fn from(ulid: Ulid) -> Self {
                Self(ulid)
            }
        }

        impl FromStr for $name {
            type Err = NotUlid;
            fn from_str(text: &str) -> Result<Self, NotUlid> {
                parse_ulid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// An intake key.
    KeyId;
    /// What opens the control API.
    TokenId;
    /// A form of a browser's page; public.
    FormId;
    /// What the intake refused.
    RefusalId;
    /// A configured target of a company.
    IntegrationId;
    /// A rule that says which leads go to which integrations.
    FlowId;
    /// A prospect's details; the idempotency key of the intake.
    LeadId;
    /// Why we push.
    EventId;
    /// The duty to bring one event to one integration.
    DeliveryId;
    /// One try of a delivery.
    AttemptId;
    /// A bulk retry.
    JobId;
    /// A line of the audit.
    AuditId;
    /// What an integration marked for notices is told.
    NoticeId;
}

impl DeliveryId {
    /// A new id just behind another one, for what takes its place: whoever goes by ids finds it as old.
    #[must_use]
    pub fn generate_behind(other: Self) -> Self {
        let distance = Ulid::generate().random() & u128::from(u64::MAX);
        Self(Ulid(other.0.0.saturating_add(distance + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_followed_as_far_as_it_was_measured() {
        for (known, measured, uncertainty, expected) in [
            (0, 40, 1, 0),
            (0, 5000, 3, 5000),
            (0, 140, 130, 0),
            (5000, 4930, 2, 5000),
            (5000, 20, 2, 0),
            (0, -9000, 8000, -9000),
        ] {
            assert_eq!(
                measured_offset(known, measured, uncertainty),
                expected,
                "{known} {measured} {uncertainty}"
            );
        }
    }

    #[test]
    fn what_takes_a_place_stands_just_behind_it() {
        let old: DeliveryId = "01J8H6KQH4YG3XR8RWM6T6XFQE".parse().unwrap();
        let new = DeliveryId::generate_behind(old);
        assert!(new > old && new != DeliveryId::generate_behind(old));
        assert_eq!(new.0.timestamp_ms(), old.0.timestamp_ms());
    }

    #[test]
    fn ids_go_by_the_clock_of_the_database() {
        let ulid = Ulid::from_parts(1_700_000_000_000, 42);
        for (offset, millis) in
            [(0, 1_700_000_000_000), (600_000, 1_700_000_600_000), (-600_000, 1_699_999_400_000)]
        {
            assert_eq!(shifted(ulid, offset), Ulid::from_parts(millis, 42));
        }
    }

    #[test]
    fn the_least_id_of_a_time_parts_what_was_made_before_from_the_rest() {
        let least = least_id_at(Timestamp::from_millisecond(1_700_000_000_000).unwrap());
        let (first, last) =
            (Ulid::from_parts(1_700_000_000_000, 0), Ulid::from_parts(1_699_999_999_999, u128::MAX));
        assert!(Uuid::from(last) < least && least == Uuid::from(first));
        assert_eq!(least_id_at(Timestamp::MIN), Uuid::nil());
        assert!(least_id_at(Timestamp::MAX) > least);
    }

    #[test]
    fn ulids_are_read_in_both_cases_and_never_truncated() {
        let id: LeadId = "01j8h6kqh4yg3xr8rwm6t6xfqe".parse().unwrap();
        assert_eq!(id.to_string(), "01J8H6KQH4YG3XR8RWM6T6XFQE");
        assert_eq!(format!("{id:?}"), "01J8H6KQH4YG3XR8RWM6T6XFQE");
        assert_eq!(LeadId::from(id.uuid()), id);
        for bad in [
            "",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01j8h6kqh4yg3xr8rwm6t6xfq",
            "01j8h6kqh4yg3xr8rwm6t6xfqu",
            "é1j8h6kqh4yg3xr8rwm6t6xfq",
        ] {
            assert!(parse_ulid(bad).is_err(), "{bad}");
        }
    }
}
