//! The message that a lead becomes.

use bytes::Bytes;

use super::{
    Ready,
    config::Subject,
    message::{Mailbox, Message},
};
use crate::{
    Push, Result,
    crm::{self, unrenderable},
    summary,
};
use leadline_domain::{integration::EventKind, json::Json, template::Context};

/// The longest subject, in characters.
const SUBJECT_MAX: usize = 200;

/// What tells the messages of one lead from those of others: its uuid, if it is one that a header can carry.
fn thread(event: &Json) -> Option<String> {
    let uuid = event.at("lead.uuid").map(crm::text)?.to_ascii_lowercase();
    let is_plain = !uuid.is_empty() && uuid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then_some(uuid)
}

impl Ready {
    /// The whole message, as it goes over the wire.
    pub(super) fn message(&self, push: &Push<'_>) -> Result<Bytes> {
        let event = crm::event(push)?;
        let headline = summary::headline(&event, push);
        let is_notice = matches!(push.event, EventKind::Notice(_));
        let subject = match &self.config.subject {
            Some(Subject(template)) if !is_notice => {
                let context = Context::new(&event, push.event, push.id);
                template.render(&context).map_err(|error| unrenderable(format!("subject: {error}")))?
            }
            _ => headline.clone(),
        };
        let text = summary::body(&self.mapping, &event, push, |_| true)?;
        let reply_to = event.at("lead.email").map(crm::text).and_then(|email| Mailbox::parse(&email).ok());
        let closing = match &reply_to {
            Some(_) => " Reply to this message to write to the lead.",
            None if is_notice => "",
            None => " The lead's address cannot be replied to.",
        };
        let company = summary::one_line(&self.ours.company);
        let text = format!("{headline}\nFor {company}\n\n{text}\n\nSent by Leadline.{closing}");
        let subject = summary::one_line(&subject);
        let message = Message {
            id: format!("{}.{}@{}", push.id, self.ours.id, self.config.from.0.domain()),
            thread: thread(&event)
                .map(|lead| format!("{lead}.{}@{}", self.ours.id, self.config.from.0.domain())),
            at: push.now,
            from: &self.config.from.0,
            to: &self.config.to.0,
            reply_to: reply_to.as_ref().map(|reply_to| &*reply_to.address),
            subject: &crm::cut(&subject, SUBJECT_MAX),
            text: &text,
        };
        Ok(message.to_bytes())
    }
}
