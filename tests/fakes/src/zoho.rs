//! Zoho CRM, as far as Leads and their notes go: refusals come in good answers, a search lags behind what was written,
//! converted Leads take no changes, tokens are few, and calls at once are counted.

mod account;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Route, Vendor, pairs},
};

/// So many calls at once the smallest edition takes.
const CONNECTIONS_MAX: usize = 5;

/// Somebody's Lead.
#[derive(Clone, Debug)]
pub struct Lead {
    pub fields: Map<String, Value>,
    pub owner: String,
    pub is_converted: bool,
    pub tags: BTreeSet<String>,
    made: Instant,
}

/// A text on a Lead.
#[derive(Clone, Debug)]
pub struct Note {
    pub lead: String,
    pub title: String,
    pub content: String,
}

/// An organization.
#[derive(Debug)]
pub struct Zoho {
    /// Where the login directs calls to.
    pub api_domain: String,
    /// Client id, client secret, refresh token.
    pub app: (String, String, String),
    pub tokens: BTreeSet<String>,
    pub logins: usize,
    /// What a token may do.
    pub scopes: BTreeSet<&'static str>,
    /// Name and type of each field of Leads.
    pub fields: Vec<(String, &'static str)>,
    /// What a new Lead must have.
    pub required: BTreeSet<String>,
    /// Fields of which no two Leads have the same value.
    pub unique: BTreeSet<String>,
    pub lengths: BTreeMap<&'static str, usize>,
    pub leads: BTreeMap<String, Lead>,
    pub notes: BTreeMap<String, Note>,
    /// How many users there are before the one who may own Leads.
    pub colleagues: usize,
    /// How long a search does not know what was written.
    pub search_lag: Duration,
    /// How long each call takes.
    pub takes: Duration,
    /// How many calls came while too many were on their way.
    pub crowded: usize,
    ends: Vec<Instant>,
    next: u64,
}

/// What an administrator left of the picklists that every account has.
const PICKLISTS: [(&str, &[&str]); 2] = [
    ("Lead_Source", &["Web", "Trade Show"]),
    ("Lead_Status", &["Not Contacted", "Contacted", "Junk Lead", "Lost Lead"]),
];

impl Default for Zoho {
    fn default() -> Self {
        let fields = [
            ("Email", "email"),
            ("Secondary_Email", "email"),
            ("First_Name", "text"),
            ("Last_Name", "text"),
            ("Phone", "phone"),
            ("Company", "text"),
            ("Designation", "text"),
            ("Website", "website"),
            ("Lead_Source", "picklist"),
            ("Lead_Status", "picklist"),
            ("Description", "textarea"),
            ("Guests", "integer"),
            ("Event_Date", "date"),
            ("Owner", "ownerlookup"),
        ];
        Self {
            api_domain: String::new(),
            app: ("1000.CLIENT".to_owned(), "secret-1".to_owned(), "1000.refresh".to_owned()),
            tokens: BTreeSet::new(),
            logins: 0,
            scopes: ["modules", "search", "settings", "tags", "org"].into(),
            fields: fields.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
            required: BTreeSet::from(["Last_Name".to_owned()]),
            unique: BTreeSet::new(),
            lengths: BTreeMap::from([("First_Name", 40), ("Last_Name", 80), ("Phone", 30), ("Company", 200)]),
            leads: BTreeMap::new(),
            notes: BTreeMap::new(),
            colleagues: 0,
            search_lag: Duration::ZERO,
            takes: Duration::ZERO,
            crowded: 0,
            ends: Vec::new(),
            next: 3_652_397_000_002_181_000,
        }
    }
}

impl Zoho {
    fn log_in(&mut self, request: &Request) -> Reply {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let given = |key: &str| form.get(key).map_or("", String::as_str);
        let (id, secret, refresh) = &self.app;
        if given("grant_type") != "refresh_token"
            || given("client_id") != id
            || given("client_secret") != secret
        {
            return Reply::json(200, &json!({"error": "invalid_client"}));
        }
        if given("refresh_token") != refresh {
            return Reply::json(200, &json!({"error": "invalid_code"}));
        }
        self.logins += 1;
        let token = format!("1000.token-{}", self.logins);
        self.tokens.insert(token.clone());
        Reply::json(
            200,
            &json!({"access_token": token, "api_domain": self.api_domain, "token_type": "Bearer", "expires_in": 3600}),
        )
    }

    fn route(&mut self, route: &Route, at: Instant) -> Reply {
        let (method, path) = route.parts();
        let scope = match path.get(2) {
            Some(&"org") => "org",
            _ if path.iter().any(|part| matches!(*part, "tags" | "add_tags")) => "tags",
            Some(&"settings") => "settings",
            _ if path.last() == Some(&"search") => "search",
            _ => "modules",
        };
        if !self.scopes.contains(scope) {
            return refused(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL", json!({}));
        }
        let record = &route.body["data"][0];
        match (method, &path[..]) {
            ("GET", ["crm", "v8", "org"]) => {
                Reply::json(200, &json!({"org": [{"company_name": "Innkept Ltd"}]}))
            }
            ("GET", ["crm", "v8", "users"]) => self.users(route),
            ("GET", ["crm", "v8", "settings", "fields"]) if route.asked("module") == "Leads" => {
                self.describe()
            }
            ("GET", ["crm", "v8", "settings", "automation", "assignment_rules"]) => Reply::json(
                200,
                &json!({"assignment_rules": [{"id": "4876876000000387001", "name": "By venue"}]}),
            ),
            ("GET", ["crm", "v8", "settings", "tags"]) => {
                Reply::json(200, &json!({"tags": [{"name": "Barn"}]}))
            }
            ("GET", ["crm", "v8", "Leads", "search"]) => self.search(route.asked("email"), at),
            ("POST", ["crm", "v8", "Leads", "upsert"]) => {
                if route.body["duplicate_check_fields"] != json!(["Email"]) {
                    return refused(
                        400,
                        "INVALID_DATA",
                        "invalid data",
                        json!({"api_name": "duplicate_check_fields"}),
                    );
                }
                let owner = if route.body["lar_id"].is_string() { "queue" } else { "api user" };
                self.upsert(record, owner, at)
            }
            ("GET", ["crm", "v8", "Leads", id]) => match self.leads.get(*id) {
                Some(lead) => Reply::json(200, &json!({"data": [shown(id, lead)]})),
                None => Reply::status(204),
            },
            ("POST", ["crm", "v8", "Leads", id, "actions", "add_tags"]) => self.tag(id, &route.body),
            ("PUT", ["crm", "v8", "Leads", id]) => self.update(id, record),
            ("GET", ["crm", "v8", "Leads", id, "Notes"]) => self.notes_of(id),
            ("POST", ["crm", "v8", "Notes"]) => self.note(record),
            _ => refused(
                404,
                "INVALID_URL_PATTERN",
                "Please check if the URL trying to access is a correct one",
                json!({}),
            ),
        }
    }

    fn id(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    fn describe(&self) -> Reply {
        let field = |(name, kind): &(String, &str)| {
            let is_written = *kind != "formula";
            let operations = json!({"web_create": is_written, "web_update": is_written, "api_create": is_written,
                "api_update": is_written});
            let words =
                PICKLISTS.iter().filter(|(field, _)| field == name).flat_map(|(_, words)| words.iter());
            let words: Vec<Value> =
                words.map(|word| json!({"actual_value": word, "display_value": word})).collect();
            json!({"api_name": name, "data_type": kind, "pick_list_values": words, "read_only": false, "field_read_only": false,
                "operation_type": operations, "system_mandatory": self.required.contains(name)})
        };
        let fields: Vec<Value> = self.fields.iter().map(field).collect();
        Reply::json(200, &json!({"fields": fields}))
    }

    fn users(&self, route: &Route) -> Reply {
        let user =
            |id: usize, name: &str| json!({"id": id.to_string(), "full_name": name, "status": "active"});
        let others = (0..self.colleagues).map(|n| user(1000 + n, "Ada"));
        let users: Vec<Value> = others.chain([user(41, "Sam")]).collect();
        let asked = |key: &str, or: usize| route.asked(key).parse().unwrap_or(or);
        let (page, size) = (asked("page", 1), asked("per_page", 200).min(200));
        let rest = users.get((page - 1) * size..).unwrap_or_default();
        let told: Vec<&Value> = rest.iter().take(size).collect();
        let info =
            json!({"per_page": size, "count": told.len(), "page": page, "more_records": rest.len() > size});
        Reply::json(200, &json!({"users": told, "info": info}))
    }

    fn search(&self, email: &str, at: Instant) -> Reply {
        // It finds longer addresses, too.
        let is_found = |lead: &&Lead| {
            let own = lead.fields.get("Email").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            !lead.is_converted
                && own.contains(&email.to_lowercase())
                && at.duration_since(lead.made) >= self.search_lag
        };
        let found: Vec<Value> =
            self.leads.iter().filter(|(_, lead)| is_found(lead)).map(|(id, lead)| shown(id, lead)).collect();
        if found.is_empty() { Reply::status(204) } else { Reply::json(200, &json!({"data": found})) }
    }

    fn upsert(&mut self, record: &Value, owner: &str, at: Instant) -> Reply {
        let email = record["Email"].as_str().unwrap_or_default().to_lowercase();
        let is_it = |lead: &Lead| {
            !lead.is_converted
                && lead
                    .fields
                    .get("Email")
                    .and_then(Value::as_str)
                    .is_some_and(|own| own.to_lowercase() == email)
        };
        if let Some(id) = self.leads.iter().find(|(_, lead)| is_it(lead)).map(|(id, _)| id.clone()) {
            return self.update(&id, record);
        }
        if let Some(missing) = self.required.iter().find(|name| record[name.as_str()].is_null()) {
            return refused(
                200,
                "MANDATORY_NOT_FOUND",
                "required field not found",
                json!({"api_name": missing}),
            );
        }
        if let Some(reply) = self.wrong(record).or_else(|| self.taken(record, None)) {
            return reply;
        }
        let id = self.id();
        let mut fields = self.written(record);
        let owner = named(fields.remove("Owner").as_ref()).unwrap_or_else(|| owner.to_owned());
        let lead = Lead { fields, owner, is_converted: false, tags: BTreeSet::new(), made: at };
        self.leads.insert(id.clone(), lead);
        done(&id, "insert")
    }

    fn update(&mut self, id: &str, record: &Value) -> Reply {
        if let Some(reply) = self.wrong(record).or_else(|| self.taken(record, Some(id))) {
            return reply;
        }
        let fields = self.written(record);
        match self.leads.get_mut(id) {
            None => refused(400, "INVALID_DATA", "the id given seems to be invalid", json!({"id": id})),
            Some(lead) if lead.is_converted => {
                refused(400, "ID_ALREADY_CONVERTED", "id already converted", json!({}))
            }
            Some(lead) => {
                lead.fields.extend(fields);
                lead.owner =
                    named(lead.fields.remove("Owner").as_ref()).unwrap_or_else(|| lead.owner.clone());
                done(id, "update")
            }
        }
    }

    /// What of a record is kept: a value for what Zoho computes is taken no notice of.
    fn written(&self, record: &Value) -> Map<String, Value> {
        let is_computed =
            |name: &str| self.fields.iter().any(|(known, kind)| known == name && *kind == "formula");
        let mut fields = record.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| !is_computed(name));
        fields
    }

    fn tag(&mut self, id: &str, body: &Value) -> Reply {
        let Some(lead) = self.leads.get_mut(id) else {
            return refused(400, "INVALID_DATA", "the id given seems to be invalid", json!({"id": id}));
        };
        if body["tags"].as_array().is_none_or(|tags| tags.len() > 3) {
            let entry = json!({"code": "INVALID_DATA", "message": "invalid data", "status": "error",
                "details": {"api_name": "tags"}});
            return Reply::json(400, &json!({"tags": [entry]}));
        }
        if body["over_write"] == true {
            lead.tags.clear();
        }
        let names = body["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str());
        lead.tags.extend(names.map(str::to_owned));
        done(id, "update")
    }

    fn wrong(&self, record: &Value) -> Option<Reply> {
        let invalid = |details: Value| Some(refused(200, "INVALID_DATA", "invalid data", details));
        for (name, value) in record.as_object().into_iter().flatten() {
            // What is no field is dropped in silence.
            let kind = self.fields.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
            let wanted = match kind {
                None => continue,
                Some("integer") if value.is_number() => continue,
                Some("integer") => "integer",
                Some("ownerlookup") if value["id"] == "41" => continue,
                Some("ownerlookup") => "jsonobject",
                Some(_) if value.is_string() => {
                    let max = self.lengths.get(name.as_str()).copied().unwrap_or(255);
                    let units = value.as_str().map_or(0, |text| text.encode_utf16().count());
                    if units > max {
                        return invalid(json!({"api_name": name, "maximum_length": max}));
                    }
                    continue;
                }
                Some(kind) => kind,
            };
            return invalid(json!({"api_name": name, "expected_data_type": wanted}));
        }
        None
    }

    /// What another Lead has that must be the only one.
    fn taken(&self, record: &Value, own: Option<&str>) -> Option<Reply> {
        let others = self.leads.iter().filter(|(id, _)| Some(id.as_str()) != own);
        let mut taken = others.flat_map(|(id, other)| self.unique.iter().map(move |name| (id, other, name)));
        let (id, _, name) = taken.find(|(_, other, name)| {
            other.fields.get(*name).is_some_and(|value| *value == record[name.as_str()])
        })?;
        Some(refused(200, "DUPLICATE_DATA", "duplicate data", json!({"api_name": name, "id": id})))
    }

    fn notes_of(&self, id: &str) -> Reply {
        if !self.leads.contains_key(id) {
            return refused(400, "INVALID_DATA", "the id given seems to be invalid", json!({"id": id}));
        }
        let notes = self.notes.iter().rev().filter(|(_, note)| note.lead == id);
        let notes: Vec<Value> =
            notes.map(|(id, note)| json!({"id": id, "Note_Content": note.content})).collect();
        if notes.is_empty() { Reply::status(204) } else { Reply::json(200, &json!({"data": notes})) }
    }

    fn note(&mut self, record: &Value) -> Reply {
        let text =
            |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Zoho's own client sends ids as numbers.
        let id = &record["Parent_Id"]["id"];
        let lead = id.as_u64().map_or_else(|| text("/Parent_Id/id"), |id| id.to_string());
        if text("/Parent_Id/module/api_name") != "Leads" || !self.leads.contains_key(&lead) {
            return refused(202, "INVALID_DATA", "invalid data", json!({"api_name": "Parent_Id"}));
        }
        if text("/Note_Content").is_empty() {
            return refused(
                202,
                "MANDATORY_NOT_FOUND",
                "required field not found",
                json!({"api_name": "Note_Content"}),
            );
        }
        let id = self.id();
        self.notes
            .insert(id.clone(), Note { lead, title: text("/Note_Title"), content: text("/Note_Content") });
        done(&id, "insert")
    }
}

impl Vendor for Zoho {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.path.starts_with("/oauth/v2/token") {
            return self.log_in(request);
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Zoho-oauthtoken "));
        if !token.is_some_and(|token| self.tokens.contains(token)) {
            return refused(401, "INVALID_TOKEN", "invalid oauth token", json!({}));
        }
        self.ends.retain(|end| *end > request.at);
        if self.ends.len() >= CONNECTIONS_MAX {
            self.crowded += 1;
            return too_many();
        }
        self.ends.push(request.at + self.takes);
        self.route(&Route::of(request), request.at).after(self.takes)
    }
}

/// What Zoho says when too much is asked of it.
#[must_use]
pub fn too_many() -> Reply {
    refused(429, "TOO_MANY_REQUESTS", "too many requests fired in concurrent", json!({}))
}

fn shown(id: &str, lead: &Lead) -> Value {
    let mut shown = Value::Object(lead.fields.clone());
    shown["id"] = json!(id);
    shown["$converted"] = json!(lead.is_converted);
    shown
}

fn done(id: &str, action: &str) -> Reply {
    Reply::json(
        200,
        &json!({"data": [{"code": "SUCCESS", "status": "success", "message": "record added", "action": action,
            "duplicate_field": null, "details": {"id": id}}]}),
    )
}

/// Of a record in a good answer, else of the call.
fn refused(status: u16, code: &str, message: &str, details: Value) -> Reply {
    let entry = json!({"code": code, "message": message, "status": "error", "details": details});
    let is_call = matches!(status, 401 | 404 | 429);
    Reply::json(status, &if is_call { entry } else { json!({"data": [entry]}) })
}

/// Whom an owner's object names.
fn named(owner: Option<&Value>) -> Option<String> {
    owner?["id"].as_str().map(str::to_owned)
}
