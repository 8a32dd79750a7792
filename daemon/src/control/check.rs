//! Checks of what requests carry, each with a message that says what to send instead. Pure.

use std::str::FromStr;

use leadline_proto::v1;
use serde_json::Value;

use crate::{
    connectors::{self, Connector},
    domain::{
        brand::Brand, fanout::Routing, integration::EventKind, payload, plan::Plan, signing::SignatureKind,
    },
    store::operator::command::Refusal,
};

/// The most origins of a key or a form.
const ORIGINS_MAX: usize = 50;

/// Refuses a request that is wrong in itself.
pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid(message.into()))
}

/// A name of a company or an integration.
pub(super) fn name(name: &str) -> Result<&str, Refusal> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.contains(char::is_control) {
        return invalid("name: give 1 to 200 characters without control characters");
    }
    Ok(name)
}

/// A plan's word.
pub(super) fn plan(word: &str) -> Result<Plan, Refusal> {
    Plan::parse(word)
        .ok_or_else(|| Refusal::Invalid(format!("plan {word:?}: use free, starter, pro or multi")))
}

/// After how many hours without a lead a notice says so; 0 is never.
pub(super) fn quiet_hours(hours: u32) -> Result<Option<i32>, Refusal> {
    match i32::try_from(hours) {
        Ok(0) => Ok(None),
        Ok(hours @ 1..=8760) => Ok(Some(hours)),
        _ => invalid("quiet_hours: give 0 for no such notice, or 1 to 8760 hours"),
    }
}

/// A brand, `NAME` or `NAME/VERSION`; the empty text is none.
pub(super) fn brand(text: &str) -> Result<Option<&str>, Refusal> {
    Brand::parse(text).map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A JSON object in text; the empty text is `{}`.
pub(super) fn object(field: &str, text: &str) -> Result<Value, Refusal> {
    let value = match text.trim() {
        "" => Value::Object(serde_json::Map::new()),
        text => serde_json::from_str(text)
            .map_err(|error| Refusal::Invalid(format!("{field} is not JSON: {error}; give one object")))?,
    };
    if !value.is_object() {
        return invalid(format!("{field}: give one JSON object, as in {{\"url\": \"https://…\"}}"));
    }
    if has_nul(&value) {
        return invalid(format!("{field}: take out the NUL character"));
    }
    Ok(value)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// The events to subscribe to; none named means both.
pub(super) fn events(words: &[String]) -> Result<Vec<EventKind>, Refusal> {
    const ALL: [EventKind; 2] = [EventKind::Created, EventKind::Updated];
    if let Some(word) = words.iter().find(|word| ALL.iter().all(|event| event.as_str() != **word)) {
        return invalid(format!("event {word:?}: use lead.created or lead.updated"));
    }
    let wanted = |event: &EventKind| words.is_empty() || words.iter().any(|word| word == event.as_str());
    Ok(ALL.into_iter().filter(wanted).collect())
}

/// One of these words; the empty text is the first.
pub(super) fn one_of<'a>(field: &str, word: &'a str, words: &[&'a str]) -> Result<&'a str, Refusal> {
    match word {
        "" => Ok(words[0]),
        word if words.contains(&word) => Ok(word),
        word => invalid(format!("{field} {word:?}: use {}", words.join(" or "))),
    }
}

/// Which leads an integration takes; the empty text is all of them.
pub(super) fn routing(word: &str) -> Result<Routing, Refusal> {
    let known = [Routing::All, Routing::Flows].map(Routing::as_str);
    Ok(Routing::parse(one_of("routing", word, &known)?).unwrap_or_default())
}

/// The connector of a name.
pub(super) fn connector(name: &str) -> Result<&'static dyn Connector, Refusal> {
    connectors::find(name).ok_or_else(|| {
        let names: Vec<_> = connectors::ALL.iter().map(|connector| connector.manifest().name).collect();
        Refusal::Invalid(format!("connector {name:?}: use one of {}", names.join(", ")))
    })
}

/// The payload of an integration; the empty text is the first. Where it would change nothing, only that one is taken.
pub(super) fn payload<'a>(connector: &dyn Connector, word: &'a str) -> Result<&'a str, Refusal> {
    let words = payload::names();
    let payload = one_of("payload", word, &words)?;
    if payload == words[0] || connector.manifest().takes_payloads() {
        return Ok(payload);
    }
    let takers = connectors::ALL.iter().filter(|connector| connector.manifest().takes_payloads());
    let takers: Vec<_> = takers.map(|connector| connector.manifest().name).collect();
    invalid(format!(
        "payload {payload:?}: connector {} makes a shape of its own; leave it out, or use one of {}",
        connector.manifest().name,
        takers.join(", ")
    ))
}

/// An id in text.
pub(super) fn id<T: FromStr<Err = crate::domain::ids::NotUlid>>(
    field: &str,
    text: &str,
) -> Result<T, Refusal> {
    text.parse().map_err(|error| Refusal::Invalid(format!("{field} {text:?} is {error}")))
}

/// An id in text; the empty text is none.
pub(super) fn optional_id<T: FromStr<Err = crate::domain::ids::NotUlid>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Refusal> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// A reference; the empty text is none.
pub(super) fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// How many rows a page has, and the id behind which it begins.
pub(super) fn page(page: Option<&v1::Page>) -> Result<(i64, &str), Refusal> {
    match page.map_or(0, |page| page.limit) {
        0 => Ok((50, page.map_or("", |page| &page.after))),
        limit @ 1..=1000 => Ok((i64::from(limit), page.map_or("", |page| &page.after))),
        limit => invalid(format!("limit {limit}: at most 1000; take the next page with `after`")),
    }
}

/// A rate a second; none for no limit.
pub(super) fn rate(rate: Option<f64>) -> Result<Option<f64>, Refusal> {
    match rate {
        Some(rate) if !(0.001..=1_000_000.0).contains(&rate) => {
            invalid(format!("rate_per_second {rate}: give 0.001 to 1000000, or leave it out for no limit"))
        }
        rate => Ok(rate),
    }
}

/// Which signature a key takes; empty for either.
pub(super) fn signature(word: &str) -> Result<SignatureKind, Refusal> {
    match (word, SignatureKind::parse(word)) {
        ("", _) => Ok(SignatureKind::Any),
        (_, Some(kind @ (SignatureKind::Standard | SignatureKind::Simple))) => Ok(kind),
        _ => invalid(format!("signature {word:?}: use standard or simple, or leave it out for either")),
    }
}

/// Origins as browsers send them: scheme, host and, where it is not the usual one, port.
pub(super) fn origins(origins: &[String]) -> Result<Vec<String>, Refusal> {
    if origins.len() > ORIGINS_MAX {
        return invalid(format!("allow_origins: at most {ORIGINS_MAX}"));
    }
    let read = origins.iter().map(|text| {
        let origin = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let origin = origin.map(|url| url.origin().ascii_serialization());
        match origin {
            Some(origin) if origin.eq_ignore_ascii_case(text.trim_end_matches('/')) => Ok(origin),
            _ => invalid(format!("origin {text:?}: write scheme and host alone, as https://example.com")),
        }
    });
    read.collect()
}

/// What a credential that is only shown ends with.
const CUT: char = '…';

/// The paths at which a configuration carries what is only shown of a credential, not the credential itself.
pub(super) fn shortened(config: &Value, show: impl Fn(&Value) -> Value) -> Vec<String> {
    // A credential is where showing changes the text; what is cut already would not change again.
    let whole = lengthened(config);
    let mut found = Vec::new();
    find_shortened(config, &whole, &show(&whole), "config", &mut found);
    found
}

fn lengthened(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(CUT, "-cut-here-and-gone").into(),
        Value::Array(items) => items.iter().map(lengthened).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), lengthened(value))).collect(),
        other => other.clone(),
    }
}

fn find_shortened(value: &Value, whole: &Value, shown: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                find_shortened(value, &whole[key], &shown[key], &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                find_shortened(value, &whole[index], &shown[index], &format!("{path}[{index}]"), found);
            }
        }
        Value::String(text) if text.contains(CUT) && whole != shown => found.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brands_are_names_with_or_without_a_version() {
        for good in ["Innkept", "Innkept/1.0", "Lead-push/2_b"] {
            assert_eq!(brand(good).unwrap(), Some(good));
        }
        assert_eq!(brand("").unwrap(), None);
        for bad in ["Inn kept", "Innkept/", "Inn/1/2", "Ünn", "Inn\r\nX: y", &"x".repeat(41)] {
            assert!(brand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("  crm ").unwrap(), "crm");
        for bad in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(201)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_are_json_objects_without_nul() {
        assert_eq!(object("config", "").unwrap(), json!({}));
        assert_eq!(object("config", "{\"a\": 1}").unwrap(), json!({ "a": 1 }));
        for bad in ["[1]", "{", "{\"a\": [\"\\u0000\"]}", "{\"\\u0000\": 1}"] {
            let refusal = object("config", bad).unwrap_err().to_string();
            assert!(refusal.starts_with("config"), "{refusal}");
        }
    }

    #[test]
    fn words_have_defaults() {
        assert_eq!(events(&[]).unwrap(), [EventKind::Created, EventKind::Updated]);
        assert_eq!(events(&["lead.updated".into(), "lead.updated".into()]).unwrap(), [EventKind::Updated]);
        assert!(events(&["webhook.test".into()]).is_err());
        assert_eq!(one_of("payload", "", &["v1", "save_lead"]).unwrap(), "v1");
        assert_eq!(
            one_of("payload", "v2", &["v1", "save_lead"]).unwrap_err().to_string(),
            "payload \"v2\": use v1 or save_lead"
        );
        assert_eq!(page(None).unwrap(), (50, ""));
        assert!(page(Some(&v1::Page { limit: 1001, after: String::new() })).is_err());
    }

    #[test]
    fn rates_are_bounded() {
        for good in [None, Some(0.5), Some(1000.0)] {
            assert_eq!(rate(good).unwrap(), good);
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refusal = rate(Some(bad)).unwrap_err().to_string();
            assert_eq!(
                refusal,
                format!("rate_per_second {bad}: give 0.001 to 1000000, or leave it out for no limit")
            );
        }
    }

    #[test]
    fn what_is_only_shown_is_not_taken_for_the_credential() {
        let show = |config: &Value| connector("webhook").unwrap().shown(config);
        let open = json!({ "value": "Wait …", "public": true });
        let config = |key: &str| json!({ "url": format!("https://a/?k={key}"), "headers": { "X-Key": key, "X-Open": open } });
        for (key, expected) in [
            ("a-long-secret", &[][..]),
            ("{{ lead.email }}", &[]),
            ("a-lo…", &["config.url", "config.headers.X-Key"]),
            ("…", &["config.url", "config.headers.X-Key"]),
        ] {
            assert_eq!(shortened(&config(key), show), expected, "{key}");
        }
        assert_eq!(shortened(&show(&config("a-long-secret")), show).len(), 2);
        assert!(shortened(&json!({ "url": "https://a/", "body": "Hello …", "query": [5] }), show).is_empty());
    }
}
