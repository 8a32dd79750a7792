//! Times as people read them, and when the text will next differ, so that nobody needs a ticking clock.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A span in at most two units: `12s`, `4m`, `2h 14m`, `3d`.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..MINUTE => format!("{}s", seconds.max(0)),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d", seconds / DAY),
    }
}

/// How long ago `then` was: `12s ago`; a moment of the future is `just now`, as clocks differ.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.as_second() - then.as_second() {
        ..1 => "just now".to_owned(),
        seconds => format!("{} ago", span(seconds)),
    }
}

/// The age in few characters: `12s`, `3d`; `-` if it never was.
pub fn age(now: Timestamp, then: Option<Timestamp>) -> String {
    then.map_or_else(|| "-".to_owned(), |then| span(now.as_second() - then.as_second()))
}

/// How long until `then`: `in 42s`, or `now`.
pub fn until(now: Timestamp, then: Timestamp) -> String {
    match then.as_second() - now.as_second() {
        ..=0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// When the text of `ago` or `until` is to be drawn anew. All ages change on whole seconds, so that one frame serves
/// them all; from a minute on they may be ten seconds late, so that a quiet console sleeps.
pub fn next_change(now: Timestamp, then: Timestamp) -> Timestamp {
    let unit = match (now.as_second() - then.as_second()).abs() {
        ..=MINUTE => 1,
        _ => 10,
    };
    let next = (now.as_second().div_euclid(unit) + 1) * unit;
    Timestamp::from_second(next).unwrap_or(now + SignedDuration::from_secs(1))
}

/// The time of day with the date, in the reader's zone, the zone shown.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    crate::moment::shown(at, zone)
}

/// Until when something is so, as short as it can be told: the time of day, or the day before it where it is not soon.
pub fn until_when(now: Timestamp, then: Timestamp, zone: &TimeZone) -> String {
    let is_soon = then.duration_since(now).as_hours() < 12;
    then.to_zoned(zone.clone()).strftime(if is_soon { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

/// The time of day only.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// The time of day, or the day and the minute of what is not of today: `14:02:05`, `11-27 14:02`.
pub fn recent(now: Timestamp, at: Timestamp, zone: &TimeZone) -> String {
    let (today, at) = (now.to_zoned(zone.clone()).date(), at.to_zoned(zone.clone()));
    at.strftime(if at.date() == today { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

/// The day and the time of day, short: `11-28 14:02:05`.
pub fn stamp(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string()
}

/// A duration of a push: `88ms`, `2.1s`, `2m`.
pub fn millis(ms: u32) -> String {
    match ms {
        ..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => span(i64::from(ms / 1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_soon_has_its_day() {
        let now = "2026-11-20T23:00:00Z".parse().unwrap();
        for (seconds, shown) in [(90, "23:01:30"), (2 * HOUR, "01:00:00"), (13 * HOUR, "11-21 12:00")] {
            let then = now + SignedDuration::from_secs(seconds);
            assert_eq!(until_when(now, then, &TimeZone::UTC), shown);
        }
    }

    #[test]
    fn what_is_not_of_today_has_its_day() {
        let now: Timestamp = "2026-11-20T00:30:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (ago, shown) in [(90, "01:28:30"), (80 * 60, "00:10:00"), (91 * 60, "11-19 23:59")] {
            assert_eq!(recent(now, now - SignedDuration::from_secs(ago), &zone), shown);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn spans_read_well() {
        let cases = [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h 00m"),
            (8040, "2h 14m"),
            (86_400, "1d"),
            (300_000, "3d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(millis(88), "88ms");
        assert_eq!(millis(2130), "2.1s");
        assert_eq!(millis(120_000), "2m");
    }

    #[test]
    fn every_age_changes_on_the_same_second() {
        for millis in [0, 1, 300, 999] {
            let now = at(59) + SignedDuration::from_millis(millis);
            for then in [at(0), at(30) + SignedDuration::from_millis(500), at(58), at(70)] {
                assert_eq!(next_change(now, then), at(60), "{then}");
            }
        }
        assert_eq!(next_change(at(3601), at(0)), at(3610), "old ages may be late");
        assert_eq!((ago(at(60), at(0)), until(at(0), at(42))), ("1m ago".to_owned(), "in 42s".to_owned()));
        assert_eq!((ago(at(0), at(5)), until(at(5), at(0))), ("just now".to_owned(), "now".to_owned()));
        assert_eq!((age(at(90), Some(at(0))), age(at(0), None)), ("1m".to_owned(), "-".to_owned()));
    }
}
