//! Deals, and the pipelines that they stand in: both are told by ids, and a stage is one of its pipeline.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Hubspot, association, object,
    refusals::{error, invalid_option},
};
use crate::receiver::Reply;

/// What is known by an id and a name.
type Named = (&'static str, &'static str);

/// Pipelines with their stages, in the order in which people see them.
const PIPELINES: [(Named, &[Named]); 2] = [
    (
        ("default", "Sales Pipeline"),
        &[("appointmentscheduled", "Appointment scheduled"), ("closedwon", "Won")],
    ),
    (("7", "Weddings"), &[("71", "New enquiry"), ("72", "Visit"), ("73", "Won")]),
];

/// What deals of this account may be in.
const CURRENCIES: [&str; 2] = ["EUR", "GBP"];

/// A deal of a contact.
#[derive(Clone, Debug)]
pub struct Deal {
    pub contact: u64,
    pub properties: BTreeMap<String, String>,
}

impl Deal {
    /// Sales moves it to the second stage of its pipeline, or to the last, where it is won.
    pub(super) fn go_on(&mut self, is_won: bool) {
        let own = self.properties.get("pipeline");
        let stages = PIPELINES.iter().find(|((id, _), _)| own.is_some_and(|own| own == id));
        let stages = stages.map_or(&[][..], |(_, stages)| *stages);
        let stage = if is_won { stages.last() } else { stages.get(1) };
        if let Some((id, _)) = stage {
            self.properties.insert("dealstage".to_owned(), (*id).to_owned());
        }
    }
}

impl Hubspot {
    pub(super) fn pipelines(&self) -> Reply {
        let stage = |(order, (id, label)): (usize, &Named)| json!({ "id": id, "label": label, "displayOrder": order, "metadata": {}, "archived": false });
        let pipeline = |(order, ((id, label), stages)): (usize, &(Named, &[Named]))| {
            let mut stages: Vec<Value> = stages.iter().enumerate().map(stage).collect();
            stages.extend((stages.len()..).take(self.more_stages).map(|order| {
                let label = format!("Stage {order}");
                json!({ "id": format!("{id}{order}"), "label": label, "displayOrder": order, "metadata": {}, "archived": false })
            }));
            json!({ "id": id, "label": label, "displayOrder": order, "stages": stages, "archived": false })
        };
        let pipelines: Vec<Value> = PIPELINES.iter().enumerate().map(pipeline).collect();
        Reply::json(200, &json!({ "results": pipelines }))
    }

    pub(super) fn create_deal(&mut self, body: &Value) -> Reply {
        let text = |name: &str| body["properties"][name].as_str().unwrap_or_default().to_owned();
        let stages = PIPELINES.iter().find(|((id, _), _)| *id == text("pipeline")).map(|(_, stages)| *stages);
        let Some(stages) = stages else {
            return error(400, "VALIDATION_ERROR", "Property values were not valid: pipeline");
        };
        if !stages.iter().any(|(id, _)| *id == text("dealstage")) {
            return error(400, "VALIDATION_ERROR", "Property values were not valid: dealstage");
        }
        let currency = text("deal_currency_code");
        if !currency.is_empty() && !CURRENCIES.contains(&currency.as_str()) {
            return invalid_option(
                "deal_currency_code",
                &format!("{currency} is not a part of the current effective currency codes for portal"),
            );
        }
        let association = &body["associations"][0];
        if association["types"][0]
            != json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3 })
        {
            return error(400, "VALIDATION_ERROR", "One or more association types are not valid");
        }
        let contact = association["to"]["id"].as_str().and_then(|id| id.parse().ok()).map(|id| self.kept(id));
        let Some(contact) = contact.filter(|id| self.contacts.contains_key(id)) else {
            return error(404, "OBJECT_NOT_FOUND", "No contact with that ID exists");
        };
        let properties = body["properties"].as_object().into_iter().flatten();
        let properties =
            properties.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let deal = Deal { contact, properties: properties.collect() };
        self.next += 1;
        let told = object(self.next, json!(deal.properties));
        self.deals.insert(self.next, deal);
        Reply::json(201, &told)
    }

    pub(super) fn deal_ids(&self, contact: &str) -> Vec<Value> {
        let its = self.deals.iter().filter(|(_, deal)| deal.contact.to_string() == contact);
        its.map(|(id, _)| association(*id, 4, "contact_to_deal")).collect()
    }
}
