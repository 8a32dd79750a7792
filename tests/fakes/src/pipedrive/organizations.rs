//! Organizations: employers of persons, without unique names.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Pipedrive, good, is_there, refuse, time};
use crate::{receiver::Reply, vendor::Route};

impl Pipedrive {
    /// The search lags behind as it does for persons, and finds the whole name alone, in any case.
    pub(super) fn search_organizations(&self, route: &Route, now: Instant) -> Reply {
        let term = route.asked("term").to_lowercase();
        let is_exact = (route.asked("exact_match"), route.asked("fields")) == ("true", "name");
        if term.chars().count() < 2 || !is_exact {
            return refuse(400, "Validation failed: term", "ERR_SCHEMA_VALIDATION_FAILED");
        }
        let is_known =
            |id: &u64| self.made_at.get(id).is_none_or(|made| now.duration_since(*made) >= self.search_lag);
        let is_called = |one: &Value| one["name"].as_str().is_some_and(|name| name.to_lowercase() == term);
        let found =
            self.organizations.iter().filter(|(id, one)| is_known(id) && is_there(one) && is_called(one));
        let items: Vec<Value> = found
            .map(|(id, one)| {
                let item = json!({ "id": id, "type": "organization", "name": one["name"] });
                json!({ "result_score": 1.0, "item": item })
            })
            .collect();
        good(&json!({ "items": items }))
    }

    pub(super) fn create_organization(&mut self, body: &Value, now: Instant) -> Reply {
        let Some(name) = body["name"].as_str().filter(|name| !name.is_empty()) else {
            return refuse(400, "Validation failed: name: Required", "ERR_SCHEMA_VALIDATION_FAILED");
        };
        let id = self.id();
        let one = json!({ "id": id, "name": name, "is_deleted": false, "add_time": time() });
        self.made_at.insert(id, now);
        self.organizations.insert(id, one.clone());
        Reply::json(201, &json!({ "success": true, "data": one }))
    }

    /// Whether what a person or a deal names as its organization is none.
    pub(super) fn lacks_organization(&self, body: &Value) -> bool {
        let named = &body["org_id"];
        !named.is_null() && !named.as_u64().is_some_and(|id| self.organizations.contains_key(&id))
    }
}
