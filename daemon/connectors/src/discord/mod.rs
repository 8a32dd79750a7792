//! `discord`: a message for people through a channel's webhook.
//!
//! What a lead contains is escaped, so that it can neither mention anybody nor hide where a link leads.

mod config;
mod error;
mod probe;
mod push;

use crate::{chat::Chat, prelude::*};
use config::Credentials;

const NAME: &str = "discord";
/// As people at Discord said once, for it tells its limits in its answers only. They spoke of thirty a minute for a channel,
/// too: a crowd is told by 429 how long to wait for that.
const PACE: Pace = Pace { calls: 5, per: Duration::from_secs(2) };

/// The connector `discord`.
#[derive(Debug)]
pub(super) struct Discord;

impl TypedConnector for Discord {
    type Config = ();
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest {
        takes_notices: true,
        ..Manifest::new::<Self>(NAME, "Posts a message about each lead to a Discord channel")
    };

    fn credential_problems(&self, credentials: &Credentials, egress: &EgressPolicy) -> Vec<Problem> {
        hook_url::check("webhook_url", credentials.webhook_url.0.as_ref(), egress, config::is_discord)
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Compiled(Chat::of(setup, "webhook_url", |given| given.webhook_url.0)?)))
    }
}

/// A channel that is ready for messages.
#[derive(Debug)]
struct Compiled(Chat);

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        Ok(Some(push::message(&self.0.told(push, push::fits)?).to_string().into()))
    }

    fn abilities(&self) -> Abilities {
        Abilities { keeps_ids: true, ..Abilities::MESSAGES }
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        push::post(self.0.url()?, push, summary::whole(self, push)?, ctx).await
    }

    fn records(&self, things: &Ids, account: Option<&str>) -> Vec<Record> {
        // The probe names it so: `Leads (server 123)`.
        let server = account.and_then(|account| account.rsplit_once("(server ")?.1.strip_suffix(')'));
        named_as(&["message"], things, |_, id| {
            let (server, channel) = (server?, things.get(push::CHANNEL)?);
            Some(format!("https://discord.com/channels/{server}/{channel}/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    async fn probe(&self, _kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self.0.url()?, ctx).await
    }
}

#[cfg(test)]
mod tests;
