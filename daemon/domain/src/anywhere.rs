//! A text in what a lead says, wherever it stands: in values and not in keys, without case and accents. Pure.

use super::{
    json::{Json, JsonError},
    person::{digits, fold, phone},
};

/// A shorter text stands in nearly every lead.
const TEXT_MIN: usize = 3;
/// The longest text that is looked for, in characters.
const TEXT_MAX: usize = 100;
/// A shorter number stands in dates and amounts, too: it is looked for as it is written alone.
const NUMBER_MIN: usize = 7;
/// A value up to so many characters is shown whole.
const WHOLE: usize = 30;
/// How much of a longer one is shown, and how much of that before the text: little, so that a narrow column has the text.
const SHOWN: usize = 120;
const BEFORE: usize = 10;
/// What the intake fills in: it is the same in every lead of a company.
const OURS: [&str; 3] = ["event", "version", "company"];

/// A text that stands nowhere in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    #[error("text: give three characters or more of what leads say")]
    TooShort,
    #[error("text: at most 100 characters of what leads say")]
    TooLong,
}

/// Where a lead says a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMatch {
    /// As a JSON pointer.
    pub pointer: String,
    /// The value; of a long one the part around the text.
    pub value: String,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// All of them are meant, each in any value.
    words: Vec<String>,
    /// The text as a phone number, however it is written.
    number: Option<String>,
}

impl Sought {
    /// Reads a text as it was typed.
    pub fn read(text: &str) -> Result<Self, BadText> {
        if text.chars().nth(TEXT_MAX).is_some() {
            return Err(BadText::TooLong);
        }
        let folded = fold(text);
        let folded = folded.trim();
        if folded.chars().count() < TEXT_MIN {
            return Err(BadText::TooShort);
        }
        // A letter may be taken apart into many, and each word has a bit of 64.
        if folded.chars().count() > TEXT_MAX {
            return Err(BadText::TooLong);
        }
        let words = folded.split_whitespace().map(str::to_owned).collect();
        Ok(Self { words, number: phone(text).filter(|number| number.len() >= NUMBER_MIN) })
    }

    /// Where a canonical event says it; none where it does not say all of it.
    pub fn find(&self, body: &[u8]) -> Result<Option<TextMatch>, JsonError> {
        if !self.may_stand_in(body) {
            return Ok(None);
        }
        let event = Json::parse(body)?;
        let mut walk = EventWalk { sought: self, pointer: String::new(), found: 0, best: (0, None) };
        if let Json::Object(members) = &event {
            for (key, value) in members.iter().filter(|(key, _)| !OURS.iter().any(|ours| key.is(ours))) {
                walk.step(&key.decode(), value);
            }
        }
        if walk.found.count_ones() as usize != self.words.len() {
            return Ok(None);
        }
        Ok(walk.best.1.map(|(pointer, value)| TextMatch { pointer, value: self.excerpt(&value) }))
    }

    /// Whether it is worth the reading: what has neither escapes nor letters beyond ASCII shows its words as they are.
    fn may_stand_in(&self, body: &[u8]) -> bool {
        if self.number.is_some() || !body.is_ascii() || body.contains(&b'\\') {
            return true;
        }
        let body = body.to_ascii_lowercase();
        // It is ASCII, so this is never empty.
        let body = str::from_utf8(&body).unwrap_or_default();
        self.words.iter().all(|word| body.contains(word.as_str()))
    }

    /// Which of the words stand in a value, a bit each.
    fn words_in(&self, value: &str) -> u64 {
        if let Some(number) = &self.number
            && phone(value).is_some()
            && digits(value).contains(number.as_str())
        {
            return (1 << self.words.len()) - 1;
        }
        let folded = fold(value);
        let has = |(at, word): (usize, &String)| u64::from(folded.contains(word.as_str())) << at;
        self.words.iter().enumerate().map(has).sum()
    }

    /// The part of a long value around the longest word that it has.
    fn excerpt(&self, value: &str) -> String {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let ends: Vec<usize> = value.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        if ends.len() <= WHOLE {
            return value;
        }
        let folded = fold(&value);
        let words = self.words.iter().filter(|word| folded.contains(word.as_str()));
        let word = words.max_by_key(|word| word.len()).map_or("", String::as_str);
        // A head of the value that has the word is followed by longer ones alone.
        let last = ends.partition_point(|end| !fold(&value[..*end]).contains(word));
        let first = (last + 1).saturating_sub(word.chars().count() + BEFORE);
        let until = (first + SHOWN).min(ends.len());
        let begin = if first == 0 { 0 } else { ends[first - 1] };
        let before = if first == 0 { "" } else { "…" };
        let behind = if until == ends.len() { "" } else { "…" };
        format!("{before}{}{behind}", &value[begin..ends[until - 1]])
    }
}

/// An event that is gone through.
struct EventWalk<'a> {
    sought: &'a Sought,
    pointer: String,
    /// The words that were found.
    found: u64,
    /// How many words the best place has, its pointer and its value.
    best: (u32, Option<(String, String)>),
}

impl EventWalk<'_> {
    /// Goes through what stands under a key.
    fn step(&mut self, key: &str, value: &Json) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match value {
            Json::Object(members) => members.iter().for_each(|(key, value)| self.step(&key.decode(), value)),
            Json::Array(items) => {
                items.iter().enumerate().for_each(|(at, value)| self.step(&at.to_string(), value));
            }
            Json::String(text) => self.value(&text.decode()),
            Json::Number(number) => self.value(number),
            // `true` stands in nearly every lead.
            Json::Bool(_) | Json::Null => {}
        }
        self.pointer.truncate(length);
    }

    fn value(&mut self, value: &str) {
        let words = self.sought.words_in(value);
        self.found |= words;
        if words.count_ones() > self.best.0 {
            self.best = (words.count_ones(), Some((self.pointer.clone(), value.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event":"lead.created","version":"v1",
        "lead":{"uuid":"01J8H6KQH4YG3XR8RWM6T6XFQE","name":"Zo\u00eb M\u00fcller","phone":"+44 7700 900123","gdpr_consent":true,
            "budget":12500,"custom":{"a/b~c":["Marquee  in the\norchard"],"mobile":"(07700) 900-999"}},
        "quote":{"items":[{"name":"Caf\u00e9 Weiß"}]},"company":{"id":7,"name":"The Old Barn"}}"#;

    fn place(text: &str) -> Option<(String, String)> {
        let found = Sought::read(text).unwrap().find(EVENT.as_bytes()).unwrap();
        found.map(|place| (place.pointer, place.value))
    }

    #[test]
    fn a_text_is_found_wherever_a_value_has_it() {
        for (text, pointer, value) in [
            ("zoe", "/lead/name", "Zoë Müller"),
            ("ORCHARD", "/lead/custom/a~1b~0c/0", "Marquee in the orchard"),
            ("in the orchard", "/lead/custom/a~1b~0c/0", "Marquee in the orchard"),
            ("cafe weiss", "/quote/items/0/name", "Café Weiß"),
            ("12500", "/lead/budget", "12500"),
            ("250", "/lead/budget", "12500"),
            ("07700 900999", "/lead/custom/mobile", "(07700) 900-999"),
            ("+44 7700-900-123", "/lead/phone", "+44 7700 900123"),
            ("xfqe", "/lead/uuid", "01J8H6KQH4YG3XR8RWM6T6XFQE"),
            // Words of several values: the one is shown that has most of them.
            ("zoe marquee orchard", "/lead/custom/a~1b~0c/0", "Marquee in the orchard"),
        ] {
            assert_eq!(place(text), Some((pointer.to_owned(), value.to_owned())), "{text}");
        }
        for text in ["custom", "mobile", "old barn", "created", "true", "zoe smith", "7700900998", "orchards"]
        {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_value_is_shown_around_the_text() {
        let long = format!("{} the Big Tent {}", "é ".repeat(300), "z ".repeat(300));
        let event = Json::object([("lead", Json::object([("message", Json::string(&long))]))]);
        let found = Sought::read("big tent").unwrap().find(&event.to_bytes()).unwrap().unwrap();
        assert!(found.value.starts_with("…é the Big Tent z z"), "{}", found.value);
        assert!(found.value.ends_with('…') && found.value.chars().count() == SHOWN + 2, "{}", found.value);
        let tail = format!("{} end", "x".repeat(400));
        let event = Json::object([("lead", Json::object([("message", Json::string(&tail))]))]);
        let found = Sought::read("x end").unwrap().find(&event.to_bytes()).unwrap().unwrap();
        assert_eq!(found.value, format!("…{} end", "x".repeat(9)));
        let head = format!("begin {}", "x".repeat(400));
        let event = Json::object([("lead", Json::object([("message", Json::string(&head))]))]);
        let found = Sought::read("begin").unwrap().find(&event.to_bytes()).unwrap().unwrap();
        assert!(found.value.starts_with("begin") && found.value.ends_with('…'), "{}", found.value);
    }

    #[test]
    fn what_shows_its_words_is_not_read_without_them() {
        let sought = Sought::read("big tent").unwrap();
        assert!(!sought.may_stand_in(b"{\"lead\":{\"message\":\"a big house\"}}"));
        assert!(sought.may_stand_in(b"{\"lead\":{\"message\":\"A TENT, big\"}}"));
        assert!(sought.may_stand_in("{\"lead\":{\"name\":\"é\"}}".as_bytes()), "letters fold");
        assert!(sought.may_stand_in(b"{\"lead\":{\"name\":\"\\u0062ig\"}}"), "escapes mean letters");
        assert!(
            Sought::read("+1 202 555 0100").unwrap().may_stand_in(b"{}"),
            "digits are written in many ways"
        );
        assert!(sought.find(b"big tent {").is_err(), "what is no JSON is told");
    }

    #[test]
    fn too_little_and_too_much_is_refused() {
        for text in ["", "ab", " a ", "\u{301}\u{301}\u{301}"] {
            let error = Sought::read(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                "text: give three characters or more of what leads say",
                "{text:?}"
            );
        }
        let error = Sought::read(&"x".repeat(101)).unwrap_err();
        assert_eq!(error.to_string(), "text: at most 100 characters of what leads say");
        assert_eq!(Sought::read(&"\u{fdfa}".repeat(40)), Err(BadText::TooLong), "each is eighteen letters");
        // As many words as there can be: each has a bit.
        assert_eq!(Sought::read(&"x ".repeat(50)).unwrap().words.len(), 50);
    }
}
