//! Takes a lead event in: checks every field, fills in what may be absent, and touches nothing else.

mod check;
pub mod email;
mod sample;
mod save;
pub mod time;

use bytes::Bytes;

use super::{
    ids::{CompanyId, LeadId, parse_ulid},
    integration::EventKind,
    json::{Json, JsonError, JsonText},
};
pub use sample::{bare_sample, full_sample, required_sample, sample};
pub use save::SaveLead;

/// What tells no change from a repeat: what happened, the uuid, by which the lead was found and whose case says nothing,
/// and the company's name, which we fill in where the sender leaves it out, and which an operator may change meanwhile.
const UNCOMPARED: [&str; 3] = ["event", "lead.uuid", "company.name"];

/// What a lead event is read against.
#[derive(Clone, Copy, Debug)]
pub struct AcceptContext<'a> {
    /// The company of the intake key.
    pub company: CompanyId,
    pub company_name: &'a str,
    /// The lead's id if the event brings none.
    pub new_id: LeadId,
}

/// A lead event that may be committed.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub lead: LeadId,
    /// As received, or the text of the new id.
    pub uuid: String,
    /// Of the whole event but for what is not compared: tells a repeat from a change.
    pub digest: [u8; 32],
    /// The canonical event; its `event` is set when it is printed.
    pub event: Json,
}

impl Accepted {
    /// The canonical event text for what happened.
    #[must_use]
    pub fn body(&self, kind: EventKind) -> Bytes {
        event_text(&self.event, kind)
    }
}

/// Why an event was not taken; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadRefusal {
    /// No JSON that we take: 400.
    #[error(transparent)]
    Malformed(#[from] JsonError),
    /// Every field that is wrong: 422.
    #[error("{} of the event's fields are wrong", .0.len())]
    Invalid(Vec<LeadProblem>),
}

impl LeadRefusal {
    /// A uuid whose person was erased.
    #[must_use]
    pub fn erased() -> Self {
        invalid("/lead/uuid", "was erased: send a new lead under a new uuid".to_owned())
    }
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadProblem {
    /// JSON pointer.
    pub pointer: String,
    /// What to do, to be read after the pointer: `must be …`.
    pub detail: String,
}

/// Reads one lead event, with or without its envelope.
pub fn accept(body: &[u8], context: &AcceptContext<'_>) -> Result<Accepted, LeadRefusal> {
    let mut event = Json::parse_received(body)?;
    let problems = check::problems(&event, context.company);
    if !problems.is_empty() {
        return Err(LeadRefusal::Invalid(problems));
    }
    fill_in(&mut event, context);
    let uuid = event.at("lead.uuid").and_then(Json::as_str).unwrap_or_default().into_owned();
    let lead = parse_ulid(&uuid).map_err(|error| invalid("/lead/uuid", error.to_string()))?.into();
    Ok(Accepted { lead, uuid, digest: event.digest_without(&UNCOMPARED), event })
}

/// The uuid that an event brings, before anything else is known of it.
#[must_use]
pub fn uuid_of(body: &[u8]) -> Option<LeadId> {
    let event = Json::parse_received(body).ok()?;
    parse_ulid(&event.at("lead.uuid")?.as_str()?).ok().map(LeadId::from)
}

/// The canonical text of an event for what happened: its `event` is replaced in place, or put first.
#[must_use]
pub fn event_text(event: &Json, kind: EventKind) -> Bytes {
    if event.get("event").and_then(Json::as_str).is_some_and(|present| present == kind.as_str()) {
        return event.to_bytes();
    }
    let mut event = event.clone();
    event.insert(0, "event", Json::string(kind.as_str()));
    event.to_bytes()
}

/// A stored event as it is pushed under a kind: the same bytes, unless its `event` says something else. What cannot be
/// read stays as it is.
#[must_use]
pub fn pushed_as(body: &Bytes, kind: EventKind) -> Bytes {
    let usual =
        body.strip_prefix(b"{\"event\":\"").and_then(|rest| rest.strip_prefix(kind.as_str().as_bytes()));
    if usual.is_some_and(|rest| rest.starts_with(b"\"")) {
        return body.clone();
    }
    match Json::parse(body) {
        Ok(event) if event.get("event").is_some() => event_text(&event, kind),
        _ => body.clone(),
    }
}

fn invalid(pointer: &str, detail: String) -> LeadRefusal {
    LeadRefusal::Invalid(vec![LeadProblem { pointer: pointer.to_owned(), detail }])
}

/// Adds what is absent, where the canonical event has it. Most events are of new leads, so that is what it says.
fn fill_in(event: &mut Json, context: &AcceptContext<'_>) {
    event.insert(0, "event", Json::string(EventKind::Created.as_str()));
    if event.get("version").is_none() {
        event.insert(1, "version", Json::string("v1"));
    }
    if let Some(lead) = event.get_mut("lead")
        && lead.get("uuid").is_none()
    {
        lead.insert(0, "uuid", Json::string(&context.new_id.to_string()));
    }
    if event.get("company").is_none() {
        let company = Json::object([
            ("id", Json::integer(context.company.0.into())),
            ("name", Json::string(context.company_name)),
        ]);
        event.insert(usize::MAX, "company", company);
    }
    if let Some(Json::Object(viewing)) = event.get_mut("viewing")
        && !viewing.iter().any(|(key, _)| key.is("ends_at"))
        && let Some(start) = viewing.iter().position(|(key, _)| key.is("starts_at"))
        && let Some(end) = viewing[start].1.as_str().and_then(|text| time::an_hour_after(&text))
    {
        viewing.insert(start + 1, (JsonText::new("ends_at"), Json::string(&end)));
    }
}

#[cfg(test)]
mod tests;
