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

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::prelude::*;
use config::{Config, Credentials};

const NAME: &str = "activecampaign";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// An account takes five calls in a second, all programs together; one is left to them.
const CALLS: u32 = 4;

/// The connector `activecampaign`.
#[derive(Debug)]
pub(super) struct ActiveCampaign;

impl TypedConnector for ActiveCampaign {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates an ActiveCampaign contact, puts who is new and consented into a list, and notes the enquiry",
        config::own_mapping,
    )
    .found_by("email")
    .for_consent();

    /// Every key of an account shares its quota.
    fn quota(&self, config: &Config, common: &Common, _credentials: &Value) -> String {
        let own = config.api_url.0.as_ref().map(|url| &url.0);
        common.base().or(own).map_or("", Url::as_str).to_owned()
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let own = setup.config.api_url.0.map(|url| url.0);
        let url = setup.common.base().cloned().or(own);
        Ok(Box::new(Compiled {
            url: url.ok_or_else(|| crm::unrenderable("api_url is required"))?,
            list: setup.config.list_id.0,
            tags: setup.config.tags.0,
            tag_numbers: Mutex::default(),
            token: setup.credentials.api_token.0,
            mapping: setup.mapping,
        }))
    }
}

/// An account that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    url: Url,
    list: String,
    tags: Vec<String>,
    /// The numbers of tags by their names, as far as they were looked up; all are forgotten when one is refused.
    tag_numbers: Mutex<BTreeMap<String, String>>,
    token: Option<SecretString>,
    mapping: Mapping,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        push::plan(&self.mapping, push).map(|plan| Some(crm::kept(plan)))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.token, "api_token")?;
        crm::consented(NAME, push)?;
        self.bring(push, &crm::rendered(push, ctx)?, ctx).await
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let host = self.url.host_str().unwrap_or_default();
        let account = host.strip_suffix(".api-us1.com");
        named_as(&["contact", "note"], things, |kind, id| {
            let account = account.filter(|_| kind == "contact")?;
            Some(format!("https://{account}.activehosted.com/app/contacts/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS, per: Duration::from_secs(1) })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.token, "api_token")?;
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    fn tag_numbers(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.tag_numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        self.request(Method::GET, path).query(query)
    }

    /// A call whose body is one thing under its name: `{"note": {…}}`.
    fn post(&self, path: &[&str], name: &str, thing: Json) -> Request {
        self.request(Method::POST, path).json(Json::object([(name, thing)]).to_bytes())
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let token = self.token.as_ref().map(|token| token.expose_secret()).unwrap_or_default();
        Request::at(method, &self.url, ["api", "3"].iter().chain(path))
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .secret_header(HeaderName::from_static("api-token"), token)
    }
}
