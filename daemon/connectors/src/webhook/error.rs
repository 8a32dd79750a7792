//! A receiver's answer read, by its status alone.

use super::Success;
use crate::prelude::*;

pub(super) fn read(answer: &Response, success: Option<&Success>, ctx: &mut Conversation<'_>) -> Result<()> {
    let is_good = success.map_or_else(|| answer.is_good(), |success| success.statuses.has(answer.status));
    reading::note_unread(answer, ctx);
    if is_good { Ok(()) } else { Err(reading::failure(answer, ctx.now)) }
}
