//! Times as people type them: as tables print them, in the local zone, or how long ago; and as the daemon reports them.

use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// What to write instead of what is no time.
const HINT: &str = "give a time such as 14:00, yesterday, 2h, '2026-11-28 13:30' or 2026-11-28T13:30:00Z";

/// What to write instead of what is no time to come.
const AHEAD: &str = "give a time to come such as 14:00, tomorrow 8:00, 4h or '2026-11-28 13:30'";

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MomentError {
    #[error("{HINT}")]
    NoTime,
    #[error("{AHEAD}")]
    NotAhead,
    #[error("too long ago")]
    TooLongAgo,
}

/// A time that the daemon reports; one beyond what can be shown counts as absent.
pub(crate) fn reported(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// A time as people read it: in their own zone, which it names.
pub(crate) fn shown(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A sentence of the daemon's, in which times stand as the API has them, with each as `say` tells it.
pub(crate) fn retold(sentence: &str, say: impl Fn(Timestamp) -> String) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        match bare.parse::<Timestamp>() {
            Ok(at) if bare.ends_with('Z') => word.replacen(bare, &say(at), 1),
            _ => word.to_owned(),
        }
    };
    sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A moment in the past, or whenever a time names; a time of day is the last one, which at night is yesterday's.
pub(crate) fn moment(text: &str) -> Result<Timestamp, MomentError> {
    last_of(text, &Timestamp::now().to_zoned(TimeZone::system()))
}

fn last_of(text: &str, now: &Zoned) -> Result<Timestamp, MomentError> {
    let (text, at) = (text.trim(), moment_at(text, now)?);
    let is_to_come = at > now.timestamp() && time(text).is_some();
    if is_to_come { moment_at(&format!("yesterday {text}"), now) } else { Ok(at) }
}

/// A moment to come: a time of day is the next one, a span begins now.
pub(crate) fn ahead(text: &str) -> Result<Timestamp, MomentError> {
    ahead_of(text, &Timestamp::now().to_zoned(TimeZone::system()))
}

/// The same, from that moment on.
pub(crate) fn ahead_of(text: &str, now: &Zoned) -> Result<Timestamp, MomentError> {
    let text = text.trim();
    if let Ok(span) = text.parse::<Span>()
        && span.is_positive()
    {
        return now.checked_add(span).map(|at| at.timestamp()).map_err(|_| MomentError::NotAhead);
    }
    let is_ahead = |at: &Timestamp| *at > now.timestamp();
    let named = moment_at(text, now).ok().filter(is_ahead);
    let tomorrow = || time(text).and_then(|_| moment_at(&format!("tomorrow {text}"), now).ok());
    named.or_else(tomorrow).ok_or(MomentError::NotAhead)
}

fn moment_at(text: &str, now: &Zoned) -> Result<Timestamp, MomentError> {
    let text = text.trim();
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Some(day) = day(text, now)? {
        return Ok(day);
    }
    if let Some(at) = civil(text, now) {
        return Ok(at);
    }
    let ago = text.parse::<Span>().map_err(|_| MomentError::NoTime)?;
    // Whether it says "ago" or not, it is over.
    let is_ahead = ago.is_negative() && !text.ends_with("ago");
    if is_ahead || ago.is_zero() && !text.starts_with('0') {
        return Err(MomentError::NoTime);
    }
    now.checked_sub(ago.abs()).map(|at| at.timestamp()).map_err(|_| MomentError::TooLongAgo)
}

/// `today`, `yesterday`, with a time or without; `now`.
fn day(text: &str, now: &Zoned) -> Result<Option<Timestamp>, MomentError> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let days = match word.to_lowercase().as_str() {
        "now" if rest.is_empty() => return Ok(Some(now.timestamp())),
        "today" => 0,
        "yesterday" => -1,
        "tomorrow" => 1,
        _ => return Ok(None),
    };
    let date = now.date().checked_add(Span::new().days(days)).map_err(|_| MomentError::NoTime)?;
    let time = if rest.is_empty() { Some(Time::midnight()) } else { time(rest.trim()) };
    let time = time.ok_or(MomentError::NoTime)?;
    local(date.to_datetime(time), now).map(Some).ok_or(MomentError::NoTime)
}

/// A date, a time of today, or both; behind them the zone as tables print it, which tells the two hours apart that a
/// clock shows twice.
fn civil(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Some((before, zone)) = text.rsplit_once(' ')
        && !zone.starts_with(|c: char| c.is_ascii_digit())
    {
        let at = now.time_zone().to_ambiguous_zoned(date_time(before, now)?);
        let mut either = [at.clone().earlier(), at.later()].into_iter().flatten();
        return either.find(|at| at.strftime("%Z").to_string() == zone).map(|at| at.timestamp());
    }
    local(date_time(text, now)?, now)
}

fn date_time(text: &str, now: &Zoned) -> Option<DateTime> {
    if let Some(time) = time(text) {
        Some(now.date().to_datetime(time))
    } else if text.contains(':') {
        text.parse().ok()
    } else {
        text.parse::<Date>().ok().map(|date| date.to_datetime(Time::midnight()))
    }
}

/// `14:00`, `9:30`, `14:00:05`.
fn time(text: &str) -> Option<Time> {
    let (hour, _) = text.split_once(':')?;
    match hour.len() {
        1 => format!("0{text}").parse().ok(),
        2 => text.parse().ok(),
        _ => None,
    }
}

fn local(at: DateTime, now: &Zoned) -> Option<Timestamp> {
    at.to_zoned(now.time_zone().clone()).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        let zone = TimeZone::posix("GMT0BST,M3.5.0/1,M10.5.0").unwrap();
        "2026-06-04T14:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    #[test]
    fn times_are_read_as_tables_print_them_or_as_people_say_them() {
        for (text, expected) in [
            ("2026-06-04T14:00:00+01:00", "2026-06-04T13:00:00Z"),
            ("2026-06-04T14:00:00Z", "2026-06-04T14:00:00Z"),
            ("2026-06-04 13:30", "2026-06-04T12:30:00Z"),
            ("2026-06-04 13:30:05 BST", "2026-06-04T12:30:05Z"),
            ("2026-01-04 13:30:05 GMT", "2026-01-04T13:30:05Z"),
            // The clock shows this twice.
            ("2026-10-25 01:30:00 BST", "2026-10-25T00:30:00Z"),
            ("2026-10-25 01:30:00 GMT", "2026-10-25T01:30:00Z"),
            ("2026-10-25 01:30", "2026-10-25T00:30:00Z"),
            ("2026-06-04T13:30", "2026-06-04T12:30:00Z"),
            ("2026-06-01", "2026-05-31T23:00:00Z"),
            ("14:00", "2026-06-04T13:00:00Z"),
            ("today", "2026-06-03T23:00:00Z"),
            ("Yesterday", "2026-06-02T23:00:00Z"),
            ("yesterday 9:30", "2026-06-03T08:30:00Z"),
            ("now", "2026-06-04T14:00:00Z"),
            ("2h", "2026-06-04T12:00:00Z"),
            ("2 hours ago", "2026-06-04T12:00:00Z"),
            ("90m ago", "2026-06-04T12:30:00Z"),
            ("1d", "2026-06-03T14:00:00Z"),
            ("0s", "2026-06-04T14:00:00Z"),
        ] {
            assert_eq!(moment_at(text, &now()).map(|at| at.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "soon", "25:00", "2026-06-04 13:30 CET", "-2h", "2", "2026-06", "today soon"] {
            assert_eq!(
                moment_at(text, &now()).unwrap_err().to_string(),
                "give a time such as 14:00, yesterday, 2h, '2026-11-28 13:30' or 2026-11-28T13:30:00Z",
                "{text}"
            );
        }
        assert_eq!(moment_at("99999y", &now()).unwrap_err(), MomentError::NoTime);
        assert_eq!(moment_at("19000y", &now()).unwrap_err().to_string(), "too long ago");
    }

    #[test]
    fn a_time_of_day_is_the_last_one() {
        // It is 15:00 at the reader's.
        for (text, expected) in [
            ("14:00", "2026-06-04T13:00:00Z"),
            ("15:00", "2026-06-04T14:00:00Z"),
            (" 16:00", "2026-06-03T15:00:00Z"),
            ("15:00:01", "2026-06-03T14:00:01Z"),
            ("today 16:00", "2026-06-04T15:00:00Z"),
            ("2026-06-04 16:00", "2026-06-04T15:00:00Z"),
        ] {
            assert_eq!(last_of(text, &now()).map(|at| at.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn times_within_a_sentence_are_told_as_the_reader_has_them() {
        let zone = now().time_zone().clone();
        let sentence = "It is dead since 2026-06-04T13:02:11.5Z (503: not  before 2026-13-01T00:00:00Z or 2026-06-04); \
                        the sweep comes back at 2026-06-04T14:02:53Z.";
        assert_eq!(
            retold(sentence, |at| shown(at, &zone)),
            "It is dead since 2026-06-04 14:02:11 BST (503: not  before 2026-13-01T00:00:00Z or 2026-06-04); \
             the sweep comes back at 2026-06-04 15:02:53 BST."
        );
    }

    #[test]
    fn what_is_to_come_is_the_next_of_its_kind() {
        for (text, expected) in [
            ("16:00", "2026-06-04T15:00:00Z"),
            ("14:00", "2026-06-05T13:00:00Z"),
            ("tomorrow 8:00", "2026-06-05T07:00:00Z"),
            ("tomorrow", "2026-06-04T23:00:00Z"),
            ("4h", "2026-06-04T18:00:00Z"),
            ("2026-06-08 09:30", "2026-06-08T08:30:00Z"),
            ("2026-06-04T14:00:01Z", "2026-06-04T14:00:01Z"),
        ] {
            assert_eq!(ahead_of(text, &now()).map(|at| at.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "yesterday", "2h ago", "-2h", "2026-06-04T14:00:00Z", "today 9:00", "soon"] {
            assert_eq!(
                ahead_of(text, &now()).unwrap_err().to_string(),
                "give a time to come such as 14:00, tomorrow 8:00, 4h or '2026-11-28 13:30'",
                "{text}"
            );
        }
    }
}
