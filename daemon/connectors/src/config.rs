//! Typed configurations: what a connector is configured with is one struct, and everything that is said of its keys comes
//! from that: the fields for help, forms and documents, the defaults, the checks, and which values are secret.
//!
//! ```text
//! settings! {
//!     pub(super) struct Config {
//!         /// The dated version of the vendor's API
//!         api_version: Version = "2026-03",
//!         /// The pipeline of new deals; absent for the account's own choice
//!         pipeline_id: Option<Int<1, { i64::MAX }>>,
//!     }
//! }
//! ```
//!
//! Each value is read by its type's `Deserialize`. The struct is put together by a macro of ours, not by serde's derive,
//! which stops at the first problem, and not by `schemars`, whose schema would be turned into these fields at run time:
//! an operator is told all that is wrong at once, with the nearest known name.

mod values;

use std::{fmt::Display, time::Duration};

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

pub use values::{BaseUrl, Exact, Few, Flag, Int, List, Number, Numbers, Object, Required, Statuses};
pub(crate) use values::{unbroken, url};

use leadline_domain::{
    address::EgressPolicy,
    integration::Policy,
    nearest::{nearest, unknown},
    origins::is_place,
    outcome::{Failure, FailureClass},
};

/// What is wrong with a configuration, a mapping or credentials, in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// Where, as a JSON pointer: `/deals`; empty for the whole.
    pub pointer: String,
    pub text: String,
}

impl Problem {
    /// A sentence whose key is not known yet, as it begins after one: `must be an id`.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { pointer: String::new(), text: text.into() }
    }

    /// A sentence that names the key itself.
    pub(crate) fn at(key: &str, text: impl Into<String>) -> Self {
        let pointer = if key.is_empty() { String::new() } else { format!("/{}", key.replace('/', "~1")) };
        Self { pointer, text: text.into() }
    }

    /// A sentence about a key, which goes before it: as its subject where the sentence has none.
    pub(crate) fn of(key: &str, text: impl Display) -> Self {
        let text = text.to_string();
        let colon = if text.starts_with("must ") { "" } else { ":" };
        Self::at(key, format!("{key}{colon} {text}"))
    }

    /// A sentence about something that has a name of its own: `header X-A`.
    pub(crate) fn within(key: &str, what: impl Display, text: impl Display) -> Self {
        Self::at(key, format!("{what}: {text}"))
    }

    /// Several sentences about the same.
    pub(crate) fn all(key: &str, texts: impl IntoIterator<Item: Display>) -> Vec<Self> {
        texts.into_iter().map(|text| Self::at(key, text.to_string())).collect()
    }
}

impl From<Problem> for String {
    fn from(problem: Problem) -> Self {
        problem.text
    }
}

/// All that is wrong, in a line.
#[must_use]
pub fn joined(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// Of which kind a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Integer,
    Number,
    Object,
}

impl SettingKind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
        }
    }

    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Integer => value.is_u64() || value.is_i64(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
        }
    }
}

/// A key of a configuration or of credentials, for help, checks, forms and documents.
#[derive(Clone, Copy, Debug)]
pub struct ConfigField {
    pub name: &'static str,
    pub kind: SettingKind,
    pub required: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// What it may be, where that is one of a few words.
    pub words: &'static [&'static str],
    pub default: &'static str,
    pub help: &'static str,
    /// How its value is shown, where it may hold credentials.
    pub(crate) shown: Option<fn(&Value) -> Value>,
}

impl ConfigField {
    /// The field of a value of this type.
    #[must_use]
    pub const fn of<T: Setting>(name: &'static str, help: &'static str, default: &'static str) -> Self {
        let required = T::REQUIRED && default.is_empty();
        Self {
            name: plain(name),
            kind: T::KIND,
            required,
            secret: T::SECRET,
            words: T::WORDS,
            default,
            help: help.trim_ascii(),
            shown: T::SHOWN,
        }
    }
}

/// A key as it is written: `r#type` is `type`.
pub const fn plain(key: &'static str) -> &'static str {
    match key.as_bytes() {
        [b'r', b'#', ..] => key.split_at(2).1,
        _ => key,
    }
}

/// A value of a configuration.
pub trait Setting: DeserializeOwned {
    const KIND: SettingKind = SettingKind::Text;
    const REQUIRED: bool = true;
    const SECRET: bool = false;
    const WORDS: &'static [&'static str] = &[];
    /// Whether white space around a text is no part of it.
    const TRIMS: bool = true;
    /// How it is shown where it may hold credentials.
    const SHOWN: Option<fn(&Value) -> Value> = None;
}

impl<T: Setting> Setting for Option<T> {
    const KIND: SettingKind = T::KIND;
    const REQUIRED: bool = false;
    const SECRET: bool = T::SECRET;
    const WORDS: &'static [&'static str] = T::WORDS;
    const TRIMS: bool = T::TRIMS;
    const SHOWN: Option<fn(&Value) -> Value> = T::SHOWN;
}

/// A setting that is one of a few words.
pub trait Word: Setting {
    fn as_str(&self) -> &'static str;

    /// The method of HTTP that it names, as GET.
    fn to_method(&self) -> http::Method {
        self.as_str().parse().unwrap_or_default()
    }
}

impl Setting for String {}

impl Setting for SecretString {
    const SECRET: bool = true;
}

/// A struct of settings, which `settings!` makes.
pub trait Settings: Default + Send + Sync {
    const FIELDS: &'static [ConfigField];
    /// Reads what is there; a value that is wrong counts as absent.
    fn read(reader: &mut SettingsReader<'_>) -> Self;
}

/// Nothing to set.
impl Settings for () {
    const FIELDS: &'static [ConfigField] = &[];

    fn read(_: &mut SettingsReader<'_>) -> Self {}
}

/// Whether a word is one that a setting has by default, between commas.
pub(crate) fn is_default<T: Settings>(key: &str, word: &str) -> bool {
    let has = |field: &ConfigField| field.default.split(", ").any(|own| own == word);
    T::FIELDS.iter().any(|field| field.name == key && has(field))
}

/// Makes a struct whose fields are the keys of a configuration; their comments are the help.
macro_rules! settings {
    ($(#[$about:meta])* $vis:vis struct $name:ident {
        $($(#[doc = $help:literal])+ $key:ident: $type:ty $(= $default:literal)?),* $(,)?
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            $(pub(crate) $key: $type),*
        }

        impl $crate::config::Settings for $name {
            const FIELDS: &'static [$crate::config::ConfigField] = &[$(
                $crate::config::ConfigField::of::<$type>(
                    stringify!($key), concat!($($help),+), concat!("" $(, $default)?),
                )
            ),*];

            fn read(reader: &mut $crate::config::SettingsReader<'_>) -> Self {
                Self { $($key: reader.take(Self::FIELDS, $crate::config::plain(stringify!($key)))),* }
            }
        }
    };
}

/// Makes an enum of the words that a setting may be. The first is the default.
macro_rules! words {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $first:ident = $first_word:literal $(, $variant:ident = $word:literal)* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
        $vis enum $name {
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $(#[serde(rename = $word)] $variant,)*
        }

        impl $crate::config::Setting for $name {
            const WORDS: &'static [&'static str] = &[$first_word $(, $word)*];
        }

        impl $crate::config::Word for $name {
            fn as_str(&self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

/// Makes the type of a text that is checked, or read into something else, by a function.
macro_rules! parsed {
    ($(#[$about:meta])* $vis:vis struct $name:ident($type:ty) = $read:expr $(; $(const $const:ident: $kind:ty = $value:expr),+)?) => {
        $(#[$about])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(try_from = "String")]
        $vis struct $name(pub(crate) $type);

        impl TryFrom<String> for $name {
            type Error = $crate::config::Problem;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                $read(&text).map(Self)
            }
        }

        impl $crate::config::Setting for $name {
            $($(const $const: $kind = $value;)+)?
        }
    };
}

pub(crate) use {parsed, settings, words};

/// Reads keys one by one and gathers what is wrong.
pub struct SettingsReader<'a> {
    members: Option<&'a Map<String, Value>>,
    problems: Vec<Problem>,
}

impl SettingsReader<'_> {
    /// The value of a key. What is wrong with it is noted.
    pub fn take<T: Setting + Default>(&mut self, fields: &[ConfigField], key: &str) -> T {
        let Some(field) = fields.iter().find(|field| field.name == key) else { return T::default() };
        let is_blank =
            |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        match self.members.and_then(|members| members.get(key)).filter(|value| !is_blank(value)) {
            Some(value) => match read(field, value) {
                Ok(value) => return value,
                Err(problem) => self.problems.push(problem),
            },
            None if field.required => {
                self.problems.push(Problem::at(key, format!("{key} is required: {}", field.help)));
            }
            None => {}
        }
        own(field)
    }
}

/// The default of a field.
fn own<T: Setting + Default>(field: &ConfigField) -> T {
    let value = match field.kind {
        _ if field.default.is_empty() => return T::default(),
        SettingKind::Text => Value::from(field.default),
        _ => serde_json::from_str(field.default).unwrap_or(Value::Null),
    };
    read(field, &value).unwrap_or_default()
}

fn read<T: Setting>(field: &ConfigField, value: &Value) -> Result<T, Problem> {
    let key = field.name;
    if !field.kind.is_of(value) {
        let wanted = field.kind.as_str();
        let article = if wanted.starts_with(['i', 'o']) { "an " } else { "a " };
        let article = if field.kind == SettingKind::Text { "" } else { article };
        return Err(Problem::of(key, format_args!("must be {article}{wanted}")));
    }
    let value = match value {
        Value::String(text) if T::TRIMS => Value::from(text.trim()),
        other => other.clone(),
    };
    if let Some(word) = value.as_str().filter(|word| !field.words.is_empty() && !field.words.contains(word)) {
        let meant = nearest(word, field.words.iter().copied());
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(Problem::at(key, format!("{key} {word} is not one of {}{hint}", field.words.join(", "))));
    }
    serde_json::from_value(value).map_err(|error| Problem::of(key, error))
}

settings! {
    /// The keys that every connector takes.
    pub struct Common {
        /// How long a call may take, from the look-up of the name to the last byte of the answer
        timeout_seconds: Number<10, 30_000> = 30,
        /// How many pushes may be in flight at once
        concurrency: Int<1, 1000> = 16,
        /// How many pushes may start in a second; absent for no limit
        rate_per_second: Option<Number<1, 1_000_000>>,
        /// How many automatic retries follow a first attempt that may work in a moment
        retries: Int<0, 20> = 3,
        /// The longest wait that the target may ask for, if that is to be shorter than the daemon's (`--max-retry-after`)
        max_wait_seconds: Option<Int<1, 86_400>>,
        /// Scheme, host and port to use instead of the target's own, for sandboxes and tests
        base_url: Option<BaseUrl>,
    }
}

impl Common {
    /// The URL of a setting of its own, if it has one; else the base URL, or the target's own.
    pub(crate) fn or(&self, set: Option<&BaseUrl>, own: &str) -> Result<Url, Problem> {
        set.map_or_else(|| self.base_or(own), |url| Ok(url.0.clone()))
    }

    /// The base URL, or the target's own.
    pub(crate) fn base_or(&self, own: &str) -> Result<Url, Problem> {
        match &self.base_url {
            Some(base) => Ok(base.0.clone()),
            None => Url::parse(own).map_err(|error| Problem::at("", format!("{own}: {error}"))),
        }
    }

    /// The base URL, if there is one.
    pub(crate) fn base(&self) -> Option<&Url> {
        self.base_url.as_ref().map(|base| &base.0)
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::try_from_secs_f64(self.timeout_seconds.0).unwrap_or(Policy::default().timeout),
            concurrency: self.concurrency.get(),
            rate_per_second: self.rate_per_second.map(|rate| rate.0),
            retries: self.retries.get(),
            max_wait: self.max_wait_seconds.map(|wait| Duration::from_secs(wait.get().into())),
        }
    }
}

/// Reads settings. What is wrong counts as absent, and is told beside them.
pub(crate) fn read_all<C: Settings>(value: &Value) -> (C, Vec<Problem>) {
    let mut reader = SettingsReader { members: value.as_object(), problems: Vec::new() };
    (C::read(&mut reader), reader.problems)
}

/// Reads a configuration with all that is wrong with its keys. None if it is no object, so that nothing else can be said.
pub(crate) fn checked<C: Settings>(
    config: &Value,
    egress: &EgressPolicy,
) -> (Option<(C, Common)>, Vec<Problem>) {
    let Value::Object(members) = config else {
        return (None, vec![Problem::at("", "the configuration must be an object")]);
    };
    let known = || C::FIELDS.iter().chain(Common::FIELDS).map(|field| field.name);
    let strangers = members.keys().filter(|key| known().all(|name| name != *key));
    let mut problems: Vec<Problem> =
        strangers.map(|key| Problem::at(key, unknown("key", key, known()))).collect();
    let (own, wrong) = read_all::<C>(config);
    problems.extend(wrong);
    let (common, wrong) = read_all::<Common>(config);
    problems.extend(wrong);
    // Whatever key says where calls go, if that is not all templates.
    let places = members.iter().filter(|(key, _)| is_place(key) && key.ends_with("_url"));
    for (key, value) in places {
        let refused = value.as_str().and_then(|text| egress.check(&Url::parse(text.trim()).ok()?).err());
        let is_told = problems.iter().any(|problem| problem.pointer == format!("/{key}"));
        problems.extend(refused.filter(|_| !is_told).map(|problem| Problem::of(key, problem)));
    }
    (Some((own, common)), problems)
}

/// A configuration with credentials shortened, fit to be shown.
pub(crate) fn shown(config: &Value, fields: &[ConfigField]) -> Value {
    let mut shown = config.clone();
    for (key, value) in shown.as_object_mut().into_iter().flatten() {
        let field = fields.iter().find(|field| field.name == key);
        if let Some(show) = field.and_then(|field| field.shown) {
            *value = show(value);
        }
    }
    shown
}

/// Reads credentials with all that is wrong with their names and kinds. No sentence says what they hold.
pub(crate) fn checked_credentials<C: Settings>(credentials: &Value) -> (C, Vec<Problem>) {
    let Value::Object(members) = credentials else {
        return (C::default(), vec![Problem::at("", "the credentials must be one JSON object")]);
    };
    let known = || C::FIELDS.iter().map(|field| field.name);
    let strangers = members.keys().filter(|key| known().all(|name| name != *key));
    let mut problems: Vec<Problem> =
        strangers.map(|key| Problem::at(key, unknown("credential", key, known()))).collect();
    let (own, wrong) = read_all::<C>(credentials);
    problems.extend(wrong);
    (own, problems)
}

/// A value that is fit; else what is wrong with it.
pub(crate) fn fit<T>(value: T, is_fit: bool, problem: &str) -> Result<T, Problem> {
    if is_fit { Ok(value) } else { Err(Problem::new(problem)) }
}

/// Why nothing can be pushed yet.
#[must_use]
pub fn no_credentials(key: &str) -> Failure {
    Failure::new(
        FailureClass::Credentials,
        format!("there is no {key}: give the integration its credentials"),
    )
}

/// A part of the credentials, without which nothing can be pushed.
pub(crate) fn needed<'a, T>(part: &'a Option<T>, key: &str) -> Result<&'a T, Failure> {
    part.as_ref().ok_or_else(|| no_credentials(key))
}

/// A credential as it may be shown: its first characters, if enough stay hidden.
#[must_use]
pub fn shorten(secret: &str) -> String {
    let shown: String =
        if secret.chars().count() < 12 { String::new() } else { secret.chars().take(4).collect() };
    format!("{shown}…")
}
