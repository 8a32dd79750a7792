//! HubSpot: contacts that are unique by any of their addresses, properties, keys with scopes, and a rolling quota; notes,
//! deals, companies and lists beside them.

mod account;
mod companies;
mod deals;
mod lists;
mod notes;
mod refusals;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor, pairs},
};
pub use companies::Company;
pub use deals::Deal;
pub use lists::List;
pub use notes::Note;
use refusals::{conflict, error, invalid, missing_scope, mistyped};
pub use refusals::{rate_limited, secondly_limited};

/// What keys may do.
const SCOPES: [&str; 8] = [
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.lists.read",
    "crm.lists.write",
];

/// When everything was made and changed.
const TIME: &str = "2026-11-21T12:00:00.000Z";

/// An account.
#[derive(Debug)]
pub struct Hubspot {
    /// The keys that are let in, with their scopes.
    pub keys: BTreeMap<String, BTreeSet<String>>,
    /// The refresh token of an app, its client id and secret.
    pub app: (String, String, String),
    /// Names of contact properties with their types.
    pub properties: BTreeMap<String, &'static str>,
    pub contacts: BTreeMap<u64, Contact>,
    /// Contacts that were merged, with the ones that took their place.
    pub merged: BTreeMap<u64, u64>,
    pub notes: BTreeMap<u64, Note>,
    pub companies: BTreeMap<u64, Company>,
    /// How long the search for companies lags behind.
    pub search_lag: Duration,
    pub deals: BTreeMap<u64, Deal>,
    /// So many stages has each pipeline beside those with names of their own.
    pub more_stages: usize,
    pub lists: BTreeMap<u64, List>,
    pub quota: Quota,
    /// How many users there are before the one who may own contacts.
    pub colleagues: usize,
    /// How many logins there were.
    pub logins: usize,
    next: u64,
}

/// A person.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    pub properties: BTreeMap<String, String>,
    /// Addresses beside the first one: unique too.
    pub more_emails: Vec<String>,
}

impl Default for Hubspot {
    fn default() -> Self {
        let scopes = SCOPES;
        let scopes: BTreeSet<String> = scopes.map(str::to_owned).into();
        let properties = [
            ("email", "string"),
            ("firstname", "string"),
            ("lastname", "string"),
            ("phone", "string"),
            ("company", "string"),
            ("jobtitle", "string"),
            ("website", "string"),
            ("wedding_date", "date"),
            ("guests", "number"),
            ("kind_of_event", "enumeration"),
            ("hs_object_id", "number"),
            ("hubspot_owner_id", "string"),
        ];
        Self {
            keys: BTreeMap::from([("pat-eu1-good".to_owned(), scopes)]),
            app: ("refresh-1".to_owned(), "client-1".to_owned(), "secret-1".to_owned()),
            properties: properties.map(|(name, kind)| (name.to_owned(), kind)).into(),
            contacts: BTreeMap::new(),
            merged: BTreeMap::new(),
            notes: BTreeMap::new(),
            companies: BTreeMap::new(),
            search_lag: Duration::ZERO,
            deals: BTreeMap::new(),
            more_stages: 0,
            lists: BTreeMap::from([(7, List::named("Enquiries")), (8, List::named("Weddings"))]),
            quota: Quota::new(100, Duration::from_secs(10)),
            colleagues: 0,
            logins: 0,
            next: 100,
        }
    }
}

impl Vendor for Hubspot {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = dated(Route::of(request));
        if let ("POST", ["oauth", "2026-03", "token"]) = (route.parts().0, route.parts().1.as_slice()) {
            return self.log_in(&String::from_utf8_lossy(&request.body));
        }
        let key = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let Some(scopes) = key.and_then(|key| self.keys.get(key)).cloned() else {
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.");
        };
        if !self.quota.admit(request.at) {
            return rate_limited("TEN_SECONDLY_ROLLING").header("X-HubSpot-RateLimit-Remaining", "0");
        }
        self.route(&route, &scopes, request.at)
            .header("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")
            .header("X-HubSpot-RateLimit-Max", &self.quota.calls.to_string())
            .header("X-HubSpot-RateLimit-Remaining", &self.quota.left().to_string())
    }
}

impl Hubspot {
    /// A contact that somebody made by hand.
    pub fn add_contact(&mut self, email: &str, more_emails: &[&str]) -> u64 {
        self.next += 1;
        let properties = BTreeMap::from([("email".to_owned(), email.to_owned())]);
        let more_emails = more_emails.iter().map(|email| (*email).to_owned()).collect();
        self.contacts.insert(self.next, Contact { properties, more_emails });
        self.next
    }

    fn route(&mut self, route: &Route, scopes: &BTreeSet<String>, at: Instant) -> Reply {
        let (method, path) = route.parts();
        let wanted = match (method, path.as_slice()) {
            (_, ["account-info", ..]) => None,
            ("GET", ["crm", "lists", ..]) => Some("crm.lists.read"),
            (_, ["crm", "lists", ..]) => Some("crm.lists.write"),
            ("GET", [.., "deals"]) | ("POST", [.., "deals", "batch", "read"]) => {
                Some("crm.objects.deals.read")
            }
            (_, [.., "deals"]) => Some("crm.objects.deals.write"),
            ("GET", [.., "companies"]) | (_, [.., "companies", "search"]) => {
                Some("crm.objects.companies.read")
            }
            (_, [.., "companies"] | [.., "companies", _]) => Some("crm.objects.companies.write"),
            ("GET", _) | ("POST", [.., "batch", "read"]) => Some("crm.objects.contacts.read"),
            _ => Some("crm.objects.contacts.write"),
        };
        if let Some(scope) = wanted.filter(|scope| !scopes.contains(*scope)) {
            return missing_scope(scope);
        }
        match (method, path.as_slice()) {
            ("GET", ["account-info", "2026-03", "details"]) => Reply::json(
                200,
                &json!({ "portalId": 1_234_567, "uiDomain": "app-eu1.hubspot.com", "timeZone": "Europe/London" }),
            ),
            ("GET", ["crm", "properties", "2026-03", "contacts"]) => self.list_properties(),
            ("GET", ["crm", "owners", "2026-03"]) => page(self.owners(), route, 100),
            ("GET", ["crm", "lists", "2026-03", id]) => self.show_list(id),
            ("PUT", ["crm", "lists", "2026-03", id, "memberships", "add"]) => {
                self.add_to_list(id, &route.body)
            }
            ("GET", ["crm", "objects", "2026-03", "contacts"]) => {
                let contacts = self.contacts.iter();
                let contacts = contacts.map(|(id, contact)| object(*id, json!(contact.properties)));
                page(contacts.collect(), route, 10)
            }
            ("GET", ["crm", "objects", "2026-03", "contacts", key]) => match self.found(key, route) {
                Some(id) => self.read(id, route),
                None => error(404, "OBJECT_NOT_FOUND", "resource not found"),
            },
            ("PATCH", ["crm", "objects", "2026-03", "contacts", key]) => match self.found(key, route) {
                Some(id) => self.update(id, &route.body),
                None => error(404, "OBJECT_NOT_FOUND", "resource not found"),
            },
            ("POST", ["crm", "objects", "2026-03", "contacts"]) => self.create(&route.body),
            ("POST", ["crm", "objects", "2026-03", "notes"]) => self.create_note(&route.body),
            ("GET", ["crm", "objects", "2026-03", "contacts", id, "associations", "notes"]) => {
                page(self.note_ids(id), route, 500)
            }
            ("POST", ["crm", "objects", "2026-03", kind, "batch", "read"]) => {
                self.read_batch(kind, &route.body)
            }
            (_, ["crm", "objects", "2026-03", "companies", rest @ ..]) => {
                self.answer_of_companies(method, rest, route, at)
            }
            (_, ["crm", "objects", "2026-03", "contacts", id, "associations", rest @ ..])
                if rest.contains(&"companies") =>
            {
                self.answer_of_membership(method, id, rest.last().copied().unwrap_or_default())
            }
            ("GET", ["crm", "pipelines", "2026-03", "deals"]) => self.pipelines(),
            ("POST", ["crm", "objects", "2026-03", "deals"]) => self.create_deal(&route.body),
            ("GET", ["crm", "objects", "2026-03", "contacts", id, "associations", "deals"]) => {
                page(self.deal_ids(id), route, 500)
            }
            _ => error(404, "OBJECT_NOT_FOUND", "no such resource"),
        }
    }

    fn found(&self, key: &str, route: &Route) -> Option<u64> {
        match route.asked("idProperty") {
            "email" => self.by_email(key),
            _ => key.parse().ok().map(|id| self.kept(id)).filter(|id| self.contacts.contains_key(id)),
        }
    }

    /// The contact that an id leads to.
    fn kept(&self, id: u64) -> u64 {
        self.merged.get(&id).copied().unwrap_or(id)
    }

    /// Only the first address is a key; a second one shows when somebody wants it for another contact.
    fn by_email(&self, email: &str) -> Option<u64> {
        let is_first = |contact: &Contact| contact.properties.get("email").is_some_and(|own| own == email);
        self.contacts.iter().find(|(_, contact)| is_first(contact)).map(|(id, _)| *id)
    }

    fn owner(&self, email: &str) -> Option<u64> {
        self.by_email(email).or_else(|| {
            let has = |contact: &Contact| contact.more_emails.iter().any(|more| more == email);
            self.contacts.iter().find(|(_, contact)| has(contact)).map(|(id, _)| *id)
        })
    }

    fn owners(&self) -> Vec<Value> {
        let owner =
            |id: usize, email: &str| json!({ "id": id.to_string(), "email": email, "archived": false });
        let others = (0..self.colleagues).map(|n| owner(1000 + n, &format!("user{n}@barn.example")));
        others.chain([owner(41, "sam@barn.example")]).collect()
    }

    fn create(&mut self, body: &Value) -> Reply {
        // The schema asks for it, and refuses a body without it.
        if !body["associations"].is_array() {
            return error(400, "VALIDATION_ERROR", "Invalid input JSON: associations is required");
        }
        let properties = match self.checked(body) {
            Ok(properties) => properties,
            Err(reply) => return reply,
        };
        if let Some(owner) = properties.get("email").and_then(|email| self.owner(email)) {
            return conflict(owner);
        }
        self.next += 1;
        self.contacts.insert(self.next, Contact { properties, more_emails: Vec::new() });
        self.contact(201, self.next)
    }

    fn update(&mut self, id: u64, body: &Value) -> Reply {
        let properties = match self.checked(body) {
            Ok(properties) => properties,
            Err(reply) => return reply,
        };
        let owner = properties.get("email").and_then(|email| self.owner(email));
        if let Some(owner) = owner.filter(|owner| *owner != id) {
            return conflict(owner);
        }
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.properties.extend(properties);
        }
        self.contact(200, id)
    }

    fn contact(&self, status: u16, id: u64) -> Reply {
        Reply::json(status, &self.object_of(id))
    }

    fn read(&self, id: u64, route: &Route) -> Reply {
        let mut told = self.object_of(id);
        if route.asked("associations") == "notes" {
            told["associations"]["notes"]["results"] = self.note_ids(&id.to_string()).into();
        }
        Reply::json(200, &told)
    }

    fn object_of(&self, id: u64) -> Value {
        object(id, json!(self.contacts.get(&id).map(|contact| &contact.properties)))
    }

    fn checked(&self, body: &Value) -> Result<BTreeMap<String, String>, Reply> {
        let empty = Map::new();
        let mut properties = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, value) in body["properties"].as_object().unwrap_or(&empty) {
            let Some(text) = value.as_str() else {
                return Err(error(
                    400,
                    "VALIDATION_ERROR",
                    "Invalid input JSON: Cannot deserialize value of type String",
                ));
            };
            match self.properties.get(name) {
                Some(_) if name == "hs_object_id" => {
                    wrong.push((name, "READ_ONLY_VALUE", format!("\"{name}\" is a read only property")))
                }
                None => {
                    wrong.push((name, "PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")))
                }
                Some(kind) => wrong.extend(
                    mistyped(kind, text).map(|code| (name, code, format!("{text} was not a valid {kind}."))),
                ),
            }
            if name == "email" && !(text.contains('@') && text.contains('.')) {
                wrong.push((name, "INVALID_EMAIL", format!("Email address {text} is invalid")));
            }
            properties.insert(name.clone(), text.to_owned());
        }
        if wrong.is_empty() { Ok(properties) } else { Err(invalid(&wrong)) }
    }

    fn read_batch(&self, kind: &str, body: &Value) -> Reply {
        let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
        let read = |id: u64| {
            if kind == "deals" {
                return Some(object(id, json!(self.deals.get(&id)?.properties)));
            }
            Some(object(id, json!({ "hs_note_body": self.notes.get(&id)?.body })))
        };
        let ids = inputs.iter().filter_map(|input| input["id"].as_str()?.parse().ok());
        let read: Vec<Value> = ids.filter_map(read).collect();
        Reply::json(
            200,
            &json!({ "status": "COMPLETE", "results": read, "startedAt": TIME, "completedAt": TIME }),
        )
    }

    fn list_properties(&self) -> Reply {
        let results: Vec<Value> = self
            .properties
            .iter()
            .map(|(name, kind)| {
                let options = match *kind {
                    "enumeration" => json!([{ "label": "Wedding", "value": "wedding", "hidden": false },
                                            { "label": "Other", "value": "other", "hidden": false }]),
                    "bool" | "booleancheckbox" => json!([{ "label": "Yes", "value": "true", "hidden": false },
                                                         { "label": "No", "value": "false", "hidden": false }]),
                    _ => json!([]),
                };
                // A checkbox that somebody makes is an enumeration, one of HubSpot's own may be a bool.
                let told = if *kind == "booleancheckbox" { "enumeration" } else { kind };
                let is_own = name.starts_with("hs_");
                json!({ "name": name, "label": name, "description": "", "groupName": "contactinformation",
                        "type": told, "fieldType": "text", "options": options,
                        "modificationMetadata": { "readOnlyValue": is_own, "readOnlyDefinition": is_own,
                                                  "archivable": !is_own } })
            })
            .collect();
        Reply::json(200, &json!({ "results": results }))
    }

    fn log_in(&mut self, form: &str) -> Reply {
        self.logins += 1;
        let form = pairs(form);
        let is = |key: &str, value: &str| form.get(key).is_some_and(|given| given == value);
        let (refresh, client, secret) = &self.app;
        if !(is("grant_type", "refresh_token") && is("client_id", client) && is("client_secret", secret)) {
            return Reply::json(
                400,
                &json!({ "status": "BAD_CLIENT_ID", "message": "missing or unknown client id" }),
            );
        }
        if !is("refresh_token", refresh) {
            return Reply::json(
                400,
                &json!({ "status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token" }),
            );
        }
        let scopes = SCOPES.map(str::to_owned).into();
        let token = format!("access-{}", self.logins);
        self.keys.insert(token.clone(), scopes);
        Reply::json(
            200,
            &json!({ "access_token": token, "expires_in": 1800, "refresh_token": refresh,
                                  "token_type": "bearer", "hub_id": 1_234_567 }),
        )
    }
}

/// The version before the dated ones has the same calls under other paths; HubSpot's own client speaks it.
fn dated(mut route: Route) -> Route {
    let path: Vec<&str> = route.path.iter().map(String::as_str).collect();
    let dated = match path.as_slice() {
        ["crm", "v3", kind, rest @ ..] => [&["crm", *kind, "2026-03"], rest].concat(),
        ["oauth", "v1", rest @ ..] => [&["oauth", "2026-03"], rest].concat(),
        other => other.to_vec(),
    };
    route.path = dated.into_iter().map(str::to_owned).collect();
    route
}

fn object(id: u64, properties: Value) -> Value {
    json!({ "id": id.to_string(), "properties": properties, "createdAt": TIME, "updatedAt": TIME, "archived": false })
}

/// What hangs on a contact, in both shapes that are known.
fn association(id: u64, kind: u32, label: &str) -> Value {
    json!({ "id": id.to_string(), "type": label, "toObjectId": id,
            "associationTypes": [{ "category": "HUBSPOT_DEFINED", "typeId": kind, "label": null }] })
}

/// A page of a list; what it names as the next one's beginning is asked for with `after`.
fn page(all: Vec<Value>, route: &Route, size: usize) -> Reply {
    let from = route.asked("after").parse().unwrap_or(0);
    let limit = route.asked("limit").parse().unwrap_or(size);
    let is_more = from + limit < all.len();
    let mut told = json!({ "results": all.into_iter().skip(from).take(limit).collect::<Vec<_>>() });
    if is_more {
        told["paging"] = json!({ "next": { "after": (from + limit).to_string() } });
    }
    Reply::json(200, &told)
}
