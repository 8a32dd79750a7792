//! What all calls of a push to HubSpot are made from.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::deal::{CURRENCY, of_lead};
use crate::{Push, Result, crm};
use leadline_domain::{
    integration::EventKind,
    json::Json,
    mapping::Mapping,
    money,
    outcome::{Failure, FailureClass},
};

/// The longest text that a property takes, in characters; notes too.
const TEXT_MAX: usize = 65_536;
/// The longest name of a deal, in UTF-16 units: ours, as HubSpot names none.
const DEAL_NAME_MAX: usize = 255;
/// What stands around the lead in a note.
const FRAME: usize = 256;

/// A push, rendered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The key of the contact: trimmed and in lower case.
    pub(super) email: String,
    pub(super) properties: Map<String, Value>,
    /// What a contact gets besides that is made for the lead.
    pub(super) new: Map<String, Value>,
    pub(super) note: Value,
    /// The properties of the lead's deal, but where it stands; null if deals are not asked for.
    pub(super) deal: Value,
}

impl Plan {
    pub(super) fn make(mapping: &Mapping, makes_deal: bool, push: &Push<'_>) -> Result<Self> {
        let event = crm::event(push)?;
        let email = event.at("lead.email").and_then(Json::as_str).unwrap_or_default().trim().to_lowercase();
        if email.is_empty() {
            return Err(crm::unrenderable(
                "the lead has no email, and HubSpot's contacts are told apart by it",
            ));
        }
        let fields = crm::person_fields(mapping, &event, push)?;
        // HubSpot takes nothing but text.
        let properties: Map<String, Value> = crm::strings(&fields)
            .into_iter()
            .map(|(name, value)| (name, json!(crm::cut(value.as_str().unwrap_or_default(), TEXT_MAX))))
            .collect();
        let (new, mut properties): (Map<_, _>, Map<_, _>) =
            properties.into_iter().partition(|(name, _)| mapping.is_for_new(name));
        properties.insert("email".to_owned(), json!(email));
        let heading = match push.event {
            EventKind::Updated => "Lead updated",
            EventKind::Created | EventKind::Test | EventKind::Notice(_) => "New lead",
        };
        let told = crm::html_within(&event, push, TEXT_MAX - FRAME);
        // The delivery's id is what a note whose answer was lost is found by.
        let body = format!("<b>{heading}</b><br><b>Delivery:</b> {}<br>{told}", push.id);
        let note = json!({ "hs_timestamp": (push.now * 1000).to_string(), "hs_note_body": body });
        let deal = if makes_deal { deal(&event, push) } else { Value::Null };
        Ok(Self { email, properties, new, note, deal })
    }

    pub(super) fn bytes(&self) -> Result<Bytes> {
        let (email, properties, new) = (&self.email, &self.properties, &self.new);
        let plan = json!({ "email": email, "properties": properties, "new": new, "note": self.note,
            "deal": self.deal });
        Ok(Bytes::from(plan.to_string()))
    }

    /// The properties of a contact that is made.
    pub(super) fn created(&self) -> Map<String, Value> {
        self.properties.iter().chain(&self.new).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The properties without the address.
    pub(super) fn without_email(&self) -> Map<String, Value> {
        let mut properties = self.properties.clone();
        properties.remove("email");
        properties
    }

    /// What was rendered for this delivery.
    pub(super) fn read(push: &Push<'_>) -> Result<Self> {
        let read = || {
            let mut plan: Value = serde_json::from_slice(push.rendered?).ok()?;
            let email = plan["email"].as_str()?.to_owned();
            let Value::Object(properties) = plan["properties"].take() else { return None };
            let Value::Object(new) = plan["new"].take() else { return None };
            Some(Self { email, properties, new, note: plan["note"].take(), deal: plan["deal"].take() })
        };
        read().ok_or_else(|| {
            Failure::new(FailureClass::Mapping, "what was rendered for HubSpot earlier cannot be read")
        })
    }
}

/// The deal at the quote's value. The lead's id is what one whose answer was lost is found by.
fn deal(event: &Json, push: &Push<'_>) -> Value {
    let told = crm::plain(event, push, |text| crm::units(text) <= TEXT_MAX - FRAME);
    let told = format!("Delivery: {} {}\n{told}", push.id, of_lead(event).unwrap_or_default());
    let mut deal = json!({ "dealname": crm::deal_title(event, DEAL_NAME_MAX),
        "description": crm::cut(&told, TEXT_MAX) });
    let currency = event.at("quote.currency").map(crm::text).unwrap_or_default().to_uppercase();
    if let Some(total) = event.at("quote.total_pence").and_then(Json::as_integer) {
        deal["amount"] = json!(money::decimal(total, &currency));
        // An amount in another currency than the account's would be taken for one in its own.
        if !currency.is_empty() {
            deal[CURRENCY] = json!(currency);
        }
    }
    deal
}
