//! Times as leads bring them: RFC 3339 with an offset, whole.

use jiff::{Span, Timestamp, civil::DateTime};

/// The instant of an RFC 3339 time, which has an offset. Digits beyond the nanosecond are read and say nothing.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    let (time, rest) = text.split_at_checked(19)?;
    if !has_form(time, "dddd-dd-ddTdd:dd:dd") && !has_form(time, "dddd-dd-ddtdd:dd:dd") {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let zone = rest.trim_start_matches(|character: char| character.is_ascii_digit());
            let digits = &rest[..rest.len() - zone.len()];
            (Some(digits).filter(|digits| !digits.is_empty())?, zone)
        }
        None => ("0", rest),
    };
    let seconds = offset_seconds(zone)?;
    let nanoseconds = &fraction[..fraction.len().min(9)];
    let utc = format!("{}.{nanoseconds}Z", time.to_ascii_uppercase()).parse::<Timestamp>().ok()?;
    utc.checked_sub(Span::new().seconds(seconds)).ok()
}

/// `Z`, or hours of a day and minutes of an hour.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = &zone[1..];
    if !has_form(digits, "dd:dd") {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[3..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The same time an hour later, in the same offset and form.
pub(super) fn an_hour_after(text: &str) -> Option<String> {
    let (hour, rest) = text.split_at_checked(13)?;
    let separator = hour.chars().nth(10)?;
    let later = format!("{hour}:00").to_ascii_uppercase().parse::<DateTime>().ok()?;
    let later = later.checked_add(Span::new().hours(1)).ok()?;
    Some(format!("{}{separator}{}{rest}", later.strftime("%Y-%m-%d"), later.strftime("%H")))
}

/// Whether a text has this form, in which `d` stands for a digit.
pub(super) fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_an_offset_and_keep_their_form() {
        for (text, later) in [
            ("2026-06-04T14:00:00+01:00", Some("2026-06-04T15:00:00+01:00")),
            ("2026-12-31T23:59:59.250-05:30", Some("2027-01-01T00:59:59.250-05:30")),
            ("2024-02-28T23:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("2026-06-04t14:00:00z", Some("2026-06-04t15:00:00z")),
            ("2026-06-04T14:00:00.123456789012+23:59", Some("2026-06-04T15:00:00.123456789012+23:59")),
            ("2026-06-30T23:59:60Z", Some("2026-07-01T00:59:60Z")),
            ("2026-06-04T14:00:00", None),
            ("2026-06-04 14:00:00Z", None),
            ("2026-06-04T14:00Z", None),
            ("2026-06-31T14:00:00Z", None),
            ("2026-06-04T24:00:00Z", None),
            ("2026-06-04T14:00:00.Z", None),
            ("2026-06-04T14:00:00.1.2Z", None),
            ("2026-06-04T14:00:00+25", None),
            ("2026-06-04T14:00:00+25:00", None),
            ("2026-06-04T14:00:00+24:00", None),
            ("2026-06-04T14:00:00-01:60", None),
            ("2026-06-04T14:00:00é", None),
            ("2026-06-04T14:00:00+01:00[Europe/London]", None),
            ("é026-06-04T14:00:00Z", None),
        ] {
            let valid = instant(text).map(|_| an_hour_after(text).unwrap());
            assert_eq!(valid.as_deref(), later, "{text}");
        }
        assert_eq!(an_hour_after("9999-12-31T23:00:00Z"), None);
    }

    #[test]
    fn instants_are_compared_in_one_zone() {
        let at = |text: &str| instant(text).unwrap();
        assert_eq!(at("2026-06-04T14:00:00+01:00"), at("2026-06-04t13:00:00z"));
        assert_eq!(at("2026-06-04T00:30:00-05:30"), at("2026-06-04T06:00:00.000000000001Z"));
        assert!(at("2026-06-04T14:00:00.1Z") < at("2026-06-04T14:00:00.2Z"));
    }
}
