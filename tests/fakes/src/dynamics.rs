//! Dynamics 365 Sales, as far as leads and their notes go: columns have types and lengths, a write without `If-Match` makes
//! what is not there, qualified leads are customers, and duplicates are detected when that is asked for.

mod account;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor, pairs},
};

/// The campaign that there is.
pub const CAMPAIGN: &str = "5fd3c9a0-0000-4000-8000-000000000001";
/// What the Lead Source of a lead may be.
const SOURCES: [(i64, &str); 10] = [
    (1, "Advertisement"),
    (2, "Employee Referral"),
    (3, "External Referral"),
    (4, "Partner"),
    (5, "Public Relations"),
    (6, "Seminar"),
    (7, "Trade Show"),
    (8, "Web"),
    (9, "Word of Mouth"),
    (10, "Other"),
];
/// So many users stand on a page.
const PAGE: usize = 5_000;

/// Somebody's lead.
#[derive(Clone, Debug, Default)]
pub struct Lead {
    pub fields: Map<String, Value>,
    pub owner: String,
    /// 0 open, 1 qualified, 2 disqualified.
    pub state: i64,
}

/// A text on a lead.
#[derive(Clone, Debug)]
pub struct Note {
    pub lead: String,
    pub subject: String,
    pub text: String,
}

/// An environment.
#[derive(Debug)]
pub struct Dynamics {
    pub tenant: String,
    /// Client id and secret.
    pub app: (String, String),
    pub tokens: BTreeSet<String>,
    pub logins: usize,
    /// What the last login asked a token for.
    pub scope: String,
    /// Name and type of each column of leads.
    pub columns: Vec<(String, &'static str)>,
    /// What choice columns offer: numbers, and what people read.
    pub choices: BTreeMap<String, Vec<(i64, &'static str)>>,
    pub required: BTreeSet<String>,
    /// Columns that the environment fills itself: values for them are taken no notice of.
    pub computed: BTreeSet<String>,
    pub lengths: BTreeMap<&'static str, usize>,
    /// The column that is an alternate key.
    pub key: String,
    pub leads: BTreeMap<String, Lead>,
    pub notes: BTreeMap<String, Note>,
    pub quota: Quota,
    /// How many users there are before the one who may own leads.
    pub colleagues: usize,
    next: u64,
}

impl Default for Dynamics {
    fn default() -> Self {
        let columns = [
            ("emailaddress1", "String"),
            ("firstname", "String"),
            ("lastname", "String"),
            ("telephone1", "String"),
            ("companyname", "String"),
            ("jobtitle", "String"),
            ("websiteurl", "String"),
            ("subject", "String"),
            ("description", "Memo"),
            ("leadsourcecode", "Picklist"),
            ("statecode", "State"),
            ("statuscode", "Status"),
            ("new_guests", "Integer"),
            ("new_event_date", "DateTime"),
            ("new_leadref", "String"),
            ("ownerid", "Owner"),
            ("ownerid@odata.bind", ""),
            ("campaignid@odata.bind", ""),
        ];
        Self {
            tenant: "0f1e2d3c-0000-4000-8000-000000000001".to_owned(),
            app: ("client-1".to_owned(), "secret-1".to_owned()),
            tokens: BTreeSet::new(),
            logins: 0,
            scope: String::new(),
            columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
            choices: BTreeMap::from([("leadsourcecode".to_owned(), SOURCES.to_vec())]),
            required: BTreeSet::new(),
            computed: BTreeSet::new(),
            lengths: BTreeMap::from([
                ("firstname", 50),
                ("lastname", 50),
                ("telephone1", 50),
                ("subject", 300),
            ]),
            key: "new_leadref".to_owned(),
            leads: BTreeMap::new(),
            notes: BTreeMap::new(),
            quota: Quota::new(6_000, std::time::Duration::from_secs(300)),
            colleagues: 0,
            next: 0,
        }
    }
}

impl Dynamics {
    fn log_in(&mut self, request: &Request) -> Reply {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let given = |key: &str| form.get(key).map_or("", String::as_str);
        let (id, secret) = &self.app;
        if !request.path.contains(&self.tenant) {
            let text = "AADSTS90002: Tenant not found. Check to make sure you have the correct tenant ID.";
            return Reply::json(400, &json!({"error": "invalid_request", "error_description": text}));
        }
        if given("grant_type") != "client_credentials"
            || given("client_id") != id
            || given("client_secret") != secret
        {
            let text = "AADSTS7000215: Invalid client secret provided.";
            return Reply::json(401, &json!({"error": "invalid_client", "error_description": text}));
        }
        self.logins += 1;
        given("scope").clone_into(&mut self.scope);
        let token = format!("eyJ0.token-{}", self.logins);
        self.tokens.insert(token.clone());
        Reply::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}),
        )
    }

    fn route(&mut self, request: &Request, route: &Route) -> Reply {
        let path = route.path.get(3).map(String::as_str).unwrap_or_default();
        let (set, key) =
            path.split_once('(').map_or((path, ""), |(set, key)| (set, key.trim_end_matches(')')));
        match (route.method.as_str(), set, key) {
            ("GET", "organizations", "") => Reply::json(200, &json!({"value": [{"name": "Innkept Ltd"}]})),
            ("GET", "EntityDefinitions", "") => {
                Reply::json(200, &json!({"value": [table(route.asked("$filter"))]}))
            }
            ("GET", "EntityDefinitions", _) => match route.path.get(5).map(String::as_str) {
                None => self.describe(),
                Some("Microsoft.Dynamics.CRM.PicklistAttributeMetadata") => self.offers(),
                Some(kind) => {
                    error(404, "0x8006088a", &format!("Resource not found for the segment '{kind}'."))
                }
            },
            ("GET", "campaigns", CAMPAIGN) => {
                Reply::json(200, &json!({"campaignid": CAMPAIGN, "name": "Wedding fair"}))
            }
            ("GET", "campaigns", key) => no_campaign(key),
            ("GET", "systemusers", _) => self.users(request, route),
            ("GET", "leads", "") => self.find(route.asked("$filter"), route.asked("$top")),
            ("GET", "leads", key) => match self.by_key(key).and_then(|id| Some((self.leads.get(&id)?, id))) {
                Some((lead, id)) => Reply::json(200, &shown(&id, lead)),
                None => missing(key),
            },
            ("POST", "leads", "") => self.create(request, &route.body),
            ("PATCH", "leads", key) => self.patch(request, key, &route.body),
            ("GET", "annotations", "") => self.notes_of(route.asked("$filter")),
            ("POST", "annotations", "") => self.note(&route.body),
            _ => error(404, "0x8006088a", &format!("Resource not found for the segment '{path}'.")),
        }
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("c4567bb6-47a3-e711-811b-{:012}", self.next)
    }

    fn describe(&self) -> Reply {
        let columns = self.columns.iter().filter(|(_, kind)| !kind.is_empty());
        let column = |(name, kind): &(String, &str)| {
            let level = if self.required.contains(name) { "ApplicationRequired" } else { "None" };
            let label = name.trim_start_matches("new_").replace('_', " ");
            let is_valid = !self.computed.contains(name);
            json!({"LogicalName": name, "DisplayName": {"UserLocalizedLabel": {"Label": label}}, "AttributeType": kind,
                "IsValidForCreate": is_valid, "IsValidForUpdate": is_valid, "RequiredLevel": {"Value": level}})
        };
        Reply::json(200, &json!({"value": columns.map(column).collect::<Vec<_>>()}))
    }

    /// The choices of every choice column; those of the lead source are shared by columns of other tables.
    fn offers(&self) -> Reply {
        let option = |(value, label): &(i64, &str)| json!({"Value": value, "Label": {"UserLocalizedLabel": {"Label": label}}});
        let column = |(name, choices): (&String, &Vec<(i64, &str)>)| {
            let options: Vec<Value> = choices.iter().map(option).collect();
            let (own, shared) = if name == "leadsourcecode" {
                ("GlobalOptionSet", "OptionSet")
            } else {
                ("OptionSet", "GlobalOptionSet")
            };
            json!({"LogicalName": name, own: {"Options": options}, shared: null})
        };
        Reply::json(200, &json!({"value": self.choices.iter().map(column).collect::<Vec<_>>()}))
    }

    /// A page of users; the link to the next one has the whole query in it, with a cookie.
    fn users(&self, request: &Request, route: &Route) -> Reply {
        let user = |id: usize, name: &str| json!({"systemuserid": id.to_string(), "fullname": name});
        let others = (0..self.colleagues).map(|n| user(1000 + n, "Ada"));
        let users: Vec<Value> = others.chain([user(41, "Sam")]).collect();
        let from = route.asked("$skiptoken").parse().unwrap_or(0);
        if route.asked("$filter") != "isdisabled eq false" {
            return error(400, "0x80060888", "Syntax error in '$filter'.");
        }
        let rest = users.get(from..).unwrap_or_default();
        let mut told = json!({"value": rest.iter().take(PAGE).collect::<Vec<_>>()});
        if rest.len() > PAGE {
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            let query = query.split("&$skiptoken=").next().unwrap_or_default();
            let link = format!("https://elsewhere.example{path}?{query}&$skiptoken={}", from + PAGE);
            told["@odata.nextLink"] = json!(link);
        }
        Reply::json(200, &told)
    }

    fn find(&self, filter: &str, top: &str) -> Reply {
        let wanted = filter
            .strip_prefix("emailaddress1 eq '")
            .and_then(|rest| rest.strip_suffix("' and statecode ne 1"));
        let Some(wanted) = wanted.map(|text| text.replace("''", "'").to_lowercase()) else {
            return error(400, "0x80060888", &format!("Syntax error in '{filter}'."));
        };
        let is_it =
            |lead: &Lead| lead.state != 1 && text(&lead.fields, "emailaddress1").to_lowercase() == wanted;
        let found: Vec<Value> = self
            .leads
            .iter()
            .rev()
            .filter(|(_, lead)| is_it(lead))
            .take(top.parse().unwrap_or(PAGE))
            .map(|(id, lead)| shown(id, lead))
            .collect();
        Reply::json(200, &json!({"value": found}))
    }

    fn create(&mut self, request: &Request, body: &Value) -> Reply {
        let mut fields = body.as_object().cloned().unwrap_or_default();
        if let Some(reply) = self.wrong(&fields) {
            return reply;
        }
        let email = text(&fields, "emailaddress1").to_lowercase();
        let is_detected = request.header("mscrm.suppressduplicatedetection") == Some("false");
        let is_double =
            self.leads.values().any(|lead| text(&lead.fields, "emailaddress1").to_lowercase() == email);
        if is_detected && is_double {
            let message = "A record was not created or updated because a duplicate of the current record already exists.";
            return error(412, "0x80040333", message);
        }
        fields.retain(|name, _| !self.computed.contains(name));
        let id = self.id();
        let owner = bound(&mut fields).unwrap_or_else(|| "app".to_owned());
        self.leads.insert(id.clone(), Lead { fields, owner, state: 0 });
        made("leads", "leadid", &id)
    }

    fn patch(&mut self, request: &Request, key: &str, body: &Value) -> Reply {
        let fields = body.as_object().cloned().unwrap_or_default();
        if let Some((column, value)) = key.split_once('=') {
            let value = value.trim_matches('\'').to_owned();
            if column != self.key || fields.contains_key(column) {
                return error(
                    400,
                    "0x80060891",
                    "A record with the specified key values does not exist in lead entity",
                );
            }
            if let Some(id) = self.by_key(key) {
                if request.header("if-none-match") == Some("*") {
                    return error(412, "0x80060882", "A record with matching key values already exists.");
                }
                return self.update(&id, fields);
            }
            let mut body = body.clone();
            body[column] = json!(value);
            return self.create(request, &body);
        }
        if self.leads.contains_key(key) {
            return self.update(key, fields);
        }
        if request.header("if-match") == Some("*") {
            return missing(key);
        }
        // What makes it dangerous: an update of what is gone brings it back.
        self.create(request, body)
    }

    /// The lead of an id, or of an alternate key: `new_leadref='…'`.
    fn by_key(&self, key: &str) -> Option<String> {
        let Some((column, value)) = key.split_once('=') else { return Some(key.to_owned()) };
        let is_it = |lead: &Lead| text(&lead.fields, column) == value.trim_matches('\'');
        self.leads.iter().find(|(_, lead)| is_it(lead)).map(|(id, _)| id.clone())
    }

    fn update(&mut self, id: &str, mut fields: Map<String, Value>) -> Reply {
        if let Some(reply) = self.wrong(&fields) {
            return reply;
        }
        fields.retain(|name, _| !self.computed.contains(name));
        let Some(lead) = self.leads.get_mut(id) else { return missing(id) };
        if let Some(state) = fields.remove("statecode").and_then(|state| state.as_i64()) {
            lead.state = state;
        }
        lead.owner = bound(&mut fields).unwrap_or_else(|| lead.owner.clone());
        lead.fields.extend(fields);
        Reply::json(200, &json!({"leadid": id}))
    }

    fn wrong(&self, fields: &Map<String, Value>) -> Option<Reply> {
        for (name, value) in fields {
            let fits = match self.columns.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind) {
                None => {
                    let message = format!(
                        "Error identified in Payload provided by the user for Entity :'leads', For more information on this error please follow this help link: An undeclared property '{name}' which only has property annotations in the payload"
                    );
                    return Some(error(400, "0x80048d19", &message));
                }
                Some("Integer" | "Picklist" | "State" | "Status") => value.is_number(),
                Some(_) => value.is_string(),
            };
            if !fits {
                let message =
                    format!("Cannot convert the literal '{value}' to the expected type of '{name}'.");
                return Some(error(400, "0x80048d19", &message));
            }
            if name == "campaignid@odata.bind" && *value != format!("/campaigns({CAMPAIGN})") {
                return Some(no_campaign(value.as_str().unwrap_or_default()));
            }
            let choices = self.choices.get(name).map_or(&[][..], Vec::as_slice);
            let is_choice = |choice: &(i64, &str)| value.as_i64() == Some(choice.0);
            if !choices.is_empty() && !choices.iter().any(is_choice) {
                let accepted: Vec<String> = choices.iter().map(|(choice, _)| choice.to_string()).collect();
                let accepted = accepted.join(",");
                let message = format!(
                    "A validation error occurred. The value {value} of '{name}' on record of type 'lead' is outside the valid range. Accepted Values: {accepted}"
                );
                return Some(error(400, "0x8004431a", &message));
            }
            let max = self.lengths.get(name.as_str()).copied().unwrap_or(100_000);
            if value.as_str().is_some_and(|text| text.encode_utf16().count() > max) {
                let message = format!(
                    "A validation error occurred. The length of the '{name}' attribute of the 'lead' entity exceeded the maximum allowed length of '{max}'."
                );
                return Some(error(400, "0x80044331", &message));
            }
        }
        None
    }

    fn notes_of(&self, filter: &str) -> Reply {
        let lead = filter.strip_prefix("_objectid_value eq ").unwrap_or_default();
        let notes = self.notes.iter().rev().filter(|(_, note)| note.lead == lead);
        let notes: Vec<Value> =
            notes.map(|(id, note)| json!({"annotationid": id, "notetext": note.text})).collect();
        Reply::json(200, &json!({"value": notes}))
    }

    fn note(&mut self, body: &Value) -> Reply {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let bind = text("objectid_lead@odata.bind");
        let lead = bind.trim_start_matches("/leads(").trim_end_matches(')').to_owned();
        if !self.leads.contains_key(&lead) {
            return missing(&lead);
        }
        let id = self.id();
        self.notes.insert(id.clone(), Note { lead, subject: text("subject"), text: text("notetext") });
        made("annotations", "annotationid", &id)
    }
}

impl Vendor for Dynamics {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.path.ends_with("/oauth2/v2.0/token") {
            return self.log_in(request);
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.contains(token)) {
            return Reply::status(401);
        }
        if !self.quota.admit(request.at) {
            return throttled(5);
        }
        self.route(request, &Route::of(request))
    }
}

/// What Dataverse says when a user asks too much of it.
#[must_use]
pub fn throttled(seconds: u64) -> Reply {
    let message = "Number of requests exceeded the limit of 6000 over time window of 300 seconds.";
    error(429, "0x80072322", message).header("Retry-After", &seconds.to_string())
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn shown(id: &str, lead: &Lead) -> Value {
    json!({"leadid": id, "statecode": lead.state, "statuscode": lead.state + 1})
}

/// The id of what is made stands in a header, too.
fn made(set: &str, key: &str, id: &str) -> Reply {
    let own = format!("https://oldbarn.crm.dynamics.com/api/data/v9.2/{set}({id})");
    Reply::json(201, &json!({key: id})).header("OData-EntityId", &own)
}

/// What a table is called in addresses: `LogicalName eq 'lead'`.
fn table(filter: &str) -> Value {
    let name = filter.trim_start_matches("LogicalName eq '").trim_end_matches('\'');
    json!({"LogicalName": name, "EntitySetName": format!("{name}s"), "PrimaryIdAttribute": format!("{name}id")})
}

fn no_campaign(key: &str) -> Reply {
    let id = key.trim_start_matches("/campaigns(").trim_end_matches(')');
    error(404, "0x80040217", &format!("campaign With Id = {id} Does Not Exist"))
}

fn missing(id: &str) -> Reply {
    error(404, "0x80040217", &format!("Entity 'Lead' With Id = {id} Does Not Exist"))
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": code, "message": message}}))
}

/// Whom fields bind as the owner.
fn bound(fields: &mut Map<String, Value>) -> Option<String> {
    let owner = fields.remove("ownerid@odata.bind")?;
    Some(owner.as_str()?.strip_prefix("/systemusers(")?.trim_end_matches(')').to_owned())
}
