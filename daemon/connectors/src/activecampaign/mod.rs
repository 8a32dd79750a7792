//! ActiveCampaign: a contact for each lead that consented, in one list, with tags, and a note for each enquiry.
//!
//! Putting somebody into a list subscribes them again who left it, so it is asked first how they stand there.
//! A lead without consent is skipped before it comes here, and refused if it comes.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record, Request, config as common,
    crm, named_as, vendor::Vendor,
};
use config::Settings;
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::Failure,
};

const NAME: &str = "activecampaign";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// An account takes five calls in a second, all programs together; one is left to them.
const CALLS: u32 = 4;

/// The connector `activecampaign`.
#[derive(Debug)]
pub(super) struct ActiveCampaign;

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    needs_consent: true,
    ..Manifest::new(
        NAME,
        "Creates or updates an ActiveCampaign contact, puts who is new and consented into a list, and notes the enquiry",
        config::FIELDS,
        config::CREDENTIALS,
    )
};

impl Connector for ActiveCampaign {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let settings = Settings::read(config).and_then(|settings| {
            egress.check(&settings.url).map_err(|problem| format!("api_url: {problem}"))
        });
        let mut problems = Vec::from_iter(settings.err());
        problems.extend(crm::problems_by_email(config::mapping(mapping), "email"));
        problems
    }

    /// Every key of an account shares its quota.
    fn account(&self, config: &Value, _credentials: &Value) -> String {
        format!("{} {}", config["base_url"], config["api_url"])
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let mut settings = Settings::read(&integration.config).map_err(crm::unrenderable)?;
        if let Some(base) = common::base_url(&integration.config).map_err(crm::unrenderable)? {
            settings.url = base;
        }
        Ok(Box::new(Ready {
            settings,
            token: common::credential(&integration.credentials, "api_token"),
            mapping: config::mapping(&integration.mapping)
                .map_err(|problems| crm::unrenderable(problems.join("; ")))?,
        }))
    }
}

/// An account that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    settings: Settings,
    token: Option<SecretString>,
    mapping: Mapping,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        push::plan(&self.mapping, push).map(|plan| Some(plan.to_bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.token()?;
        crm::consented(NAME, push)?;
        self.bring(push, &crm::rendered(push)?, ctx).await
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let host = self.settings.url.host_str().unwrap_or_default();
        let account = host.strip_suffix(".api-us1.com");
        named_as(&["contact", "note"], things, |kind, id| {
            let account = account.filter(|_| kind == "contact")?;
            Some(format!("https://{account}.activehosted.com/app/contacts/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS, per: Duration::from_secs(1) })
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
        self.token()?;
        probe::look(self, kind, ctx, found).await
    }
}

impl Ready {
    fn token(&self) -> Result<&SecretString, Failure> {
        self.token.as_ref().ok_or_else(|| common::no_credentials("api_token"))
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        let request = self.request(Method::GET, path);
        if query.is_empty() { request } else { request.query(query) }
    }

    /// A call whose body is one thing under its name: `{"note": {…}}`.
    fn post(&self, path: &[&str], name: &str, thing: Json) -> Request {
        self.request(Method::POST, path).json(Json::object([(name, thing)]).to_bytes())
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["api", "3"].iter().chain(path).copied().collect();
        let token = self.token.as_ref().map(|token| token.expose_secret()).unwrap_or_default();
        Request::at(method, &self.settings.url, &path)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .secret_header(HeaderName::from_static("api-token"), token)
    }
}
