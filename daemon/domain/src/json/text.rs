//! The text of a JSON string, escapes and all.

use std::borrow::Cow;

/// A JSON string by its received text. Equality is that of the texts: `"é"` and `"\u00e9"` differ here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// A string that decodes to this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut raw = String::with_capacity(text.len());
        escape(text, &mut raw);
        Self(raw.into())
    }

    /// What stands between the quotes; the caller has checked it with [`unescape`].
    pub(super) fn received(raw: &str) -> Self {
        Self(raw.into())
    }

    /// The text that is meant.
    #[must_use]
    pub fn decode(&self) -> Cow<'_, str> {
        // Both constructors leave only valid escapes, so the fallback is never taken.
        unescape(&self.0).unwrap_or(Cow::Borrowed(&self.0))
    }

    /// Whether it decodes to this text. Stops at the first character that differs, so that a search among many long
    /// keys is cheap.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let (mut raw, mut rest) = (&*self.0, text);
        while let Some(first) = raw.chars().next() {
            let (character, length) = if first == '\\' {
                // The constructors leave only valid escapes.
                let Ok(decoded) = escaped(raw) else { return false };
                decoded
            } else {
                (first, first.len_utf8())
            };
            let Some(left) = rest.strip_prefix(character) else { return false };
            (raw, rest) = (&raw[length..], left);
        }
        rest.is_empty()
    }

    /// The bytes of its received text.
    pub(super) fn raw_len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push('"');
        out.push_str(&self.0);
        out.push('"');
    }
}

/// Appends a text as it must stand between the quotes of a JSON string.
pub fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
}

/// What is wrong with an escape sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EscapeFault {
    #[error("unknown escape sequence in a string")]
    Unknown,
    #[error("\\u wants four hexadecimal digits")]
    Digits,
    #[error("half of a surrogate pair in a string")]
    Lone,
}

/// Decodes what stands between the quotes, or says where (in bytes) and what is wrong.
pub(super) fn unescape(raw: &str) -> Result<Cow<'_, str>, (usize, EscapeFault)> {
    if !raw.contains('\\') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    let mut at = 0;
    while let Some(found) = raw[at..].find('\\') {
        text.push_str(&raw[at..at + found]);
        at += found;
        let (character, length) = escaped(&raw[at..]).map_err(|what| (at, what))?;
        text.push(character);
        at += length;
    }
    text.push_str(&raw[at..]);
    Ok(Cow::Owned(text))
}

/// The character of the escape sequence that `raw` begins with, and the sequence's length.
fn escaped(raw: &str) -> Result<(char, usize), EscapeFault> {
    let simple = match raw.as_bytes().get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(raw),
        _ => return Err(EscapeFault::Unknown),
    };
    Ok((simple, 2))
}

fn unicode(raw: &str) -> Result<(char, usize), EscapeFault> {
    let unit = hex(raw).ok_or(EscapeFault::Digits)?;
    let lone = EscapeFault::Lone;
    match unit {
        0xD800..=0xDBFF => {
            let low = raw.get(6..).and_then(hex).filter(|low| (0xDC00..0xE000).contains(low)).ok_or(lone)?;
            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            char::from_u32(code).map(|character| (character, 12)).ok_or(lone)
        }
        _ => char::from_u32(unit).map(|character| (character, 6)).ok_or(lone),
    }
}

/// The number of a `\uXXXX` at the start.
fn hex(raw: &str) -> Option<u32> {
    let digits = raw.strip_prefix("\\u")?.get(..4)?;
    // `from_str_radix` would take a sign too.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
}
