//! Who a lead is, and the text by which people are found: without accents and case, phone numbers as digits. Pure.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::json::Json;

mod quotes;

pub use quotes::Quotes;

/// The longest part of a value that is kept for lists and searched, in characters.
const VALUE_MAX: usize = 200;
/// A shorter text would find everybody.
const TEXT_MIN: usize = 2;
/// The longest text that is searched for, in characters.
const TEXT_MAX: usize = 100;

/// The digits of a phone number, the country left out, that is nobody else's.
const NUMBER_MIN: usize = 7;

/// Who a lead is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub email: String,
    pub phone: String,
}

impl Person {
    /// Of a canonical event; what is absent is empty.
    #[must_use]
    pub fn of(event: &Json) -> Self {
        let text = |path: &str| {
            let value = event.at(path).and_then(Json::as_str).unwrap_or_default();
            value.trim().chars().filter(|c| *c != '\0').take(VALUE_MAX).collect()
        };
        Self { name: text("lead.name"), email: text("lead.email"), phone: text("lead.phone") }
    }

    /// What is searched: name, e-mail address, digits of the phone number and uuid, a line each.
    #[must_use]
    pub fn folded(&self, uuid: &str) -> String {
        [fold(&self.name), fold(&self.email), digits(&self.phone), fold(uuid)].join("\n")
    }
}

/// A text that finds nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSearch {
    #[error("text: give two characters or more of a name, an e-mail address, a phone number or a uuid")]
    TooShort,
    #[error("text: at most 100 characters")]
    TooLong,
}

/// The parts of a text that must all stand in what is searched, as patterns of SQL's LIKE.
pub fn patterns(text: &str) -> Result<Vec<String>, BadSearch> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().count() < TEXT_MIN {
        return Err(BadSearch::TooShort);
    }
    if text.chars().count() > TEXT_MAX {
        return Err(BadSearch::TooLong);
    }
    if let Some(number) = phone(&text) {
        return Ok(vec![pattern(&number)]);
    }
    let words: Vec<_> = text.split_whitespace().map(fold).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [] => Err(BadSearch::TooShort),
        _ => Ok(words.iter().map(|word| pattern(word)).collect()),
    }
}

/// The same for whoever sees people masked: a whole e-mail address, phone number or uuid and nothing less, as parts would
/// list people. None for anything else.
#[must_use]
pub fn whole_patterns(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let is_bounded = text.chars().count() <= TEXT_MAX && !text.contains(char::is_whitespace);
    if is_bounded && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')) {
        return Some(vec![address_pattern(text)]);
    }
    if is_bounded && super::ids::parse_ulid(text).is_ok() {
        return Some(vec![pattern(&format!("\n{}", fold(text)))]);
    }
    let number = phone(text).filter(|number| (NUMBER_MIN..=TEXT_MAX).contains(&number.len()))?;
    Some(vec![pattern(&format!("{number}\n"))])
}

/// The pattern of a whole e-mail address, as it stands in what is searched.
#[must_use]
pub fn address_pattern(email: &str) -> String {
    pattern(&format!("\n{}\n", fold(email)))
}

/// The digits of a text that looks like a phone number: as it is written at home, the country left out.
pub(super) fn phone(text: &str) -> Option<String> {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    let digits = digits(text);
    let digits = digits.trim_start_matches('0');
    (is_number && digits.len() >= 3).then(|| digits.to_owned())
}

pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Without case and accents, white space as single spaces.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    // Nothing of it is taken apart, and much of what is searched is so.
    if text.is_ascii() {
        for c in text.chars() {
            let is_blank = c.is_ascii_whitespace() || c.is_ascii_control();
            match (is_blank, folded.ends_with(' ')) {
                (true, true) => {}
                (true, false) => folded.push(' '),
                (false, _) => folded.push(c.to_ascii_lowercase()),
            }
        }
        folded.truncate(folded.trim_end().len());
        return folded;
    }
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            '’' | '‘' | 'ʼ' => folded.push('\''),
            '‐' | '–' => folded.push('-'),
            c if c.is_whitespace() || c.is_control() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c => folded.push(c),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// A pattern that a text anywhere fits; what patterns give a meaning is meant as it is.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, email: &str, phone: &str) -> Person {
        Person { name: name.into(), email: email.into(), phone: phone.into() }
    }

    /// Whether a text finds a person, as the database compares.
    fn finds(person: &Person, text: &str) -> bool {
        let folded = person.folded("01J8H6KQH4YG3XR8RWM6T6XFQE");
        patterns(text).unwrap().iter().all(|pattern| {
            let plain =
                pattern[1..pattern.len() - 1].replace("\\%", "%").replace("\\_", "_").replace("\\\\", "\\");
            folded.contains(&plain)
        })
    }

    #[test]
    fn people_are_found_however_they_are_written() {
        let zoe = person("Zoë Müller-Łukasz", "Zoe.M@Example.com", "+44 (7700) 900-123");
        for text in [
            "zoe",
            "ZOË",
            "muller",
            "Müller-Lukasz",
            "lukasz zoe",
            "zoe.m@",
            "EXAMPLE.COM",
            "900123",
            "07700 900123",
            "+447700900123",
            "7700-900",
            "01j8h6kq",
            "6T6XFQE",
            "  zoe  ",
        ] {
            assert!(finds(&zoe, text), "{text}");
        }
        for text in ["zoex", "smith", "900124", "zoe smith", "z%e", "zo_", "\\"] {
            assert!(text.chars().count() < 2 || !finds(&zoe, text), "{text}");
        }
        assert!(finds(&person("Weiß O’Neill", "", ""), "weiss o'neill"));
        assert!(finds(&person("100%_sure\\", "", ""), "100%_sure\\"));
    }

    #[test]
    fn whoever_sees_people_masked_finds_whole_ones_only() {
        assert_eq!(whole_patterns("Ann@b.example").unwrap(), ["%\nann@b.example\n%"]);
        assert_eq!(whole_patterns("07700 900123").unwrap(), ["%7700900123\n%"]);
        let uuid = "01J8H6KQH4YG3XR8RWM6T6XFQE";
        assert_eq!(whole_patterns(uuid).unwrap(), [format!("%\n{}%", uuid.to_lowercase())]);
        for part in ["ann", "@b.example", "ann@b", "900123", "01J8H6", "ann b@c.d", ""] {
            assert_eq!(whole_patterns(part), None, "{part}");
        }
    }

    #[test]
    fn patterns_mean_what_was_typed() {
        assert_eq!(patterns("50%_a\\b").unwrap(), ["%50\\%\\_a\\\\b%"]);
        assert_eq!(patterns("a\0b").unwrap(), ["%a%", "%b%"]);
        for text in ["", "a", " a ", "\0\0"] {
            assert_eq!(
                patterns(text).unwrap_err().to_string(),
                "text: give two characters or more of a name, an e-mail address, a phone number or a uuid"
            );
        }
        assert_eq!(patterns(&"x".repeat(101)).unwrap_err().to_string(), "text: at most 100 characters");
    }

    #[test]
    fn a_person_is_read_from_the_event() {
        let event = Json::parse(br#"{"lead": {"name": " Ann ", "email": "a@b.c", "phone": 5}}"#).unwrap();
        assert_eq!(Person::of(&event), person("Ann", "a@b.c", ""));
        assert_eq!(Person::of(&Json::Null), Person::default());
        assert_eq!(person("Ann", "A@b.c", "+1 2").folded("01J8"), "ann\na@b.c\n12\n01j8");
    }
}
