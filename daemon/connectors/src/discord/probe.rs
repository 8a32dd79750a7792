//! A look at the webhook that posts nothing.

use super::error;
use crate::{chat, prelude::*};

pub(super) async fn look(url: &Url, ctx: &mut Conversation<'_>) -> Result<()> {
    let mut bare = url.clone();
    bare.set_query(None);
    let answer = ctx.send(chat::request(Method::GET, bare)).await?;
    if !answer.is_good() {
        return Err(error::failure(&answer, url, ctx.now));
    }
    let webhook = answer.json().unwrap_or_default();
    let name = word(&webhook, "name").unwrap_or("webhook");
    ctx.found.account = Some(match id_of(&webhook["guild_id"]) {
        Some(server) => format!("{name} (server {server})"),
        None => name.to_owned(),
    });
    Ok(())
}
