//! What Klaviyo is configured with, and where a lead's fields go by default.

use crate::prelude::*;

pub(super) const BASE: &str = "https://a.klaviyo.com";

settings! {
    /// The list, and what events are called.
    pub(crate) struct Config {
        /// The list's id, as in the address of its page: Y6nRLr
        list_id: String,
        /// What the event of a new enquiry is called
        metric: String = "Lead received",
        /// What the event of a change is called
        metric_updated: String = "Lead updated",
        /// The dated revision of Klaviyo's API; each lives for two years
        revision: Revision = "2026-07-15",
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// A private API key, as pk_…, that may write profiles, lists, subscriptions and events and read accounts and lists
        api_key: Required<SecretString>,
    }
}

parsed! {
    /// A revision of the API, as the header that names it.
    pub(crate) struct Revision(HeaderValue) = revision
}

impl Default for Revision {
    fn default() -> Self {
        Self(HeaderValue::from_static("2026-07-15"))
    }
}

fn revision(text: &str) -> Result<HeaderValue, Problem> {
    let is_dated = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let value = HeaderValue::try_from(text).ok().filter(|_| is_dated);
    value.ok_or_else(|| Problem::new("must be a date, as 2026-07-15"))
}

/// The attributes that every profile has. Whatever else a mapping names is a property of the account's own.
const ATTRIBUTES: Terms =
    "email phone_number external_id first_name last_name organization locale title image";
const LOCATION: Terms = "address1 address2 city country region zip timezone ip latitude longitude";
/// What a profile has that no call may write.
const READ_ONLY: Terms = "id subscriptions predictive_analytics created updated last_event_date location";

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["first_name", "last_name", "email", "phone_number", "organization", "title", ""])
}

/// Where a target of the mapping stands in a profile: an attribute, a part of the location, or a property, whose name
/// may hold dots. None if no call may write it.
pub(super) fn place(target: &str) -> Option<Vec<&str>> {
    match target.split_once('.') {
        Some(("location", part)) => named(LOCATION, part).then(|| vec!["location", part]),
        Some(("properties", property)) if !property.is_empty() => Some(vec!["properties", property]),
        _ if named(ATTRIBUTES, target) => Some(vec![target]),
        _ if named(READ_ONLY, target) => None,
        _ => Some(vec!["properties", target]),
    }
}

/// The targets that no call may write.
pub(super) fn unwritable(mapping: &Mapping) -> Vec<Problem> {
    let targets = mapping.targets().map(|(rule, target)| (rule.field.as_str(), target));
    let wrong = targets.filter(|(_, target)| place(target).is_none());
    let told = wrong.map(|(field, target)| {
        format!("{field}: {target} cannot be written at Klaviyo; map it to another name")
    });
    Problem::all("mapping", told)
}

/// Targets that look like a slip: a property that differs from an attribute by its spelling alone.
pub(super) fn slips(mapping: &Mapping) -> Vec<String> {
    let plain = |name: &str| name.replace(['_', ' ', '-'], "").to_lowercase();
    let targets = mapping.targets().map(|(rule, target)| (rule.field.as_str(), target));
    let slip = |(field, target): (&str, &str)| {
        let is_meant = |name: &&str| plain(name) == plain(target) && *name != target;
        let meant = ATTRIBUTES.split(' ').find(is_meant)?;
        Some(format!("{field}: {target} is a property of its own; did you mean {meant}?"))
    };
    targets.filter_map(slip).collect()
}
