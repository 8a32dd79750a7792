//! What an integration is told: the webhook.

use crate::prelude::*;

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The webhook's URL, as https://discord.com/api/webhooks/…, with ?thread_id=… where it posts to a thread
        webhook_url: Required<SecretString>,
    }
}

/// Where Discord is; a sandbox is reached by `base_url`.
const HOSTS: [&str; 4] = ["discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"];

/// Whether it is the URL of a webhook, and not of its variant for other programs' messages.
pub(super) fn is_discord(url: &Url) -> Result<(), Problem> {
    let is_host = url.host_str().is_some_and(|host| HOSTS.contains(&host));
    let parts: Vec<&str> = url.path().strip_prefix("/api/").unwrap_or_default().split('/').collect();
    match parts[..] {
        // What stands before is the API's version.
        ["webhooks", _, token] | [_, "webhooks", _, token] if is_host && !token.is_empty() => Ok(()),
        _ => Err(Problem::new("must be the URL of a webhook: https://discord.com/api/webhooks/…")),
    }
}
