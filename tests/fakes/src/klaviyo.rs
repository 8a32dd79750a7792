//! Klaviyo, as far as profiles, subscriptions and events go: identifiers are unique, phones are E.164, subscribing takes
//! suppressions away, and an event that is known already is taken and not recorded.

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

const ATTRIBUTES: [&str; 11] = [
    "email",
    "phone_number",
    "external_id",
    "first_name",
    "last_name",
    "organization",
    "locale",
    "title",
    "image",
    "location",
    "properties",
];

/// Somebody in the account.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub attributes: Map<String, Value>,
    /// `SUBSCRIBED`, `UNSUBSCRIBED` or `NEVER_SUBSCRIBED`.
    pub consent: String,
    /// Why no mail reaches them: `HARD_BOUNCE`, `UNSUBSCRIBE` and the like.
    pub suppressed: Vec<String>,
    pub lists: BTreeSet<String>,
    /// How often a mail asked them to confirm.
    pub asked: usize,
}

/// What somebody did.
#[derive(Clone, Debug)]
pub struct Event {
    pub profile: String,
    pub metric: String,
    pub unique_id: String,
    pub attributes: Value,
}

/// An account with one list.
#[derive(Debug)]
pub struct Klaviyo {
    pub api_key: String,
    /// What the key may do.
    pub scopes: BTreeSet<&'static str>,
    pub list: String,
    pub asks_for_confirmation: bool,
    pub profiles: BTreeMap<String, Profile>,
    pub events: Vec<Event>,
    /// Calls that add to lists, which are the fewest.
    pub additions: Quota,
    pub calls: Quota,
    next: usize,
}

impl Default for Klaviyo {
    fn default() -> Self {
        Self {
            api_key: "pk_0123456789abcdef".to_owned(),
            scopes: [
                "accounts:read",
                "events:write",
                "lists:read",
                "lists:write",
                "profiles:read",
                "profiles:write",
                "subscriptions:write",
            ]
            .into(),
            list: "Y6nRLr".to_owned(),
            asks_for_confirmation: false,
            profiles: BTreeMap::new(),
            events: Vec::new(),
            additions: Quota::new(10, Duration::from_secs(1)),
            calls: Quota::new(75, Duration::from_secs(1)),
            next: 0,
        }
    }
}

impl Klaviyo {
    /// The profile with this address.
    #[must_use]
    pub fn profile(&self, email: &str) -> Option<&Profile> {
        self.profiles.values().find(|profile| profile.attributes.get("email") == Some(&json!(email)))
    }

    /// Somebody who was there before any lead.
    pub fn add(&mut self, attributes: Value, consent: &str, suppressed: &[&str]) -> String {
        self.next += 1;
        let id = format!("01GDDKASAP8TKDDA2GRZDSV{:03}", self.next);
        let profile = Profile {
            attributes: attributes.as_object().cloned().unwrap_or_default(),
            consent: consent.to_owned(),
            suppressed: suppressed.iter().map(|reason| (*reason).to_owned()).collect(),
            ..Profile::default()
        };
        self.profiles.insert(id.clone(), profile);
        id
    }

    fn route(&mut self, route: &Route) -> Reply {
        let (method, path) = route.parts();
        let scopes: &[&str] = match (method, &path[..]) {
            ("GET", ["api", "accounts"]) => &["accounts:read"],
            ("GET", ["api", "lists", _]) => &["lists:read"],
            ("GET", ["api", "profiles"] | ["api", "profiles", _]) => &["profiles:read"],
            ("POST", ["api", "profile-import"]) => &["profiles:write"],
            ("POST", ["api", "profile-subscription-bulk-create-jobs"]) => {
                &["lists:write", "profiles:write", "subscriptions:write"]
            }
            ("POST", ["api", "lists", _, "relationships", "profiles"]) => &["lists:write", "profiles:write"],
            ("POST", ["api", "events"]) => &["events:write"],
            _ => return error(404, "not_found", "Not found.", "The path does not exist.", ""),
        };
        if let Some(missing) = scopes.iter().find(|scope| !self.scopes.contains(*scope)) {
            let detail = format!("The API key is missing required scopes: {missing}");
            return error(403, "permission_denied", "You do not have permission.", &detail, "/data/");
        }
        if let ["api", "lists", id, ..] = &path[..]
            && *id != self.list
        {
            return error(
                404,
                "not_found",
                "Not found.",
                &format!("A list with id {id} does not exist."),
                "",
            );
        }
        let data = &route.body["data"];
        match (method, &path[..]) {
            ("GET", ["api", "accounts"]) => {
                let address = json!({"address1": null, "address2": null, "city": null, "region": null,
                    "country": "United Kingdom", "zip": null});
                let contact = json!({"organization_name": "Innkept Ltd", "default_sender_name": "Innkept",
                    "default_sender_email": "hello@innkept.example", "website_url": null,
                    "street_address": address});
                let attributes = json!({"contact_information": contact, "test_account": false, "industry": null,
                    "timezone": "Europe/London", "preferred_currency": "GBP", "public_api_key": "AbC123",
                    "locale": "en-GB"});
                Reply::json(200, &json!({"data": [resource("account", "AbC123", attributes)]}))
            }
            ("GET", ["api", "lists", id]) => {
                let process = if self.asks_for_confirmation { "double_opt_in" } else { "single_opt_in" };
                let attributes = json!({"name": "Newsletter", "opt_in_process": process});
                Reply::json(200, &json!({"data": resource("list", id, attributes)}))
            }
            ("GET", ["api", "profiles"]) => self.find(route.asked("filter")),
            ("GET", ["api", "profiles", id]) => match self.profiles.get(*id) {
                Some(profile) => {
                    Reply::json(200, &json!({"data": resource("profile", id, profile.attributes.clone())}))
                }
                None => error(404, "not_found", "Not found.", "A profile with this id does not exist.", ""),
            },
            ("POST", ["api", "profile-import"]) => {
                self.import(data, route.asked("additional-fields[profile]") == "subscriptions")
            }
            ("POST", ["api", "profile-subscription-bulk-create-jobs"]) => self.subscribe(data),
            ("POST", ["api", "events"]) => self.event(data),
            _ => self.add_to_list(data),
        }
    }

    /// The profiles of an address: `equals(email,"ada@example.com")`.
    fn find(&self, filter: &str) -> Reply {
        let wanted = filter.strip_prefix("equals(email,").and_then(|rest| rest.strip_suffix(')'));
        let Some(Ok(wanted)) = wanted.map(serde_json::from_str::<String>) else {
            return error(400, "invalid", "Invalid input.", "The filter is invalid.", "filter");
        };
        let is_it = |profile: &Profile| profile.attributes.get("email") == Some(&json!(wanted));
        let found = self.profiles.iter().filter(|(_, profile)| is_it(profile));
        let found: Vec<Value> =
            found.map(|(id, profile)| resource("profile", id, profile.attributes.clone())).collect();
        let own = "https://a.klaviyo.com/api/profiles";
        Reply::json(200, &json!({"data": found, "links": {"self": own, "next": null, "prev": null}}))
    }

    fn import(&mut self, data: &Value, tells_consent: bool) -> Reply {
        let given = data["attributes"].as_object().cloned().unwrap_or_default();
        if data["type"] != "profile" || given.is_empty() {
            return error(
                400,
                "invalid",
                "Invalid input.",
                "'attributes' is required for the resource 'profile'.",
                "/data/",
            );
        }
        if let Some(reply) = wrong(&given) {
            return reply;
        }
        let is = |profile: &Profile, key: &str| {
            given.get(key).is_some_and(|own| profile.attributes.get(key) == Some(own))
        };
        let by =
            |key: &str| self.profiles.iter().find(|(_, profile)| is(profile, key)).map(|(id, _)| id.clone());
        let (by_email, by_phone) = (by("email"), by("phone_number"));
        if by_phone.is_some() && by_email != by_phone {
            let detail = "A profile already exists with one of these identifiers.";
            return error(409, "duplicate_profile", "Conflict.", detail, "/data/attributes");
        }
        let (id, status) = match by_email {
            Some(id) => (id, 200),
            None => (self.add(json!({}), "NEVER_SUBSCRIBED", &[]), 201),
        };
        let Some(profile) = self.profiles.get_mut(&id) else { return Reply::status(500) };
        for (key, value) in given {
            match (profile.attributes.get_mut(&key), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, Value::Null) => drop(profile.attributes.remove(&key)),
                (_, value) => drop(profile.attributes.insert(key, value)),
            }
        }
        let mut attributes = Value::Object(profile.attributes.clone());
        if tells_consent {
            let suppression: Vec<Value> = profile
                .suppressed
                .iter()
                .map(|reason| json!({"reason": reason, "timestamp": "2026-01-01T00:00:00+00:00"}))
                .collect();
            attributes["subscriptions"] = json!({"email": {"marketing": {"consent": profile.consent,
                "can_receive_email_marketing": suppression.is_empty(), "suppression": suppression,
                "list_suppressions": []}}});
        }
        Reply::json(status, &json!({"data": resource("profile", &id, attributes)}))
    }

    fn subscribe(&mut self, data: &Value) -> Reply {
        let wanted = data["attributes"]["profiles"]["data"].as_array().cloned().unwrap_or_default();
        let list = data["relationships"]["list"]["data"]["id"].as_str().unwrap_or_default();
        let is_subscribe = |profile: &Value| {
            profile["attributes"]["subscriptions"]["email"]["marketing"]["consent"] == "SUBSCRIBED"
        };
        if list != self.list || wanted.is_empty() || !wanted.iter().all(is_subscribe) {
            return error(400, "invalid", "Invalid input.", "The payload is invalid.", "/data/attributes");
        }
        for one in &wanted {
            let Some(profile) = one["id"].as_str().and_then(|id| self.profiles.get_mut(id)) else { continue };
            if self.asks_for_confirmation {
                profile.asked += 1;
                continue;
            }
            // This is what makes it dangerous.
            profile.suppressed.retain(|reason| {
                !matches!(reason.as_str(), "UNSUBSCRIBE" | "SPAM_COMPLAINT" | "USER_SUPPRESSED")
            });
            profile.consent = "SUBSCRIBED".to_owned();
            profile.lists.insert(list.to_owned());
        }
        Reply::status(202)
    }

    fn add_to_list(&mut self, data: &Value) -> Reply {
        for one in data.as_array().into_iter().flatten() {
            match one["id"].as_str().and_then(|id| self.profiles.get_mut(id)) {
                Some(profile) => drop(profile.lists.insert(self.list.clone())),
                None => return error(404, "not_found", "Not found.", "A profile does not exist.", "/data/"),
            }
        }
        Reply::status(204)
    }

    fn event(&mut self, data: &Value) -> Reply {
        let attributes = &data["attributes"];
        let text = |pointer: &str| attributes.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (metric, profile) = (text("/metric/data/attributes/name"), text("/profile/data/id"));
        let time = text("/time").parse::<jiff::Timestamp>();
        if metric.is_empty()
            || !attributes["properties"].is_object()
            || !attributes["profile"]["data"]["attributes"].is_object()
            || time.is_err()
            || attributes.get("value").is_some_and(|value| !value.is_number())
            || !self.profiles.contains_key(profile)
        {
            return error(400, "invalid", "Invalid input.", "The payload is invalid.", "/data/attributes");
        }
        let event = Event {
            profile: profile.to_owned(),
            metric: metric.to_owned(),
            unique_id: text("/unique_id").to_owned(),
            attributes: attributes.clone(),
        };
        let is_known = |known: &Event| {
            (&known.profile, &known.metric, &known.unique_id)
                == (&event.profile, &event.metric, &event.unique_id)
        };
        if !self.events.iter().any(is_known) {
            self.events.push(event);
        }
        Reply::status(202)
    }
}

impl Vendor for Klaviyo {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Klaviyo-API-Key {}", self.api_key)) {
            let title = "Incorrect authentication credentials.";
            return error(401, "authentication_failed", title, title, "/data/");
        }
        let is_versioned = request.header("revision").is_some_and(|revision| revision.len() == 10);
        if !is_versioned || request.method == "POST" && !is_json_api(request) {
            return error(
                400,
                "invalid",
                "Invalid input.",
                "The revision or the content type is missing.",
                "/data/",
            );
        }
        let adds = request.path.contains("/relationships/");
        let quota = if adds { &mut self.additions } else { &mut self.calls };
        if !quota.admit(request.at) {
            return throttled(1);
        }
        self.route(&Route::of(request))
    }
}

/// What Klaviyo says when it is called too often.
#[must_use]
pub fn throttled(seconds: u64) -> Reply {
    let detail = format!("Request was throttled. Expected available in {seconds} second.");
    error(429, "throttled", "Request was throttled.", &detail, "/data/")
        .header("Retry-After", &seconds.to_string())
}

/// Something of the account as each answer tells it.
fn resource(kind: &str, id: &str, attributes: impl Into<Value>) -> Value {
    let own = format!("https://a.klaviyo.com/api/{kind}s/{id}/");
    json!({"type": kind, "id": id, "attributes": attributes.into(), "links": {"self": own}})
}

fn is_json_api(request: &Request) -> bool {
    request.header("content-type") == Some("application/vnd.api+json")
}

fn wrong(given: &Map<String, Value>) -> Option<Reply> {
    let at = |key: &str| format!("/data/attributes/{key}");
    for (key, value) in given {
        let problem = match key.as_str() {
            key if !ATTRIBUTES.contains(&key) => {
                format!("'{key}' is not a valid field for the resource 'profile'.")
            }
            "location" | "properties" if !value.is_object() => "An object is wanted.".to_owned(),
            "location" | "properties" => continue,
            "email" if !value.as_str().is_some_and(|email| email.contains('@')) => {
                "Invalid email address".to_owned()
            }
            "phone_number" if !value.as_str().is_some_and(is_phone) => {
                "Invalid phone number format (Example of a valid format: +12345678901)".to_owned()
            }
            _ if !value.is_string() && !value.is_null() => "A string is wanted.".to_owned(),
            _ => continue,
        };
        return Some(error(400, "invalid", "Invalid input.", &problem, &at(key)));
    }
    None
}

/// A number with its country, of a length that there is.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn error(status: u16, code: &str, title: &str, detail: &str, pointer: &str) -> Reply {
    let error = json!({"id": "6e03e204-aa9d-48f8-b516-ab52ecf03958", "status": status, "code": code, "title": title,
        "detail": detail, "source": {"pointer": pointer}, "links": {}, "meta": {}});
    Reply::json(status, &json!({"errors": [error]}))
}
