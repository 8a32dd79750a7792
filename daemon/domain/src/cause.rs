//! Causes: what errors have in common. An error becomes the text that is left when all that differs from lead to lead
//! is taken out, and that text, with its connector and class, has one id on every daemon.

use std::{fmt, str::FromStr, sync::LazyLock};

use regex::{Captures, Regex};
use sha2::{Digest as _, Sha256};

use super::outcome::FailureClass;

mod advice;
mod values;

pub use advice::{Action, actions, advice};
pub use values::Values;

/// The longest text of a cause, in characters.
const TEXT_MAX: usize = 200;
/// The same for an error that was cut: where that happened depends on the values in it.
const CUT_TEXT_MAX: usize = 120;

/// The id of a cause: sixty bits of a hash, twelve characters of Crockford's base 32 in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseId(pub i64);

/// A text that is no id of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a cause: twelve letters and digits, as `failure list` shows them")]
pub struct NotCause;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many characters an id has.
const ID_LENGTH: u32 = 12;

impl CauseId {
    /// The id of a text of [`text`].
    #[must_use]
    pub fn of(connector: &str, class: FailureClass, text: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [connector, class.as_str(), &text.to_lowercase()] {
            hash.update(part);
            hash.update([0]);
        }
        let bytes: [u8; 32] = hash.finalize().into();
        let bits = bytes[..8].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        Self(i64::try_from(bits >> 4).unwrap_or_default())
    }
}

impl fmt::Display for CauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |place: u32| char::from(DIGITS[((self.0 >> (5 * place)) & 31) as usize]);
        (0..ID_LENGTH).rev().try_for_each(|place| write!(f, "{}", digit(place)))
    }
}

impl FromStr for CauseId {
    type Err = NotCause;

    fn from_str(text: &str) -> Result<Self, NotCause> {
        if text.len() != ID_LENGTH as usize {
            return Err(NotCause);
        }
        let mut bits = 0i64;
        for byte in text.bytes() {
            let digit =
                DIGITS.iter().position(|digit| *digit == byte.to_ascii_lowercase()).ok_or(NotCause)?;
            bits = bits << 5 | i64::try_from(digit).map_err(|_| NotCause)?;
        }
        Ok(Self(bits))
    }
}

/// What differs from lead to lead, and the words between. The first that fits at a place wins.
static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const MONTH: &str = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*";
    const ZONE: &str = r"(?:\s?(?:Z\b|UTC|GMT|[+-]\d\d:?\d\d))?";
    const CLOCK: &str = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?";
    let times = [
        format!(r"\b\d{{4}}-\d\d-\d\d(?:[T ]{CLOCK})?{ZONE}"),
        format!(r"\b(?:[A-Z][a-z]{{2,8}},? )?\d{{1,2}}[ -]{MONTH}[ -]\d{{4}}(?: {CLOCK})?{ZONE}"),
        format!(r"\b{MONTH} \d{{1,2}},? \d{{4}}(?:,? {CLOCK})?{ZONE}"),
        r"\b\d{1,2}[/.]\d{1,2}[/.]\d{4}\b".to_owned(),
        format!(r"\b{CLOCK}{ZONE}(?: ?[AP]M)?\b"),
    ]
    .join("|");
    let parts = [
        r"(?<email>[\w.%+-]+@[\w-]+(?:\.[\w-]+)+)".to_owned(),
        r#"(?<url>https?://[^\s"'<>`)\]},]+)"#.to_owned(),
        r"(?<id>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)".to_owned(),
        r"(?<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?|\[[0-9a-fA-F]*:[0-9a-fA-F:]+\](?::\d+)?)".to_owned(),
        format!("(?<time>{times})"),
        // The codes of mail servers tell causes apart: 5.1.1 from 5.7.1.
        r"(?<code>\b[245]\.\d{1,3}\.\d{1,3}\b)".to_owned(),
        r"(?<number>\b\d+(?:[.,]\d+)*\b)".to_owned(),
        r"(?<word>\w+)".to_owned(),
    ];
    Regex::new(&parts.join("|")).ok()
});

/// A status where errors have it: at the front, with or without the connector's name, or where one is announced.
static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(?:(?<name>[a-z0-9_]+):? )?[1-5]\d\d\b|\b(?:HTTP|[Ss]tatus|[Cc]ode)(?:/\d(?:\.\d)?)?[ =:]+[1-5]\d\d\b",
    )
    .ok()
});

/// Letters as JSON may write them, and several values of a lead in a row.
static ESCAPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\\u([0-9a-fA-F]{4})").ok());
static MASKED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("<lead>(?:,? <lead>)+").ok());

/// The text of a cause: an error of a connector without the values of its lead, ids, addresses, numbers and times.
#[must_use]
pub fn text(connector: &str, error: &str, lead: &Values) -> String {
    let (Some(parts), Some(status), Some(escaped), Some(masked)) = (&*PARTS, &*STATUS, &*ESCAPED, &*MASKED)
    else {
        return String::new();
    };
    let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_cut = line.contains('…');
    let line = escaped.replace_all(&line, |found: &Captures<'_>| {
        let letter = u32::from_str_radix(&found[1], 16).ok().and_then(char::from_u32);
        let letter = letter.filter(|letter| !letter.is_control());
        letter.map_or_else(|| found[0].to_owned(), String::from)
    });
    let line = lead.mask(&line);
    let line = masked.replace_all(&line, "<lead>");
    // A word before the status is the connector's name; after any other, three digits are a number.
    let is_status = |found: &Captures<'_>| found.name("name").is_none_or(|name| name.as_str() == connector);
    let statuses = status.captures_iter(&line).filter(is_status);
    let kept: Vec<_> = statuses.filter_map(|found| Some(found.get(0)?.end())).collect();
    let text = parts.replace_all(&line, |found: &Captures<'_>| mark(found, &kept));
    let max = if is_cut { CUT_TEXT_MAX } else { TEXT_MAX };
    let mut text: String = text.chars().take_while(|c| *c != '…').take(max).collect();
    text.truncate(text.trim_end().len());
    text
}

/// What stands for a part. A number that ends where a status does is one.
fn mark(found: &Captures<'_>, statuses: &[usize]) -> String {
    let whole = found.get_match();
    let is = |name| found.name(name).is_some();
    if is("email") {
        "<email>".to_owned()
    } else if is("url") {
        url(whole.as_str())
    } else if is("id") {
        "<id>".to_owned()
    } else if is("ip") {
        "<address>".to_owned()
    } else if is("time") {
        "<time>".to_owned()
    } else if is("number") && !statuses.contains(&whole.end()) {
        "<n>".to_owned()
    } else if is("word") {
        word(whole.as_str())
    } else {
        whole.as_str().to_owned()
    }
}

/// A URL without its query, ids in its path marked.
fn url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let mut segments = rest.split('/');
    let host = segments.next().unwrap_or_default();
    let path: Vec<_> = segments.map(segment).collect();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{slash}{}", path.join("/"))
}

fn segment(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return "<id>".to_owned();
    }
    text.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// A word: names of fields and codes stay, ids in it are marked, and digits that are likely part of one.
fn word(word: &str) -> String {
    if is_id(word) {
        return "<id>".to_owned();
    }
    // A number with its unit: 17s, 3rd.
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    if unit.len() < word.len() && unit.chars().all(char::is_alphabetic) && !unit.is_empty() {
        return format!("<n>{unit}");
    }
    word.split('_')
        .map(|part| if is_id(part) { "<id>".to_owned() } else { long_digits(part) })
        .collect::<Vec<_>>()
        .join("_")
}

/// So many digits with letters beside them are nobody's word.
const ID_DIGITS: usize = 12;

/// Whether something is a made-up name: a ULID, eight hexadecimal digits or more, letters and digits in turns, or very many
/// digits with letters.
fn is_id(word: &str) -> bool {
    let (mut digits, mut letters, mut turns) = (0, 0, 0);
    let mut last = None;
    for c in word.chars() {
        if !c.is_ascii_alphanumeric() {
            return false;
        }
        let is_digit = c.is_ascii_digit();
        if is_digit {
            digits += 1
        } else {
            letters += 1
        }
        turns += i32::from(last.is_some_and(|last| last != is_digit));
        last = Some(is_digit);
    }
    let is_hex = word.chars().all(|c| c.is_ascii_hexdigit());
    let is_mixed = digits > 0 && letters > 0;
    is_mixed
        && (word.len() >= 8 && is_hex
            || word.len() >= 10 && turns >= 3
            || word.len() == 26 && turns >= 2
            || digits >= ID_DIGITS)
        || letters == 0 && digits >= 8
}

/// Three digits or more in a word are a number of something.
fn long_digits(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut digits = String::new();
    for c in word.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        text.push_str(if digits.len() >= 3 { "<n>" } else { &digits });
        digits.clear();
        if c != '\0' {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests;
