//! Brevo's contacts: found by address, on lists, blocked or unsubscribed, ten calls a second; and their events, ten more.

mod account;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor},
};

/// The one word that attributes of words have, as calls name it.
const WORD: u64 = 1;

#[derive(Clone, Debug, Default)]
pub struct Contact {
    pub email: String,
    pub attributes: Map<String, Value>,
    pub lists: BTreeSet<u64>,
    /// The lists that they left.
    pub left: BTreeSet<u64>,
    pub is_blocked: bool,
}

/// An account.
#[derive(Debug)]
pub struct Brevo {
    pub api_key: String,
    pub lists: BTreeMap<u64, String>,
    /// Name and type of each attribute.
    pub attributes: Vec<(String, String)>,
    pub contacts: BTreeMap<u64, Contact>,
    /// Who was asked to confirm, as often as they were, and for which lists.
    pub asked: Vec<(String, BTreeSet<u64>)>,
    /// Somebody was said to be blocked or not.
    pub block_was_said: bool,
    /// Events, each with the address of its contact.
    pub events: Vec<(String, Value)>,
    pub quota: Quota,
    pub event_quota: Quota,
    made: u64,
}

impl Default for Brevo {
    fn default() -> Self {
        let attributes = [("FIRSTNAME", "text"), ("LASTNAME", "text"), ("SMS", "text"), ("GUESTS", "float")];
        Self {
            api_key: "xkeysib-0123456789abcdef".into(),
            lists: BTreeMap::from([(3, "Leads".to_owned())]),
            attributes: attributes.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
            contacts: BTreeMap::new(),
            asked: Vec::new(),
            block_was_said: false,
            events: Vec::new(),
            quota: Quota::new(10, Duration::from_secs(1)),
            event_quota: Quota::new(10, Duration::from_secs(1)),
            made: 100,
        }
    }
}

impl Brevo {
    /// The contact of an address.
    #[must_use]
    pub fn contact(&self, email: &str) -> Option<&Contact> {
        self.contacts.values().find(|contact| contact.email == email.to_lowercase())
    }

    fn id_of(&self, email: &str) -> Option<u64> {
        let email = email.to_lowercase();
        self.contacts.iter().find(|(_, contact)| contact.email == email).map(|(id, _)| *id)
    }

    fn route(&mut self, route: &Route) -> Reply {
        let (method, path) = route.parts();
        match (method, &path[..]) {
            ("GET", ["v3", "account"]) => {
                answer(200, &json!({"email": "ada@barn.example", "companyName": "The Old Barn"}))
            }
            ("GET", ["v3", "contacts", "attributes"]) => {
                let reported = self.attributes.iter();
                let reported = reported.map(|(name, kind)| match kind.as_str() {
                    "category" => json!({"name": name, "category": "category", "enumeration": [{"value": WORD, "label": "Wedding"}]}),
                    "calculated" => json!({"name": name, "category": "calculated", "calculatedValue": "COUNT[CLICKED,ALL]"}),
                    kind => json!({"name": name, "category": "normal", "type": kind}),
                });
                answer(200, &json!({"attributes": reported.collect::<Vec<_>>()}))
            }
            ("GET", ["v3", "contacts", "lists", id]) => {
                match id.parse().ok().and_then(|id| self.lists.get(&id)) {
                    Some(name) => answer(200, &json!({"id": id, "name": name})),
                    None => refusal(404, "document_not_found", "List ID does not exist"),
                }
            }
            ("GET", ["v3", "smtp", "templates", id]) => match *id {
                "3" => answer(200, &json!({"id": 3, "name": "Confirm", "doiTemplate": true})),
                "4" => answer(200, &json!({"id": 4, "name": "Newsletter", "doiTemplate": false})),
                _ => refusal(404, "document_not_found", "Template ID does not exist"),
            },
            ("GET", ["v3", "contacts", email]) => match self.id_of(email) {
                Some(id) => self.shown(id),
                None => refusal(404, "document_not_found", "Contact does not exist"),
            },
            ("POST", ["v3", "contacts"]) => self.create(&route.body),
            ("POST", ["v3", "contacts", "doubleOptinConfirmation"]) => self.ask(&route.body),
            ("PUT", ["v3", "contacts", id]) => {
                match id.parse().ok().filter(|id| self.contacts.contains_key(id)) {
                    Some(id) => self.change(id, &route.body).err().unwrap_or_else(|| Reply::status(204)),
                    None => refusal(404, "document_not_found", "Contact does not exist"),
                }
            }
            ("POST", ["v3", "events"]) => self.track(&route.body),
            ("GET", ["v3", "events"]) => self.tracked(route),
            _ => refusal(404, "document_not_found", "no such endpoint"),
        }
    }

    /// Takes an event: names of letters, digits, hyphens and underscores, and 50 KB of properties.
    fn track(&mut self, body: &Value) -> Reply {
        let who = &body["identifiers"];
        let contact = who["contact_id"].as_u64();
        if contact.is_some_and(|id| !self.contacts.contains_key(&id)) {
            return refusal(404, "document_not_found", "Contact does not exist");
        }
        let known = contact.map(|id| self.contacts[&id].email.clone());
        let Some(email) = known.or_else(|| who["email_id"].as_str().map(str::to_lowercase)) else {
            return refusal(400, "missing_parameter", "identifiers is missing");
        };
        let is_name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=255).contains(&name.len()) && name.bytes().all(is_plain)
        };
        let properties = &body["event_properties"];
        let mut names = properties.as_object().into_iter().flat_map(Map::keys);
        let is_taken = is_name(body["event_name"].as_str().unwrap_or_default())
            && names.all(|name| is_name(name))
            && properties.to_string().len() <= 50_000;
        if !is_taken {
            return refusal(400, "invalid_parameter", "event_name or event_properties are not valid");
        }
        let mut event = body.clone();
        event["contact_id"] = self.id_of(&email).into();
        self.events.push((email, event));
        Reply::status(204)
    }

    /// The events that are asked for; a list of none is left out.
    fn tracked(&self, route: &Route) -> Reply {
        let (from, to) = (route.asked("startDate"), route.asked("endDate"));
        if from.is_empty() != to.is_empty() || from > to {
            return refusal(400, "invalid_parameter", "startDate and endDate belong together");
        }
        let is_asked = |event: &&Value| {
            let date = event["event_date"].as_str().unwrap_or_default();
            let is_of = |key: &str, own: String| route.asked(key).is_empty() || route.asked(key) == own;
            let name = event["event_name"].as_str().unwrap_or_default().to_owned();
            (from.is_empty() || (from..=to).contains(&date))
                && is_of("event_name", name)
                && is_of("contact_id", event["contact_id"].to_string())
        };
        let events: Vec<&Value> = self.events.iter().rev().map(|(_, event)| event).filter(is_asked).collect();
        let mut told = json!({"count": events.len()});
        if !events.is_empty() {
            told["events"] = json!(events);
        }
        answer(200, &told)
    }

    fn shown(&self, id: u64) -> Reply {
        let contact = &self.contacts[&id];
        let reported = json!({"id": id, "email": contact.email, "emailBlacklisted": contact.is_blocked,
            "smsBlacklisted": false, "listIds": contact.lists, "attributes": contact.attributes,
            "listUnsubscribed": if contact.left.is_empty() { Value::Null } else { json!(contact.left) }});
        answer(200, &reported)
    }

    fn create(&mut self, body: &Value) -> Reply {
        let email = body["email"].as_str().unwrap_or_default().to_lowercase();
        if !is_address(&email) {
            return refusal(400, "invalid_parameter", "email is not valid");
        }
        if let Some(id) = self.id_of(&email) {
            if body["updateEnabled"] != json!(true) {
                return refusal(400, "duplicate_parameter", "Contact already exist");
            }
            return self.change(id, body).err().unwrap_or_else(|| Reply::status(204));
        }
        let id = self.made + 1;
        self.contacts.insert(id, Contact { email, ..Contact::default() });
        if let Err(refused) = self.change(id, body) {
            self.contacts.remove(&id);
            return refused;
        }
        self.made = id;
        answer(201, &json!({ "id": id }))
    }

    fn ask(&mut self, body: &Value) -> Reply {
        let email = body["email"].as_str().unwrap_or_default().to_lowercase();
        let is_whole = body["templateId"].is_u64() && body["redirectionUrl"].is_string();
        if !is_address(&email) || !is_whole {
            return refusal(400, "missing_parameter", "templateId, redirectionUrl and email are mandatory");
        }
        if let Err(refused) = self.check(None, body) {
            return refused;
        }
        let lists = numbers(&body["includeListIds"]);
        self.asked.push((email, lists));
        Reply::status(201).header("Content-Type", "application/json").body("{}")
    }

    /// Why attributes or lists are refused.
    fn check(&self, id: Option<u64>, body: &Value) -> Result<(), Reply> {
        let lists = numbers(&body["listIds"]).into_iter().chain(numbers(&body["includeListIds"]));
        if lists.into_iter().any(|list| !self.lists.contains_key(&list)) {
            return Err(refusal(404, "document_not_found", "List ID does not exist"));
        }
        let Some(number) = body["attributes"]["SMS"].as_str().filter(|number| !number.is_empty()) else {
            return Ok(());
        };
        let digits = number.chars().filter(char::is_ascii_digit).count();
        let is_number = digits >= 8 && number.chars().all(|c| c.is_ascii_digit() || " +()-".contains(c));
        if !is_number || number.starts_with("07") {
            let message =
                "Invalid phone number, SMS phone number should be in format: 91xxxxxxxxxx or +91xxxxxxxxxx.";
            return Err(refusal(400, "invalid_parameter", message));
        }
        let is_others = |(own, contact): (&u64, &Contact)| {
            Some(*own) != id && contact.attributes.get("SMS").and_then(Value::as_str) == Some(number)
        };
        if self.contacts.iter().any(is_others) {
            let message = "Unable to update contact, SMS is already associated with another Contact";
            let reported = json!({"code": "duplicate_parameter", "message": message, "metadata": {"duplicate_identifiers": ["SMS"]}});
            return Err(answer(400, &reported));
        }
        Ok(())
    }

    /// A value of another type than its attribute's is taken no notice of, nor is one for what Brevo computes.
    fn change(&mut self, id: u64, body: &Value) -> Result<(), Reply> {
        self.check(Some(id), body)?;
        self.block_was_said |= body.get("emailBlacklisted").is_some();
        let known = self.attributes.clone();
        let Some(contact) = self.contacts.get_mut(&id) else { return Ok(()) };
        for (name, value) in body["attributes"].as_object().into_iter().flatten() {
            let kind = known.iter().find(|(own, _)| own == name).map(|(_, kind)| kind.as_str());
            let is_taken = match kind {
                Some("float") => value.is_number(),
                Some("text") => value.is_string(),
                Some("category") => value == WORD,
                _ => false,
            };
            if is_taken {
                contact.attributes.insert(name.clone(), value.clone());
            }
        }
        for list in numbers(&body["listIds"]) {
            contact.left.remove(&list);
            contact.lists.insert(list);
        }
        Ok(())
    }
}

impl Vendor for Brevo {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.header("api-key") != Some(&self.api_key) {
            return refusal(401, "unauthorized", "Key not found");
        }
        let is_event = request.path.starts_with("/v3/events");
        let quota = if is_event { &mut self.event_quota } else { &mut self.quota };
        if !quota.admit(request.at) {
            let refused = refusal(429, "too_many_requests", "The expected rate limit is exceeded.");
            return refused.header("x-sib-ratelimit-limit", "10").header("x-sib-ratelimit-reset", "1");
        }
        self.route(&Route::of(request))
    }
}

fn is_address(email: &str) -> bool {
    email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

fn numbers(value: &Value) -> BTreeSet<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    answer(status, &json!({"code": code, "message": message}))
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json").body(body.to_string())
}
