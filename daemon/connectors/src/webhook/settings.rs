//! A webhook's configuration, read and compiled.

use super::{
    config::{self, Config, Success},
    headers::{self, HeaderTemplate},
    url::UrlTemplate,
};
use crate::prelude::*;
use leadline_domain::{
    brand::Brand,
    template::{Context, Template},
};

/// What a webhook is configured to send.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) method: Method,
    pub(super) url: UrlTemplate,
    pub(super) headers: Vec<HeaderTemplate>,
    pub(super) body: Body,
    /// Which answers mean that the event has arrived.
    pub(super) success: Option<Success>,
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
    /// Compiles a configuration; says everything that is wrong with it.
    pub(super) fn read(
        config: &Config,
        common: &Common,
        mapping: Mapping,
        brand: &Brand,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        // A URL that is missing is told of by the check of all keys.
        let url = Some(config.url.0.as_str()).filter(|source| !source.is_empty()).and_then(|source| {
            let read = UrlTemplate::read("url", source, &config.query.0, common.base());
            read.map_err(|wrong| problems.extend(wrong)).ok()
        });
        let headers = headers::read(&config.headers, brand).map_err(|wrong| problems.extend(wrong)).ok();
        let declared = headers::content_type(&config.headers);
        let template = config.body.as_ref().map(|body| Template::compile_body(&body.0, declared.as_deref()));
        let template = template.transpose().map_err(|problem| problems.push(Problem::of("body", problem)));
        match (url, headers, template) {
            (Some(url), Some(headers), Ok(template)) => {
                let body = match template {
                    Some(template) => Body::Template(template),
                    None if config.method == config::Method::Get => Body::Empty,
                    None => Body::Event(mapping),
                };
                let (method, success) = (config.method.to_method(), config.success.clone());
                Ok(Self { method, url, headers, body, success })
            }
            _ => Err(problems),
        }
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
    pub(super) fn body(&self, event: &Bytes, context: &Context<'_>) -> Result<Bytes, Problem> {
        match &self.body {
            Body::Empty => Ok(Bytes::new()),
            Body::Event(mapping) if mapping.is_empty() => Ok(event.clone()),
            Body::Event(mapping) => mapping
                .apply(context)
                .map(|json| json.to_bytes())
                .map_err(|error| Problem::of("mapping", error)),
            Body::Template(template) => {
                template.render(context).map(Bytes::from).map_err(|error| Problem::of("body", error))
            }
        }
    }
}
