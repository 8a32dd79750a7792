//! Klaviyo: a profile for each lead that consented, a subscription where its person never had one, and an event that
//! keeps the enquiry.
//!
//! Subscribing somebody takes away what made them unreachable, so it is asked first who left, bounced or complained:
//! nobody of those is ever subscribed again. A lead without consent is skipped before it comes here, and refused if it
//! comes.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::prelude::*;
use config::{Config, Credentials};

const NAME: &str = "klaviyo";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// The tightest of the three limits that a push meets is 10 calls a second, 150 a minute, and every third call counts.
const CALLS: u32 = 20;
const CALLS_PER: Duration = Duration::from_secs(3);

/// The connector `klaviyo`.
#[derive(Debug)]
pub(super) struct Klaviyo;

impl TypedConnector for Klaviyo {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a Klaviyo profile, subscribes who is new and consented, and records the enquiry as an event",
        config::own_mapping,
    )
    .found_by("email")
    .for_consent();

    fn problems(&self, _config: &Config, given: &Given<'_>) -> Vec<Problem> {
        self.mapping(given.mapping).as_ref().map(config::unwritable).unwrap_or_default()
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Compiled {
            base: setup.common.base_or(config::BASE).map_err(crm::unrenderable)?,
            key: setup.credentials.api_key.0,
            settings: setup.config,
            mapping: setup.mapping,
            source: setup.brand.to_owned(),
        }))
    }
}

/// An account that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    base: Url,
    key: Option<SecretString>,
    settings: Config,
    mapping: Mapping,
    /// What Klaviyo shows as the source of a subscription.
    source: String,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        push::plan(&self.mapping, &self.settings, push).map(|plan| Some(crm::kept(plan)))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.key, "api_key")?;
        crm::consented(NAME, push)?;
        self.bring(push, crm::rendered(push, ctx)?, ctx).await
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["profile"], things, |_, id| Some(format!("https://www.klaviyo.com/profile/{id}")))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS, per: CALLS_PER })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.key, "api_key")?;
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        self.request(Method::GET, path).query(query)
    }

    fn post(&self, path: &[&str], data: Json) -> Request {
        let mut request = self.request(Method::POST, path);
        request.body = Json::object([("data", data)]).to_bytes();
        request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.api+json"))
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let key = self.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
        Request::at(method, &self.base, ["api"].iter().chain(path))
            .header(header::ACCEPT, HeaderValue::from_static("application/vnd.api+json"))
            .header(HeaderName::from_static("revision"), self.settings.revision.0.clone())
            .secret_header(header::AUTHORIZATION, &format!("Klaviyo-API-Key {key}"))
    }
}
