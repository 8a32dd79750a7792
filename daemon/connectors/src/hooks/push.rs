//! What the three products are sent: the event, marked with the members of ours.

use std::borrow::Cow;

use crate::prelude::*;

/// The event with the members of ours. What the sender has put there himself stays.
pub(super) fn marked<'a>(push: &Push<'a>) -> Result<Cow<'a, Bytes>> {
    // A repeat sends what is rendered already; the event only fills what its URL and headers need.
    if push.rendered.is_some() {
        return Ok(Cow::Borrowed(push.body));
    }
    let mut event = crm::event(push)?;
    if event.at("event_id").is_none() {
        event.set_at("event_id", Json::string(push.id));
    }
    if push.event == EventKind::Test && event.at("test").is_none() {
        event.set_at("test", Json::Bool(true));
    }
    Ok(Cow::Owned(event.to_bytes()))
}
