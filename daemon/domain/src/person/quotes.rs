//! Whether a text quotes a person, however it writes them: an address in any case, escaped for a URL, JSON or HTML; a
//! number with or without its country, with anything between its digits; a name's words in any order, beside each other.

use std::collections::BTreeSet;

use super::{Person, digits, fold};
use crate::lead::email::compared;

/// What is shorter, or one name alone, many texts have in them.
const QUOTE_MIN: usize = 6;
/// The last digits of a number, which are the same wherever it is called from.
const NUMBER_TAIL: usize = 9;
/// So much may stand between the digits of one number, as in `+44 (0) 77`.
const NUMBER_GAP: usize = 4;
/// So many other words may stand among those of a name, as the names of fields do.
const NAME_GAP: usize = 2;
/// An escape may be escaped again, so often.
const ESCAPED_MAX: usize = 3;

/// What tells that a text is about one of several people, or about one as they have been called in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotes {
    addresses: BTreeSet<String>,
    numbers: BTreeSet<String>,
    /// The words of each.
    names: BTreeSet<Vec<String>>,
}

impl Quotes {
    #[must_use]
    pub fn of(people: impl IntoIterator<Item = Person>) -> Self {
        let mut quotes = Self::default();
        for Person { name, email, phone } in people {
            let addresses = [fold(&email), fold(&compared(&email))];
            quotes.addresses.extend(addresses.into_iter().filter(|address| is_telling(address)));
            let number = digits(&phone);
            let tail = number.len().saturating_sub(NUMBER_TAIL);
            quotes.numbers.extend(number.get(tail..).filter(|number| is_telling(number)).map(str::to_owned));
            let name = fold(&name);
            let words: Vec<String> = words(&name).map(str::to_owned).collect();
            if words.len() > 1 && is_telling(&name) {
                quotes.names.insert(words);
            }
        }
        quotes
    }

    /// Whether there is nothing that would tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a text is about them.
    #[must_use]
    pub fn stand_in(&self, text: &str) -> bool {
        let mut form = text.to_owned();
        for _ in 0..=ESCAPED_MAX {
            if self.stand_as_written(&form) {
                return true;
            }
            match unescaped(&form) {
                Some(inner) => form = inner,
                None => return false,
            }
        }
        false
    }

    fn stand_as_written(&self, text: &str) -> bool {
        let folded = fold(text);
        self.addresses.iter().any(|address| folded.contains(address))
            || !self.numbers.is_empty()
                && runs_of_digits(text)
                    .iter()
                    .any(|run| self.numbers.iter().any(|number| run.contains(number)))
            || self.names.iter().any(|name| is_named(name, &folded))
    }
}

fn is_telling(quote: &str) -> bool {
    quote.chars().count() >= QUOTE_MIN
}

fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether all words of a name stand beside each other.
fn is_named(name: &[String], folded: &str) -> bool {
    if !name.iter().all(|word| folded.contains(word)) {
        return false;
    }
    let text: Vec<&str> = words(folded).collect();
    (0..text.len()).filter(|at| name.iter().any(|word| word == text[*at])).any(|at| {
        let beside = &text[at..text.len().min(at + name.len() + NAME_GAP)];
        name.iter().all(|word| beside.contains(&word.as_str()))
    })
}

/// The digits of what may be numbers: what stands between them is what people write there, and little of it.
fn runs_of_digits(text: &str) -> Vec<String> {
    let (mut runs, mut run, mut gap) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        if c.is_ascii_digit() {
            run.push(c);
            gap = 0;
        } else if gap < NUMBER_GAP && (c.is_whitespace() || "+-()./‐‑–".contains(c)) {
            gap += 1;
        } else if !run.is_empty() {
            runs.push(std::mem::take(&mut run));
        }
    }
    runs.push(run);
    runs.retain(|run| is_telling(run));
    runs
}

/// A text without one layer of escapes (`%40`, `\u0040`, `\"`, `&#64;`); none if it has none.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest, mut is_changed) = (Vec::with_capacity(text.len()), text, false);
    while let Some(at) = rest.find(['%', '\\', '&']) {
        let (before, escape) = rest.split_at(at);
        bytes.extend(before.as_bytes());
        match one_escape(escape) {
            Some((byte_or_more, length)) => {
                bytes.extend(byte_or_more);
                rest = &escape[length..];
                is_changed = true;
            }
            None => {
                bytes.push(escape.as_bytes()[0]);
                rest = &escape[1..];
            }
        }
    }
    bytes.extend(rest.as_bytes());
    is_changed.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// What an escape at the beginning of a text stands for, and how long it is.
fn one_escape(text: &str) -> Option<(Vec<u8>, usize)> {
    let hex = |digits: &str| {
        Some(digits)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let utf8 = |code: u32| Some(char::from_u32(code)?.to_string().into_bytes());
    if text.starts_with('%') {
        return Some((vec![u8::try_from(hex(text.get(1..3)?)?).ok()?], 3));
    }
    if let Some(c @ ('\\' | '"' | '/')) = text.strip_prefix('\\').and_then(|rest| rest.chars().next()) {
        return Some((c.to_string().into_bytes(), 2));
    }
    if text.starts_with("\\u") {
        return Some((utf8(hex(text.get(2..6)?)?)?, 6));
    }
    let (number, _) = text.strip_prefix("&#")?.split_once(';').filter(|(number, _)| number.len() <= 7)?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => hex(digits)?,
        None => number.parse().ok()?,
    };
    Some((utf8(code)?, "&#;".len() + number.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, email: &str, phone: &str) -> Person {
        Person { name: name.to_owned(), email: email.to_owned(), phone: phone.to_owned() }
    }

    #[test]
    fn a_person_is_known_however_a_text_writes_them() {
        let quotes = Quotes::of([
            person("Zoë Müller-Łukasz", "Zoe.M@exämple.de", "+44 (7700) 900-123"),
            person("Zoe Smith", "zoe@old.example", "112"),
        ]);
        for text in [
            "ZOE.M@EXÄMPLE.DE is known",
            "{\"email\": \"zoe.m@xn--exmple-cua.de\"}",
            "/contacts?email=zoe%40old.example",
            "?next=%2Fcontacts%3Femail%3Dzoe%2540old.example",
            r#"{"email": "zoe\u0040old.example"}"#,
            "<b>zoe&#64;old.example</b> <i>zoe&#x40;old.example</i>",
            "07700 900123 is taken",
            "tel:+44-7700-900-123",
            "+44 7700\u{a0}900\u{a0}123",
            r#"{"phone": "+44\u00a07700\u00a0900123"}"#,
            "Zoe Muller-Lukasz is known",
            "MÜLLER-ŁUKASZ, Zoë",
            r#"{"firstname": "Zoe", "lastname": "Smith"}"#,
            r#"{"name": "Zo\u00eb M\u00fcller \u0141ukasz"}"#,
            "q=Smith+Zoe",
            // JSON as text in JSON, as calls are kept.
            r#"{"body": "{\"email\": \"zoe\\u0040old.example\"}"}"#,
            r#"{"body": "{\"name\": \"Zo\\u00eb M\\u00fcller \\u0141ukasz\"}"}"#,
            r#"{"body": "{\"phone\": \"+44\\u00a07700\\u00a0900123\"}"}"#,
        ] {
            assert!(quotes.stand_in(text), "{text}");
        }
        for text in [
            "",
            "Zoe is known",
            "zoe@new.example",
            "Zoe Jones and, as was said already, Anna Smith",
            "call 112",
            "7700, 900, and 123 of each",
            "900123",
            "100 % \\u &#; &# %4 \\u00 &#99999999;",
        ] {
            assert!(!quotes.stand_in(text), "{text}");
        }
    }

    #[test]
    fn what_many_texts_have_in_them_tells_of_nobody() {
        assert!(Quotes::of([person("Sarah", "a@b.c", "112"), person("A B", "", "")]).is_empty());
        assert!(Quotes::of([]).is_empty() && !Quotes::default().stand_in("anything"));
        assert!(!Quotes::of([person("Sarah Patel", "", "")]).is_empty());
    }
}
