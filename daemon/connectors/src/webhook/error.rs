//! A receiver's answer read, by its status alone.

use crate::{Response, reading};
use leadline_domain::outcome::Failure;

pub(super) fn read(answer: &Response, now: i64) -> Result<(), Failure> {
    if answer.is_good() { Ok(()) } else { Err(reading::failure(answer, now)) }
}
