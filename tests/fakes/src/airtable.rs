//! Airtable, as far as upserts and schemas go: columns with types, merge fields, typecast, the penalty after a 429.

mod account;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor},
};

/// The longest text of a cell.
const TEXT_MAX: usize = 100_000;
/// The types of columns that Airtable merges on.
const MERGED: [&str; 6] =
    ["singleLineText", "multilineText", "number", "singleSelect", "multipleSelects", "date"];

/// A base with one table.
#[derive(Debug)]
pub struct Airtable {
    pub token: String,
    pub base: String,
    pub table: String,
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
    /// Id and fields of each record.
    pub records: Vec<(String, Map<String, Value>)>,
    pub quota: Quota,
    /// How long nothing succeeds after a call too many.
    pub penalty: Duration,
    /// The token lacks schema.bases:read.
    pub hides_schema: bool,
    /// The month's allowance is used up.
    pub is_spent: bool,
    shut_until: Option<Instant>,
}

impl Airtable {
    /// A base with a table that has the columns which the docs page has operators make.
    #[must_use]
    pub fn new() -> Self {
        let text = [
            "Lead ID",
            "Name",
            "Company",
            "Position",
            "Notes",
            "Event type",
            "UTM source",
            "UTM medium",
            "UTM campaign",
            "Currency",
            "Venue",
        ];
        let typed = [
            ("Email", "email"),
            ("Phone", "phoneNumber"),
            ("Website", "url"),
            ("Event date", "date"),
            ("Guests", "number"),
            ("Consent", "checkbox"),
            ("Source URL", "url"),
            ("Quote total", "currency"),
            ("Proposal", "url"),
            ("Viewing start", "dateTime"),
        ];
        let columns = text.iter().map(|name| (*name, "singleLineText")).chain(typed);
        Self {
            token: "patFake.0123456789abcdef".into(),
            base: "appFake0123456789".into(),
            table: "Leads".into(),
            columns: columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect(),
            records: Vec::new(),
            quota: Quota::new(5, Duration::from_secs(1)),
            penalty: Duration::from_secs(30),
            hides_schema: false,
            is_spent: false,
            shut_until: None,
        }
    }

    /// The values of a column, one for each record.
    #[must_use]
    pub fn values(&self, column: &str) -> Vec<Value> {
        self.records.iter().map(|(_, fields)| fields.get(column).cloned().unwrap_or(Value::Null)).collect()
    }

    fn route(&mut self, route: &Route) -> Reply {
        let (method, path) = route.parts();
        match (method, &path[..]) {
            ("GET", ["v0", "meta", "whoami"]) => {
                answer(200, &json!({"id": "usrFake", "email": "ada@example.com"}))
            }
            ("GET", ["v0", "meta", "bases", base, "tables"]) if *base == self.base && !self.hides_schema => {
                answer(200, &self.schema())
            }
            ("GET", ["v0", base, table]) if self.is_ours(base, table) => self.list(route),
            ("PATCH", ["v0", base, table]) if self.is_ours(base, table) => self.upsert(&route.body),
            (_, ["v0", "meta", ..]) => {
                refusal(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")
            }
            (_, ["v0", base, _]) if *base == self.base => refusal(
                403,
                "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
                "Invalid permissions, or the requested model was not found.",
            ),
            _ => answer(404, &json!({"error": "NOT_FOUND"})),
        }
    }

    fn is_ours(&self, base: &str, table: &str) -> bool {
        base == self.base && (table == self.table || table == "tblFake")
    }

    fn schema(&self) -> Value {
        let field = |(at, (name, kind)): (usize, &(String, String))| json!({"id": format!("fld{at}"), "name": name, "type": kind});
        let fields: Vec<Value> = self.columns.iter().enumerate().map(field).collect();
        let view = json!({"id": "viwFake", "name": "Grid view", "type": "grid"});
        json!({"tables": [{"id": "tblFake", "name": self.table, "primaryFieldId": "fld0", "fields": fields, "views": [view]}]})
    }

    /// A page of the records; its offset says where the next one begins.
    fn list(&self, route: &Route) -> Reply {
        let from = route.asked("offset").parse().unwrap_or(0);
        let size = route.asked("pageSize").parse().unwrap_or(100);
        let Some(found) = self.filtered(route.asked("filterByFormula")) else {
            let message = "The formula for filtering records is invalid: Unknown field names";
            return refusal(422, "INVALID_FILTER_BY_FORMULA", message);
        };
        let page: Vec<Value> = found.iter().skip(from).take(size).map(|one| record(one)).collect();
        let end = from + page.len();
        let mut told = json!({"records": page});
        if end < found.len() {
            told["offset"] = json!(end.to_string());
        }
        answer(200, &told)
    }

    /// The records that a formula keeps, if it is one that compares a column as text: `{Lead ID}&''='…'`.
    fn filtered(&self, formula: &str) -> Option<Vec<&(String, Map<String, Value>)>> {
        if formula.is_empty() {
            return Some(self.records.iter().collect());
        }
        let (column, text) = formula.strip_prefix('{')?.strip_suffix('\'')?.split_once("}&''='")?;
        self.kind(column)?;
        let is_it = |(_, fields): &&(String, Map<String, Value>)| {
            fields.get(column).and_then(Value::as_str).unwrap_or_default() == text
        };
        Some(self.records.iter().filter(is_it).collect())
    }

    /// All of the records or none: a refused one leaves the others as they were.
    fn upsert(&mut self, body: &Value) -> Reply {
        let merge = body.pointer("/performUpsert/fieldsToMergeOn").and_then(Value::as_array);
        let records = body.get("records").and_then(Value::as_array);
        let (Some(merge), Some(records)) = (merge, records) else {
            return refusal(422, "INVALID_REQUEST_UNKNOWN", "Invalid request: parameter validation failed");
        };
        if !(1..=3).contains(&merge.len()) || !(1..=10).contains(&records.len()) {
            return refusal(422, "INVALID_RECORDS", "Too many records or merge fields");
        }
        let merge: Vec<&str> = merge.iter().filter_map(Value::as_str).collect();
        if let Some(key) = merge.iter().find(|key| !self.kind(key).is_some_and(|kind| MERGED.contains(&kind)))
        {
            return refusal(422, "INVALID_VALUE_FOR_COLUMN", &format!("cannot merge on {key}"));
        }
        let is_cast = body["typecast"] == json!(true);
        let mut wanted = Vec::new();
        for record in records {
            let Some(fields) = record.get("fields").and_then(Value::as_object) else {
                return refusal(422, "INVALID_RECORDS", "records must have fields");
            };
            if let Some(refused) = fields.iter().find_map(|(name, value)| self.refuse(name, value, is_cast)) {
                return refused;
            }
            let is_it = |(_, own): &&(String, Map<String, Value>)| {
                merge.iter().all(|key| own.get(*key) == fields.get(*key))
            };
            if self.records.iter().filter(is_it).count() > 1 {
                return refusal(422, "INVALID_RECORDS", "more than one record matches");
            }
            wanted.push((self.records.iter().position(|record| is_it(&record)), fields));
        }
        let (mut told, mut made, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (known, fields) in wanted {
            let at = known.unwrap_or(self.records.len());
            if known.is_none() {
                self.records.push((format!("rec{at:014}"), Map::new()));
            }
            let kept = &mut self.records[at];
            kept.1.extend(fields.clone());
            if known.is_none() { &mut made } else { &mut changed }.push(kept.0.clone());
            told.push(record(kept));
        }
        answer(200, &json!({"records": told, "createdRecords": made, "updatedRecords": changed}))
    }

    fn kind(&self, column: &str) -> Option<&str> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, kind)| kind.as_str())
    }

    fn refuse(&self, column: &str, value: &Value, is_cast: bool) -> Option<Reply> {
        let Some(kind) = self.kind(column) else {
            return Some(refusal(422, "UNKNOWN_FIELD_NAME", &format!("Unknown field name: \"{column}\"")));
        };
        let fits = match kind {
            "number" | "currency" => value.is_number() || is_cast && value.is_string(),
            "checkbox" => value.is_boolean() || is_cast,
            "formula" | "autoNumber" => false,
            _ => value.is_string() || is_cast && !value.is_object() && !value.is_array(),
        };
        let fits = fits && value.as_str().is_none_or(|text| text.encode_utf16().count() <= TEXT_MAX);
        let message = format!("Field \"{column}\" cannot accept the provided value");
        (!fits).then(|| refusal(422, "INVALID_VALUE_FOR_COLUMN", &message))
    }
}

impl Default for Airtable {
    fn default() -> Self {
        Self::new()
    }
}

impl Vendor for Airtable {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            return refusal(401, "AUTHENTICATION_REQUIRED", "Authentication required");
        }
        let is_shut = self.shut_until.is_some_and(|until| request.at < until);
        if is_shut || !self.quota.admit(request.at) {
            self.shut_until = Some(request.at + self.penalty);
            let error = json!({"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"});
            return answer(429, &json!({"errors": [error]}));
        }
        if self.is_spent {
            return refusal(429, "PUBLIC_API_BILLING_LIMIT_EXCEEDED", "The API billing limit is exceeded");
        }
        self.route(&Route::of(request))
    }
}

fn record((id, fields): &(String, Map<String, Value>)) -> Value {
    json!({"id": id, "createdTime": "2026-11-21T12:00:00.000Z", "fields": fields})
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    answer(status, &json!({"error": {"type": code, "message": message}}))
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json; charset=utf-8").body(body.to_string())
}
