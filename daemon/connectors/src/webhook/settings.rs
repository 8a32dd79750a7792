//! A webhook's configuration, read and compiled.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{
    headers::{self, HeaderTemplate},
    url::UrlTemplate,
};
use crate::config;
use leadline_domain::{
    address::EgressPolicy,
    brand::Brand,
    ids::CompanyId,
    integration::EventKind,
    lead::sample,
    mapping::Mapping,
    nearest::nearest,
    template::{Context, Template},
};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What a webhook is configured to send.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) method: Method,
    pub(super) url: UrlTemplate,
    pub(super) headers: Vec<HeaderTemplate>,
    pub(super) body: Body,
}

/// What the body is.
#[derive(Debug)]
pub(super) enum Body {
    Empty,
    /// The canonical event, its fields moved.
    Event(Mapping),
    Template(Template),
}

impl Settings {
    /// Reads a configuration; says everything that is wrong with it. Kinds of values are checked before, and a value
    /// of the wrong kind counts as absent here.
    pub(super) fn read(config: &Value, mapping: &Value, brand: &Brand) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let method = keep(read_method(config).map_err(|problem| vec![problem]), &mut problems);
        let url = keep(UrlTemplate::read(config), &mut problems);
        let headers = keep(headers::read(config.get("headers"), brand), &mut problems);
        let mapping = keep(Mapping::parse_within_event(mapping), &mut problems);
        let template = config::text(config, "body").map(Template::compile_body).transpose();
        let template = keep(template.map_err(|problem| vec![format!("body: {problem}")]), &mut problems);
        match (method, url, headers, mapping, template) {
            (Some(method), Some(url), Some(headers), Some(mapping), Some(template)) => {
                let body = match template {
                    Some(template) => Body::Template(template),
                    None if method == Method::GET => Body::Empty,
                    None => Body::Event(mapping),
                };
                Ok(Self { method, url, headers, body })
            }
            _ => Err(problems),
        }
    }

    /// What is wrong that shows only when it is used.
    pub(super) fn try_out(&self, egress: &EgressPolicy) -> Vec<String> {
        let event = sample(CompanyId(1), "The Old Barn");
        let context = Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE");
        let address =
            egress.check(self.url.base()).map_err(|problem| format!("{}: {problem}", self.url.base_key()));
        let rendered = self.url.render(&context).map(drop);
        address.err().into_iter().chain(rendered.err()).collect()
    }

    /// Whether the event must be parsed for a push.
    pub(super) fn reads_event(&self, has_body: bool) -> bool {
        let body = match &self.body {
            _ if has_body => false,
            Body::Empty => false,
            Body::Event(mapping) => !mapping.is_empty(),
            Body::Template(template) => template.has_placeholders(),
        };
        body || self.url.has_placeholders()
            || self.headers.iter().any(|header| header.value.has_placeholders())
    }

    /// The body for an event.
    pub(super) fn body(&self, event: &Bytes, context: &Context<'_>) -> Result<Bytes, String> {
        match &self.body {
            Body::Empty => Ok(Bytes::new()),
            Body::Event(mapping) if mapping.is_empty() => Ok(event.clone()),
            Body::Event(mapping) => mapping
                .apply(context)
                .map(|json| json.to_bytes())
                .map_err(|error| format!("mapping: {error}")),
            Body::Template(template) => {
                template.render(context).map(Bytes::from).map_err(|error| format!("body: {error}"))
            }
        }
    }
}

fn keep<T>(read: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(more) => {
            problems.extend(more);
            None
        }
    }
}

fn read_method(config: &Value) -> Result<Method, String> {
    let word = config::text(config, "method").unwrap_or("POST");
    METHODS.into_iter().find(|method| method.as_str() == word).ok_or_else(|| {
        let meant = nearest(word, METHODS.iter().map(Method::as_str));
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        format!("method {word} is not one of GET, POST, PUT, PATCH, DELETE{hint}")
    })
}
