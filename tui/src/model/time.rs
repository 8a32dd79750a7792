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
    match now.duration_since(then).as_secs() {
        ..1 => "just now".to_owned(),
        seconds => format!("{} ago", span(seconds)),
    }
}

/// How long until `then`: `in 42s`, or `now`. A started second counts, so that a countdown ends at `in 1s`.
pub fn until(now: Timestamp, then: Timestamp) -> String {
    match remaining(now, then) {
        0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// The seconds until `then`, a started one counted, never below zero.
pub fn remaining(now: Timestamp, then: Timestamp) -> i64 {
    let left = then.duration_since(now);
    (left.as_secs() + i64::from(left.subsec_nanos() > 0)).max(0)
}

/// When the text of `ago` or `until` next differs.
pub fn next_change(now: Timestamp, then: Timestamp) -> Timestamp {
    let distance = now.duration_since(then);
    let seconds = distance.as_secs().abs();
    let unit = match seconds {
        ..MINUTE => 1,
        MINUTE..DAY => MINUTE,
        _ => HOUR,
    };
    let into = distance.as_millis().rem_euclid(i128::from(unit) * 1000);
    let left = i128::from(unit) * 1000 - into;
    now + SignedDuration::from_millis(i64::try_from(left).unwrap_or(1000).max(1))
}

/// The time of day with the date, in the reader's zone, the zone shown.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// The time of day only.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
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
    fn the_text_holds_until_its_next_change() {
        for distance in [0, 1, 30, 59, 60, 61, 3599, 3600, 90_000, -1, -30, -90, -4000] {
            let (now, then) = (at(distance) + SignedDuration::from_millis(300), at(0));
            let change = next_change(now, then);
            assert!(change > now);
            let before = change - SignedDuration::from_millis(1);
            assert_eq!(ago(now, then), ago(before, then), "{distance}");
            assert_eq!(until(now, then), until(before, then), "{distance}");
        }
    }
}
