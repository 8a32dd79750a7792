//! What a lead holds that an error may quote: masked where people read, left out where errors are compared.

use std::collections::HashSet;

use crate::json::Json;

/// A shorter value of a lead is too likely to be a word of the vendor's.
const VALUE_MIN: usize = 3;
/// A value with more words is quoted whole, if at all.
const WORDS_MAX: usize = 6;
/// So many digits are a figure; more are a number that names somebody.
const FIGURE_MAX: usize = 6;

/// Words that errors are written with. One alone says nothing of whose lead it was, though a lead may hold it.
const PLAIN: &str = include_str!("plain.txt");

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

    /// The same without the words that errors are written with, and with the company's name: two causes are one if they
    /// differ in what their leads say, and no word of the vendor's is taken for a lead's.
    #[must_use]
    pub fn of_cause(event: &Json, company: &str) -> Self {
        let mut values = Self::of(event).0;
        let mut names = vec![company.to_owned()];
        if let Some(name) = event.at("company.name").and_then(Json::as_str) {
            names.push(name.into_owned());
        }
        for name in names {
            values.extend(name.split_whitespace().map(ToOwned::to_owned));
            values.push(name.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let plain: HashSet<&str> = PLAIN.split_whitespace().collect();
        let is_plain = |word: &str| plain.contains(word.to_lowercase().as_str());
        let parts: Vec<String> = values.iter().flat_map(|value| parts(value, &is_plain)).collect();
        values.extend(parts);
        values.retain(|value| !is_plain(value) && !is_figure(value));
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
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
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

/// Words of a value that stand beside each other, at least one of which tells whose it is.
fn parts(value: &str, is_plain: &impl Fn(&str) -> bool) -> Vec<String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    if words.len() > WORDS_MAX {
        return Vec::new();
    }
    let tells =
        |words: &[&str]| words.iter().any(|word| word.chars().count() >= VALUE_MIN && !is_plain(word));
    let runs = (2..words.len()).flat_map(|length| words.windows(length));
    runs.filter(|words| tells(words)).map(|words| words.join(" ")).collect()
}

/// Whether a value is a figure, which is taken out as every other number is.
fn is_figure(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    digits < FIGURE_MAX && value.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
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
