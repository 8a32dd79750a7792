//! What every configuration has in common: the shared keys, the check of kinds and names, shortened credentials.

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::ConfigField;
use leadline_domain::{
    address::EgressPolicy,
    nearest::unknown,
    outcome::{Failure, FailureClass},
};

/// The keys that every connector takes.
pub const COMMON: &[ConfigField] = &[
    ConfigField::optional(
        "timeout_seconds",
        "number",
        "30",
        "How long a call may take, from the look-up of the name to the last byte of the answer",
    ),
    ConfigField::optional("concurrency", "integer", "16", "How many pushes may be in flight at once"),
    ConfigField::optional(
        "rate_per_second",
        "number",
        "",
        "How many pushes may start in a second; absent for no limit",
    ),
    ConfigField::optional(
        "retries",
        "integer",
        "3",
        "How many automatic retries follow a first attempt that may work in a moment",
    ),
    ConfigField::optional(
        "base_url",
        "text",
        "",
        "Scheme, host and port to use instead of the target's own, for sandboxes and tests",
    ),
];

/// The limits of the common numbers.
const LIMITS: &[(&str, f64, f64)] = &[
    ("timeout_seconds", 0.1, 300.0),
    ("concurrency", 1.0, 1000.0),
    ("rate_per_second", 0.01, 10_000.0),
    ("retries", 0.0, 20.0),
];

/// Checks names and kinds of all keys and the values of the common ones. None if the rest cannot be checked.
pub fn check<'a>(
    config: &'a Value,
    fields: &[ConfigField],
    egress: &EgressPolicy,
    problems: &mut Vec<String>,
) -> Option<&'a Map<String, Value>> {
    let Value::Object(members) = config else {
        problems.push("the configuration must be an object".to_owned());
        return None;
    };
    let known = || fields.iter().chain(COMMON);
    for (key, value) in members {
        match known().find(|field| field.name == key) {
            None => problems.push(unknown("key", key, known().map(|field| field.name))),
            Some(field) if !is_of(field.kind, value) => {
                problems.push(format!("{key} must be {}", wanted(field.kind)));
            }
            Some(_) => {}
        }
    }
    for field in fields.iter().filter(|field| field.required) {
        let is_blank =
            |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        if members.get(field.name).is_none_or(is_blank) {
            problems.push(format!("{} is required: {}", field.name, field.help));
        }
    }
    for (key, low, high) in LIMITS {
        if members.get(*key).and_then(Value::as_f64).is_some_and(|number| !(*low..=*high).contains(&number)) {
            problems.push(format!("{key} must be from {low} to {high}"));
        }
    }
    match base_url(config) {
        Ok(Some(url)) => {
            problems.extend(egress.check(&url).err().map(|problem| format!("base_url: {problem}")))
        }
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    Some(members)
}

/// Checks the names of credentials, and that each is text that is not blank. Says nothing of what they hold.
#[must_use]
pub fn check_credentials(credentials: &Value, fields: &[ConfigField]) -> Vec<String> {
    let Value::Object(members) = credentials else {
        return vec!["the credentials must be one JSON object".to_owned()];
    };
    let mut problems: Vec<String> = members
        .iter()
        .filter_map(|(key, value)| match fields.iter().find(|field| field.name == key) {
            None => Some(unknown("credential", key, fields.iter().map(|field| field.name))),
            Some(_) if !value.is_string() => Some(format!("{key} must be text")),
            Some(_) => None,
        })
        .collect();
    for field in fields.iter().filter(|field| field.required && text(credentials, field.name).is_none()) {
        problems.push(format!("{} is required: {}", field.name, field.help));
    }
    problems
}

/// Why nothing can be pushed yet.
#[must_use]
pub fn no_credentials(key: &str) -> Failure {
    let message =
        format!("there is no {key}: set the credentials with `leadline integration set-credentials`");
    Failure::new(FailureClass::Credentials, message)
}

/// A credential, ready to be used.
#[must_use]
pub fn credential(credentials: &Value, key: &str) -> Option<SecretString> {
    text(credentials, key).map(|text| SecretString::from(text.trim()))
}

/// The base URL of a configuration, or the target's own.
pub fn base_or(config: &Value, own: &str) -> Result<Url, String> {
    match base_url(config)? {
        Some(url) => Ok(url),
        None => Url::parse(own).map_err(|error| format!("{own}: {error}")),
    }
}

/// The base URL of a configuration, if it has one.
pub fn base_url(config: &Value) -> Result<Option<Url>, String> {
    site(config, "base_url", "https://sandbox.example.com")
}

/// A URL of a configuration that names nothing but a site, if it has one.
pub fn site(config: &Value, key: &str, example: &str) -> Result<Option<Url>, String> {
    let Some(text) = text(config, key) else { return Ok(None) };
    let url = Url::parse(text.trim()).map_err(|error| format!("{key}: {error}"))?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !matches!(url.scheme(), "https" | "http") {
        return Err(format!("{key} must be scheme, host and port only, as {example}"));
    }
    Ok(Some(url))
}

/// How many calls a vendor takes in its window, or the vendor's own number.
pub fn pace(config: &Value, key: &str, own: u32) -> Result<u32, String> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(own),
        Some(value) => value
            .as_u64()
            .and_then(|calls| u32::try_from(calls).ok())
            .filter(|calls| (1..=10_000).contains(calls))
            .ok_or_else(|| format!("{key} must be from 1 to 10000")),
    }
}

/// A text that is there and not blank.
#[must_use]
pub fn text<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    config.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// A credential as it may be shown: its first characters, if enough stay hidden.
#[must_use]
pub fn shorten(secret: &str) -> String {
    let shown: String =
        if secret.chars().count() < 12 { String::new() } else { secret.chars().take(4).collect() };
    format!("{shown}…")
}

fn is_of(kind: &str, value: &Value) -> bool {
    value.is_null()
        || match kind {
            "text" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            _ => value.is_object(),
        }
}

fn wanted(kind: &str) -> &'static str {
    match kind {
        "text" => "text",
        "integer" => "an integer",
        "number" => "a number",
        _ => "an object",
    }
}
