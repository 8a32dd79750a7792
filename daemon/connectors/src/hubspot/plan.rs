//! What all calls of a push to HubSpot are made from.

use super::{
    Compiled, NAME, company,
    deal::{CURRENCY, of_lead},
};
use crate::{plan::plan, prelude::*};
use leadline_domain::money;

/// The longest text that a property takes, in characters; notes too.
const TEXT_MAX: usize = 65_536;
/// The longest name of a deal, in UTF-16 units: ours, as HubSpot names none.
const DEAL_NAME_MAX: usize = 255;
/// What stands around the lead in a note.
const FRAME: usize = 256;

plan! {
    /// A push, rendered.
    pub(super) struct Plan {
        /// The key of the contact: trimmed and in lower case.
        pub(super) email: String,
        pub(super) properties: Json,
        /// What not every contact gets.
        pub(super) new: Json,
        pub(super) half: Json,
        pub(super) note: Value,
        /// The properties of the lead's deal, but where it stands; null if deals are not asked for.
        pub(super) deal: Value,
        /// What is known of the employer's company; null if nobody is to be put into one.
        pub(super) company: Value,
        /// What of the lead's texts it leaves out.
        pub(super) notes: Json,
    }
}

impl Plan {
    pub(super) fn make(ready: &Compiled, push: &Push<'_>) -> Result<Self> {
        let event = crm::event(push)?;
        let email = crm::email(NAME, &event)?;
        // HubSpot takes nothing but text.
        let written = |_: &str, value: &Json| Some(Json::string(&crm::text(value)));
        let limit = (TEXT_MAX, crm::cut as crm::Cut);
        let (mut properties, [new, half, notes]) = crm::person(&ready.mapping, &event, push, limit, written)?;
        properties.insert(usize::MAX, "email", Json::string(&email));
        let body = crm::html_note(&event, push, TEXT_MAX - FRAME);
        let note = json!({ "hs_timestamp": format!("{}000", push.now.as_seconds()), "hs_note_body": body });
        let deal = if ready.place.is_set() { deal(&event, push) } else { Value::Null };
        let company = if ready.employs { company::of_lead(&event) } else { Value::Null };
        Ok(Self { email, properties, new, half, note, deal, company, notes })
    }

    /// The properties of a contact that is made, or of one that is there.
    pub(super) fn with_extras(&self, there: Option<&Value>) -> Json {
        let mut properties = self.properties.clone();
        let mut extras = Json::object([("new", self.new.clone()), ("half", self.half.clone())]);
        for (name, value) in crm::take_extras(&mut extras, there, |_| true) {
            properties.insert(usize::MAX, &name, value);
        }
        properties
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
