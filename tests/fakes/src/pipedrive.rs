//! Pipedrive: persons, deals and notes without any unique field, a search that lags, and a quota of bursts behind which
//! a network shuts out who does not listen.

mod account;
mod organizations;
mod schema;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor, basic, pairs},
};

/// What a call may say of a person.
const PERSON: [&str; 6] = ["name", "emails", "phones", "custom_fields", "owner_id", "org_id"];

/// Who goes on calling over the quota so often is shut out.
const REFUSED_MAX: usize = 50;

/// An account.
#[derive(Debug)]
pub struct Pipedrive {
    pub company: String,
    pub api_token: String,
    /// Client id, client secret, refresh token.
    pub app: (String, String, String),
    /// What logins gave.
    pub tokens: Vec<String>,
    pub persons: BTreeMap<u64, Value>,
    pub organizations: BTreeMap<u64, Value>,
    pub deals: BTreeMap<u64, Value>,
    pub notes: BTreeMap<u64, Value>,
    /// Keys of the account's own fields of persons and deals, with their types.
    pub custom: BTreeMap<String, &'static str>,
    /// What people read above fields, where that is not the key.
    pub labels: BTreeMap<String, &'static str>,
    /// How long the search does not know of a new person.
    pub search_lag: Duration,
    /// The plan allows no more than so many deals.
    pub deals_max: usize,
    pub quota: Quota,
    pub searches: Quota,
    /// Tokens of the day that are left.
    pub daily_left: u64,
    pub logins: usize,
    /// Each login answers a new refresh token and refuses the one that it took.
    pub rotates: bool,
    /// How often a refresh token was used that was spent.
    pub reused: usize,
    made_at: BTreeMap<u64, Instant>,
    next: u64,
}

impl Default for Pipedrive {
    fn default() -> Self {
        Self {
            company: "The Old Barn".to_owned(),
            api_token: "pipedrive-good".to_owned(),
            app: ("client-1".to_owned(), "secret-1".to_owned(), "refresh-1".to_owned()),
            tokens: Vec::new(),
            persons: BTreeMap::new(),
            organizations: BTreeMap::new(),
            deals: BTreeMap::new(),
            notes: BTreeMap::new(),
            labels: BTreeMap::new(),
            custom: BTreeMap::from([
                ("a".repeat(40), "varchar"),
                ("b".repeat(40), "date"),
                ("c".repeat(40), "double"),
            ]),
            search_lag: Duration::ZERO,
            deals_max: usize::MAX,
            quota: Quota::new(20, Duration::from_secs(2)),
            searches: Quota::new(10, Duration::from_secs(2)),
            daily_left: 1_000_000,
            logins: 0,
            rotates: false,
            reused: 0,
            made_at: BTreeMap::new(),
            next: 0,
        }
    }
}

impl Vendor for Pipedrive {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        if let ("POST", ["oauth", "token"]) = (route.parts().0, route.parts().1.as_slice()) {
            return self.log_in(request);
        }
        if self.quota.refused > REFUSED_MAX {
            return shut_out();
        }
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let is_in = request.header("x-api-token").is_some_and(|token| token == self.api_token)
            || bearer.is_some_and(|token| self.tokens.iter().any(|given| given == token));
        if !is_in {
            let body = json!({ "success": false, "error": "unauthorized access", "errorCode": 401,
                "error_info": "Please check developers.pipedrive.com for more information." });
            return Reply::json(401, &body);
        }
        let is_search = request.path.contains("/search");
        if !self.quota.admit(request.at) || (is_search && !self.searches.admit(request.at)) {
            return over_burst();
        }
        let cost = if is_search { 20 } else { 5 };
        if self.daily_left < cost {
            return over_day();
        }
        self.daily_left -= cost;
        self.route(&route, request.at)
            .header("x-ratelimit-limit", &self.quota.calls.to_string())
            .header("x-ratelimit-remaining", &self.quota.left().to_string())
            .header("x-ratelimit-reset", "2")
            .header("x-daily-ratelimit-token-remaining", &self.daily_left.to_string())
    }
}

impl Pipedrive {
    /// A person that somebody made by hand.
    pub fn add_person(&mut self, name: &str, email: &str) -> u64 {
        let id = self.id();
        let person = json!({ "id": id, "name": name, "phones": [], "is_deleted": false,
            "emails": [{ "value": email, "primary": true, "label": "home" }], "add_time": time() });
        self.persons.insert(id, person);
        id
    }

    /// A note that somebody put on a deal by hand.
    pub fn add_note(&mut self, deal: u64, content: &str) {
        let id = self.id();
        let note = json!({ "id": id, "deal_id": deal, "content": content, "add_time": time() });
        self.notes.insert(id, note);
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn route(&mut self, route: &Route, now: Instant) -> Reply {
        let (method, path) = route.parts();
        match (method, path.as_slice()) {
            ("GET", ["api", "v1", "users", "me"]) => good(&json!({ "id": 1, "name": "Ada Byron",
                "company_name": self.company, "default_currency": "GBP" })),
            ("GET", ["api", "v2", "persons", "search"]) => self.search(route, now),
            ("GET", ["api", "v2", "organizations", "search"]) => self.search_organizations(route, now),
            ("GET", ["api", "v2", "organizations"]) => page(&self.organizations, route),
            ("POST", ["api", "v2", "organizations"]) => self.create_organization(&route.body, now),
            ("GET", ["api", "v2", "persons"]) => page(&self.persons, route),
            ("GET", ["api", "v2", "deals"]) => page(&self.deals, route),
            ("GET", ["api", "v2", "persons", id]) => read(&self.persons, id),
            ("GET", ["api", "v2", "deals", id]) => read(&self.deals, id),
            ("POST", ["api", "v2", "persons"]) => self.create_person(&route.body, now),
            ("PATCH", ["api", "v2", "persons", id]) => self.update(id, &route.body, false),
            ("POST", ["api", "v2", "deals"]) => self.create_deal(&route.body),
            ("PATCH", ["api", "v2", "deals", id]) => self.update(id, &route.body, true),
            ("GET", ["api", "v1", "notes"]) => self.list_notes(route),
            ("POST", ["api", "v1", "notes"]) => self.create_note(&route.body),
            ("GET", ["api", "v1", "users"]) => {
                good(&json!([{ "id": 41, "name": "Sam", "active_flag": true }]))
            }
            ("GET", ["api", "v2", what @ ("pipelines" | "stages" | "personFields" | "dealFields")]) => {
                good(&self.described(what))
            }
            _ => refuse(404, "Unknown method", "ERR_NOT_FOUND"),
        }
    }

    fn search(&self, route: &Route, now: Instant) -> Reply {
        let term = route.asked("term").to_lowercase();
        if term.len() < 2 || route.asked("exact_match") != "true" || route.asked("fields") != "email" {
            return refuse(400, "Validation failed: term", "ERR_SCHEMA_VALIDATION_FAILED");
        }
        let is_known =
            |id: &u64| self.made_at.get(id).is_none_or(|made| now.duration_since(*made) >= self.search_lag);
        let items: Vec<Value> = self
            .persons
            .iter()
            .filter(|(id, person)| {
                is_known(id)
                    && is_there(person)
                    && emails(person).any(|email| email.to_lowercase().ends_with(&term))
            })
            .map(|(id, person)| {
                let emails: Vec<&str> = emails(person).collect();
                json!({ "result_score": 1.0,
                    "item": { "id": id, "type": "person", "name": person["name"], "emails": emails } })
            })
            .collect();
        good(&json!({ "items": items }))
    }

    fn create_person(&mut self, body: &Value, now: Instant) -> Reply {
        if body["name"].as_str().is_none_or(str::is_empty) {
            return refuse(400, "Validation failed: name: Required", "ERR_SCHEMA_VALIDATION_FAILED");
        }
        if let Some(reply) = self.wrong(body, &PERSON) {
            return reply;
        }
        let id = self.id();
        let mut person =
            json!({ "id": id, "emails": [], "phones": [], "is_deleted": false, "add_time": time() });
        merge(&mut person, body);
        self.made_at.insert(id, now);
        self.persons.insert(id, person.clone());
        Reply::json(201, &json!({ "success": true, "data": person }))
    }

    fn create_deal(&mut self, body: &Value) -> Reply {
        if self.deals.len() >= self.deals_max {
            return refuse(403, "Deals limit reached", "feature_capping_deals_limit");
        }
        if body["title"].as_str().is_none_or(str::is_empty) {
            return refuse(400, "Validation failed: title: Required", "ERR_SCHEMA_VALIDATION_FAILED");
        }
        if let Some(reply) = self.wrong_deal(body) {
            return reply;
        }
        let id = self.id();
        let mut deal = json!({ "id": id, "status": "open", "add_time": time(), "is_deleted": false });
        merge(&mut deal, body);
        self.deals.insert(id, deal.clone());
        Reply::json(201, &json!({ "success": true, "data": deal }))
    }

    fn wrong_deal(&self, body: &Value) -> Option<Reply> {
        let invalid =
            |what: &str| refuse(400, &format!("Validation failed: {what}"), "ERR_SCHEMA_VALIDATION_FAILED");
        if !body["value"].is_null() && !body["value"].is_number() {
            return Some(invalid("value: Expected number, received string"));
        }
        let person = &body["person_id"];
        if !person.is_null() && !person.as_u64().is_some_and(|id| self.persons.contains_key(&id)) {
            return Some(invalid("person_id: not found"));
        }
        let known = [
            "title",
            "value",
            "currency",
            "person_id",
            "pipeline_id",
            "stage_id",
            "custom_fields",
            "expected_close_date",
            "owner_id",
            "org_id",
        ];
        self.wrong(body, &known)
    }

    fn update(&mut self, id: &str, body: &Value, is_deal: bool) -> Reply {
        if let Some(reply) = if is_deal { self.wrong_deal(body) } else { self.wrong(body, &PERSON) } {
            return reply;
        }
        let records = if is_deal { &mut self.deals } else { &mut self.persons };
        let record = id.parse().ok().and_then(|id: u64| records.get_mut(&id));
        let Some(record) = record.filter(|record| is_there(record)) else {
            return refuse(404, "Not found", "ERR_NOT_FOUND");
        };
        if record["is_archived"] == true {
            return refuse(403, "Archived deals cannot be edited", "ERR_FORBIDDEN");
        }
        merge(record, body);
        good(record)
    }

    fn wrong(&self, body: &Value, known: &[&str]) -> Option<Reply> {
        let empty = Map::new();
        let members = body.as_object().unwrap_or(&empty);
        let custom = body["custom_fields"].as_object().unwrap_or(&empty);
        let strange = members.keys().find(|key| !known.contains(&key.as_str()));
        if let Some(key) = custom.keys().find(|key| !self.custom.contains_key(*key)) {
            let message = format!("Validation failed: custom_fields: Unknown key '{key}'");
            return Some(refuse(400, &message, "ERR_SCHEMA_VALIDATION_FAILED"));
        }
        if let Some(key) = strange {
            let message = format!("Validation failed: {key}: Unrecognized key");
            return Some(refuse(400, &message, "ERR_SCHEMA_VALIDATION_FAILED"));
        }
        let wanted = |(key, value): (&String, &Value)| {
            let kind = if matches!(self.custom.get(key)?, &"double" | &"enum") { "number" } else { "string" };
            let is_so = if kind == "number" { value.is_number() } else { value.is_string() };
            (!is_so).then(|| format!("Expected '{kind}' as value for deal custom field '{key}'"))
        };
        if !body["owner_id"].is_null() && body["owner_id"] != 41 {
            return Some(refuse(400, "Validation failed: owner_id", "ERR_SCHEMA_VALIDATION_FAILED"));
        }
        if self.lacks_organization(body) {
            return Some(refuse(400, "Validation failed: org_id", "ERR_SCHEMA_VALIDATION_FAILED"));
        }
        let told = custom.iter().find_map(wanted)?;
        let message = format!("Validation failed: custom_fields: {told}");
        Some(refuse(400, &message, "ERR_SCHEMA_VALIDATION_FAILED"))
    }

    fn list_notes(&self, route: &Route) -> Reply {
        let of = ["deal_id", "person_id"].into_iter().find(|key| !route.asked(key).is_empty());
        let is_its = |note: &&Value| of.is_none_or(|key| note[key].as_u64() == route.asked(key).parse().ok());
        let mut notes: Vec<&Value> = self.notes.values().filter(is_its).collect();
        match route.asked("sort") {
            "" | "id ASC" | "add_time ASC" => {}
            "id DESC" | "add_time DESC" => notes.reverse(),
            _ => return refuse(400, "Sort parameter is invalid", ""),
        }
        notes.truncate(route.asked("limit").parse().unwrap_or(100));
        // The first version says null where there is nothing.
        good(&if notes.is_empty() { Value::Null } else { json!(notes) })
    }

    fn create_note(&mut self, body: &Value) -> Reply {
        let is_of = |key: &str, records: &BTreeMap<u64, Value>| {
            body[key].as_u64().is_some_and(|id| records.contains_key(&id))
        };
        if body["content"].as_str().is_none_or(str::is_empty) {
            return refuse(400, "Note content must be specified.", "");
        }
        if !is_of("deal_id", &self.deals) && !is_of("person_id", &self.persons) {
            return refuse(400, "Deal, person, organization or lead must be specified.", "");
        }
        let id = self.id();
        let mut note = body.clone();
        (note["id"], note["add_time"]) = (json!(id), json!(time()));
        self.notes.insert(id, note.clone());
        Reply::json(201, &json!({ "success": true, "data": note }))
    }

    fn log_in(&mut self, request: &Request) -> Reply {
        self.logins += 1;
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let (client, secret, refresh) = &self.app;
        // The pair is not decoded here: what it encodes to is known.
        let is_app = request.header("authorization") == Some(&basic(client, secret));
        if !is_app || form.get("refresh_token") != Some(refresh) {
            self.reused += usize::from(self.rotates);
            return Reply::json(
                400,
                &json!({ "error": "invalid_grant", "error_description": "Invalid grant: refresh token is invalid" }),
            );
        }
        self.tokens = vec![format!("access-{}", self.logins)];
        if self.rotates {
            self.app.2 = format!("refresh-{}", self.logins + 1);
        }
        Reply::json(
            200,
            &json!({ "access_token": self.tokens[0], "token_type": "Bearer", "expires_in": 3599,
            "refresh_token": self.app.2, "scope": "base deals:full contacts:full" }),
        )
    }
}

/// Now, as records tell it.
fn time() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn emails(person: &Value) -> impl Iterator<Item = &str> {
    person["emails"].as_array().into_iter().flatten().filter_map(|entry| entry["value"].as_str())
}

fn is_there(record: &Value) -> bool {
    record["is_deleted"] != true
}

/// Lists do not tell what was archived.
fn is_listed(record: &Value) -> bool {
    is_there(record) && record["is_archived"] != true
}

/// A page of the records that were not deleted: oldest first, unless it is asked otherwise; its cursor says where the
/// next one begins.
fn page(records: &BTreeMap<u64, Value>, route: &Route) -> Reply {
    let invalid = |what| refuse(400, &format!("Validation failed: {what}"), "ERR_SCHEMA_VALIDATION_FAILED");
    let person = route.asked("person_id");
    let is_its = |record: &&Value| person.is_empty() || record["person_id"].as_u64() == person.parse().ok();
    let mut found: Vec<&Value> = records.values().filter(|record| is_listed(record)).filter(is_its).collect();
    // Ids and times grow together here.
    match (route.asked("sort_by"), route.asked("sort_direction")) {
        ("" | "id" | "add_time", "" | "asc") => {}
        ("" | "id" | "add_time", "desc") => found.reverse(),
        ("" | "id" | "add_time", _) => return invalid("sort_direction"),
        _ => return invalid("sort_by"),
    }
    let limit = route.asked("limit").parse().unwrap_or(100);
    let from = route.asked("cursor").parse().unwrap_or(0);
    let next = (from + limit < found.len()).then(|| (from + limit).to_string());
    let page: Vec<&Value> = found.into_iter().skip(from).take(limit).collect();
    let body = json!({ "success": true, "data": page, "additional_data": { "next_cursor": next } });
    Reply::json(200, &body)
}

fn read(records: &BTreeMap<u64, Value>, id: &str) -> Reply {
    match id.parse().ok().and_then(|id: u64| records.get(&id)) {
        Some(record) => good(record),
        None => refuse(404, "Not found", "ERR_NOT_FOUND"),
    }
}

fn merge(record: &mut Value, body: &Value) {
    for (key, value) in body.as_object().into_iter().flatten() {
        if key == "custom_fields" {
            for (key, value) in value.as_object().into_iter().flatten() {
                record["custom_fields"][key] = value.clone();
            }
        } else {
            record[key] = value.clone();
        }
    }
}

fn good(data: &Value) -> Reply {
    Reply::json(200, &json!({ "success": true, "data": data }))
}

fn refuse(status: u16, error: &str, code: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "success": false, "error": error, "code": code, "data": null,
        "error_info": "Please check developers.pipedrive.com for more information about Pipedrive API." }),
    )
}

/// What Pipedrive says when calls come too close.
#[must_use]
pub fn over_burst() -> Reply {
    Reply::json(429, &json!({ "success": false, "error": "request over limit", "errorCode": 429 }))
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", "2")
}

/// What it says when the calls of the day are used up.
#[must_use]
pub fn over_day() -> Reply {
    Reply::json(429, &json!({ "success": false, "error": "daily budget exceeded", "errorCode": 429 }))
        .header("x-daily-ratelimit-token-remaining", "0")
}

/// What the network in front of it says to who does not listen.
#[must_use]
pub fn shut_out() -> Reply {
    Reply::status(403)
        .header("Content-Type", "text/html; charset=UTF-8")
        .body("<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head></html>")
}
