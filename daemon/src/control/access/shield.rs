//! Answers to callers who may not see everything: people are masked, and what another company owns is left out, whatever
//! the method found.

use std::time::Duration;

use bytes::Bytes;
use leadline_proto::v1::Personal;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Code, Status};

use super::{Caller, Gate, frames::Rewrite, refusal, rules::Rules};
use crate::{
    control::status,
    domain::{cause::Values, privacy},
    telemetry,
};

/// How often it is looked whether a token that a stream was opened with still opens anything.
const LOOK: Duration = Duration::from_secs(5);
/// Where a message says whose it is.
const OWNER: &str = "company_id";
const HEADER: &str = "Header";
/// Headers that say nothing about a person.
const OPEN_HEADERS: [&str; 9] = [
    "accept",
    "content-length",
    "content-type",
    "date",
    "host",
    "retry-after",
    "server",
    "user-agent",
    "x-leadline-event",
];

/// The answers of one call.
pub(super) struct ShieldedReplies {
    pub(super) gate: Gate,
    pub(super) caller: Caller,
    pub(super) output: MessageDescriptor,
    look: tokio::time::Interval,
}

impl ShieldedReplies {
    pub(super) fn new(gate: Gate, caller: Caller, output: MessageDescriptor) -> Self {
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { gate, caller, output, look }
    }

    /// Whether answers of this call must be read at all.
    pub(super) fn are_read(caller: &Caller) -> bool {
        caller.company.is_some() || caller.masked || caller.token().is_some()
    }
}

impl Rewrite for ShieldedReplies {
    async fn rewrite(&mut self, message: Bytes) -> Result<Bytes, Status> {
        if self.caller.company.is_none() && !self.caller.masked {
            return Ok(message);
        }
        let mut message = DynamicMessage::decode(self.output.clone(), message).map_err(|_| unreadable())?;
        if let Some((company, _)) = &self.caller.company
            && !keep_own(&mut message, company.0)
        {
            tracing::error!(
                event = "answer_about_another_company",
                message = self.output.name(),
                "an answer was about another company"
            );
            return Err(foreign());
        }
        if self.caller.masked {
            let mut known = Vec::new();
            self.gather(&message, &mut known);
            let known = Values::of_texts(known.iter().map(String::as_str));
            self.mask(&mut message, &known);
        }
        Ok(message.encode_to_vec().into())
    }

    async fn ended(&mut self) -> Status {
        let Some(token) = self.caller.token() else { return std::future::pending().await };
        loop {
            self.look.tick().await;
            match self.gate.store.is_live(token).await {
                Ok(true) => {}
                Ok(false) => return refusal::bad_token(),
                Err(error) => tracing::debug!(
                    error = telemetry::causes(&error),
                    "cannot look whether a token is still good"
                ),
            }
        }
    }
}

fn unreadable() -> Status {
    status::refused(Code::Internal, "UNREADABLE", "the answer cannot be read: see the daemon's log")
}

/// An answer without what may name a person, as it is kept for a repeat: kept so, it needs no erasing.
pub(in crate::control) fn without_people(name: &str, answer: &[u8]) -> Result<Vec<u8>, Status> {
    let rules = Rules::shared().map_err(|_| unreadable())?;
    let descriptor = rules.message(name).ok_or_else(unreadable)?;
    let mut answer = DynamicMessage::decode(descriptor, answer).map_err(|_| unreadable())?;
    forget_people(&rules, &mut answer);
    Ok(answer.encode_to_vec())
}

fn forget_people(rules: &Rules, message: &mut DynamicMessage) {
    let mut personal = Vec::new();
    for (field, value) in message.fields_mut() {
        if rules.personal(&field).is_some() {
            personal.push(field);
            continue;
        }
        match value {
            Value::Message(inner) => forget_people(rules, inner),
            Value::List(items) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_message_mut)
                    .for_each(|inner| forget_people(rules, inner));
            }
            _ => {}
        }
    }
    personal.iter().for_each(|field| message.clear_field(field));
}

/// What is another's is as if it were not there.
fn foreign() -> Status {
    status::refused(Code::NotFound, "UNKNOWN", "there is no such thing")
}

/// Leaves out what another company owns. False if the message itself is another's.
fn keep_own(message: &mut DynamicMessage, company: i64) -> bool {
    // Absent or 0 is nobody's in particular.
    let owner = message.get_field_by_name(OWNER).and_then(|owner| owner.as_i64()).unwrap_or_default();
    if owner != 0 && owner != company {
        return false;
    }
    let mut foreign = Vec::new();
    for (field, value) in message.fields_mut() {
        match value {
            Value::Message(inner) => foreign.extend((!keep_own(inner, company)).then_some(field)),
            Value::List(items) => items.retain_mut(|item| match item {
                Value::Message(inner) => keep_own(inner, company),
                _ => true,
            }),
            _ => {}
        }
    }
    let is_own = foreign.is_empty();
    foreign.iter().for_each(|field| message.clear_field(field));
    is_own
}

impl ShieldedReplies {
    /// The persons' values of a message, by which sentences in it are masked.
    fn gather(&self, message: &DynamicMessage, known: &mut Vec<String>) {
        for (field, value) in message.fields() {
            match value {
                Value::String(text)
                    if self.gate.rules.personal(&field) == Some(Personal::Value)
                        && field.parent_message().name() != HEADER =>
                {
                    known.push(text.clone());
                }
                Value::Message(inner) => self.gather(inner, known),
                Value::List(items) => {
                    items.iter().filter_map(Value::as_message).for_each(|inner| self.gather(inner, known));
                }
                _ => {}
            }
        }
    }

    fn mask(&self, message: &mut DynamicMessage, known: &Values) {
        if is_open_header(message) {
            return;
        }
        for (field, value) in message.fields_mut() {
            match (value, self.gate.rules.personal(&field)) {
                (Value::Message(inner), _) => self.mask(inner, known),
                (Value::List(items), None) => {
                    items
                        .iter_mut()
                        .filter_map(Value::as_message_mut)
                        .for_each(|inner| self.mask(inner, known));
                }
                (value, Some(personal)) => mask_value(value, personal, known),
                _ => {}
            }
        }
    }
}

fn is_open_header(message: &DynamicMessage) -> bool {
    message.descriptor().name() == HEADER
        && message.get_field_by_name("name").is_some_and(|name| {
            name.as_str().is_some_and(|name| OPEN_HEADERS.contains(&&*name.to_lowercase()))
        })
}

fn mask_value(value: &mut Value, personal: Personal, known: &Values) {
    match value {
        Value::String(text) => {
            *text = match personal {
                Personal::Value => privacy::value(text),
                Personal::Text => privacy::text(text, known),
                Personal::Body => privacy::body(text.as_bytes()),
                Personal::Url => privacy::url(text),
                Personal::Unspecified => return,
            }
        }
        Value::Bytes(bytes) => *bytes = privacy::body(bytes).into(),
        Value::List(items) => items.iter_mut().for_each(|item| mask_value(item, personal, known)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use leadline_proto::v1;
    use prost_reflect::DescriptorPool;

    use super::*;

    fn dynamic(name: &str, message: &impl prost::Message) -> DynamicMessage {
        let pool = DescriptorPool::decode(leadline_proto::DESCRIPTORS).unwrap();
        let descriptor = pool.get_message_by_name(&format!("leadline.control.v1.{name}")).unwrap();
        DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap()
    }

    #[test]
    fn what_another_company_owns_is_left_out_whatever_was_found() {
        let of = |company_id| v1::Integration { company_id, ..Default::default() };
        let listed = v1::ListIntegrationsResponse { integrations: vec![of(7), of(8)], ..Default::default() };
        let mut message = dynamic("ListIntegrationsResponse", &listed);
        assert!(keep_own(&mut message, 7));
        let kept: v1::ListIntegrationsResponse = message.transcode_to().unwrap();
        assert_eq!(kept.integrations, [of(7)]);
        assert!(!keep_own(&mut dynamic("Integration", &of(8)), 7));
        let shown = v1::EnableIntegrationResponse { integration: Some(of(8)), ..Default::default() };
        assert!(!keep_own(&mut dynamic("EnableIntegrationResponse", &shown), 7));
        assert_eq!(foreign().message(), "there is no such thing");
        assert_eq!(unreadable().message(), "the answer cannot be read: see the daemon's log");
    }
    #[test]
    fn an_answer_that_is_kept_names_nobody() {
        let health = v1::Health { last_error: "zeb@example.com".into(), dead: 3, ..Default::default() };
        let integration = v1::Integration { name: "crm".into(), health: Some(health), ..Default::default() };
        let lifted =
            v1::Lifted { failure_count: 2, last_error: "zeb@example.com".into(), ..Default::default() };
        let answer = v1::ResetIntegrationResponse { integration: Some(integration), lifted: Some(lifted) };
        let kept = without_people("ResetIntegrationResponse", &answer.encode_to_vec()).unwrap();
        let kept = v1::ResetIntegrationResponse::decode(&*kept).unwrap();
        let (integration, lifted) = (kept.integration.unwrap(), kept.lifted.unwrap());
        let health = integration.health.unwrap();
        assert_eq!((&*integration.name, health.dead, lifted.failure_count), ("crm", 3, 2));
        assert_eq!((&*health.last_error, &*lifted.last_error), ("", ""));

        let delivery = v1::Delivery {
            id: "01".into(),
            lead_name: "Zeb".into(),
            lead_email: "zeb@example.com".into(),
            ..Default::default()
        };
        let answer = v1::HoldDeliveriesResponse { count: 1, running: 0, sample: vec![delivery] };
        let kept = without_people("HoldDeliveriesResponse", &answer.encode_to_vec()).unwrap();
        let kept = v1::HoldDeliveriesResponse::decode(&*kept).unwrap();
        let bare = v1::Delivery { id: "01".into(), ..Default::default() };
        assert_eq!(kept, v1::HoldDeliveriesResponse { count: 1, running: 0, sample: vec![bare] });
    }
}
