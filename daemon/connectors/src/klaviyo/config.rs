//! What an operator sets for Klaviyo, and where a lead's fields go by default.

use http::HeaderValue;
use serde_json::{Value, json};

use crate::{ConfigField, config, crm};
use leadline_domain::mapping::Mapping;

pub(super) const BASE: &str = "https://a.klaviyo.com";
/// Each revision lives for two years; this one is what the requests were checked against.
const REVISION: &str = "2026-07-15";
const METRIC: &str = "Lead received";
const METRIC_UPDATED: &str = "Lead updated";

pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::required("list_id", "text", "The list's id, as in the address of its page: Y6nRLr"),
    ConfigField::optional("metric", "text", METRIC, "What the event of a new enquiry is called"),
    ConfigField::optional("metric_updated", "text", METRIC_UPDATED, "What the event of a change is called"),
    ConfigField::optional("revision", "text", REVISION, "The dated revision of Klaviyo's API"),
];

pub(super) const CREDENTIALS: &[ConfigField] = &[ConfigField::required(
    "api_key",
    "text",
    "A private API key, as pk_…, that may write profiles, lists, subscriptions and events and read accounts and lists",
)];

/// The attributes that every profile has. Whatever else a mapping names is a property of the account's own.
const ATTRIBUTES: [&str; 9] = [
    "email",
    "phone_number",
    "external_id",
    "first_name",
    "last_name",
    "organization",
    "locale",
    "title",
    "image",
];
const LOCATION: [&str; 10] =
    ["address1", "address2", "city", "country", "region", "zip", "timezone", "ip", "latitude", "longitude"];
/// What a profile has that no call may write.
const READ_ONLY: [&str; 7] =
    ["id", "subscriptions", "predictive_analytics", "created", "updated", "last_event_date", "location"];

pub(super) fn mapping(operators: &Value) -> Result<Mapping, Vec<String>> {
    let own = json!({
        "lead.email": "email",
        "lead.phone": "phone_number",
        "lead.profile.first_name": "first_name",
        "lead.profile.last_name": "last_name",
        "lead.profile.company": "organization",
    });
    match operators {
        Value::Null | Value::Object(_) => Mapping::parse(&crm::overlay(&own, operators)),
        other => Mapping::parse(other),
    }
}

/// Where a target of the mapping stands in a profile: an attribute, a part of the location, or a property, whose name
/// may hold dots. None if no call may write it.
pub(super) fn place(target: &str) -> Option<Vec<&str>> {
    match target.split_once('.') {
        Some(("location", part)) => LOCATION.contains(&part).then(|| vec!["location", part]),
        Some(("properties", property)) if !property.is_empty() => Some(vec!["properties", property]),
        _ if ATTRIBUTES.contains(&target) => Some(vec![target]),
        _ if READ_ONLY.contains(&target) => None,
        _ => Some(vec!["properties", target]),
    }
}

/// The targets that no call may write.
pub(super) fn unwritable(mapping: &Mapping) -> Vec<String> {
    let targets = mapping.rules().iter().filter_map(|rule| Some((rule.field, rule.to.as_deref()?)));
    targets
        .filter(|(_, target)| place(target).is_none())
        .map(|(field, target)| {
            format!("{field}: {target} cannot be written at Klaviyo; map it to another name")
        })
        .collect()
}

/// Targets that look like a slip: a property that differs from an attribute by its spelling alone.
pub(super) fn slips(mapping: &Mapping) -> Vec<String> {
    let plain = |name: &str| name.replace(['_', ' ', '-'], "").to_lowercase();
    let targets = mapping.rules().iter().filter_map(|rule| Some((rule.field, rule.to.as_deref()?)));
    targets
        .filter_map(|(field, target)| {
            let meant = ATTRIBUTES.iter().find(|name| plain(name) == plain(target) && **name != target)?;
            Some(format!("{field}: {target} is a property of its own; did you mean {meant}?"))
        })
        .collect()
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) list: String,
    pub(super) metric: String,
    pub(super) metric_updated: String,
    pub(super) revision: HeaderValue,
}

impl Settings {
    pub(super) fn read(config: &Value) -> Result<Self, String> {
        let text = |key: &str, own: &str| config::text(config, key).unwrap_or(own).trim().to_owned();
        let revision = text("revision", REVISION);
        let is_dated = revision.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let revision = HeaderValue::try_from(revision).ok().filter(|_| is_dated);
        Ok(Self {
            list: text("list_id", ""),
            metric: text("metric", METRIC),
            metric_updated: text("metric_updated", METRIC_UPDATED),
            revision: revision.ok_or_else(|| format!("revision must be a date, as {REVISION}"))?,
        })
    }
}
