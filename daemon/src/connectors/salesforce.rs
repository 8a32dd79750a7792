//! Salesforce: a Lead, found by email among those that are not converted yet, or made.

mod error;
mod login;
mod plan;
mod probe;
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
    Response, SITE, Token, config, crm, named_as, oauth,
    vendor::{Vendor, id_of, unreadable},
};
use crate::domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
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

    /// The Lead, once for each delivery; then, where it was there before, the Task that keeps this enquiry.
    async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let done = format!("lead.{}", push.id);
        let lead = match ctx.id(&done) {
            Some(lead) => lead,
            None => self.lead(push, plan, ctx).await?,
        };
        ctx.keep_site().await;
        ctx.keep(&[("lead", &lead), (&done, &lead)]).await;
        match &plan.task {
            Some(task) if ctx.id(&task_key(push)).is_none() => self.task(push, task, &lead, ctx).await,
            _ => Ok(()),
        }
    }

    async fn lead(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        ctx: &mut Conversation<'_>,
    ) -> Result<String, Failure> {
        if let Some(id) = ctx.id("lead")
            && let Some(there) = self.find(&format!("Id = '{}'", quoted(&id)), ctx).await?
            && self.updated(push, plan, &there, ctx).await?
        {
            return Ok(there.id);
        }
        // Whatever an earlier attempt made is found here too: queries see what was written at once.
        if let Some(there) = self.find(&format!("Email = '{}'", quoted(&plan.email)), ctx).await?
            && self.updated(push, plan, &there, ctx).await?
        {
            return Ok(there.id);
        }
        let made = self.written(ctx, &plan.create, || self.create(plan)).await?;
        if !made.is_good() {
            return Err(error::failure(&made, ctx.now));
        }
        let id = match made.json().as_ref().and_then(|body| id_of(&body["id"])) {
            Some(id) => id,
            // Where it was there already, by its external id, older versions say nothing more.
            None if made.status == 204 => self.by_external_id(plan, &made, ctx).await?,
            None => return Err(unreadable(NAME, &made, "id")),
        };
        // A new Lead's Description tells the enquiry.
        ctx.keep(&[(&task_key(push), DESCRIBED)]).await;
        Ok(id)
    }

    async fn by_external_id(
        &self,
        plan: &Plan,
        made: &Response,
        ctx: &mut Conversation<'_>,
    ) -> Result<String, Failure> {
        let field = self.settings.external.as_deref().unwrap_or("Id");
        let there = self.find(&format!("{field} = '{}'", quoted(&plan.lead)), ctx).await?;
        there.map(|there| there.id).ok_or_else(|| unreadable(NAME, made, "id"))
    }

    /// The newest Lead of these that is not converted: a converted one is a customer by now and takes no changes.
    async fn find(&self, which: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>, Failure> {
        let soql = format!(
            "SELECT Id, Status FROM Lead WHERE {which} AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 2"
        );
        let found = self.query_records(ctx, &soql).await?;
        let first = &found["records"][0];
        let status = first["Status"].as_str().unwrap_or_default().to_owned();
        Ok(first["Id"].as_str().map(|id| There { id: id.to_owned(), status }))
    }

    /// Writes the lead to a Lead that is there; false if it is gone.
    async fn updated(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        there: &There,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool, Failure> {
        let is_closed = self.settings.closed.iter().any(|closed| closed.eq_ignore_ascii_case(&there.status));
        let mut fields = plan.update.clone();
        match &self.settings.reopen {
            Some(status) if is_closed => fields.insert(usize::MAX, "Status", Json::string(status)),
            None if is_closed => ctx.keep(&[(&closed_key(push), &there.status)]).await,
            _ => {}
        }
        let object = || {
            let request = self.object(Method::PATCH, &["Lead", &there.id]);
            request.header(AUTO_ASSIGN, HeaderValue::from_static("FALSE"))
        };
        let answer = self.written(ctx, &fields, object).await?;
        if answer.is_good() {
            return Ok(true);
        }
        if answer.status == 404 || error::is_deleted(&answer) {
            return Ok(false);
        }
        Err(error::failure(&answer, ctx.now))
    }

    /// Keeps the enquiry on a Lead that was there before: what sales wrote to it stays as it is.
    async fn task(
        &self,
        push: &Push<'_>,
        task: &Json,
        lead: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<(), Failure> {
        let key = task_key(push);
        if push.is_repeat
            && let Some(found) = self.find_task(push, lead, ctx).await?
        {
            ctx.keep(&[(&key, &found)]).await;
            return Ok(());
        }
        let mut task = task.clone();
        task.insert(0, "WhoId", Json::string(lead));
        if let (Some(status), Some(told)) = (ctx.id(&closed_key(push)), task.get("Description")) {
            let told = format!("The Lead was closed before this enquiry: {status}\n{}", crm::text(told));
            task.insert(usize::MAX, "Description", Json::string(&crm::cut(&told, 32_000)));
        }
        let request = self.object(Method::POST, &["Task"]).json(task.to_bytes());
        let made = VENDOR.good(ctx, request).await?;
        let id = made.json().as_ref().and_then(|body| id_of(&body["id"]));
        let id = id.ok_or_else(|| unreadable(NAME, &made, "id"))?;
        ctx.keep(&[(&key, &id)]).await;
        Ok(())
    }

    /// The Task in which an earlier attempt kept this enquiry.
    async fn find_task(
        &self,
        push: &Push<'_>,
        lead: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<Option<String>, Failure> {
        for limit in NEWEST {
            let soql = format!(
                "SELECT Id, Description FROM Task WHERE WhoId = '{}' ORDER BY CreatedDate DESC LIMIT {limit}",
                quoted(lead)
            );
            let found = VENDOR.good(ctx, self.query(&soql)).await?;
            let tasks = found.json().unwrap_or_default();
            let is_ours =
                |task: &&Value| task["Description"].as_str().is_some_and(|told| push.is_told_by(told));
            let ours = tasks["records"].as_array().into_iter().flatten().find(is_ours);
            if let Some(id) = ours.and_then(|task| id_of(&task["Id"])) {
                return Ok(Some(id));
            }
            if !found.truncated {
                return Ok(None);
            }
            // Even one is longer than what is read of an answer: ours says at its beginning whose it is.
            if push.is_told_by(&String::from_utf8_lossy(&found.body)) {
                return Ok(Some(DESCRIBED.to_owned()));
            }
        }
        Ok(None)
    }

    async fn query_records(&self, ctx: &mut Conversation<'_>, soql: &str) -> Result<Value, Failure> {
        let answer = VENDOR.good(ctx, self.query(soql)).await?;
        answer.json().filter(|body| body["records"].is_array()).ok_or_else(|| {
            let failure = unreadable(NAME, &answer, "records");
            Failure { class: FailureClass::Transient, ..failure }
        })
    }

    /// The answer to a write. Texts that are too long for the organization's own fields are cut to what it takes.
    async fn written(
        &self,
        ctx: &mut Conversation<'_>,
        fields: &Json,
        request: impl Fn() -> Request,
    ) -> Result<Response, Failure> {
        let mut fields = fields.clone();
        for _ in 0..CUTS_MAX {
            let answer = ctx.send(self.write(request(), &fields)).await?;
            if !plan::cut(&mut fields, &error::too_long(&answer)) {
                return Ok(answer);
            }
        }
        ctx.send(self.write(request(), &fields)).await
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

/// A Lead that is there.
#[derive(Debug)]
struct There {
    id: String,
    status: String,
}

/// Under which the Task is kept that tells this enquiry, or that something else does.
fn task_key(push: &Push<'_>) -> String {
    format!("task.{}", push.id)
}

/// Under which the Status is kept of a Lead that was closed when this enquiry came.
fn closed_key(push: &Push<'_>) -> String {
    format!("closed.{}", push.id)
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
