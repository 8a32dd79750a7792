//! Brevo: a contact for each lead that consented, on the lists that are configured, and an event that keeps the enquiry.
//!
//! Nobody comes back who left: whether somebody is blocked is never said, and a list that a contact unsubscribed from is
//! not joined again. Brevo's notes take a hundred calls an hour, its events have ten a second of their own.

mod config;
mod error;
mod probe;
mod push;

use crate::prelude::*;
use config::{Config, Confirmation, Credentials};

const NAME: &str = "brevo";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const API: &str = "https://api.brevo.com";
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// The connector `brevo`.
#[derive(Debug)]
pub(super) struct Brevo;

impl TypedConnector for Brevo {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Adds each lead that consented to lists at Brevo, or brings its details up to date there",
        config::own_mapping,
    )
    .for_consent();

    /// The address is what people are found by, and no attribute.
    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        let mapping = crm::read_mapping(&config::own_mapping(), operators)?;
        if mapping.rules().iter().all(|rule| rule.to.as_deref() != Some("EMAIL")) {
            return Ok(mapping);
        }
        let problem = "EMAIL: is the lead's address, by which contacts are found; map nothing to it";
        Err(vec![Problem::at("mapping", problem)])
    }

    fn problems(&self, config: &Config, _given: &Given<'_>) -> Vec<Problem> {
        Confirmation::of(config).err().into_iter().collect()
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Compiled {
            base: setup.common.base_or(API).map_err(crm::unrenderable)?,
            confirmation: Confirmation::of(&setup.config).map_err(crm::unrenderable)?,
            lists: setup.config.list_ids.0,
            events: setup.config.events == Flag::Yes,
            calls: setup.config.calls_per_second.get(),
            mapping: setup.mapping,
            key: setup.credentials.api_key.0,
        }))
    }
}

/// Lists that are ready to get contacts.
#[derive(Debug)]
struct Compiled {
    base: Url,
    lists: Vec<u64>,
    events: bool,
    confirmation: Option<Confirmation>,
    calls: u32,
    mapping: Mapping,
    key: Option<SecretString>,
}

impl Compiled {
    /// A call below `/v3`.
    fn request(&self, method: Method, path: &[&str]) -> Request {
        let request = Request::at(method, &self.base, ["v3"].iter().chain(path))
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        match &self.key {
            Some(key) => request.secret_header(API_KEY, key.expose_secret()),
            None => request,
        }
    }
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        push::render(self, push).map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.key, "api_key")?;
        push::bring(self, push, ctx).await
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["contact"], things, |_, id| Some(format!("https://app.brevo.com/contact/index/{id}")))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: Duration::from_secs(1) })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.key, "api_key")?;
        probe::look(self, kind, ctx).await
    }
}

#[cfg(test)]
mod tests;
