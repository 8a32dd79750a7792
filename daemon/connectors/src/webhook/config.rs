//! What a webhook is configured with.

use serde_json::Map;

use super::url;
use crate::config::{SettingKind, Statuses, shorten};
use crate::prelude::*;
use leadline_domain::template::{Place, Template};

settings! {
    /// The request that each event becomes.
    pub(crate) struct Config {
        /// Where to push to; a template after the host, as https://example.com/leads/{{ lead.uuid }}
        url: UrlSource,
        /// GET, POST, PUT, PATCH or DELETE
        method: Method = "POST",
        /// Headers of your own: a template each, or {"value": template, "public": true} if it is no secret
        headers: Members,
        /// Query values, a template each
        query: Members,
        /// A template for the body; blank sends the whole event, but for GET, which then sends none
        body: Option<Exact<String>>,
        /// Which statuses mean that the event has arrived: {"statuses": ["2xx", 302]}; without it, 2xx
        success: Option<Success>,
    }
}

/// Which answers mean success.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Success {
    pub(crate) statuses: Statuses,
}

/// As it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    statuses: Statuses,
}

impl TryFrom<Value> for Success {
    type Error = Problem;

    fn try_from(value: Value) -> Result<Self, Problem> {
        let written: Result<Written, _> = serde_json::from_value(value);
        let written = written.map_err(|_| {
            Problem::new(r#"must be {"statuses": ["2xx", 302]}: statuses, or classes of them"#)
        })?;
        Ok(Self { statuses: written.statuses })
    }
}

impl Setting for Success {
    const KIND: SettingKind = SettingKind::Object;
}

words! {
    /// How it is called.
    pub(crate) enum Method { Post = "POST", Get = "GET", Put = "PUT", Patch = "PATCH", Delete = "DELETE" }
}

/// A URL with templates, whose query may hold credentials.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct UrlSource(pub(crate) String);

impl Setting for UrlSource {
    const SHOWN: Option<fn(&Value) -> Value> = Some(shown);
}

/// A URL as it may be shown.
pub(crate) fn shown(source: &Value) -> Value {
    source.as_str().map_or_else(|| source.clone(), |text| url::shown(text).into())
}

/// Templates with names, which may hold credentials unless they are marked public.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Members(pub(crate) Map<String, Value>);

impl Setting for Members {
    const KIND: SettingKind = SettingKind::Object;
    const REQUIRED: bool = false;
    const SHOWN: Option<fn(&Value) -> Value> = Some(members_shown);
}

fn members_shown(members: &Value) -> Value {
    let mut shown = members.clone();
    for value in shown.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let secret = match value {
            Value::Object(header) if header.get("public") == Some(&json!(true)) => continue,
            Value::Object(header) => header.get_mut("value"),
            other => Some(other),
        };
        match secret {
            Some(Value::String(text)) => *text = shown_value(text),
            Some(other) => *other = shorten(&other.to_string()).into(),
            None => {}
        }
    }
    shown
}

/// A configured value as it may be shown: what consists of placeholders alone is no credential.
pub(super) fn shown_value(text: &str) -> String {
    match Template::compile(text, Place::Text) {
        Ok(template) if !template.has_text() => text.to_owned(),
        _ => shorten(text),
    }
}
