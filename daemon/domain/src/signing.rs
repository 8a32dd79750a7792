//! Signatures over bodies: the simple header and the Standard Webhooks trio, made for pushes and checked at intake.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::moment::Moment;

const PREFIX: &str = "whsec_";
/// How far a signed timestamp may be from our clock, in seconds.
const TOLERANCE: u64 = 300;
const LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// Secrets come from elsewhere too, with padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of a new secret.
#[must_use]
pub fn secret_of(random: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(random))
}

/// Why a secret cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the signing secret has {0} bytes; it must have 16 to 256")]
    Length(usize),
    #[error("the signing secret has white space around it or control characters in it; remove them")]
    Characters,
    #[error("what follows whsec_ in the signing secret must be base64")]
    NotBase64,
    #[error("the signing secret's key has {0} bytes; it must have at least 16")]
    ShortKey(usize),
}

/// Whether a secret that an operator brings along can sign.
pub fn check_secret(secret: &str) -> Result<(), SecretError> {
    if !LENGTH.contains(&secret.len()) {
        return Err(SecretError::Length(secret.len()));
    }
    if secret.chars().any(char::is_control) || secret.trim() != secret {
        return Err(SecretError::Characters);
    }
    match secret.strip_prefix(PREFIX).map(|encoded| LENIENT.decode(encoded)) {
        Some(Err(_)) => Err(SecretError::NotBase64),
        Some(Ok(key)) if key.len() < *LENGTH.start() => Err(SecretError::ShortKey(key.len())),
        _ => Ok(()),
    }
}

/// `sha256=<hex>` over the body, keyed with the secret exactly as shown.
#[must_use]
pub fn simple(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(mac(secret.as_bytes(), &[body]).finalize().into_bytes()))
}

/// `v1,<base64>` over id, timestamp and body, as Standard Webhooks has it.
#[must_use]
pub fn standard(secret: &str, id: &str, timestamp: Moment, body: &[u8]) -> String {
    let mac = standard_mac(secret, id, &timestamp.as_seconds().to_string(), body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whether a simple signature is that of the body; takes the same time wherever it differs.
#[must_use]
pub fn verify_simple(secret: &str, body: &[u8], signature: &str) -> bool {
    signature
        .trim()
        .strip_prefix("sha256=")
        .and_then(|digits| hex::decode(digits).ok())
        .is_some_and(|tag| mac(secret.as_bytes(), &[body]).verify_slice(&tag).is_ok())
}

/// Which signature of a body is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureKind {
    /// Either.
    #[default]
    Any,
    /// The one of Standard Webhooks alone: it has a time and an id, so that a repeat is told.
    Standard,
    /// The one over the body alone.
    Simple,
}

impl SignatureKind {
    /// As it is stored and asked for.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Standard => "standard",
            Self::Simple => "simple",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Any, Self::Standard, Self::Simple].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The `webhook-*` headers of a signed request.
#[derive(Clone, Copy, Debug)]
pub struct StandardHeaders<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

/// Whether one of the signatures is that of the body, and fresh.
#[must_use]
pub fn verify_standard(secret: &str, headers: StandardHeaders<'_>, body: &[u8], now: Moment) -> bool {
    let fresh = headers.timestamp.parse::<i64>().is_ok_and(|at| at.abs_diff(now.as_seconds()) <= TOLERANCE);
    fresh
        && headers.signature.split_ascii_whitespace().any(|signature| {
            signature.strip_prefix("v1,").and_then(|encoded| LENIENT.decode(encoded).ok()).is_some_and(
                |tag| standard_mac(secret, headers.id, headers.timestamp, body).verify_slice(&tag).is_ok(),
            )
        })
}

fn standard_mac(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let decoded = secret.strip_prefix(PREFIX).and_then(|encoded| LENIENT.decode(encoded).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    mac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
}

/// A key of any length, brought to the length of a block as RFC 2104 says; so there is no length to refuse.
fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    if key.len() <= block.len() {
        block[..key.len()].copy_from_slice(key);
    } else {
        block[..32].copy_from_slice(&Sha256::digest(key));
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: i64 = 1_614_265_330;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn golden_vectors() {
        assert_eq!(standard(SECRET, ID, Moment::from_seconds(AT), BODY), SIGNATURE);
        for (body, hex) in [
            (BODY, "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
            (b"", "da5f5865984e699a69cfec62ce49a76daf8ae4601b54a781fa13f3b2d3b2088a"),
        ] {
            assert_eq!(simple(SECRET, body), format!("sha256={hex}"));
        }
        // From RFC 4231, test case 2.
        assert_eq!(
            simple("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // RFC 4231, test case 6, whose key is longer than a block.
        assert_eq!(
            hex::encode(
                mac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"])
                    .finalize()
                    .into_bytes()
            ),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_secret_without_prefix_is_its_own_key() {
        let secret = "an old secret that somebody brought";
        let expected = mac(secret.as_bytes(), &[b"id.5.body"]).finalize().into_bytes();
        assert_eq!(
            standard(secret, "id", Moment::from_seconds(5), b"body"),
            format!("v1,{}", STANDARD.encode(expected))
        );
    }

    #[test]
    fn signatures_are_verified() {
        let good = simple(SECRET, BODY);
        assert!(verify_simple(SECRET, BODY, &good));
        assert!(verify_simple(SECRET, BODY, &good.to_uppercase().replace("SHA256", "sha256")));
        for bad in ["", "sha256=", "sha256=00", &good[7..], &good[..good.len() - 2], "sha256=zz"] {
            assert!(!verify_simple(SECRET, BODY, bad), "{bad}");
        }
        assert!(!verify_simple("whsec_other", BODY, &good));

        let two = format!("v1a,xyz v1,AAAA {SIGNATURE}");
        for (timestamp, signature, now, good) in [
            ("1614265330", SIGNATURE, AT, true),
            ("1614265330", two.as_str(), AT + 300, true),
            ("1614265330", SIGNATURE, AT - 300, true),
            ("1614265330", SIGNATURE, AT + 301, false),
            ("1614265331", SIGNATURE, AT, false),
            ("1614265330", "v1,", AT, false),
            ("1614265330", &SIGNATURE[3..], AT, false),
            ("", SIGNATURE, AT, false),
            ("-9223372036854775808", SIGNATURE, i64::MAX / 1_000_000, false),
        ] {
            let headers = StandardHeaders { id: ID, timestamp, signature };
            let at = Moment::from_seconds(now);
            assert_eq!(verify_standard(SECRET, headers, BODY, at), good, "{timestamp} {signature} {now}");
        }
    }

    #[test]
    fn secrets_are_made_and_checked() {
        let made = secret_of(&[7; 32]);
        assert_eq!(made, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        for good in [made.as_str(), "sixteen bytes ok", SECRET, &made[..made.len() - 1], &"x".repeat(256)] {
            assert_eq!(check_secret(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("fifteen bytes..", "has 15 bytes"),
            (&*"x".repeat(257), "has 257 bytes"),
            ("a secret of enough bytes\n", "white space"),
            ("whsec_not base64 at all", "base64"),
            ("whsec_MfKQ9r8GKYqr", "at least 16"),
        ] {
            assert!(check_secret(bad).unwrap_err().to_string().contains(why), "{bad}");
        }
    }
}
