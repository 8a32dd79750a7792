//! What an integration is told: the workflow.

use crate::prelude::*;

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The URL that the workflow "Post to a channel when a webhook request is received" shows, with its sig=…
        workflow_url: Required<SecretString>,
    }
}

/// The clouds whose workflows these may be.
const HOSTS: Terms = ".api.powerplatform.com .logic.azure.com .azure-api.net .powerplatform.microsoft.us .api.appsplatform.us \
    .api.powerplatform.us .logic.azure.us .api.powerplatform.partner.microsoftonline.cn .api.powerplatform.cn";

pub(super) fn is_workflow(url: &Url) -> Result<(), Problem> {
    let host = url.host_str().unwrap_or_default();
    if host.ends_with("webhook.office.com") || host == "outlook.office.com" {
        return Err(Problem::new(
            "is an Office 365 connector's, which Microsoft has switched off: make a workflow in \
             Teams, \"Post to a channel when a webhook request is received\", and use its URL",
        ));
    }
    if !HOSTS.split(' ').any(|end| host.ends_with(end)) || !url.path().contains("/workflows/") {
        return Err(Problem::new(
            "must be the URL that the workflow shows: https://….api.powerplatform.com/…",
        ));
    }
    let has_key = url.query_pairs().any(|(key, value)| key == "sig" && !value.is_empty());
    fit((), has_key, "has no sig=…: copy the whole URL, and let anyone trigger the workflow")
}
