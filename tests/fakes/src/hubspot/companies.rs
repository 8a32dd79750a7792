//! Companies, and the contacts that are in them. Nothing keeps a second one of a domain or a name out, and the search lags
//! behind what was made.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};

use super::{Hubspot, association, object, page, refusals::error};
use crate::{receiver::Reply, vendor::Route};

/// What a company may be found by, and is made with.
const PROPERTIES: [&str; 2] = ["domain", "name"];

/// An employer.
#[derive(Clone, Debug, Default)]
pub struct Company {
    pub properties: BTreeMap<String, String>,
    pub contacts: Vec<u64>,
    /// None if it was there before.
    made: Option<Instant>,
}

impl Hubspot {
    /// A company that somebody made by hand, with these properties.
    pub fn add_company(&mut self, properties: &[(&str, &str)]) -> u64 {
        self.next += 1;
        let properties = properties.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        self.companies.insert(self.next, Company { properties: properties.collect(), ..Company::default() });
        self.next
    }

    pub(super) fn answer_of_companies(
        &mut self,
        method: &str,
        rest: &[&str],
        route: &Route,
        at: Instant,
    ) -> Reply {
        match (method, rest) {
            ("GET", []) => {
                let all = self.companies.iter();
                page(all.map(|(id, own)| object(*id, json!(own.properties))).collect(), route, 10)
            }
            ("POST", []) => self.create_company(&route.body, at),
            ("POST", ["search"]) => self.search_companies(&route.body, at),
            _ => error(404, "OBJECT_NOT_FOUND", "no such resource"),
        }
    }

    /// The companies of a contact, or its place in another one.
    pub(super) fn answer_of_membership(&mut self, method: &str, contact: &str, company: &str) -> Reply {
        let contact = contact.parse().ok().map(|id| self.kept(id));
        let Some(contact) = contact.filter(|id| self.contacts.contains_key(id)) else {
            return error(404, "OBJECT_NOT_FOUND", "No contact with that ID exists");
        };
        if method == "GET" {
            let its = self.companies.iter().filter(|(_, own)| own.contacts.contains(&contact));
            let its: Vec<Value> = its.map(|(id, _)| association(*id, 279, "contact_to_company")).collect();
            return Reply::json(200, &json!({ "results": its }));
        }
        let Some(own) = company.parse().ok().and_then(|id: u64| self.companies.get_mut(&id)) else {
            return error(404, "OBJECT_NOT_FOUND", "No company with that ID exists");
        };
        if !own.contacts.contains(&contact) {
            own.contacts.push(contact);
        }
        Reply::json(200, &json!({ "status": "COMPLETE", "results": [] }))
    }

    fn create_company(&mut self, body: &Value, at: Instant) -> Reply {
        let given = body["properties"].as_object().into_iter().flatten();
        let given: BTreeMap<String, String> =
            given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        if given.is_empty() || given.keys().any(|name| !PROPERTIES.contains(&name.as_str())) {
            return error(400, "VALIDATION_ERROR", "Property values were not valid");
        }
        let association = &body["associations"][0];
        let kind = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280 });
        if association["types"][0] != kind {
            return error(400, "VALIDATION_ERROR", "One or more association types are not valid");
        }
        let contact = association["to"]["id"].as_str().and_then(|id| id.parse().ok()).map(|id| self.kept(id));
        let Some(contact) = contact.filter(|id| self.contacts.contains_key(id)) else {
            return error(404, "OBJECT_NOT_FOUND", "No contact with that ID exists");
        };
        self.next += 1;
        let told = object(self.next, json!(given));
        let company = Company { properties: given, contacts: vec![contact], made: Some(at) };
        self.companies.insert(self.next, company);
        Reply::json(201, &told)
    }

    /// Who has one of these values, in any case; what the specification requires must be said.
    fn search_companies(&self, body: &Value, at: Instant) -> Reply {
        let groups = body["filterGroups"].as_array().cloned().unwrap_or_default();
        let is_whole = body["after"].is_string()
            && body["limit"].is_u64()
            && body["properties"].is_array()
            && body["sorts"].is_array();
        let is_one = |group: &Value| {
            let filter = &group["filters"][0];
            let is_known = PROPERTIES.iter().any(|name| filter["propertyName"] == *name);
            is_known && filter["operator"] == "EQ" && filter["value"].is_string()
        };
        if groups.is_empty() || !is_whole || !groups.iter().all(is_one) {
            return error(400, "VALIDATION_ERROR", "Invalid input JSON: the search cannot be read");
        }
        let is_found = |own: &Company| {
            let is_indexed = own.made.is_none_or(|made| at.duration_since(made) >= self.search_lag);
            let has = |group: &Value| {
                let (name, value) = (&group["filters"][0]["propertyName"], &group["filters"][0]["value"]);
                let text = own.properties.get(name.as_str().unwrap_or_default());
                text.is_some_and(|text| text.eq_ignore_ascii_case(value.as_str().unwrap_or_default()))
            };
            is_indexed && groups.iter().any(has)
        };
        let found = self.companies.iter().filter(|(_, own)| is_found(own));
        let found: Vec<Value> = found.map(|(id, own)| object(*id, json!(own.properties))).collect();
        Reply::json(200, &json!({ "total": found.len(), "results": found }))
    }
}
