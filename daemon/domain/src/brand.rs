//! The name under which we push: Leadline's own, or that of a system we replaced.

use http::HeaderName;

/// A brand: `Innkept/1.0`, or `Leadpush` without a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    text: String,
    /// What our headers begin with, in lower case: `x-innkept-`.
    pub prefix: String,
    pub user_agent: String,
    /// `X-Innkept-Event`
    pub event: HeaderName,
    /// `X-Innkept-Signature`
    pub signature: HeaderName,
}

/// A text that is no brand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("brand {0:?} must be NAME or NAME/VERSION of letters, digits, '-', '.' and '_'")]
pub struct BrandError(String);

impl From<BrandError> for String {
    fn from(error: BrandError) -> Self {
        error.to_string()
    }
}

const OURS: &str = concat!("Leadline/", env!("CARGO_PKG_VERSION"));

impl Brand {
    /// Our own.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            text: OURS.to_owned(),
            prefix: "x-leadline-".to_owned(),
            user_agent: OURS.to_owned(),
            event: HeaderName::from_static("x-leadline-event"),
            signature: HeaderName::from_static("x-leadline-signature"),
        }
    }

    /// Reads `NAME` or `NAME/VERSION`; nothing is our own. A brand without a version keeps our user agent.
    pub fn parse(text: &str) -> Result<Self, BrandError> {
        if text.is_empty() {
            return Ok(Self::ours());
        }
        let (name, version) = text.split_once('/').unzip();
        let name = name.unwrap_or(text);
        let word = |part: &str| {
            !part.is_empty()
                && part.len() <= 40
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let refused = || BrandError(text.to_owned());
        if !word(name) || !version.is_none_or(word) {
            return Err(refused());
        }
        let prefix = format!("x-{}-", name.to_ascii_lowercase());
        let header = |suffix: &str| HeaderName::try_from(format!("{prefix}{suffix}")).map_err(|_| refused());
        Ok(Self {
            event: header("event")?,
            signature: header("signature")?,
            user_agent: if version.is_some() { text } else { OURS }.to_owned(),
            text: text.to_owned(),
            prefix,
        })
    }

    /// As it was given: `NAME` or `NAME/VERSION`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_gives_the_headers_and_perhaps_the_user_agent() {
        for (text, prefix, user_agent) in [
            ("Innkept/1.0", "x-innkept-", "Innkept/1.0"),
            ("Leadpush", "x-leadpush-", OURS),
            ("", "x-leadline-", OURS),
        ] {
            let brand = Brand::parse(text).unwrap();
            assert_eq!((brand.prefix.as_str(), brand.user_agent.as_str()), (prefix, user_agent));
            assert_eq!(brand.signature.as_str(), format!("{prefix}signature"));
        }
        for bad in ["/1.0", "Inn kept", "Innkept/", "Innkept/1/2", "Innkept\r\nX: y", "Ünn"] {
            assert!(Brand::parse(bad).unwrap_err().to_string().starts_with("brand "), "{bad}");
        }
    }
}
