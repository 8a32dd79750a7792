//! Until when a certificate is good, read from its DER: nothing else of it is needed here, and whoever verifies it reads it
//! whole.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// What stands before each value: which kind it is.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which the oldest certificates leave out.
const VERSION: u8 = 0xa0;

/// The moment after which a certificate is good for nothing; none if it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut certificate = DerValues(certificate).take(SEQUENCE)?;
    let mut signed = certificate.take(SEQUENCE)?;
    if signed.0.first() == Some(&VERSION) {
        signed.take(VERSION)?;
    }
    signed.take(INTEGER)?;
    // How it is signed, and by whom.
    signed.take(SEQUENCE)?;
    signed.take(SEQUENCE)?;
    let mut validity = signed.take(SEQUENCE)?;
    validity.next()?;
    let (kind, text) = validity.next()?;
    time(kind, std::str::from_utf8(text).ok()?)
}

/// Values that stand one behind the other.
struct DerValues<'a>(&'a [u8]);

impl<'a> DerValues<'a> {
    /// The next one with its kind.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (kind, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // The length of the length.
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*kind, value))
    }

    /// What is in the next one, if it is of this kind.
    fn take(&mut self, wanted: u8) -> Option<Self> {
        self.next().filter(|(kind, _)| *kind == wanted).map(|(_, value)| Self(value))
    }
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time(kind: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|it| it.is_ascii_digit()))?;
    let (year, rest) = match kind {
        UTC_TIME if digits.len() == 12 => {
            let (year, rest) = digits.split_at(2);
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME if digits.len() == 14 => {
            let (year, rest) = digits.split_at(4);
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let pair = |at: usize| rest.get(2 * at..2 * at + 2)?.parse::<i8>().ok();
    let date = Date::new(year, pair(0)?, pair(1)?).ok()?;
    let time = Time::new(pair(2)?, pair(3)?, pair(4)?, 0).ok()?;
    let at = DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "x".repeat(300)]).unwrap();
        params.not_after = date_time_ymd(year, 5, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms() {
        for (year, end) in [(2031, "2031-05-04T00:00:00Z"), (2077, "2077-05-04T00:00:00Z")] {
            assert_eq!(not_after(&certificate(year)).unwrap().to_string(), end);
        }
        assert_eq!(time(UTC_TIME, "991231235959Z").unwrap().to_string(), "1999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(2031);
        for length in 0..whole.len() {
            // A certificate that is cut off says a wrong length somewhere.
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        for (at, byte) in (0..whole.len()).flat_map(|at| [0, 0x7f, 0x84, 0xff].map(|byte| (at, byte))) {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            // It has an end or none; nothing panics.
            not_after(&damaged);
        }
        for (kind, text) in [
            (UTC_TIME, "310504000000"),
            (UTC_TIME, "20310504000000Z"),
            (GENERALIZED_TIME, "310504000000Z"),
            (UTC_TIME, "311304000000Z"),
            (UTC_TIME, "3105040000+1Z"),
            (SEQUENCE, "310504000000Z"),
        ] {
            assert_eq!(time(kind, text), None, "{text}");
        }
    }
}
