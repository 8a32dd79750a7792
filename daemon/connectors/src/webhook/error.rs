//! A receiver's answer read, by its status alone.

use super::Success;
use crate::prelude::*;

pub(super) fn read(answer: &Response, success: Option<&Success>, now: i64) -> Result<()> {
    let is_good = success.map_or_else(|| answer.is_good(), |success| success.statuses.has(answer.status));
    if is_good { Ok(()) } else { Err(reading::failure(answer, now)) }
}
