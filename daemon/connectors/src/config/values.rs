//! The types that values of configurations have in common.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::{Problem, Setting, SettingKind, parsed, words};

words! {
    /// Whether something is done.
    pub enum Flag { Yes = "yes", No = "no" }
}

/// An integer from one number to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Int<const LOW: i64, const HIGH: i64>(pub i64);

impl<const LOW: i64, const HIGH: i64> TryFrom<Value> for Int<LOW, HIGH> {
    type Error = Problem;

    fn try_from(value: Value) -> Result<Self, Problem> {
        let number = value.as_i64().filter(|number| (LOW..=HIGH).contains(number));
        number.map(Self).ok_or_else(|| Problem::new(format!("must be from {LOW} to {HIGH}")))
    }
}

impl<const LOW: i64, const HIGH: i64> Int<LOW, HIGH> {
    /// The number, where it is not negative.
    pub(crate) fn get(self) -> u32 {
        u32::try_from(self.0).unwrap_or_default()
    }
}

impl<const LOW: i64, const HIGH: i64> Setting for Int<LOW, HIGH> {
    const KIND: SettingKind = SettingKind::Integer;
}

/// A number from so many hundredths to so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Number<const LOW: i64, const HIGH: i64>(pub f64);

impl<const LOW: i64, const HIGH: i64> TryFrom<f64> for Number<LOW, HIGH> {
    type Error = Problem;

    fn try_from(number: f64) -> Result<Self, Problem> {
        let (low, high) = (LOW as f64 / 100.0, HIGH as f64 / 100.0);
        if (low..=high).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Problem::new(format!("must be from {low} to {high}")))
        }
    }
}

impl<const LOW: i64, const HIGH: i64> Setting for Number<LOW, HIGH> {
    const KIND: SettingKind = SettingKind::Number;
}

/// An object with keys of the operator's own; absent is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Map<String, Value>);

impl Setting for Object {
    const KIND: SettingKind = SettingKind::Object;
    const REQUIRED: bool = false;
}

/// What must be given, and is not there until it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Required<T>(pub Option<T>);

impl<T> Default for Required<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Setting> Setting for Required<T> {
    const KIND: SettingKind = T::KIND;
    const SECRET: bool = T::SECRET;
    const WORDS: &'static [&'static str] = T::WORDS;
    const TRIMS: bool = T::TRIMS;
    const SHOWN: Option<fn(&Value) -> Value> = T::SHOWN;
}

/// A text in which white space counts, also at its ends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Exact<T>(pub T);

impl<T: Setting> Setting for Exact<T> {
    const SECRET: bool = T::SECRET;
    const TRIMS: bool = false;
}

/// Statuses of HTTP, or whole classes of them: `["2xx", 302]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Value>")]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether a status is among them.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl TryFrom<Vec<Value>> for Statuses {
    type Error = Problem;

    fn try_from(values: Vec<Value>) -> Result<Self, Problem> {
        let read = |value: &Value| {
            if let Some(status) = value.as_u64().and_then(|status| u16::try_from(status).ok()) {
                return (200..=599).contains(&status).then_some(status..=status);
            }
            let class: u16 = value.as_str()?.strip_suffix("xx")?.parse().ok()?;
            (2..=5).contains(&class).then_some(class * 100..=class * 100 + 99)
        };
        let ranges: Option<Vec<_>> = values.iter().map(read).collect();
        let ranges = ranges.filter(|ranges| !ranges.is_empty());
        ranges.map(Self).ok_or_else(|| Problem::new("must be statuses, or classes as 2xx"))
    }
}

/// Words with commas between them; absent is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "String")]
pub struct List(pub Vec<String>);

impl From<String> for List {
    fn from(text: String) -> Self {
        Self(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }
}

impl Setting for List {
    const REQUIRED: bool = false;
}

/// A few words with commas between them; absent is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "List")]
pub struct Few<const MAX: usize>(pub Vec<String>);

impl<const MAX: usize> TryFrom<List> for Few<MAX> {
    type Error = Problem;

    fn try_from(List(words): List) -> Result<Self, Problem> {
        let is_few = words.len() <= MAX;
        is_few.then_some(Self(words)).ok_or_else(|| Problem::new(format!("at most {MAX} of them")))
    }
}

impl<const MAX: usize> Setting for Few<MAX> {
    const REQUIRED: bool = false;
}

/// Numbers with commas between them, each maybe behind a #. There is a most where a call follows from each: a conversation
/// has a few beside them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Numbers<const MAX: usize>(pub Vec<u64>);

impl<const MAX: usize> TryFrom<String> for Numbers<MAX> {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        let numbers = text.split(',').map(|part| part.trim().trim_start_matches('#').parse::<u64>());
        let none = |_| Problem::new("must be numbers with commas between them, as 3, 7");
        let numbers = numbers.collect::<Result<Vec<u64>, _>>().map_err(none)?;
        let is_few = numbers.len() <= MAX;
        is_few.then_some(Self(numbers)).ok_or_else(|| Problem::new(format!("must be {MAX} numbers at most")))
    }
}

impl<const MAX: usize> Setting for Numbers<MAX> {}

parsed! {
    /// Scheme, host and port.
    pub struct BaseUrl(Url) = bare
}

/// A URL that is in one piece: a line end is dropped in silence where it is read, and it leads elsewhere then.
pub(crate) fn url(text: &str) -> Result<Url, Problem> {
    unbroken(text)?;
    // The parser's message never quotes what it read: that may be a credential.
    Url::parse(text).map_err(|error| Problem::new(error.to_string()))
}

pub(crate) fn unbroken(text: &str) -> Result<(), Problem> {
    if text.contains(char::is_control) {
        return Err(Problem::new("holds a line end or another control character; take it out"));
    }
    Ok(())
}

fn bare(text: &str) -> Result<Url, Problem> {
    let url = url(text)?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if is_bare && matches!(url.scheme(), "https" | "http") {
        return Ok(url);
    }
    Err(Problem::new("must be scheme, host and port only, as https://sandbox.example.com"))
}
