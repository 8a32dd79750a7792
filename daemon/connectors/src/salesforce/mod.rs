//! Salesforce: a Lead, found by email among those that are not converted yet, or made.

mod config;
mod error;
mod login;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::leads::{Enquiry, LeadPlan};
use crate::prelude::*;
use config::{Config, Credentials, Duplicates, NAMES, OptOut};
use login::Login;

/// The connector `salesforce`.
#[derive(Debug)]
pub(super) struct Salesforce;

const NAME: &str = "salesforce";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const LOGIN_URL: &str = "https://login.salesforce.com";
/// So many of a Lead's newest Tasks are looked through.
const TASKS: usize = 20;
/// Whether assignment rules give a Lead an owner; without it they do, on updates too and on what is put on a Lead.
const AUTO_ASSIGN: HeaderName = HeaderName::from_static("sforce-auto-assign");
/// The longest text that tells a lead, in bytes: it is within what a Description takes, and is read back on a repeat.
const DESCRIPTION_MAX: usize = 32_000;

impl TypedConnector for Salesforce {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a Salesforce Lead, found by email",
        config::own_mapping,
    )
    .found_by("Email");

    fn credential_problems(&self, credentials: &Credentials, _egress: &EgressPolicy) -> Vec<Problem> {
        Vec::from_iter(Login::of(credentials).err())
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let login_url = setup.common.or(setup.config.login_url.as_ref(), LOGIN_URL);
        Ok(Box::new(Compiled {
            base: setup.common.base().cloned(),
            login_url: login_url.map_err(crm::unrenderable)?,
            config: setup.config,
            mapping: setup.mapping,
            login: Login::of(&setup.credentials).ok(),
        }))
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    /// Where to call, if not where the login says.
    base: Option<Url>,
    login_url: Url,
    config: Config,
    mapping: Mapping,
    login: Option<Login>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        let (event, config) = (crm::event(push)?, &self.config);
        let mut plan = LeadPlan::make(NAMES, &self.mapping, push)?;
        let told = crm::plain(&event, push, |text| text.len() <= DESCRIPTION_MAX);
        plan.add("Description", NAMES.limited("Description", &Json::string(&told)));
        // A Lead needs a company: somebody who has none stands for one.
        let name = event.at("lead.name").map(crm::text).unwrap_or_default();
        let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or(&plan.email).to_owned();
        plan.add("Company", NAMES.limited("Company", &Json::string(&name)));
        plan.add("LeadSource", NAMES.limited("LeadSource", &Json::string(&config.lead_source)));
        let is_refused = event.at("lead.gdpr_consent") == Some(&Json::Bool(false));
        if config.opt_out == OptOut::WithoutConsent && is_refused {
            plan.create.insert(usize::MAX, "HasOptedOutOfEmail", Json::Bool(true));
        }
        // What is the key in the URL must not be in the body.
        if let Some(field) = self.external() {
            plan.create.take_at(field);
            plan.update.take_at(field);
        }
        Ok(Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "client_id")?;
        let may_join = self.config.campaign_id.is_some() && ctx.may_join(push, "lead", None).await;
        Enquiry { crm: self, push, plan: LeadPlan::read(push, ctx)? }.bring(ctx).await?;
        if may_join { self.join_campaign(ctx).await } else { Ok(()) }
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.login.as_ref().map(|_| self as &dyn super::Login)
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["lead", "task"], things, |kind, id| {
            let object = if kind == "lead" { "Lead" } else { "Task" };
            Some(format!("{}/lightning/r/{object}/{id}/view", things.get(SITE)?.trim_end_matches('/')))
        })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "client_id")?;
        probe::look(self, kind, ctx).await
    }
}

impl super::Login for Compiled {
    fn request(&self, now: Moment, refresh: Option<&SecretString>) -> Result<Request> {
        let login = needed(&self.login, "client_id")?;
        let audience = self.config.audience.clone().unwrap_or_else(|| login::audience(&self.login_url));
        login.request(&self.login_url, &audience, now, refresh)
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.as_ref()?.refresh_token()
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token> {
        let token = oauth::token(NAME, answer, "instance_url", now)?;
        Ok(Token { base: self.base.clone().or(token.base), ..token })
    }

    fn refuses(&self, response: &Response) -> bool {
        error::is_session_over(response)
    }
}

impl Compiled {
    fn external(&self) -> Option<&str> {
        self.config.external_id_field.as_ref().map(|field| field.0.as_str())
    }

    fn create_request(&self, plan: &LeadPlan, external: Option<&str>) -> Request {
        let request = match external {
            Some(field) => self.object(Method::PATCH, &["Lead", field, &plan.lead]),
            None => self.object(Method::POST, &["Lead"]),
        };
        match &self.config.assignment_rule {
            Some(rule) => request.header(AUTO_ASSIGN, rule.0.clone()),
            // The active rule would give the Lead to another.
            None if plan.create.get("OwnerId").is_some() => leaving_owner(request),
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

    /// A record that stands beside a Lead, which stays whose it is.
    fn beside(&self, object: &str, record: &Json) -> Request {
        leaving_owner(self.object(Method::POST, &[object])).json(record.to_bytes())
    }

    fn query(&self, soql: &str) -> Request {
        self.request(Method::GET, &["query"]).query(&[("q", soql)])
    }

    fn object(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["sobjects"].iter().chain(path).copied().collect();
        self.request(method, &path)
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let root = ["services", "data", &self.config.api_version.0];
        Request::at(method, &self.login_url, root.iter().chain(path))
    }
}

/// A write by which no assignment rule runs.
fn leaving_owner(request: Request) -> Request {
    request.header(AUTO_ASSIGN, HeaderValue::from_static("FALSE"))
}

/// Text that is safe within the quotes of a query.
fn quoted(text: &str) -> String {
    let escape = |character| matches!(character, '\'' | '\\' | '"').then_some('\\');
    let shown = text.chars().filter(|character| !character.is_control());
    shown.flat_map(|character| escape(character).into_iter().chain([character])).collect()
}
