//! Requests of callers who may not have everything: of one company they name its things only, finer needs are held, and
//! whoever sees people masked asks for nothing else.

use std::pin::Pin;

use bytes::Bytes;
use leadline_proto::v1::{Reference, Role};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};
use tonic::{Code, Status};
use ulid::Ulid;
use uuid::Uuid;

use super::{Caller, Gate, Peer, frames::Rewrite, refusal};
use crate::{
    control::status,
    domain::ids::{CompanyId, DeliveryId},
    doors::security::Attempted,
    store::{Store, operator::command::Refusal, token::Owned},
};

/// The requests of one call.
pub(super) struct Requests {
    pub(super) gate: Gate,
    pub(super) caller: Caller,
    pub(super) peer: Option<Peer>,
    pub(super) method: String,
    pub(super) input: MessageDescriptor,
}

impl Rewrite for Requests {
    async fn rewrite(&mut self, message: Bytes) -> Result<Bytes, Status> {
        let mut message = DynamicMessage::decode(self.input.clone(), message).map_err(|_| unreadable())?;
        self.hold(&message)?;
        self.narrow(&mut message).await?;
        Ok(message.encode_to_vec().into())
    }
}

type Narrowing<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

impl Requests {
    /// Whether requests of this call must be read at all.
    pub(super) fn are_read(caller: &Caller, has_finer_needs: bool) -> bool {
        caller.company.is_some() || caller.masked || has_finer_needs && caller.role < Role::Admin
    }

    /// Refuses what needs a higher role.
    fn hold(&self, message: &DynamicMessage) -> Result<(), Status> {
        for (field, _) in message.fields() {
            if let Some(needed) = self.gate.rules.needs(&field).filter(|needed| *needed > self.caller.role) {
                let what = format!("{} with {}", self.method, field.name());
                self.gate.note(Attempted::BeyondRole, self.peer, &self.caller);
                return Err(refusal::needs_role(&what, needed, &self.caller));
            }
        }
        Ok(())
    }

    fn narrow<'a>(&'a self, message: &'a mut DynamicMessage) -> Narrowing<'a> {
        Box::pin(async move {
            let fields: Vec<_> = message.descriptor().fields().collect();
            for field in fields {
                if self.caller.masked
                    && message.has_field(&field)
                    && self.gate.rules.is_not_for_masked(&field)
                {
                    let what = format!("{} by {}", self.method, field.name());
                    self.gate.note(Attempted::MaskedPeople, self.peer, &self.caller);
                    return Err(refusal::tells_of_people(&what, &self.caller));
                }
                if self.caller.masked && self.gate.rules.is_forced(&field) {
                    message.set_field(&field, Value::Bool(true));
                }
                let reference = self.gate.rules.reference(&field);
                if let Kind::Message(_) = field.kind() {
                    let is_asked_for = reference == Some(Reference::Company) && self.caller.company.is_some();
                    // What is absent would mean every company.
                    if field.is_list() || field.is_map() || !(message.has_field(&field) || is_asked_for) {
                        continue;
                    }
                    if let Some(inner) = message.get_field_mut(&field).as_message_mut() {
                        self.narrow(inner).await?;
                    }
                } else if let (Some(reference), Some((company, name))) = (reference, &self.caller.company) {
                    self.resolve(*company, name, reference, &field, message).await?;
                }
            }
            Ok(())
        })
    }

    async fn resolve(
        &self,
        company: CompanyId,
        name: &str,
        reference: Reference,
        field: &FieldDescriptor,
        message: &mut DynamicMessage,
    ) -> Result<(), Status> {
        let store = &self.gate.store;
        let value = message.get_field_mut(field);
        if let Some(list) = value.as_list_mut() {
            let texts: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            if reference == Reference::Delivery {
                return own_deliveries(store, company, &texts).await;
            }
            for value in list {
                if let Value::String(text) = value {
                    own(store, company, name, reference, text).await?;
                }
            }
            return Ok(());
        }
        let is_unset = value.as_str().is_none_or(str::is_empty);
        if (reference == Reference::Company || !is_unset)
            && let Value::String(text) = value
        {
            own(store, company, name, reference, text).await?;
        }
        Ok(())
    }
}

/// Puts the id of the company's own thing where it is named, or refuses as if it were not there.
async fn own(
    store: &Store,
    company: CompanyId,
    name: &str,
    reference: Reference,
    text: &mut String,
) -> Result<(), Status> {
    let kind = match reference {
        Reference::Company => {
            if !(text.is_empty() || *text == name || text.parse() == Ok(company.0)) {
                return Err(Refusal::unknown("company", format_args!("{text:?}")).into());
            }
            *text = company.to_string();
            return Ok(());
        }
        Reference::Integration => {
            let found = store.find_integration(Some(&company.to_string()), text).await;
            *text = match found {
                Ok(lane) => lane.integration.to_string(),
                Err(Refusal::Store(error)) => return Err(error.into()),
                Err(_) => return Err(Refusal::unknown("integration", format_args!("{text:?}")).into()),
            };
            return Ok(());
        }
        Reference::Delivery => Owned::Delivery,
        Reference::Attempt => Owned::Attempt,
        Reference::Job => Owned::Job,
        Reference::Flow => Owned::Flow,
        Reference::Form => Owned::Form,
        Reference::IntakeKey => Owned::IntakeKey,
        Reference::Token => Owned::Token,
        Reference::Unspecified => return Ok(()),
    };
    let id: Option<Uuid> = text.parse::<Ulid>().ok().map(Uuid::from);
    let is_named = matches!(kind, Owned::Flow | Owned::Form) && !text.contains('\0');
    // What is no id is refused by the method itself.
    if id.is_none() && !is_named {
        return Ok(());
    }
    match store.owned(company, kind, id, text).await? {
        Some(found) => {
            *text = Ulid::from(found).to_string();
            Ok(())
        }
        None if is_named => Err(Refusal::unknown(kind.word(), format_args!("{text:?}")).into()),
        None => Err(Refusal::unknown(kind.word(), text.to_uppercase()).into()),
    }
}

async fn own_deliveries(store: &Store, company: CompanyId, texts: &[&str]) -> Result<(), Status> {
    let ids: Vec<_> = texts.iter().filter_map(|text| text.parse::<Ulid>().ok()).map(Uuid::from).collect();
    match store.strange_delivery(company, &ids).await? {
        Some(strange) => Err(Refusal::unknown("delivery", DeliveryId::from(strange)).into()),
        None => Ok(()),
    }
}

fn unreadable() -> Status {
    let message = "the request cannot be read: send it as its descriptor says";
    status::refused(Code::InvalidArgument, "UNREADABLE_REQUEST", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_told_so() {
        assert_eq!(unreadable().message(), "the request cannot be read: send it as its descriptor says");
    }
}
