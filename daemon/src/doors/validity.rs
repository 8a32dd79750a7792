//! Until when a certificate is good: nothing else of it is needed here, and whoever verifies it reads it whole.

use jiff::Timestamp;
use x509_parser::{certificate::X509CertificateParser, nom::Parser as _};

/// The moment after which a certificate is good for nothing; none if it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (rest, certificate) = parser.parse(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let end = certificate.validity().not_after.timestamp();
    // A certificate without an end names the last second of 9999, which is later than a `Timestamp` can be.
    Timestamp::from_second(end.min(Timestamp::MAX.as_second())).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate for this key that is good until then.
    pub(in crate::doors) fn certificate(key: &KeyPair, (year, month, day): (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "x".repeat(300)]).unwrap();
        params.not_before = date_time_ymd(1949, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms() {
        let key = KeyPair::generate().unwrap();
        for (day, end) in [
            ((2031, 5, 4), "2031-05-04T00:00:00Z"),
            ((2077, 5, 4), "2077-05-04T00:00:00Z"),
            ((1999, 12, 31), "1999-12-31T00:00:00Z"),
            ((1969, 12, 31), "1969-12-31T00:00:00Z"),
            ((1950, 1, 1), "1950-01-01T00:00:00Z"),
            ((1949, 12, 31), "1949-12-31T00:00:00Z"),
            ((9999, 12, 30), "9999-12-30T00:00:00Z"),
            ((9999, 12, 31), "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(not_after(&certificate(&key, day)).unwrap().to_string(), end);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(&KeyPair::generate().unwrap(), (2031, 5, 4));
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        for more in [&b"\0"[..], b"\n", &whole] {
            assert_eq!(not_after(&[&whole, more].concat()), None, "{} bytes more", more.len());
        }
        for (at, byte) in (0..whole.len()).flat_map(|at| [0, 0x7f, 0x84, 0xff].map(|byte| (at, byte))) {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            // It has an end or none; nothing panics.
            not_after(&damaged);
        }
        let at = whole.windows(13).position(|text| text == b"310504000000Z").unwrap();
        for text in [b"311304000000Z", b"310230000000Z", b"310504240000Z", b"3105040000+1Z", b"310504000000z"]
        {
            let mut damaged = whole.clone();
            damaged[at..at + text.len()].copy_from_slice(text);
            assert_eq!(not_after(&damaged), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
