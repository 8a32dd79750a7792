//! Salesforce: a Lead, found by email among those that are not converted yet, or made.

mod error;
mod login;
mod plan;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::{
    Answer, ConfigField, Connector, Conversation, Found, Ids, Manifest, Prepared, Push, Record, Request,
    Response, SITE, Token, config, crm, named_as, oauth, vendor::Vendor,
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::Failure,
};
use login::Login;
use plan::Plan;

/// The connector `salesforce`.
#[derive(Debug)]
pub(super) struct Salesforce;

const NAME: &str = "salesforce";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const LOGIN_URL: &str = "https://login.salesforce.com";
const API_VERSION: &str = "v62.0";
/// What new organizations call a Lead that came to nothing.
const CLOSED: &str = "Closed - Not Converted, Unqualified";
/// What is kept in the place of a Task where another text tells the enquiry.
const DESCRIBED: &str = "described";
/// So many of a Lead's newest Tasks are looked through; fewer, where they are too long to be read together.
const NEWEST: [&str; 2] = ["20", "1"];
/// Whether assignment rules give a Lead an owner; without it they do, on updates too.
const AUTO_ASSIGN: HeaderName = HeaderName::from_static("sforce-auto-assign");
/// So often a write is repeated with texts cut, as each refusal may name one field alone.
const CUTS_MAX: usize = 8;

const FIELDS: &[ConfigField] = &[
    ConfigField::optional(
        "login_url",
        "text",
        LOGIN_URL,
        "Where to log in: your My Domain, https://NAME.my.salesforce.com; client_id and client_secret alone work only there",
    ),
    ConfigField::optional(
        "audience",
        "text",
        "",
        "Whom a private key's login is for; absent for login or test.salesforce.com, by login_url",
    ),
    ConfigField::optional("api_version", "text", API_VERSION, "The version of the REST API"),
    ConfigField::optional(
        "external_id_field",
        "text",
        "",
        "A unique external id field of Lead that takes the lead's uuid, as Lead_Ref__c; absent for none",
    ),
    ConfigField::optional("lead_source", "text", "Web", "The LeadSource of new Leads"),
    ConfigField::optional(
        "duplicates",
        "text",
        "save",
        "save in spite of duplicate rules that only warn, or respect those too; rules that block always do",
    ),
    ConfigField::optional(
        "opt_out",
        "text",
        "no",
        "without_consent sets HasOptedOutOfEmail on new Leads that gave no consent",
    ),
    ConfigField::optional(
        "assignment_rule",
        "text",
        "",
        "The id of the assignment rule for new Leads, or none; absent for the active rule. An update never changes the owner",
    ),
    ConfigField::optional(
        "tasks",
        "text",
        "yes",
        "Whether the enquiry of somebody who has a Lead already is kept as a Task on it: yes or no",
    ),
    ConfigField::optional(
        "closed_statuses",
        "text",
        CLOSED,
        "Which values of Status mean that a Lead is closed, with commas between them",
    ),
    ConfigField::optional(
        "reopen_status",
        "text",
        "",
        "The Status that a closed Lead gets by a new enquiry; absent to leave it closed and say so in the Task",
    ),
];

const CREDENTIALS: &[ConfigField] = &[
    ConfigField::required("client_id", "text", "The consumer key of the external client app"),
    ConfigField::optional(
        "client_secret",
        "text",
        "",
        "Its consumer secret: alone for the client credentials flow, or with refresh_token",
    ),
    ConfigField::optional("refresh_token", "text", "", "A refresh token that a user's approval gave"),
    ConfigField::optional(
        "private_key",
        "text",
        "",
        "With username: the RSA key in PEM whose certificate the app has",
    ),
    ConfigField::optional("username", "text", "", "The user that the private key logs in"),
];

fn own_mapping() -> Value {
    json!({
        "lead.profile.first_name": "FirstName",
        "lead.profile.last_name": "LastName",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.profile.company": "Company",
    })
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
struct Settings {
    login_url: Url,
    audience: String,
    version: String,
    external: Option<String>,
    source: String,
    saves_duplicates: bool,
    opts_out: bool,
    /// The header's value for new Leads; none for the active rule.
    assignment: Option<HeaderValue>,
    tasks: bool,
    closed: Vec<String>,
    reopen: Option<String>,
}

impl Settings {
    fn read(config: &Value) -> Result<Self, String> {
        let text = |key: &str| config::text(config, key).map(str::trim);
        let choice = |key: &str, own: &str, other: &str| match text(key) {
            None => Ok(false),
            Some(word) if word == own => Ok(false),
            Some(word) if word == other => Ok(true),
            Some(word) => Err(format!("{key} must be {own} or {other}, not {word}")),
        };
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let external = text("external_id_field").map(str::to_owned);
        if external.as_deref().is_some_and(|name| !is_name(name)) {
            return Err("external_id_field must be a field's API name, as Lead_Ref__c".to_owned());
        }
        let version = text("api_version").unwrap_or(API_VERSION).to_owned();
        if version.strip_prefix('v').is_none_or(|number| number.parse::<f32>().is_err()) {
            return Err("api_version must be like v62.0".to_owned());
        }
        let login_url = login::url(config)?;
        let assignment = match text("assignment_rule") {
            None => None,
            Some("none") => Some(HeaderValue::from_static("FALSE")),
            Some(rule) if rule.starts_with("01Q") && is_name(rule) => HeaderValue::try_from(rule).ok(),
            Some(_) => return Err("assignment_rule must be a rule's id, as 01Q…, or none".to_owned()),
        };
        let closed = text("closed_statuses").unwrap_or(CLOSED).split(',').map(|it| it.trim().to_owned());
        Ok(Self {
            audience: text("audience").map_or_else(|| login::audience(&login_url), str::to_owned),
            login_url,
            version,
            external,
            source: text("lead_source").unwrap_or("Web").to_owned(),
            saves_duplicates: !choice("duplicates", "save", "respect")?,
            opts_out: choice("opt_out", "no", "without_consent")?,
            assignment,
            tasks: !choice("tasks", "yes", "no")?,
            closed: closed.filter(|status| !status.is_empty()).collect(),
            reopen: text("reopen_status").map(str::to_owned),
        })
    }
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    ..Manifest::new(NAME, "Creates or updates a Salesforce Lead, found by email", FIELDS, CREDENTIALS)
};

impl Connector for Salesforce {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let settings = Settings::read(config).and_then(|settings| {
            egress.check(&settings.login_url).map_err(|problem| format!("login_url: {problem}"))
        });
        let mut problems = Vec::from_iter(settings.err());
        let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping));
        problems.extend(crm::problems_by_email(mapping, "Email"));
        problems
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        Vec::from_iter(Login::of(credentials).err())
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        let mapping = crm::overlay(&own_mapping(), &integration.mapping);
        Ok(Box::new(Ready {
            base: config::base_url(config).map_err(crm::unrenderable)?,
            settings: Settings::read(config).map_err(crm::unrenderable)?,
            mapping: Mapping::parse(&mapping).map_err(|problems| crm::unrenderable(problems.join("; ")))?,
            login: Login::of(&integration.credentials).ok(),
        }))
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    /// Where to call, if not where the login says.
    base: Option<Url>,
    settings: Settings,
    mapping: Mapping,
    login: Option<Login>,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        Plan::make(&self.mapping, &self.settings, push).map(|plan| Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let plan = Plan::read(push)?;
        self.is_ready()?;
        ctx.lock_person(&plan.email).await;
        self.bring(push, &plan, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.login.as_ref().map(|_| self as &dyn super::Login)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let mut things = things.clone();
        things.retain(|kind, id| kind != "task" || id != DESCRIBED);
        let site = things.get(SITE).cloned();
        named_as(&["lead", "task"], &things, |kind, id| {
            let object = if kind == "lead" { "Lead" } else { "Task" };
            Some(format!("{}/lightning/r/{object}/{id}/view", site.as_ref()?.trim_end_matches('/')))
        })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.is_ready()?;
        probe::look(self, kind, ctx, found).await
    }
}

impl super::Login for Ready {
    fn request(&self, now: i64, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        let login = self.login.as_ref().ok_or_else(|| config::no_credentials("client_id"))?;
        login.request(&self.settings.login_url, &self.settings.audience, now, refresh)
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.as_ref()?.refresh_token()
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        let mut token = oauth::token(NAME, answer, "instance_url", now)?;
        if let Some(base) = &self.base {
            token.base = Some(base.clone());
        }
        Ok(token)
    }

    fn refuses(&self, response: &Response) -> bool {
        error::is_session_over(response)
    }
}

impl Ready {
    fn is_ready(&self) -> Result<(), Failure> {
        if self.login.is_some() { Ok(()) } else { Err(config::no_credentials("client_id")) }
    }

    fn create(&self, plan: &Plan) -> Request {
        let request = match &self.settings.external {
            Some(field) => self.object(Method::PATCH, &["Lead", field, &plan.lead]),
            None => self.object(Method::POST, &["Lead"]),
        };
        match &self.settings.assignment {
            Some(rule) => request.header(AUTO_ASSIGN, rule.clone()),
            None => request,
        }
    }

    fn write(&self, request: Request, fields: &Json) -> Request {
        let request = request.json(fields.to_bytes());
        if !self.settings.saves_duplicates {
            return request;
        }
        let name = HeaderName::from_static("sforce-duplicate-rule-header");
        request.header(name, HeaderValue::from_static("allowSave=true"))
    }

    fn query(&self, soql: &str) -> Request {
        self.request(Method::GET, &["query"]).query(&[("q", soql)])
    }

    fn object(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["sobjects"].iter().chain(path).copied().collect();
        self.request(method, &path)
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> =
            ["services", "data", &self.settings.version].iter().chain(path).copied().collect();
        Request::at(method, &self.settings.login_url, &path)
    }
}

/// Text that is safe within the quotes of a query.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '\'' | '\\' | '"') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}
