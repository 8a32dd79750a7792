//! The message that a lead becomes.

use super::{
    Compiled,
    config::Subject,
    message::{Mailbox, Message},
};
use crate::{crm::unrenderable, prelude::*};
use leadline_domain::template::Context;

/// The longest subject, in characters.
const SUBJECT_MAX: usize = 200;

/// Under which the id and the subject are kept of the first message about a lead.
const ROOT: &str = "_root";
const SUBJECT: &str = "_subject";

impl Compiled {
    /// The whole message, as it goes over the wire.
    pub(super) fn message(&self, push: &Push<'_>) -> Result<Bytes> {
        let event = crm::event(push)?;
        let headline = summary::headline(&event, push);
        let is_notice = matches!(push.event, EventKind::Notice(_));
        let subject = self.subject(&event, push)?;
        // Readers take no message into a conversation of another subject.
        let of_root = |key: &str| push.ids.get(key).filter(|_| push.event == EventKind::Updated);
        let reply = of_root(SUBJECT).filter(|_| self.config.subject.is_none());
        let subject = reply.map_or(subject, |first| format!("Re: {first}"));
        let text = summary::body(&self.mapping, &event, push, |_| true)?;
        let reply_to = event.at("lead.email").map(crm::text).and_then(|email| Mailbox::parse(&email).ok());
        let closing = match &reply_to {
            Some(_) => " Reply to this message to write to the lead.",
            None if is_notice => "",
            None => " The lead's address cannot be replied to.",
        };
        let company = summary::one_line(&self.ours.company);
        let text = format!("{headline}\nFor {company}\n\n{text}\n\nSent by Leadline.{closing}");
        let message = Message {
            id: self.message_id(push),
            root: of_root(ROOT).map(String::as_str),
            at: push.now,
            from: &self.config.from.0,
            to: &self.config.to.0,
            reply_to: reply_to.as_ref().map(|reply_to| &*reply_to.address),
            subject: &subject,
            text: &text,
        };
        Ok(message.to_bytes())
    }

    fn message_id(&self, push: &Push<'_>) -> String {
        format!("{}.{}@{}", push.id, self.ours.id, self.config.from.0.domain())
    }

    fn subject(&self, event: &Json, push: &Push<'_>) -> Result<String> {
        let subject = match &self.config.subject {
            Some(Subject(template)) if !matches!(push.event, EventKind::Notice(_)) => {
                let context = Context::new(event, push.event, push.id);
                template.render(&context).map_err(|error| unrenderable(format!("subject: {error}")))?
            }
            _ => summary::headline(event, push),
        };
        Ok(crm::cut(&summary::one_line(&subject), SUBJECT_MAX).into_owned())
    }

    /// Keeps which message about the lead was the first. It is sent by now, whatever its template makes of the lead today.
    pub(super) async fn keep_root(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) {
        let subject = crm::event(push).and_then(|event| self.subject(&event, push));
        if let (None, Ok(subject)) = (push.ids.get(ROOT), subject) {
            ctx.keep(&[(ROOT, &self.message_id(push)), (SUBJECT, &subject)]).await;
        }
    }
}
