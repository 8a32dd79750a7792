//! What an integration is told: the workflow.

use url::Url;

use crate::ConfigField;

pub(super) const WORKFLOW_URL: &str = "workflow_url";
pub(super) const CREDENTIALS: &[ConfigField] = &[ConfigField::required(
    WORKFLOW_URL,
    "text",
    "The URL that the workflow \"Post to a channel when a webhook request is received\" shows, with its sig=…",
)];

/// The clouds whose workflows these may be.
const HOSTS: [&str; 6] = [
    ".api.powerplatform.com",
    ".logic.azure.com",
    ".azure-api.net",
    ".api.powerplatform.us",
    ".logic.azure.us",
    ".api.powerplatform.cn",
];

pub(super) fn is_workflow(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    if host.ends_with("webhook.office.com") || host == "outlook.office.com" {
        return Err("is an Office 365 connector's, which Microsoft has switched off: make a workflow in \
                    Teams, \"Post to a channel when a webhook request is received\", and use its URL"
            .to_owned());
    }
    if !HOSTS.iter().any(|end| host.ends_with(end)) || !url.path().contains("/workflows/") {
        return Err("must be the URL that the workflow shows: https://….api.powerplatform.com/…".to_owned());
    }
    if url.query_pairs().any(|(key, value)| key == "sig" && !value.is_empty()) {
        return Ok(());
    }
    Err("has no sig=…: copy the whole URL, and let anyone trigger the workflow".to_owned())
}
