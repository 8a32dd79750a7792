//! Zoho CRM: a Lead, found by address among those that are not converted yet, or made; and a note for each enquiry.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Answer, Connector, Conversation, Found, Ids, Login, Manifest, Pace, Prepared, Push, Record, Request,
    Response, SITE, Token, config as common, crm,
    leads::{self, Plan},
    named_as, oauth,
    vendor::Vendor,
};
use config::{App, Settings};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::Failure,
};

const NAME: &str = "zoho";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// The smallest edition takes five calls at once.
const CONNECTIONS: u32 = 5;

/// The connector `zoho`.
#[derive(Debug)]
pub(super) struct Zoho;

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    connections_max: Some(CONNECTIONS),
    ..Manifest::new(
        NAME,
        "Creates or updates a Zoho CRM Lead, found by email, and puts a note with the enquiry on it",
        config::FIELDS,
        config::CREDENTIALS,
    )
};

impl Connector for Zoho {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let settings = Settings::read(config).and_then(|settings| {
            egress.check(&settings.accounts).map_err(|problem| format!("accounts_url: {problem}"))
        });
        let mut problems = Vec::from_iter(settings.err());
        problems.extend(crm::problems_by_email(config::mapping(mapping), config::NAMES.email));
        problems
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        Ok(Box::new(Ready {
            base: common::base_url(config).map_err(crm::unrenderable)?,
            settings: Settings::read(config).map_err(crm::unrenderable)?,
            app: App::of(&integration.credentials),
            mapping: config::mapping(&integration.mapping)
                .map_err(|problems| crm::unrenderable(problems.join("; ")))?,
        }))
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    /// Where to call, if not where the login says.
    base: Option<url::Url>,
    settings: Settings,
    app: Option<App>,
    mapping: Mapping,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let mut plan = Plan::make(config::NAMES, &self.mapping, push)?;
        plan.add("Lead_Source", Json::string(&self.settings.source));
        Ok(Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.app()?;
        leads::bring(self, push, &Plan::read(push)?, ctx).await
    }

    fn login(&self) -> Option<&dyn Login> {
        self.app.as_ref().map(|_| self as &dyn Login)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let site = things.get(SITE).and_then(|site| site.strip_prefix("https://www.zohoapis."));
        named_as(&["lead", "note"], things, |kind, id| {
            let domain = site.filter(|_| kind == "lead")?.trim_end_matches('/');
            Some(format!("https://crm.zoho.{domain}/crm/tab/Leads/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CONNECTIONS, per: Duration::ZERO })
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
        self.app()?;
        probe::look(self, kind, ctx, found).await
    }
}

impl Login for Ready {
    fn request(&self, _now: i64, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        let (app, refresh) = (self.app()?, refresh.ok_or_else(|| common::no_credentials("refresh_token"))?);
        let request = Request::at(Method::POST, &self.settings.accounts, &["oauth", "v2", "token"]);
        Ok(request.secret_form(&[
            ("grant_type", "refresh_token"),
            ("client_id", app.client_id.expose_secret()),
            ("client_secret", app.client_secret.expose_secret()),
            ("refresh_token", refresh.expose_secret()),
        ]))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.app.as_ref().map(|app| &app.refresh_token)
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        if let Some(failure) = answer.as_ref().ok().and_then(error::login_failure) {
            return Err(failure);
        }
        let mut token = oauth::token(NAME, answer, "api_domain", now)?;
        if let Some(base) = &self.base {
            token.base = Some(base.clone());
        }
        Ok(token)
    }

    fn scheme(&self) -> &'static str {
        "Zoho-oauthtoken"
    }

    fn refuses(&self, response: &Response) -> bool {
        error::is_token_over(response)
    }
}

impl Ready {
    fn app(&self) -> Result<&App, Failure> {
        self.app.as_ref().ok_or_else(|| common::no_credentials("refresh_token"))
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        let request = self.request(Method::GET, path);
        if query.is_empty() { request } else { request.query(query) }
    }

    /// A call that writes one record, with more beside it.
    fn write(&self, method: Method, path: &[&str], record: Json, more: &[(&str, Json)]) -> Request {
        let mut body = Json::object([("data", Json::Array(vec![record]))]);
        for (key, value) in more {
            body.insert(usize::MAX, key, value.clone());
        }
        self.request(method, path).json(body.to_bytes())
    }

    /// The host is that of the login's answer.
    fn request(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["crm", config::VERSION].iter().chain(path).copied().collect();
        Request::at(method, &self.settings.accounts, &path)
    }
}
