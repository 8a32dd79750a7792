//! Asks an incoming webhook whether it is alive.

use bytes::Bytes;
use url::Url;

use super::{error, push};
use crate::Conversation;
use leadline_domain::outcome::Failure;

/// An empty message is refused by a webhook that is alive, so that nobody sees the test.
pub(super) async fn look(url: &Url, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
    let answer = ctx.send(push::request(url, Bytes::from_static(b"{}"))).await?;
    if error::is_alive(&answer) { Ok(()) } else { error::read(&answer, url, ctx.now) }
}
