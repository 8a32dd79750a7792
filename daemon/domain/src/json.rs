//! JSON that keeps what it was given: numbers and strings by their text, members in their order.
//!
//! A lead is pushed as it was received, and no general JSON type survives that: they drop duplicate keys, reorder
//! members and print `18446744073709551616` as a float.

mod parse;
mod text;

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use parse::JsonError;
pub use text::{JsonText, escape};

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 32;
/// The most object keys that a sender's text may have, all objects together.
pub const MAX_KEYS: usize = 1000;
/// The most values that a sender's text may have, whatever holds them: a value takes some fifty bytes once it is read.
pub const MAX_VALUES: usize = 10_000;
/// How many keys and values more a text of our own may have: what is filled in at the intake must not make an event
/// unreadable afterwards.
const SLACK: usize = 24;
/// The longest string of a sender that is read, in bytes.
pub const MAX_STRING: usize = 64 * 1024;

/// A JSON value. Equality is that of the texts; [`Json::digest`] tells whether two mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    /// The text of a JSON number.
    Number(Box<str>),
    String(JsonText),
    Array(Vec<Json>),
    Object(Vec<(JsonText, Json)>),
}

impl Json {
    /// Reads one JSON value that is our own or was accepted before. Refuses duplicate keys, NUL, lone surrogates and
    /// what exceeds the limits of this module; the time it takes is in proportion to the length of the text.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::parse(bytes, SLACK)
    }

    /// Reads one JSON value of a sender, as [`Json::parse`] but without its slack and its longer strings.
    pub fn parse_received(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::parse(bytes, 0)
    }

    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(JsonText::new(text))
    }

    /// A whole number.
    #[must_use]
    pub fn integer(number: i128) -> Self {
        Self::Number(number.to_string().into())
    }

    /// An object of these members.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (JsonText::new(key), value)).collect())
    }

    /// How much work it is to look at all of it: one for each value, and one for each 32 bytes of text.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Number(text) => 1 + text.len() / 32,
            Self::String(text) => 1 + text.raw_len() / 32,
            Self::Array(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Self::Object(members) => {
                let weigh = |(key, value): &(JsonText, Self)| 1 + key.raw_len() / 32 + value.weight();
                1 + members.iter().map(weigh).sum::<usize>()
            }
        }
    }

    /// The member of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name.is(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The member of an object, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|(name, _)| name.is(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What stands at a dotted path: `lead.email`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |value, key| value.get(key))
    }

    /// Puts a member into an object: in place if it is there, else at this position. Anything but an object stays.
    pub fn insert(&mut self, position: usize, key: &str, value: Self) {
        if let Some(present) = self.get_mut(key) {
            *present = value;
        } else if let Self::Object(members) = self {
            members.insert(position.min(members.len()), (JsonText::new(key), value));
        }
    }

    /// Puts a value at a dotted path; objects come to be on the way, and whatever else stands there makes room.
    pub fn set_at(&mut self, path: &str, value: Self) {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        match path.split_once('.') {
            None => self.insert(usize::MAX, path, value),
            Some((key, rest)) => {
                if self.get(key).is_none() {
                    self.insert(usize::MAX, key, Self::Object(Vec::new()));
                }
                if let Some(member) = self.get_mut(key) {
                    member.set_at(rest, value);
                }
            }
        }
    }

    /// Takes the value at a dotted path out of its object.
    pub fn take_at(&mut self, path: &str) -> Option<Self> {
        let (parent, key) = match path.rsplit_once('.') {
            None => (self, path),
            Some((parent, key)) => {
                (parent.split('.').try_fold(self, |value, step| value.get_mut(step))?, key)
            }
        };
        match parent {
            Self::Object(members) => {
                let index = members.iter().position(|(name, _)| name.is(key))?;
                Some(members.remove(index).1)
            }
            _ => None,
        }
    }

    /// What of it says something: without nulls, blank texts and texts that are only this one, and without what holds
    /// nothing else. None if nothing does.
    #[must_use]
    pub fn said(self, but: Option<&str>) -> Option<Self> {
        match self {
            Self::Null => None,
            Self::String(text) => {
                let says = |text: &str| !text.is_empty() && but.map(str::trim) != Some(text);
                let is_said = says(text.decode().trim());
                is_said.then_some(Self::String(text))
            }
            Self::Array(items) => {
                let is_silent = |item: &Self| item.clone().said(but).is_none();
                let is_said = items.is_empty() || !items.iter().all(is_silent);
                is_said.then_some(Self::Array(items))
            }
            Self::Object(members) if !members.is_empty() => {
                let said = members.into_iter().filter_map(|(name, value)| Some((name, value.said(but)?)));
                Some(said.collect::<Vec<_>>()).filter(|said| !said.is_empty()).map(Self::Object)
            }
            other => Some(other),
        }
    }

    /// The decoded text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) => Some(text.decode()),
            _ => None,
        }
    }

    /// A whole number written as one: `80`, not `80.0` and not `8e1`.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Writes it without white space, the texts as they were received.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => text.write(out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    key.write(out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// As [`Json::write`], ready to be sent.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut text = String::new();
        self.write(&mut text);
        Bytes::from(text)
    }

    /// Tells equal from different: SHA-256 over a form in which order, white space and escapes do not count, and
    /// numbers count by their text.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest_without(&[])
    }

    /// The digest of an object without some of its members, each named by its dotted path.
    #[must_use]
    pub fn digest_without(&self, paths: &[&str]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        self.hash(paths, &mut hasher);
        hasher.finalize().into()
    }

    fn hash(&self, without: &[&str], hasher: &mut Sha256) {
        match self {
            Self::Null => hasher.update(b"0"),
            Self::Bool(true) => hasher.update(b"+"),
            Self::Bool(false) => hasher.update(b"-"),
            Self::Number(text) => hash_text(b"#", text, hasher),
            Self::String(text) => hash_text(b"'", &text.decode(), hasher),
            Self::Array(items) => {
                hasher.update(b"[");
                items.iter().for_each(|item| item.hash(&[], hasher));
                hasher.update(b"]");
            }
            Self::Object(members) => hash_members(members, without, hasher),
        }
    }
}

/// Lengths go in too, so that no text can pass for the start of another value.
fn hash_text(tag: &[u8; 1], text: &str, hasher: &mut Sha256) {
    hasher.update(tag);
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text.as_bytes());
}

fn hash_members(members: &[(JsonText, Json)], without: &[&str], hasher: &mut Sha256) {
    let mut sorted: Vec<_> = members.iter().map(|(key, value)| (key.decode(), value)).collect();
    sorted.retain(|(key, _)| !without.contains(&&**key));
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    hasher.update(b"{");
    for (key, value) in sorted {
        hash_text(b"'", &key, hasher);
        let inner = without.iter().filter_map(|path| path.strip_prefix(&*key)?.strip_prefix('.'));
        value.hash(&inner.collect::<Vec<_>>(), hasher);
    }
    hasher.update(b"}");
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl From<&serde_json::Value> for Json {
    /// For configuration, where numbers have been through `serde_json` already.
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string().into()),
            Value::String(text) => Self::string(text),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.iter().map(|(key, value)| (JsonText::new(key), value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
