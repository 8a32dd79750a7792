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
use serde_json::{Value, json};
use url::Url;

use super::{
    Answer, ConfigField, Connector, Conversation, Found, Manifest, Prepared, Push, Request, Response, Token,
    config, crm, oauth,
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
        "respect",
        "respect your duplicate rules, or save in spite of those that only warn",
    ),
    ConfigField::optional(
        "opt_out",
        "text",
        "no",
        "without_consent sets HasOptedOutOfEmail on new Leads that gave no consent",
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
        Ok(Self {
            audience: text("audience").map_or_else(|| login::audience(&login_url), str::to_owned),
            login_url,
            version,
            external,
            source: text("lead_source").unwrap_or("Web").to_owned(),
            saves_duplicates: choice("duplicates", "respect", "save")?,
            opts_out: choice("opt_out", "no", "without_consent")?,
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
    fn request(&self, now: i64) -> Result<Request, Failure> {
        let login = self.login.as_ref().ok_or_else(|| config::no_credentials("client_id"))?;
        login.request(&self.settings.login_url, &self.settings.audience, now)
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

    async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let done = format!("lead.{}", push.id);
        if ctx.id(&done).is_some() {
            return Ok(());
        }
        if let Some(id) = ctx.id("lead")
            && self.updated(ctx, plan, &id).await?
        {
            return Ok(());
        }
        // Whatever an earlier attempt made is found here too: queries see what was written at once.
        let found = self.records(ctx, &by_email(&plan.email)).await?;
        if let Some(id) = found["records"][0]["Id"].as_str()
            && self.updated(ctx, plan, id).await?
        {
            ctx.keep(&[("lead", id), (&done, id)]).await;
            return Ok(());
        }
        let made = self.written(ctx, &plan.create, || self.create(plan)).await?;
        if !made.is_good() {
            return Err(error::failure(&made, ctx.now));
        }
        match made.json().as_ref().and_then(|body| id_of(&body["id"])) {
            Some(id) => ctx.keep(&[("lead", &id), (&done, &id)]).await,
            // Where it was there already, by its external id, older versions say nothing more.
            None if made.status == 204 => {}
            None => return Err(unreadable(NAME, &made, "id")),
        }
        Ok(())
    }

    /// Writes the lead to a Lead that is there; false if it is gone.
    async fn updated(&self, ctx: &mut Conversation<'_>, plan: &Plan, id: &str) -> Result<bool, Failure> {
        let object = || self.object(Method::PATCH, &["Lead", id]);
        let answer = self.written(ctx, &plan.update, object).await?;
        if answer.is_good() {
            return Ok(true);
        }
        if answer.status == 404 || error::is_deleted(&answer) {
            return Ok(false);
        }
        Err(error::failure(&answer, ctx.now))
    }

    async fn records(&self, ctx: &mut Conversation<'_>, soql: &str) -> Result<Value, Failure> {
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
        match &self.settings.external {
            Some(field) => self.object(Method::PATCH, &["Lead", field, &plan.lead]),
            None => self.object(Method::POST, &["Lead"]),
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

/// A Lead that was converted is a customer by now and takes no changes.
fn by_email(email: &str) -> String {
    format!(
        "SELECT Id FROM Lead WHERE Email = '{}' AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 2",
        quoted(email)
    )
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
