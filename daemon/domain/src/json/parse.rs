//! The parser. One pass, no look-back; its limits make the recursion safe and bound the memory of what is read.

use std::{borrow::Cow, collections::HashSet, hash::Hash};

use super::{Json, JsonText, MAX_DEPTH, MAX_KEYS, MAX_STRING, MAX_VALUES, text::unescape};

/// From so many members on, keys are told apart by their hashes instead of one by one.
const FEW: usize = 16;

/// Why a text is not JSON that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at line {line}, column {column}")]
pub struct JsonError {
    pub detail: String,
    /// JSON pointer of the value in which it happened; empty for the whole text.
    pub pointer: String,
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// `slack` is how many keys and values there may be beyond the limits.
pub(super) fn parse(bytes: &[u8], slack: usize) -> Result<Json, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (valid, _) = bytes.split_at(error.valid_up_to());
        locate(&String::from_utf8_lossy(valid), ParseFault::new(valid.len(), "invalid UTF-8"))
    })?;
    let mut parser = Parser { text, at: 0, keys: 0, values: 0, slack };
    parser.whole().map_err(|fault| locate(text, fault))
}

/// An error on its way out: the pointer grows as it leaves the containers.
struct ParseFault {
    at: usize,
    detail: String,
    pointer: String,
}

impl ParseFault {
    fn new(at: usize, detail: impl Into<String>) -> Self {
        Self { at, detail: detail.into(), pointer: String::new() }
    }

    fn within(mut self, step: &str) -> Self {
        self.pointer = format!("/{}{}", step.replace('~', "~0").replace('/', "~1"), self.pointer);
        self
    }
}

fn locate(text: &str, fault: ParseFault) -> JsonError {
    let before = text.get(..fault.at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    JsonError {
        detail: fault.detail,
        pointer: fault.pointer,
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    keys: usize,
    values: usize,
    slack: usize,
}

/// The keys of an object so far, decoded: telling a duplicate takes no longer the more there are.
pub(super) struct Keys<K> {
    few: Vec<K>,
    many: HashSet<K>,
}

impl<K: Eq + Hash> Keys<K> {
    pub(super) fn new() -> Self {
        Self { few: Vec::new(), many: HashSet::new() }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        if self.many.is_empty() { self.few.contains(key) } else { self.many.contains(key) }
    }

    pub(super) fn insert(&mut self, key: K) {
        if self.many.is_empty() && self.few.len() < FEW {
            self.few.push(key);
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(key);
        }
    }
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Result<Json, ParseFault> {
        if self.text.starts_with('\u{feff}') {
            return Err(ParseFault::new(0, "a byte order mark; send plain UTF-8"));
        }
        self.skip_white();
        let value = self.value(0)?;
        self.skip_white();
        if self.at < self.text.len() { Err(self.unexpected("the end of the text")) } else { Ok(value) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a byte if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, wanted: &str) -> ParseFault {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("{character:?}"),
            None => "the end of the text".to_owned(),
        };
        ParseFault::new(self.at, format!("expected {wanted}, found {found}"))
    }

    fn value(&mut self, depth: usize) -> Result<Json, ParseFault> {
        self.values += 1;
        if self.values > MAX_VALUES + self.slack {
            return Err(ParseFault::new(self.at, format!("more than {MAX_VALUES} values")));
        }
        match self.peek() {
            Some(b'{') => self.object(self.deeper(depth)?),
            Some(b'[') => self.array(self.deeper(depth)?),
            Some(b'"') => self.string().map(|(text, _)| Json::String(text)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, ParseFault> {
        if depth == MAX_DEPTH {
            return Err(ParseFault::new(self.at, format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(depth + 1)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, ParseFault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, ParseFault> {
        let mut members: Vec<(JsonText, Json)> = Vec::new();
        let mut seen = Keys::new();
        self.at += 1;
        self.skip_white();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_white();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let (key, name) = self.string()?;
            self.keys += 1;
            if self.keys > MAX_KEYS + self.slack {
                return Err(ParseFault::new(start, format!("more than {MAX_KEYS} keys")));
            }
            if seen.contains(&name) {
                let shown: String = name.chars().take(60).collect();
                return Err(ParseFault::new(start, format!("duplicate key {shown:?}")).within(&name));
            }
            self.skip_white();
            if !self.take(b':') {
                return Err(self.unexpected("':'"));
            }
            self.skip_white();
            let value = self.value(depth).map_err(|fault| fault.within(&name))?;
            seen.insert(name);
            members.push((key, value));
            self.skip_white();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, ParseFault> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_white();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_white();
            items.push(self.value(depth).map_err(|fault| fault.within(&items.len().to_string()))?);
            self.skip_white();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    /// The text as it was received, and decoded.
    fn string(&mut self) -> Result<(JsonText, Cow<'a, str>), ParseFault> {
        let start = self.at + 1;
        let whole: &'a str = self.text;
        let bytes = whole.as_bytes();
        let mut end = start;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(0) => return Err(ParseFault::new(end, "NUL in a string")),
                Some(..b' ') => {
                    return Err(ParseFault::new(end, "a control character in a string; escape it"));
                }
                Some(_) => end += 1,
                None => return Err(ParseFault::new(self.at, "a string without its closing quote")),
            }
        }
        // A backslash before a character of several bytes can leave `end` inside of it, but no quote stands there.
        let raw = &whole[start..end];
        // Text of our own may be as long as vendors take it: in the worst case four bytes a character.
        if raw.len() > if self.slack > 0 { 4 * MAX_STRING } else { MAX_STRING } {
            return Err(ParseFault::new(self.at, format!("a string longer than {} KiB", MAX_STRING / 1024)));
        }
        let text = unescape(raw).map_err(|(at, what)| ParseFault::new(start + at, what.to_string()))?;
        if text.contains('\0') {
            let at = raw.find("\\u0000").unwrap_or(0);
            return Err(ParseFault::new(start + at, "NUL (\\u0000) in a string"));
        }
        self.at = end + 1;
        Ok((JsonText::received(raw), text))
    }

    fn number(&mut self) -> Result<Json, ParseFault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Json::Number(self.text[start..self.at].into()))
    }

    fn digits(&mut self) -> Result<(), ParseFault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }
}
