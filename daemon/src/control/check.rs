//! Checks of what requests carry, each with a message that says what to send instead. Pure.

use std::str::FromStr;

use leadline_proto::v1;
use serde_json::Value;

use super::words;
use crate::{
    connectors::{self, Connector},
    domain::{brand::Brand, integration::EventKind, plan::Plan},
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

/// A plan, which must be named.
pub(super) fn plan(number: i32) -> Result<Plan, Refusal> {
    words::read_plan(number)?
        .ok_or_else(|| Refusal::Invalid("plan: use free, starter, pro or multi".to_owned()))
}

/// After how many hours without a lead a notice says so; 0 is never.
pub(super) fn quiet_hours(span: prost_types::Duration) -> Result<Option<i32>, Refusal> {
    match (i32::try_from(span.seconds / 3600), span.seconds % 3600, span.nanos) {
        (Ok(0), 0, 0) => Ok(None),
        (Ok(hours @ 1..=8760), 0, 0) => Ok(Some(hours)),
        _ => invalid("quiet_after: give 0 for no such notice, or 1 to 8760 whole hours"),
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
pub(super) fn events(asked: &[i32]) -> Result<Vec<EventKind>, Refusal> {
    let number = |event: EventKind| words::event(event) as i32;
    if let Some(other) =
        asked.iter().find(|asked| EventKind::OF_LEADS.iter().all(|event| number(*event) != **asked))
    {
        return invalid(format!("event {other}: use LEAD_CREATED or LEAD_UPDATED"));
    }
    let wanted = |event: &EventKind| asked.is_empty() || asked.contains(&number(*event));
    Ok(EventKind::OF_LEADS.into_iter().filter(wanted).collect())
}

/// The connector of a name.
pub(super) fn connector(name: &str) -> Result<&'static dyn Connector, Refusal> {
    connectors::find(name).ok_or_else(|| {
        let names: Vec<_> = connectors::ALL.iter().map(|connector| connector.manifest().name).collect();
        Refusal::Invalid(format!("connector {name:?}: use one of {}", names.join(", ")))
    })
}

/// The payload of an integration; unspecified is the first. Where it would change nothing, only that one is taken.
pub(super) fn payload(connector: &dyn Connector, number: i32) -> Result<&'static str, Refusal> {
    let first = v1::Payload::V1.word();
    let payload = words::read_payload(number)?.unwrap_or(first);
    if payload == first || connector.manifest().takes_payloads() {
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
    kind: &str,
    text: &str,
) -> Result<T, Refusal> {
    text.parse().map_err(|error| Refusal::not_an_id(kind, text, &error))
}

/// An id in text; the empty text is none.
pub(super) fn optional_id<T: FromStr<Err = crate::domain::ids::NotUlid>>(
    kind: &str,
    text: &str,
) -> Result<Option<T>, Refusal> {
    if text.is_empty() { Ok(None) } else { id(kind, text).map(Some) }
}

/// A reference; the empty text is none.
pub(super) fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// How many rows a page has, and the id behind which it begins.
pub(super) fn page(size: u32, token: &str) -> Result<(i64, &str), Refusal> {
    match size {
        0 => Ok((50, token)),
        size @ 1..=1000 => Ok((size.into(), token)),
        size => invalid(format!("page_size {size}: at most 1000; take the next page with `page_token`")),
    }
}

/// The id behind which a page begins; none for the first.
pub(super) fn behind<T: FromStr>(token: &str) -> Result<Option<T>, Refusal> {
    if token.is_empty() { Ok(None) } else { token.parse().map(Some).map_err(|_| not_a_page(token)) }
}

/// The refusal of a token that begins no page.
pub(super) fn not_a_page(token: &str) -> Refusal {
    let way_out = "give the next_page_token of the page before, or the last id on it";
    Refusal::Invalid(format!("page_token {token:?}: {way_out}"))
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

/// Puts the stored credentials back where a configuration has them as they are shown: what was not changed stays. Of a
/// setting that holds several, each counts as a whole: a header whose value is as it is shown, but that is public now, is
/// another header.
pub(super) fn keep_shown(config: &mut Value, shown: &Value, stored: &Value) {
    for (key, value) in config.as_object_mut().into_iter().flatten() {
        let (shown, stored) = (&shown[key], &stored[key]);
        if value == shown {
            stored.clone_into(value);
        } else if let (Value::Object(members), Value::Object(shown), Value::Object(stored)) =
            (value, shown, stored)
        {
            for (name, member) in members {
                if let (Some(shown), Some(stored)) = (shown.get(name), stored.get(name))
                    && member == shown
                {
                    stored.clone_into(member);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_credential_that_is_sent_back_as_it_is_shown_stays() {
        let stored = json!({"url": "https://a/?k=secret-1", "n": 1,
            "headers": {"X-Key": {"value": "secret-2"}, "X-Other": "secret-3", "X": "y"}});
        let shown = json!({"url": "https://a/?k=secr…", "n": 1,
            "headers": {"X-Key": {"value": "secr…"}, "X-Other": "secr…", "X": "y"}});
        let kept = |mut config: Value| {
            keep_shown(&mut config, &shown, &stored);
            config
        };
        assert_eq!(kept(shown.clone()), stored);
        assert_eq!(
            kept(
                json!({"headers": {"X-Key": {"value": "secr…", "public": true}, "X-Other": "secr…", "Z": "secr…"}})
            ),
            json!({"headers": {"X-Key": {"value": "secr…", "public": true}, "X-Other": "secret-3", "Z": "secr…"}}),
            "only where it stood, and none that is to be shown"
        );
        assert_eq!(kept(json!({"url": 1, "n": 2, "m": null})), json!({"url": 1, "n": 2, "m": null}));
    }

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
        let updated = v1::Event::LeadUpdated as i32;
        assert_eq!(events(&[]).unwrap(), [EventKind::Created, EventKind::Updated]);
        assert_eq!(events(&[updated, updated]).unwrap(), [EventKind::Updated]);
        for bad in [0, v1::Event::WebhookTest as i32] {
            let refusal = events(&[bad]).unwrap_err().to_string();
            assert_eq!(refusal, format!("event {bad}: use LEAD_CREATED or LEAD_UPDATED"));
        }
        assert_eq!(plan(v1::Plan::Pro as i32).unwrap(), Plan::Pro);
        assert_eq!(plan(0).unwrap_err().to_string(), "plan: use free, starter, pro or multi");
        let hours = |seconds| quiet_hours(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!((hours(0).unwrap(), hours(7200).unwrap()), (None, Some(2)));
        for bad in [-3600, 1800, 8761 * 3600] {
            assert_eq!(
                hours(bad).unwrap_err().to_string(),
                "quiet_after: give 0 for no such notice, or 1 to 8760 whole hours"
            );
        }
        assert_eq!(page(0, "").unwrap(), (50, ""));
        assert_eq!(page(1000, "K").unwrap(), (1000, "K"));
        assert_eq!(
            page(1001, "").unwrap_err().to_string(),
            "page_size 1001: at most 1000; take the next page with `page_token`"
        );
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
