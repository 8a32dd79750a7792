//! Causes: what errors have in common. An error becomes the text that is left when all that differs from lead to lead
//! is taken out, and that text, with its connector and class, has one id on every daemon.

use std::{fmt, str::FromStr, sync::LazyLock};

use regex::{Captures, Regex};
use sha2::{Digest as _, Sha256};

use super::{json::Json, outcome::FailureClass};

mod advice;

pub use advice::{Action, actions, advice};

/// The longest text of a cause, in characters.
const TEXT_MAX: usize = 200;
/// The same for an error that was cut: where that happened depends on the values in it.
const CUT_TEXT_MAX: usize = 120;
/// A shorter value of a lead is too likely to be a word of the vendor's.
const VALUE_MIN: usize = 3;

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
        r"^(?:[a-z0-9]+:? )?[1-5]\d\d\b|\b(?:HTTP|[Ss]tatus|[Cc]ode)(?:/\d(?:\.\d)?)?[ =:]+[1-5]\d\d\b",
    )
    .ok()
});

/// The text of a cause: an error without the values of its lead, ids, addresses, numbers and times.
#[must_use]
pub fn text(error: &str, lead: &Values) -> String {
    let (Some(parts), Some(status)) = (&*PARTS, &*STATUS) else { return String::new() };
    let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_cut = line.contains('…');
    let line = lead.mask(&line);
    let kept: Vec<_> = status.find_iter(&line).map(|found| found.end()).collect();
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
    word.split('_')
        .map(|part| if is_id(part) { "<id>".to_owned() } else { long_digits(part) })
        .collect::<Vec<_>>()
        .join("_")
}

/// Whether something is a made-up name: a ULID, eight hexadecimal digits or more, or letters and digits in turns.
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
        && (word.len() >= 8 && is_hex || word.len() >= 10 && turns >= 3 || word.len() == 26 && turns >= 2)
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

/// What a lead holds that an error may quote.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<String>);

impl Values {
    /// The texts of an event, and the parts of the person's name.
    #[must_use]
    pub fn of(event: &Json) -> Self {
        let mut values = Vec::new();
        if let Json::Object(members) = event {
            // What is the company's is no secret of the person.
            let own = members.iter().filter(|(key, _)| key.decode() != "company");
            own.for_each(|(key, value)| collect(value, &key.decode(), &mut values));
        }
        Self::sorted(values)
    }

    /// These texts, and their parts.
    #[must_use]
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values = Vec::new();
        for text in texts {
            values.extend(text.split_whitespace().map(ToOwned::to_owned));
            values.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Self::sorted(values)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sorted(mut values: Vec<String>) -> Self {
        values.retain(|value| value.chars().count() >= VALUE_MIN);
        // The longest first: a value may stand within another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    /// A line with a mark for each value in it.
    #[must_use]
    pub fn mask(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for value in &self.0 {
            // Lower case of another length would point at other places.
            let lower = line.to_lowercase();
            let (text, value) = if lower.len() == line.len() {
                (lower, value.to_lowercase())
            } else {
                (line.clone(), value.clone())
            };
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut masked = String::new();
            let mut from = 0;
            for (at, found) in text.match_indices(&value) {
                let end = at + found.len();
                let is_whole = !text[..at].ends_with(is_word) && !text[end..].starts_with(is_word);
                if is_whole && at >= from && line.is_char_boundary(at) && line.is_char_boundary(end) {
                    masked.push_str(&line[from..at]);
                    masked.push_str("<lead>");
                    from = end;
                }
            }
            masked.push_str(&line[from..]);
            line = masked;
        }
        line
    }
}

fn collect(json: &Json, key: &str, values: &mut Vec<String>) {
    match json {
        // These are words of ours, and of vendors' lists too.
        _ if matches!(key, "event_type" | "event" | "version" | "currency" | "status") => {}
        Json::Object(members) => {
            members.iter().for_each(|(key, value)| collect(value, &key.decode(), values))
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, key, values)),
        Json::String(text) => {
            let text = text.decode();
            values.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
            if matches!(key, "name" | "first_name" | "last_name") {
                values.extend(text.split_whitespace().map(ToOwned::to_owned));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
