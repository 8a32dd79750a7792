//! The URL: a fixed scheme, host and port, then templates, so that no lead can change where it goes.

use serde_json::Value;
use url::Url;

use crate::config::{self, shorten};
use leadline_domain::template::{Context, Place, Template, percent_encode};

/// A URL whose path and query are templates.
#[derive(Debug)]
pub(crate) struct UrlTemplate {
    base: Url,
    /// Whether `base_url` stands in for what `url` begins with.
    is_rebased: bool,
    path: Template,
    query: Vec<Pair>,
}

/// A part of the query.
#[derive(Debug)]
struct Pair {
    /// Encoded.
    name: String,
    /// Of [`Place::QueryValue`] if it stands in the URL, encoded; of [`Place::Text`] if it comes from `query`.
    value: Option<Template>,
}

/// A URL for an event, and the same with its credentials shortened.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) shown: String,
}

impl UrlTemplate {
    /// Reads `url`, `base_url` and `query` of a configuration; says everything that is wrong with them, but for a
    /// `url` that is missing, which the check of all keys says.
    pub(crate) fn read(config: &Value) -> Result<Self, Vec<String>> {
        let source = config::text(config, "url").map(str::trim).unwrap_or_default();
        if source.is_empty() {
            return Err(Vec::new());
        }
        let parts = Parts::of(source);
        let base = config::base_url(config);
        let is_rebased = !matches!(base, Ok(None));
        let base = base.and_then(|base| base.map_or_else(|| read_base(parts.base), Ok));
        let path =
            Template::compile(parts.path, Place::PathSegment).map_err(|problem| format!("url: {problem}"));
        let fragment = parts.has_fragment.then(|| "url: what follows # is never sent; remove it".to_owned());
        let pairs = parts.query.into_iter().flat_map(|query| split_outside(query, '&'));
        let pairs = pairs.map(|pair| read_pair(pair).map_err(|problem| format!("url: {problem}")));
        let members =
            config.get("query").and_then(Value::as_object).into_iter().flatten().map(|(name, value)| {
                read_member(name, value).map_err(|problem| format!("query {name}: {problem}"))
            });
        let (query, wrong): (Vec<_>, Vec<_>) = pairs.chain(members).partition(Result::is_ok);
        match (base, path) {
            (Ok(base), Ok(path)) if fragment.is_none() && wrong.is_empty() => {
                Ok(Self { base, is_rebased, path, query: query.into_iter().flatten().collect() })
            }
            (base, path) => Err(base
                .err()
                .into_iter()
                .chain(fragment)
                .chain(path.err())
                .chain(wrong.into_iter().filter_map(Result::err))
                .collect()),
        }
    }

    /// Scheme, host and port.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The key of the configuration that says so.
    pub(crate) fn base_key(&self) -> &'static str {
        if self.is_rebased { "base_url" } else { "url" }
    }

    /// Whether it depends on the event.
    pub(crate) fn has_placeholders(&self) -> bool {
        let mut values = self.query.iter().filter_map(|pair| pair.value.as_ref());
        self.path.has_placeholders() || values.any(Template::has_placeholders)
    }

    /// The URL for an event.
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<Target, String> {
        let path = self.path.render(context).map_err(|error| format!("url: {error}"))?;
        let is_dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if path.split(['/', '\\']).any(is_dots) {
            return Err(format!(
                "url: the path {path:.100} has a segment of dots, which would change where it leads"
            ));
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        let mut shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
        if !self.query.is_empty() {
            let mut query = String::new();
            for (index, pair) in self.query.iter().enumerate() {
                query.push_str(if index > 0 { "&" } else { "" });
                shown.push(if index > 0 { '&' } else { '?' });
                pair.render(context, &mut query, &mut shown)?;
            }
            url.set_query(Some(&query));
        }
        Ok(Target { url, shown })
    }
}

impl Pair {
    fn render(&self, context: &Context<'_>, query: &mut String, shown: &mut String) -> Result<(), String> {
        query.push_str(&self.name);
        shown.push_str(&self.name);
        let Some(template) = &self.value else { return Ok(()) };
        let text = template.render(context).map_err(|error| format!("query {}: {error}", self.name))?;
        let encoded = if template.place() == Place::Text { encoded(&text) } else { text };
        query.push('=');
        query.push_str(&encoded);
        shown.push('=');
        shown.push_str(&if template.has_text() { shorten(&encoded) } else { encoded });
        Ok(())
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    percent_encode(text, &mut out);
    out
}

fn read_base(text: &str) -> Result<Url, String> {
    if text.contains("{{") {
        return Err("url: scheme, host and port take no templates; put them behind the host".to_owned());
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(url),
        Err(url::ParseError::RelativeUrlWithoutBase) | Ok(_) => {
            Err("url: must begin with https:// and a host, or base_url must be there".to_owned())
        }
        Err(error) => Err(format!("url: {error}")),
    }
}

/// A pair that stands in the URL, where the operator has encoded what is not a placeholder.
fn read_pair(text: &str) -> Result<Pair, String> {
    let (name, value) = match find_outside(text, '=') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if name.contains("{{") {
        return Err(format!("the query name {name} takes no template"));
    }
    let value = value.map(|value| Template::compile(value, Place::QueryValue)).transpose()?;
    Ok(Pair { name: name.to_owned(), value })
}

/// A member of `query`, which is encoded as a whole.
fn read_member(name: &str, value: &Value) -> Result<Pair, String> {
    let source = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err("must be text".to_owned()),
    };
    if name.contains("{{") {
        return Err("a query name takes no template".to_owned());
    }
    Ok(Pair { name: encoded(name), value: Some(Template::compile(&source, Place::Text)?) })
}

/// A URL template taken apart.
struct Parts<'a> {
    base: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    has_fragment: bool,
}

impl<'a> Parts<'a> {
    fn of(source: &'a str) -> Self {
        let (text, has_fragment) = match find_outside(source, '#') {
            Some(at) => (&source[..at], true),
            None => (source, false),
        };
        let (text, query) = match find_outside(text, '?') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let authority = text.find("://").map_or(0, |at| at + 3);
        let path = text[authority..].find(['/', '\\']).map_or(text.len(), |at| authority + at);
        Self { base: &text[..path], path: &text[path..], query, has_fragment }
    }
}

/// Where a character stands outside of placeholders.
fn find_outside(text: &str, wanted: char) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let found = rest.find(wanted)?;
        match rest.find("{{") {
            Some(open) if open < found => at += open + rest[open..].find("}}")? + 2,
            _ => return Some(at + found),
        }
    }
}

fn split_outside(text: &str, wanted: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = find_outside(rest, wanted) {
        parts.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    parts.push(rest);
    parts
}

/// A configured URL as it may be shown: user info and query values shortened.
pub(crate) fn shown(source: &str) -> String {
    let parts = Parts::of(source);
    let base = match (parts.base.find("://"), parts.base.rfind('@')) {
        (Some(scheme), Some(at)) => format!("{}…{}", &parts.base[..scheme + 3], &parts.base[at..]),
        _ => parts.base.to_owned(),
    };
    let mut out = format!("{base}{}", parts.path);
    for (index, pair) in parts.query.into_iter().flat_map(|query| split_outside(query, '&')).enumerate() {
        out.push(if index > 0 { '&' } else { '?' });
        match find_outside(pair, '=') {
            Some(at) => {
                out.push_str(&pair[..=at]);
                out.push_str(&super::shown_value(&pair[at + 1..]));
            }
            None => out.push_str(pair),
        }
    }
    out
}
