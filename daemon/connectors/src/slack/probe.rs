//! Asks an incoming webhook whether it is alive.

use super::error;
use crate::{chat, prelude::*};

/// An empty message is refused by a webhook that is alive, so that nobody sees the test.
pub(super) async fn look(url: &Url, ctx: &mut Conversation<'_>) -> Result<()> {
    let answer = ctx.send(chat::request(Method::POST, url.clone()).json(Bytes::from_static(b"{}"))).await?;
    if error::is_alive(&answer) { Ok(()) } else { error::read(&answer, url, ctx.now) }
}
