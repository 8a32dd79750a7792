//! Salesforce: logins without an expiry, Leads that queries see at once, an external id, duplicate rules and quotas that
//! are told as 403.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Route, Vendor},
};

mod account;
mod campaigns;
mod fields;
mod login;

pub use campaigns::CAMPAIGN;

/// An organization.
#[derive(Debug)]
pub struct Salesforce {
    pub client: (String, String),
    /// Refresh tokens that are good.
    pub refresh_tokens: BTreeSet<String>,
    /// Users whom a key may log in.
    pub users: BTreeSet<String>,
    /// Sessions that are not over.
    pub sessions: BTreeSet<String>,
    pub logins: usize,
    pub leads: BTreeMap<String, Lead>,
    pub tasks: BTreeMap<String, Value>,
    /// What each Lead is in the campaign.
    pub members: BTreeMap<String, String>,
    /// The active assignment rule takes every Lead that is written without a word on it to this owner.
    pub assigns_to: &'static str,
    /// Names of the fields with their types.
    pub fields: BTreeMap<String, &'static str>,
    pub external_field: &'static str,
    /// Fields that an administrator requires.
    pub required: BTreeSet<String>,
    /// A second Lead of one address is refused, unless the call insists. The standard rule of new organizations.
    pub refuses_duplicates: bool,
    /// It is refused whoever insists.
    pub blocks_duplicates: bool,
    /// How many calls of the day are left.
    pub calls_left: usize,
    /// Where calls go after a login.
    pub instance_url: String,
    next: u64,
}

/// A record.
#[derive(Clone, Debug, Default)]
pub struct Lead {
    pub fields: BTreeMap<String, Value>,
    pub is_converted: bool,
    pub owner: String,
    modified: u64,
}

impl Default for Salesforce {
    fn default() -> Self {
        let texts = [
            "FirstName",
            "LastName",
            "Email",
            "Phone",
            "Company",
            "LeadSource",
            "Description",
            "Status",
            "Title",
            "Website",
        ];
        let mut fields: BTreeMap<String, &'static str> = texts.map(|name| (name.to_owned(), "string")).into();
        for (name, kind) in [
            ("Id", "id"),
            ("HasOptedOutOfEmail", "boolean"),
            ("Guests__c", "double"),
            ("Event_Date__c", "date"),
            ("Lead_Ref__c", "string"),
            ("Region__c", "string"),
            ("OwnerId", "reference"),
        ] {
            fields.insert(name.to_owned(), kind);
        }
        Self {
            client: ("client-1".to_owned(), "secret-1".to_owned()),
            refresh_tokens: ["refresh-1".to_owned()].into(),
            users: ["ada@oldbarn.example".to_owned()].into(),
            sessions: BTreeSet::new(),
            logins: 0,
            leads: BTreeMap::new(),
            tasks: BTreeMap::new(),
            members: BTreeMap::new(),
            assigns_to: "queue",
            fields,
            external_field: "Lead_Ref__c",
            required: ["LastName".to_owned(), "Company".to_owned()].into(),
            refuses_duplicates: true,
            blocks_duplicates: false,
            calls_left: 100_000,
            instance_url: String::new(),
            next: 0,
        }
    }
}

impl Vendor for Salesforce {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        let (method, path) = route.parts();
        if (method, path.as_slice()) == ("POST", &["services", "oauth2", "token"]) {
            return self.log_in(request);
        }
        let session = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !session.is_some_and(|session| self.sessions.contains(session)) {
            return error(401, "INVALID_SESSION_ID", "Session expired or invalid", &[]);
        }
        if self.calls_left == 0 {
            return over_limit();
        }
        self.calls_left -= 1;
        let insists = request.header("sforce-duplicate-rule-header") == Some("allowSave=true");
        let before: Vec<String> = self.leads.keys().cloned().collect();
        let reply = self.route(&route, insists);
        self.assign(&route, request.header("sforce-auto-assign"), &before);
        reply.header(
            "Sforce-Limit-Info",
            &format!("api-usage={}/100000", 100_000 - self.calls_left.min(100_000)),
        )
    }
}

impl Salesforce {
    /// A Lead that somebody made by hand.
    pub fn add_lead(&mut self, email: &str) -> String {
        let fields = BTreeMap::from([
            ("Email".to_owned(), json!(email)),
            ("LastName".to_owned(), json!("Known")),
            ("Company".to_owned(), json!("Known & Co")),
        ]);
        self.insert(fields)
    }

    /// Assignment rules run on whatever is written, unless the call forbids it: the default is yes for updates too, and for
    /// a record that is put on a Lead.
    fn assign(&mut self, route: &Route, header: Option<&str>, before: &[String]) {
        let (method, path) = route.parts();
        let touched = match (method, &path[..]) {
            ("PATCH", [.., "Lead", id]) => Some(*id),
            ("POST", [.., "Task"]) => route.body["WhoId"].as_str(),
            ("POST", [.., "CampaignMember"]) => route.body["LeadId"].as_str(),
            _ => None,
        };
        let owner = match header {
            Some("FALSE") => return,
            Some(rule) if rule != "TRUE" => rule.to_owned(),
            _ => self.assigns_to.to_owned(),
        };
        for (id, lead) in &mut self.leads {
            if !before.contains(id) || Some(id.as_str()) == touched {
                lead.owner = owner.clone();
            }
        }
    }

    fn insert(&mut self, mut fields: BTreeMap<String, Value>) -> String {
        self.next += 1;
        let id = format!("00Q{:012}", self.next);
        let owner = owner(&mut fields).unwrap_or_default();
        self.leads.insert(id.clone(), Lead { fields, owner, modified: self.next, ..Lead::default() });
        id
    }

    fn route(&mut self, route: &Route, insists: bool) -> Reply {
        let (method, path) = route.parts();
        // A slash at the end changes nothing.
        match (method, path.strip_suffix(&[""]).unwrap_or(&path)) {
            ("GET", ["services", "data", "v62.0", "query"]) => self.query(route.asked("q")),
            ("GET", ["services", "data", "v62.0", "sobjects", "Lead", "describe"]) => self.describe(),
            ("GET", ["services", "data", "v62.0", "sobjects", "Task"]) => Reply::json(
                200,
                &json!({ "objectDescribe": { "name": "Task", "createable": true }, "recentItems": [] }),
            ),
            ("POST", ["services", "data", "v62.0", "sobjects", "Task"]) => self.create_task(&route.body),
            ("POST", ["services", "data", "v62.0", "sobjects", "CampaignMember"]) => self.join(&route.body),
            ("POST", ["services", "data", "v62.0", "sobjects", "Lead"]) => self.create(&route.body, insists),
            ("GET", ["services", "data", "v62.0", "sobjects", "Lead", id]) => self.read(id),
            ("PATCH", ["services", "data", "v62.0", "sobjects", "Lead", id]) => self.update(id, &route.body),
            ("PATCH", ["services", "data", "v62.0", "sobjects", "Lead", field, value]) => {
                self.upsert(field, value, &route.body, insists)
            }
            _ => error(404, "NOT_FOUND", "The requested resource does not exist", &[]),
        }
    }

    fn query(&self, soql: &str) -> Reply {
        if soql.starts_with("SELECT Name, IsSandbox FROM Organization") {
            return records(&[json!({ "Name": "The Old Barn", "IsSandbox": true })]);
        }
        if let Some(rest) = soql.strip_prefix("SELECT Id, Description FROM Task WHERE WhoId = '") {
            return self.tasks_of(rest);
        }
        if let Some(id) = soql.strip_prefix("SELECT Id, Description FROM Lead WHERE Id = '") {
            let lead = self.leads.get(id.trim_end_matches('\''));
            let told = lead.map(|lead| json!({ "Id": id, "Description": lead.fields.get("Description") }));
            return records(told.as_slice());
        }
        if soql.starts_with("SELECT Id, Name FROM User WHERE IsActive = true AND Id IN (") {
            let sam = json!({ "Id": "005000000000041AAA", "Name": "Sam" });
            return records(if soql.contains("'005000000000041") { std::slice::from_ref(&sam) } else { &[] });
        }
        if soql.starts_with("SELECT Id, Name FROM Group WHERE Type = 'Queue' AND Id IN (") {
            return records(&[]);
        }
        if let Some(rule) =
            soql.strip_prefix("SELECT Id FROM AssignmentRule WHERE SobjectType = 'Lead' AND Id = '")
        {
            let own = json!({ "Id": "01Q000000000001AAA" });
            return records(if rule.starts_with("01Q000000000001") {
                std::slice::from_ref(&own)
            } else {
                &[]
            });
        }
        if let Some(id) = soql.strip_prefix("SELECT Label FROM CampaignMemberStatus WHERE CampaignId = '") {
            return Self::statuses_of(id.trim_end_matches('\''));
        }
        let wanted = soql
            .strip_prefix("SELECT Id, Status FROM Lead WHERE ")
            .and_then(|rest| {
                rest.split_once("' AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT ")
            })
            .and_then(|(rest, limit)| Some((rest.split_once(" = '")?, limit.parse().ok()?)))
            .and_then(|((field, value), limit)| Some((field, unquoted(value)?, limit)));
        let Some((field, wanted, limit)) = wanted else {
            return error(400, "MALFORMED_QUERY", "unexpected token", &[]);
        };
        let is_it = |id: &String, lead: &Lead| match field {
            "Id" => *id == wanted,
            "Email" => is_email(lead, &wanted),
            field => lead.fields.get(field).is_some_and(|own| *own == wanted),
        };
        let mut found: Vec<(&String, &Lead)> =
            self.leads.iter().filter(|(id, lead)| !lead.is_converted && is_it(id, lead)).collect();
        found.sort_by_key(|(_, lead)| std::cmp::Reverse(lead.modified));
        let found: Vec<Value> = found
            .into_iter()
            .take(limit)
            .map(|(id, lead)| {
                let status = lead.fields.get("Status").cloned().unwrap_or_else(|| json!("Open"));
                json!({ "attributes": attributes(id), "Id": id, "Status": status })
            })
            .collect();
        records(&found)
    }

    fn read(&self, id: &str) -> Reply {
        let Some(lead) = self.leads.get(id) else {
            return error(404, "NOT_FOUND", "The requested resource does not exist", &[]);
        };
        let mut told = json!({ "attributes": attributes(id), "Id": id });
        for (name, value) in &lead.fields {
            told[name] = value.clone();
        }
        Reply::json(200, &told)
    }

    fn create(&mut self, body: &Value, insists: bool) -> Reply {
        if let Some(reply) = self.wrong(body, true) {
            return reply;
        }
        let email = body["Email"].as_str().unwrap_or_default();
        let is_refused = self.blocks_duplicates || (self.refuses_duplicates && !insists);
        if is_refused && self.leads.values().any(|lead| is_email(lead, email)) {
            return duplicates_detected();
        }
        let id = self.insert(members(body));
        Reply::json(201, &json!({ "id": id, "success": true, "errors": [] }))
    }

    fn create_task(&mut self, body: &Value) -> Reply {
        let who = body["WhoId"].as_str().unwrap_or_default();
        match self.leads.get(who) {
            None => {
                return error(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &["WhoId"]);
            }
            Some(lead) if lead.is_converted => return converted(),
            Some(_) => {}
        }
        let known = ["WhoId", "Subject", "Description"];
        if let Some(name) = members(body).keys().find(|name| !known.contains(&name.as_str())) {
            return error(
                400,
                "INVALID_FIELD",
                &format!("No such column '{name}' on sobject of type Task"),
                &[],
            );
        }
        self.next += 1;
        let id = format!("00T{:012}", self.next);
        self.tasks.insert(id.clone(), body.clone());
        Reply::json(201, &json!({ "id": id, "success": true, "errors": [] }))
    }

    fn tasks_of(&self, rest: &str) -> Reply {
        let Some((who, limit)) = rest.split_once("' ORDER BY CreatedDate DESC LIMIT ") else {
            return error(400, "MALFORMED_QUERY", "unexpected token", &[]);
        };
        let of = self.tasks.iter().rev().filter(|(_, task)| task["WhoId"] == who);
        let task = |(id, task): (&String, &Value)| json!({ "Id": id, "Description": task["Description"] });
        let found: Vec<Value> = of.take(limit.parse().unwrap_or(1)).map(task).collect();
        records(&found)
    }

    fn update(&mut self, id: &str, body: &Value) -> Reply {
        if let Some(reply) = self.wrong(body, false) {
            return reply;
        }
        self.next += 1;
        let now = self.next;
        let Some(lead) = self.leads.get_mut(id) else {
            return error(404, "ENTITY_IS_DELETED", "entity is deleted", &[]);
        };
        if lead.is_converted {
            return converted();
        }
        let mut fields = members(body);
        lead.owner = owner(&mut fields).unwrap_or_else(|| lead.owner.clone());
        lead.fields.extend(fields);
        lead.modified = now;
        Reply::status(204)
    }

    fn upsert(&mut self, field: &str, value: &str, body: &Value, insists: bool) -> Reply {
        if field != self.external_field {
            let message = format!("Provided external ID field does not exist or is not accessible: {field}");
            return error(404, "NOT_FOUND", &message, &[]);
        }
        if body.get(field).is_some() || body.get("Id").is_some() {
            return error(
                400,
                "INVALID_FIELD",
                &format!("The {field} field should not be specified in the sobject data."),
                &[],
            );
        }
        let is_it = |lead: &Lead| lead.fields.get(field).is_some_and(|own| own == value);
        let found: Vec<String> =
            self.leads.iter().filter(|(_, lead)| is_it(lead)).map(|(id, _)| id.clone()).collect();
        match found.as_slice() {
            [] => {
                let mut body = body.clone();
                body[field] = json!(value);
                self.create(&body, insists)
            }
            [id] => {
                let reply = self.update(id, body);
                if self.leads.get(id).is_some_and(|lead| lead.is_converted) {
                    return reply;
                }
                Reply::json(200, &json!({ "id": id, "success": true, "errors": [], "created": false }))
            }
            many => {
                let urls: Vec<String> =
                    many.iter().map(|id| format!("/services/data/v62.0/sobjects/Lead/{id}")).collect();
                Reply::json(300, &json!(urls))
            }
        }
    }
}

/// A customer takes no changes, and nothing is put on what it was.
fn converted() -> Reply {
    error(400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", &[])
}

/// What Salesforce says of a duplicate, with the rule that found it.
#[must_use]
pub fn duplicates_detected() -> Reply {
    let message = "Use one of these records?";
    Reply::json(
        400,
        &json!([{ "errorCode": "DUPLICATES_DETECTED", "message": message,
        "duplicateResult": { "allowSave": true, "duplicateRule": "Standard_Lead_Duplicate_Rule",
            "duplicateRuleEntityType": "Lead", "errorMessage": message, "matchResults": [] } }]),
    )
}

/// What Salesforce says when the calls of the day are used up.
#[must_use]
pub fn over_limit() -> Reply {
    error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", &[])
}

/// What it says when somebody else is writing.
#[must_use]
pub fn locked_row() -> Reply {
    error(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", &[])
}

fn error(status: u16, code: &str, message: &str, fields: &[&str]) -> Reply {
    Reply::json(status, &json!([{ "message": message, "errorCode": code, "fields": fields }]))
}

/// Whom fields name as the owner.
fn owner(fields: &mut BTreeMap<String, Value>) -> Option<String> {
    fields.remove("OwnerId").and_then(|owner| owner.as_str().map(str::to_owned))
}

fn attributes(id: &str) -> Value {
    json!({ "type": "Lead", "url": format!("/services/data/v62.0/sobjects/Lead/{id}") })
}

fn records(records: &[Value]) -> Reply {
    Reply::json(200, &json!({ "totalSize": records.len(), "done": true, "records": records }))
}

fn members(body: &Value) -> BTreeMap<String, Value> {
    body.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_email(lead: &Lead, email: &str) -> bool {
    let own = lead.fields.get("Email").and_then(Value::as_str);
    !email.is_empty() && own.is_some_and(|own| own.to_lowercase() == email.to_lowercase())
}

/// The text of a quoted value; none if it ends before its end.
fn unquoted(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => return None,
            '\\' => out.push(characters.next()?),
            other => out.push(other),
        }
    }
    Some(out)
}
