//! What Slack is configured with.

use crate::prelude::*;

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The incoming webhook's URL, as https://hooks.slack.com/services/T…/B…/…
        webhook_url: Required<SecretString>,
    }
}

/// The usual clouds; a sandbox is reached by `base_url`.
const HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];

pub(super) fn is_slack(url: &Url) -> Result<(), Problem> {
    let is_host = url.host_str().is_some_and(|host| HOSTS.contains(&host));
    let problem = "must be the URL of an incoming webhook: https://hooks.slack.com/services/…";
    fit((), is_host && url.path().trim_matches('/').contains('/'), problem)
}
