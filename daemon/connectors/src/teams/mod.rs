//! `teams`: a card for people through a workflow of Microsoft Teams.
//!
//! What a lead contains stands in runs of plain text only, which format nothing and mention nobody.

mod config;
mod error;
mod push;

use crate::chat::{self, Chat};
use crate::{Probes, prelude::*};
use config::Credentials;

const NAME: &str = "teams";
/// From hearsay: what posts the card takes a hundred calls a minute for each of its connections.
const PACE: Pace = Pace { calls: 1, per: Duration::from_secs(1) };

/// The connector `teams`.
#[derive(Debug)]
pub(super) struct Teams;

impl TypedConnector for Teams {
    type Config = ();
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest {
        takes_notices: true,
        ..Manifest::new::<Self>(NAME, "Posts a card about each lead to a Microsoft Teams channel or chat")
    };

    fn credential_problems(&self, credentials: &Credentials, egress: &EgressPolicy) -> Vec<Problem> {
        hook_url::check("workflow_url", credentials.workflow_url.0.as_ref(), egress, config::is_workflow)
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Compiled(Chat::of(setup, "workflow_url", |given| given.workflow_url.0)?)))
    }
}

/// A workflow that is ready for cards. Nothing about it can be looked at: whatever is sent to it starts it.
#[derive(Debug)]
struct Compiled(Chat);

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        Ok(Some(push::message(&self.0.told(push, push::fits)?).to_string().into()))
    }

    fn abilities(&self) -> Abilities {
        Abilities { probes: Probes::None, ..Abilities::MESSAGES }
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let url = self.0.url()?;
        let body = summary::whole(self, push)?;
        let answer = ctx.send(chat::request(Method::POST, url.clone()).json(body)).await?;
        if answer.is_good() { Ok(()) } else { Err(error::failure(&answer, url, ctx.now)) }
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }
}

#[cfg(test)]
mod tests;
