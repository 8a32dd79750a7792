//! `zapier`, `make` and `n8n`: the webhook with the conventions of each product. Its URL is the credential.
//!
//! The body is the event with two members of ours: `event_id`, the same on every repeat, so that a scenario can drop
//! what it had before, and `test`, so that it can tell a sample from a lead.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::{
    ConfigField, Connector, Conversation, Manifest, Pace, Prepared, Push, Response, config, crm, hook_url,
    reading,
    webhook::{self, Webhook},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{EventKind, Integration},
    json::Json,
    outcome::{Failure, FailureClass},
};

/// A product that catches hooks.
#[derive(Debug)]
pub(super) struct Hook {
    manifest: Manifest,
    /// Stands in where there is no URL yet, to check the rest.
    example: &'static str,
    is_ours: fn(&Url) -> Result<(), String>,
    /// What it takes of one hook.
    pace: Option<Pace>,
    /// How long it wants to be left alone where it does not say; from hearsay, so an answer's own wish goes first.
    wait: Duration,
    /// What is meant by an answer that says that there is no such hook.
    gone: &'static str,
}

const HEADERS: ConfigField = ConfigField::optional(
    "headers",
    "object",
    "",
    "Headers of your own: a template each, or {\"value\": template, \"public\": true} if it is no secret",
);
const QUERY: ConfigField = ConfigField::optional("query", "object", "", "Query values, a template each");
const BODY: ConfigField =
    ConfigField::optional("body", "text", "", "A template for the body; blank sends the whole event");
const METHOD: ConfigField = ConfigField::optional(
    "method",
    "text",
    "POST",
    "GET, POST, PUT, PATCH or DELETE: that of the Webhook node",
);

const fn hook_field(help: &'static str) -> ConfigField {
    ConfigField { name: HOOK_URL, kind: "text", required: true, default: "", help }
}

const HOOK_URL: &str = "hook_url";
const API_KEY: &str = "api_key";

/// The connector `zapier`.
pub(super) static ZAPIER: Hook = Hook {
    manifest: manifest(
        "zapier",
        "Starts a Zap: each event goes, signed, to its Catch Hook",
        &[HEADERS, QUERY, BODY],
        &[hook_field("The Catch Hook's URL, as https://hooks.zapier.com/hooks/catch/123456/abcdef/")],
    ),
    example: "https://hooks.zapier.com/hooks/catch/1/a/",
    is_ours: is_zapier,
    pace: Some(Pace { calls: 30, per: Duration::from_secs(1) }),
    wait: Duration::from_secs(60),
    gone: "there is no such hook: copy the URL of the Zap's Catch Hook again",
};

/// The connector `make`.
pub(super) static MAKE: Hook = Hook {
    manifest: manifest(
        "make",
        "Starts a scenario: each event goes, signed, to its custom webhook",
        &[HEADERS, QUERY, BODY],
        &[
            hook_field("The custom webhook's URL, as https://hook.eu2.make.com/abcdef"),
            ConfigField::optional(API_KEY, "text", "", "The webhook's API key, if it asks for one"),
        ],
    ),
    example: "https://hook.eu1.make.com/a",
    is_ours: is_make,
    pace: Some(Pace { calls: 300, per: Duration::from_secs(10) }),
    wait: Duration::from_secs(10),
    gone: "the webhook is gone or its scenario is off: switch the scenario on, or copy the URL again",
};

/// The connector `n8n`.
pub(super) static N8N: Hook = Hook {
    manifest: manifest(
        "n8n",
        "Starts a workflow: each event goes, signed, to its Webhook node",
        &[METHOD, HEADERS, QUERY, BODY],
        &[hook_field("The Webhook node's production URL, as https://n8n.example.com/webhook/abcdef")],
    ),
    example: "https://n8n.example.com/webhook/a",
    is_ours: is_n8n,
    pace: None,
    wait: Duration::from_secs(10),
    gone: "the webhook is not registered: activate the workflow, and see that its method is the same",
};

const fn manifest(
    name: &'static str,
    summary: &'static str,
    fields: &'static [ConfigField],
    credentials: &'static [ConfigField],
) -> Manifest {
    Manifest { signs: true, takes_notices: true, ..Manifest::new(name, summary, fields, credentials) }
}

fn is_zapier(url: &Url) -> Result<(), String> {
    const SHAPE: &str = "must be the URL of a Catch Hook: https://hooks.zapier.com/hooks/catch/…";
    let rest = url.path().strip_prefix("/hooks/catch/").map(|rest| rest.trim_matches('/'));
    if url.host_str() == Some("hooks.zapier.com") && rest.is_some_and(|rest| !rest.is_empty()) {
        Ok(())
    } else {
        Err(SHAPE.to_owned())
    }
}

fn is_make(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    let is_host = host == "hook.integromat.com"
        || host.strip_prefix("hook.").is_some_and(|zone| {
            zone.ends_with(".make.com") || zone.ends_with(".make.celonis.com") || zone == "make.com"
        });
    if is_host && url.path().trim_matches('/').len() > 1 {
        Ok(())
    } else {
        Err("must be the URL of a custom webhook: https://hook.ZONE.make.com/…".to_owned())
    }
}

/// It may be at home anywhere, under a path of its owner's choice.
fn is_n8n(url: &Url) -> Result<(), String> {
    let mut segments = url.path_segments().into_iter().flatten();
    if segments.clone().any(|segment| matches!(segment, "webhook-test" | "form-test")) {
        return Err("is a test URL, which listens for two minutes after a click: activate the workflow and use its production URL (/webhook/…)".to_owned());
    }
    if segments.all(str::is_empty) {
        return Err("must be the production URL of a Webhook node: https://HOST/webhook/…".to_owned());
    }
    Ok(())
}

impl Hook {
    /// The configuration of the webhook that it is.
    fn webhook(&self, config: &Value, url: &str) -> Value {
        let mut members = config.as_object().cloned().unwrap_or_else(Map::new);
        members.insert("url".to_owned(), url.into());
        Value::Object(members)
    }
}

impl Connector for Hook {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<String> {
        Webhook.check(&self.webhook(config, self.example), mapping, egress, brand)
    }

    fn credential_problems(&self, credentials: &Value, egress: &EgressPolicy) -> Vec<String> {
        let mut problems = hook_url::check(credentials, HOOK_URL, egress, self.is_ours);
        let url = hook_url::read(credentials, HOOK_URL);
        // A test URL is one wherever it is.
        if self.manifest.name == N8N.manifest.name && problems.is_empty() {
            let problem = url.and_then(Result::ok).and_then(|url| is_n8n(&url).err());
            problems.extend(problem.map(|problem| format!("{HOOK_URL}: {problem}")));
        }
        problems
    }

    fn shown(&self, config: &Value) -> Value {
        Webhook.shown(config)
    }

    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let url =
            hook_url::read(&integration.credentials, HOOK_URL).transpose().map_err(crm::unrenderable)?;
        let source = url.as_ref().map_or(self.example, Url::as_str);
        let config = self.webhook(&integration.config, source);
        let webhook = webhook::compile(&Integration { config, ..integration.clone() }, brand)?;
        let takes_key = self.manifest.credentials.iter().any(|field| field.name == API_KEY);
        let key = config::credential(&integration.credentials, API_KEY).filter(|_| takes_key);
        let product = Product { name: self.manifest.name, pace: self.pace, wait: self.wait, gone: self.gone };
        Ok(Box::new(Ready { product, webhook, url, key }))
    }
}

/// What a product's pushes need to know of it.
#[derive(Clone, Copy, Debug)]
struct Product {
    name: &'static str,
    pace: Option<Pace>,
    wait: Duration,
    gone: &'static str,
}

/// A hook that is ready to push.
struct Ready {
    product: Product,
    webhook: webhook::Ready,
    url: Option<Url>,
    key: Option<SecretString>,
}

#[async_trait]
impl Prepared for Ready {
    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let url = self.url.as_ref().ok_or_else(|| config::no_credentials(HOOK_URL))?;
        let body = marked(push)?;
        let mut request = self.webhook.request(&Push { body: &body, ..*push })?;
        request.shown_url = hook_url::shown(&request.url);
        if let Some(key) = &self.key {
            request = request.secret_header(HeaderName::from_static("x-make-apikey"), key.expose_secret());
        }
        let answer = ctx.send(request).await?;
        if answer.is_good() { Ok(()) } else { Err(self.product.failure(&answer, url, ctx.now)) }
    }

    fn pace(&self) -> Option<Pace> {
        self.product.pace
    }
}

/// The event with the members of ours. What the sender has put there himself stays.
fn marked<'a>(push: &Push<'a>) -> Result<Cow<'a, Bytes>, Failure> {
    // A repeat sends what is rendered already; the event only fills what its URL and headers need.
    if push.rendered.is_some() {
        return Ok(Cow::Borrowed(push.body));
    }
    let mut event = crm::event(push)?;
    if event.at("event_id").is_none() {
        event.set_at("event_id", Json::string(push.id));
    }
    if push.event == EventKind::Test && event.at("test").is_none() {
        event.set_at("test", Json::Bool(true));
    }
    Ok(Cow::Owned(event.to_bytes()))
}

impl Product {
    /// None of them has a scheme of errors, so the status says what to do, and the words only what to look for.
    fn failure(&self, response: &Response, url: &Url, now: i64) -> Failure {
        let mut failure = reading::failure(response, now);
        failure.error = format!("{} {}", self.name, hook_url::scrubbed(&failure.error, url));
        match response.status {
            400 if is_full(response) => {
                let error = format!("{} 400 queue is full: the scenario does not keep up", self.name);
                let retry_after = reading::retry_after(response, now).or(Some(self.wait));
                failure = Failure { class: FailureClass::Throttled, error, retry_after };
            }
            429 => failure.retry_after = failure.retry_after.or(Some(self.wait)),
            // A workflow is not registered for some seconds while it is saved.
            404 if self.name == N8N.manifest.name => {
                let error = format!("{} 404 {}", self.name, self.gone);
                failure = Failure { class: FailureClass::Transient, error, retry_after: failure.retry_after };
            }
            404 | 410 => failure.error = format!("{} {} {}", self.name, response.status, self.gone),
            _ => {}
        }
        failure
    }
}

/// Make says so in plain text; the exact words are hearsay.
fn is_full(response: &Response) -> bool {
    let text = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
    text.contains("queue") && text.contains("full")
}

#[cfg(test)]
mod tests;
