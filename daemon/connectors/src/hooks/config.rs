//! What the three products are configured with, and which URLs are theirs.

use crate::webhook::{self, Members, Method, UrlSource};
use crate::{config::Settings, prelude::*};

settings! {
    /// The request that starts a Zap or a scenario.
    pub(crate) struct Config {
        /// Headers of your own: a template each, or {"value": template, "public": true} if it is no secret
        headers: Members,
        /// Query values, a template each
        query: Members,
        /// A template for the body; blank sends the whole event
        body: Option<Exact<String>>,
    }
}

settings! {
    /// The request that starts a workflow.
    pub(crate) struct NodeConfig {
        /// GET, POST, PUT, PATCH or DELETE: that of the Webhook node
        method: Method = "POST",
        /// Headers of your own: a template each, or {"value": template, "public": true} if it is no secret
        headers: Members,
        /// Query values, a template each
        query: Members,
        /// A template for the body; blank sends the whole event
        body: Option<Exact<String>>,
    }
}

settings! {
    /// What opens a Zap.
    pub(crate) struct CatchHook {
        /// The Catch Hook's URL, as https://hooks.zapier.com/hooks/catch/123456/abcdef/
        hook_url: Required<SecretString>,
    }
}

settings! {
    /// What opens a scenario.
    pub(crate) struct CustomWebhook {
        /// The custom webhook's URL, as https://hook.eu2.make.com/abcdef
        hook_url: Required<SecretString>,
        /// The webhook's API key, if it asks for one
        api_key: Option<SecretString>,
    }
}

settings! {
    /// What opens a workflow.
    pub(crate) struct WebhookNode {
        /// The Webhook node's production URL, as https://n8n.example.com/webhook/abcdef
        hook_url: Required<SecretString>,
    }
}

/// A configuration that makes a webhook's.
pub(crate) trait HookConfig: Settings {
    fn webhook(&self, url: &str) -> webhook::Config;
}

impl HookConfig for Config {
    fn webhook(&self, url: &str) -> webhook::Config {
        let Self { headers, query, body } = self.clone();
        NodeConfig { method: Method::Post, headers, query, body }.webhook(url)
    }
}

impl HookConfig for NodeConfig {
    fn webhook(&self, url: &str) -> webhook::Config {
        let Self { method, headers, query, body } = self.clone();
        webhook::Config { url: UrlSource(url.to_owned()), method, headers, query, body, success: None }
    }
}

pub(super) fn is_zapier(url: &Url) -> Result<(), Problem> {
    let rest = url.path().strip_prefix("/hooks/catch/").map(|rest| rest.trim_matches('/'));
    let is_ours = url.host_str() == Some("hooks.zapier.com") && rest.is_some_and(|rest| !rest.is_empty());
    fit((), is_ours, "must be the URL of a Catch Hook: https://hooks.zapier.com/hooks/catch/…")
}

pub(super) fn is_make(url: &Url) -> Result<(), Problem> {
    let host = url.host_str().unwrap_or_default();
    let is_host = host == "hook.integromat.com"
        || host.strip_prefix("hook.").is_some_and(|zone| {
            zone.ends_with(".make.com") || zone.ends_with(".make.celonis.com") || zone == "make.com"
        });
    let is_ours = is_host && url.path().trim_matches('/').len() > 1;
    fit((), is_ours, "must be the URL of a custom webhook: https://hook.ZONE.make.com/…")
}

/// It may be at home anywhere, under a path of its owner's choice.
pub(super) fn is_n8n(url: &Url) -> Result<(), Problem> {
    let mut segments = url.path_segments().into_iter().flatten();
    if segments.clone().any(|segment| matches!(segment, "webhook-test" | "form-test")) {
        return Err(Problem::new(
            "is a test URL, which listens for two minutes after a click: activate the workflow and use its production URL (/webhook/…)",
        ));
    }
    let is_whole = segments.any(|segment| !segment.is_empty());
    fit((), is_whole, "must be the production URL of a Webhook node: https://HOST/webhook/…")
}
