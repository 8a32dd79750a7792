//! The webhook: a signed HTTP request whose URL, headers, query and body may be templates.

pub(super) mod headers;
mod settings;
pub(super) mod url;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    ConfigField, Connector, Conversation, Manifest, Prepared, Push, Request, RequestHeader,
    config::{self, shorten},
    reading,
};
use leadline_domain::{
    address::EgressPolicy,
    brand::Brand,
    integration::{Integration, SigningSecret},
    json::Json,
    outcome::{Failure, FailureClass},
    payload::{self, Payload},
    rotation, signing,
    template::{Context, Place, Template},
};
use settings::{Body, Settings};

/// The connector `webhook`.
#[derive(Debug)]
pub(super) struct Webhook;

const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "url",
        "text",
        "Where to push to; a template after the host, as https://example.com/leads/{{ lead.uuid }}",
    ),
    ConfigField::optional("method", "text", "POST", "GET, POST, PUT, PATCH or DELETE"),
    ConfigField::optional(
        "headers",
        "object",
        "",
        "Headers of your own: a template each, or {\"value\": template, \"public\": true} if it is no secret",
    ),
    ConfigField::optional("query", "object", "", "Query values, a template each"),
    ConfigField::optional(
        "body",
        "text",
        "",
        "A template for the body; blank sends the whole event, but for GET, which then sends none",
    ),
];

static MANIFEST: Manifest = Manifest {
    signs: true,
    takes_notices: true,
    ..Manifest::new("webhook", "Sends each event as a signed HTTP request to a URL of yours", FIELDS, &[])
};

impl Connector for Webhook {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<String> {
        let read = Brand::parse(brand)
            .map_err(|error| vec![error.to_string()])
            .and_then(|brand| Settings::read(config, mapping, &brand));
        match read {
            Ok(settings) => settings.try_out(egress),
            Err(problems) => problems,
        }
    }

    fn shown(&self, config: &Value) -> Value {
        let mut shown = config.clone();
        if let Some(url) = config::text(config, "url") {
            shown["url"] = url::shown(url).into();
        }
        for key in ["headers", "query"] {
            let Some(Value::Object(members)) = shown.get_mut(key) else { continue };
            for value in members.values_mut() {
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
        }
        shown
    }

    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(compile(integration, brand)?))
    }
}

/// Compiles the webhook of an integration.
pub(super) fn compile(integration: &Integration, brand: &str) -> Result<Ready, Failure> {
    let payload = payload::find(&integration.payload).ok_or_else(|| {
        let known = payload::names().join(" or ");
        unrenderable(format!("payload {} is not known; use {known}", integration.payload))
    })?;
    let brand = Brand::parse(integration.brand.as_deref().unwrap_or(brand)).map_err(unrenderable)?;
    let settings = Settings::read(&integration.config, &integration.mapping, &brand).map_err(|problems| {
        unrenderable(format!("the configuration is not usable: {}", problems.join("; ")))
    })?;
    if payload.is_reshaped() && matches!(&settings.body, Body::Event(mapping) if !mapping.is_empty()) {
        return Err(unrenderable(format!(
            "mapping: payload {} has a shape of its own; leave the mapping out, or use payload v1 or a body template",
            payload.name
        )));
    }
    Ok(Ready { settings, brand, payload, secrets: integration.secrets.clone() })
}

/// A configured value as it may be shown: what consists of placeholders alone is no credential.
fn shown_value(text: &str) -> String {
    match Template::compile(text, Place::Text) {
        Ok(template) if !template.has_text() => text.to_owned(),
        _ => shorten(text),
    }
}

fn unrenderable(error: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Mapping, error)
}

/// A webhook that is ready to push.
#[derive(Debug)]
pub(super) struct Ready {
    settings: Settings,
    brand: Brand,
    payload: &'static Payload,
    secrets: Vec<SigningSecret>,
}

#[async_trait]
impl Prepared for Ready {
    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let answer = ctx.send(self.request(push)?).await?;
        if answer.is_good() { Ok(()) } else { Err(reading::failure(&answer, ctx.now)) }
    }
}

impl Ready {
    /// The one call of a push.
    pub(super) fn request(&self, push: &Push<'_>) -> Result<Request, Failure> {
        let has_body = push.rendered.is_some();
        let is_reshaped = self.payload.is_reshaped() && matches!(self.settings.body, Body::Event(_));
        let event = if self.settings.reads_event(has_body) || (is_reshaped && !has_body) {
            Json::parse(push.body)
                .map_err(|error| unrenderable(format!("the event cannot be read: {error}")))?
        } else {
            Json::Null
        };
        let context = Context::new(&event, push.event, push.id);
        let target = self.settings.url.render(&context).map_err(unrenderable)?;
        let body = match push.rendered {
            Some(rendered) => rendered.clone(),
            None => match self.payload.reshape(&event).filter(|_| is_reshaped) {
                Some(reshaped) => reshaped.to_bytes(),
                None => self.settings.body(push.body, &context).map_err(unrenderable)?,
            },
        };
        let signed = self.signature(push, &body)?;
        let mut headers = self.own_headers(push, &body, &signed)?;
        for custom in &self.settings.headers {
            let value = custom.render(&context).map_err(unrenderable)?;
            headers.retain(|own| own.name != custom.name);
            headers.push(RequestHeader { name: custom.name.clone(), value, secret: custom.secret });
        }
        Ok(Request {
            method: self.settings.method.clone(),
            url: target.url,
            shown_url: target.shown,
            headers,
            body,
            is_secret: false,
            secret_version: Some(signed.version),
        })
    }

    fn signature(&self, push: &Push<'_>, body: &[u8]) -> Result<Signature, Failure> {
        let signers = rotation::signers(&self.secrets, push.event, push.now)
            .ok_or_else(|| unrenderable("there is no signing secret; rotate it to make one"))?;
        Ok(Signature {
            version: signers.first.version,
            simple: signing::simple(signers.first.secret.expose_secret(), body),
            standard: signers
                .all
                .into_iter()
                .map(|secret| signing::standard(secret.secret.expose_secret(), push.id, push.now, body))
                .collect::<Vec<_>>()
                .join(" "),
        })
    }

    fn own_headers(
        &self,
        push: &Push<'_>,
        body: &Bytes,
        signed: &Signature,
    ) -> Result<Vec<RequestHeader>, Failure> {
        let content_type = match &self.settings.body {
            _ if body.is_empty() => None,
            Body::Template(template) if template.place() == Place::Text => Some("text/plain; charset=utf-8"),
            _ => Some("application/json"),
        };
        let timestamp = push.now.to_string();
        [
            content_type.map(|value| (header::CONTENT_TYPE, value)),
            Some((header::USER_AGENT, self.brand.user_agent.as_str())),
            Some((self.brand.event.clone(), self.payload.event(push.event))),
            Some((self.brand.signature.clone(), &signed.simple)),
            Some((HeaderName::from_static("webhook-id"), push.id)),
            Some((HeaderName::from_static("webhook-timestamp"), &timestamp)),
            Some((HeaderName::from_static("webhook-signature"), &signed.standard)),
        ]
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let value =
                HeaderValue::try_from(value).map_err(|error| unrenderable(format!("{name}: {error}")))?;
            Ok(RequestHeader { name, value, secret: false })
        })
        .collect()
    }
}

/// The signatures of a push.
struct Signature {
    version: i32,
    simple: String,
    standard: String,
}

#[cfg(test)]
mod tests;
