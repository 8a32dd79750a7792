//! The URL: a fixed scheme, host and port, then templates, so that no lead can change where it goes.

use serde_json::Map;

use super::config::shown_value;
use crate::config::{shorten, unbroken};
use crate::prelude::*;
use leadline_domain::{
    ids::CompanyId,
    lead,
    template::{Context, Place, Template, percent_encode},
};

/// A URL whose path and query are templates.
#[derive(Debug)]
pub(crate) struct UrlTemplate {
    /// The key of the configuration where it stands.
    key: &'static str,
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
    /// Reads a URL, or a path behind a base URL, and more pairs of its query; says everything that is wrong with them.
    pub(crate) fn read(
        key: &'static str,
        source: &str,
        query: &Map<String, Value>,
        base: Option<&Url>,
    ) -> Result<Self, Vec<Problem>> {
        let own = |problem: Problem| Problem::within(key, key, problem);
        unbroken(source).map_err(|problem| vec![own(problem)])?;
        let parts = Parts::of(source);
        let is_rebased = base.is_some();
        let base = base.cloned().map_or_else(|| read_base(parts.base), Ok).map_err(own);
        let path = compiled(parts.path, Place::PathSegment).map_err(own);
        let fragment =
            parts.has_fragment.then(|| own(Problem::new("what follows # is never sent; remove it")));
        let pairs = parts.query.into_iter().flat_map(|query| split_outside(query, '&'));
        let pairs = pairs.map(|pair| read_pair(pair).map_err(own));
        let members = query.iter().map(|(name, value)| {
            read_member(name, value)
                .map_err(|problem| Problem::within("query", format_args!("query {name}"), problem))
        });
        let (query, wrong): (Vec<_>, Vec<_>) = pairs.chain(members).partition(Result::is_ok);
        match (base, path) {
            (Ok(base), Ok(path)) if fragment.is_none() && wrong.is_empty() => {
                Ok(Self { key, base, is_rebased, path, query: query.into_iter().flatten().collect() })
            }
            (base, path) => {
                let wrong = wrong.into_iter().filter_map(Result::err);
                Err(base.err().into_iter().chain(fragment).chain(path.err()).chain(wrong).collect())
            }
        }
    }

    /// The key of the configuration that says scheme, host and port.
    fn base_key(&self) -> &'static str {
        if self.is_rebased { "base_url" } else { self.key }
    }

    /// What is wrong that shows only when it is used.
    pub(crate) fn try_out(&self, egress: &EgressPolicy) -> Vec<Problem> {
        let address = egress.check(&self.base).map_err(|problem| Problem::of(self.base_key(), problem));
        let rendered = with_sample(|sample| self.render(sample));
        address.err().into_iter().chain(rendered.err()).collect()
    }

    /// Whether it depends on the event.
    pub(crate) fn has_placeholders(&self) -> bool {
        let mut values = self.query.iter().filter_map(|pair| pair.value.as_ref());
        self.path.has_placeholders() || values.any(Template::has_placeholders)
    }

    /// The URL for an event.
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<Target, Problem> {
        let own = |problem: String| Problem::within(self.key, self.key, problem);
        let path = self.path.render(context).map_err(|error| own(error.to_string()))?;
        let is_dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if path.split(['/', '\\']).any(is_dots) {
            return Err(own(format!(
                "the path {path:.100} has a segment of dots, which would change where it leads"
            )));
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

/// Something made of a lead that stands for those that come.
pub(crate) fn with_sample<T>(made: impl FnOnce(&Context<'_>) -> T) -> T {
    let event = lead::sample(CompanyId(1), "The Old Barn");
    made(&Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE"))
}

impl Pair {
    fn render(&self, context: &Context<'_>, query: &mut String, shown: &mut String) -> Result<(), Problem> {
        query.push_str(&self.name);
        shown.push_str(&self.name);
        let Some(template) = &self.value else { return Ok(()) };
        let text = template
            .render(context)
            .map_err(|error| Problem::within("query", format_args!("query {}", self.name), error))?;
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

fn compiled(text: &str, place: Place) -> Result<Template, Problem> {
    Template::compile(text, place).map_err(|problem| Problem::new(problem.to_string()))
}

fn read_base(text: &str) -> Result<Url, Problem> {
    if text.contains("{{") {
        return Err(Problem::new("scheme, host and port take no templates; put them behind the host"));
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(url),
        Err(url::ParseError::RelativeUrlWithoutBase) | Ok(_) => {
            Err(Problem::new("must begin with https:// and a host, or base_url must be there"))
        }
        Err(error) => Err(Problem::new(error.to_string())),
    }
}

/// A pair that stands in the URL, where the operator has encoded what is not a placeholder.
fn read_pair(text: &str) -> Result<Pair, Problem> {
    let (name, value) = cut_outside(text, '=');
    if name.contains("{{") {
        return Err(Problem::new(format!("the query name {name} takes no template")));
    }
    let value = value.map(|value| compiled(value, Place::QueryValue)).transpose()?;
    Ok(Pair { name: name.to_owned(), value })
}

/// A member of `query`, which is encoded as a whole.
fn read_member(name: &str, value: &Value) -> Result<Pair, Problem> {
    let source = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(Problem::new("must be text")),
    };
    if name.contains("{{") {
        return Err(Problem::new("a query name takes no template"));
    }
    Ok(Pair { name: encoded(name), value: Some(compiled(&source, Place::Text)?) })
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
        let (text, fragment) = cut_outside(source, '#');
        let (text, query) = cut_outside(text, '?');
        let authority = text.find("://").map_or(0, |at| at + 3);
        let path = text[authority..].find(['/', '\\']).map_or(text.len(), |at| authority + at);
        Self { base: &text[..path], path: &text[path..], query, has_fragment: fragment.is_some() }
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

/// What stands before such a character and behind it.
fn cut_outside(text: &str, wanted: char) -> (&str, Option<&str>) {
    find_outside(text, wanted).map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
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
                out.push_str(&shown_value(&pair[at + 1..]));
            }
            None => out.push_str(pair),
        }
    }
    out
}
