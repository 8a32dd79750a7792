//! `slack`: a message for people through an incoming webhook.
//!
//! What a lead contains stands in plain text only, so that it can neither mention anybody nor dress up.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::chat::{self, Chat};
use crate::prelude::*;
use config::Credentials;

/// The connector `slack`.
#[derive(Debug)]
pub(super) struct Slack;

/// About one message a second is allowed for each webhook; from hearsay.
const PACE: Pace = Pace { calls: 1, per: Duration::from_secs(1) };

impl TypedConnector for Slack {
    type Config = ();
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest {
        takes_notices: true,
        ..Manifest::new::<Self>("slack", "Posts a message about each lead to a Slack channel")
    };

    fn credential_problems(&self, credentials: &Credentials, egress: &EgressPolicy) -> Vec<Problem> {
        hook_url::check("webhook_url", credentials.webhook_url.0.as_ref(), egress, config::is_slack)
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
        Abilities::MESSAGES
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let url = self.0.url()?;
        let body = summary::whole(self, push)?;
        let answer = ctx.send(chat::request(Method::POST, url.clone()).json(body)).await?;
        error::read(&answer, url, ctx.now)
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    async fn probe(&self, _kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self.0.url()?, ctx).await
    }
}
