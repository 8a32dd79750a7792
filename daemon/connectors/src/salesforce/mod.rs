//! Salesforce: a Lead, found by email among those that are not converted yet, or made.

mod config;
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
use url::Url;

use super::{
    Abilities, Answer, Conversation, Given, Ids, Manifest, Prepared, Problem, Push, Record, Request,
    Response, Result, SITE, Setup, Token, TypedConnector,
    config::{Common, no_credentials},
    crm, named_as, oauth,
    vendor::Vendor,
};
use config::{Config, Credentials, Duplicates};
use leadline_domain::{
    address::EgressPolicy, integration::ProbeKind, json::Json, mapping::Mapping, outcome::Failure,
};
use login::Login;
use plan::Plan;

/// The connector `salesforce`.
#[derive(Debug)]
pub(super) struct Salesforce;

const NAME: &str = "salesforce";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const LOGIN_URL: &str = "https://login.salesforce.com";
/// What is kept in the place of a Task where another text tells the enquiry.
const DESCRIBED: &str = "described";
/// So many of a Lead's newest Tasks are looked through; fewer, where they are too long to be read together.
const NEWEST: [&str; 2] = ["20", "1"];
/// Whether assignment rules give a Lead an owner; without it they do, on updates too.
const AUTO_ASSIGN: HeaderName = HeaderName::from_static("sforce-auto-assign");
/// So often a write is repeated with texts cut, as each refusal may name one field alone.
const CUTS_MAX: usize = 8;

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    own_mapping: config::own_mapping,
    email_target: Some("Email"),
    tells_new: true,
    ..Manifest::new::<Salesforce>(NAME, "Creates or updates a Salesforce Lead, found by email")
};

impl TypedConnector for Salesforce {
    type Config = Config;
    type Credentials = Credentials;

    fn describe(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Config, given: &Given<'_>) -> Vec<Problem> {
        let refused = login_url(config, given.common)
            .and_then(|url| given.egress.check(&url).map_err(|problem| Problem::of("login_url", problem)));
        Vec::from_iter(refused.err())
    }

    fn credential_problems(&self, credentials: &Credentials, _egress: &EgressPolicy) -> Vec<Problem> {
        Vec::from_iter(Login::of(credentials).err())
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Ready {
            base: setup.common.base().cloned(),
            login_url: login_url(&setup.config, &setup.common).map_err(crm::unrenderable)?,
            config: setup.config,
            mapping: setup.mapping,
            login: Login::of(&setup.credentials).ok(),
        }))
    }
}

fn login_url(config: &Config, common: &Common) -> Result<Url, Problem> {
    match &config.login_url {
        Some(url) => Ok(url.0.clone()),
        None => common.base_or(LOGIN_URL),
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    /// Where to call, if not where the login says.
    base: Option<Url>,
    login_url: Url,
    config: Config,
    mapping: Mapping,
    login: Option<Login>,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        Plan::make(&self.mapping, &self.config, push).map(|plan| Some(plan.bytes()))
    }

    fn abilities(&self) -> Abilities {
        Abilities::RECORDS_FOR_PEOPLE
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let plan = Plan::read(push)?;
        self.is_ready()?;
        ctx.lock_person(&plan.email).await;
        self.bring(push, &plan, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.login.as_ref().map(|_| self as &dyn super::Login)
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

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        self.is_ready()?;
        probe::look(self, kind, ctx).await
    }
}

impl super::Login for Ready {
    fn request(&self, now: i64, refresh: Option<&SecretString>) -> Result<Request> {
        let login = self.login.as_ref().ok_or_else(|| no_credentials("client_id"))?;
        let audience = self.config.audience.clone().unwrap_or_else(|| login::audience(&self.login_url));
        login.request(&self.login_url, &audience, now, refresh)
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.as_ref()?.refresh_token()
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token> {
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
    fn is_ready(&self) -> Result<()> {
        if self.login.is_some() { Ok(()) } else { Err(no_credentials("client_id")) }
    }

    fn external(&self) -> Option<&str> {
        self.config.external_id_field.as_ref().map(|field| field.0.as_str())
    }

    fn create(&self, plan: &Plan, external: Option<&str>) -> Request {
        let request = match external {
            Some(field) => self.object(Method::PATCH, &["Lead", field, &plan.lead]),
            None => self.object(Method::POST, &["Lead"]),
        };
        match &self.config.assignment_rule {
            Some(rule) => request.header(AUTO_ASSIGN, rule.0.clone()),
            // The active rule would give the Lead to another.
            None if plan.create.get("OwnerId").is_some() => {
                request.header(AUTO_ASSIGN, HeaderValue::from_static("FALSE"))
            }
            None => request,
        }
    }

    fn write(&self, request: Request, fields: &Json) -> Request {
        let request = request.json(fields.to_bytes());
        if self.config.duplicates == Duplicates::Respect {
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
            ["services", "data", &self.config.api_version.0].iter().chain(path).copied().collect();
        Request::at(method, &self.login_url, &path)
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
