//! HubSpot: a contact, upserted by email, then a note with the lead's summary on its timeline.

mod company;
mod config;
mod deal;
mod error;
mod plan;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::oauth::{App, TokenLogin};
use crate::prelude::*;
use config::{Config, Credentials};
use deal::Place;
use plan::Plan;

const NAME: &str = "hubspot";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const BASE: &str = "https://api.hubapi.com";
/// In which the account's calls are counted.
const CALLS_PER: Duration = Duration::from_secs(10);

/// The connector `hubspot`.
#[derive(Debug)]
pub(super) struct Hubspot;

impl TypedConnector for Hubspot {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a HubSpot contact by email and puts a note with the lead on its timeline",
        config::own_mapping,
    )
    .found_by("email");

    fn credential_problems(&self, credentials: &Credentials, _egress: &EgressPolicy) -> Vec<Problem> {
        let Credentials { token, client_id, client_secret, refresh_token } = credentials;
        let is_app = [client_id, client_secret, refresh_token].iter().all(|part| part.is_some());
        let problem = "give a token, or client_id, client_secret and refresh_token";
        Vec::from_iter((token.is_none() && !is_app).then(|| Problem::new(problem)))
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let base = setup.common.base_or(BASE).map_err(crm::unrenderable)?;
        let version = setup.config.api_version.0;
        let Credentials { token, client_id, client_secret, refresh_token } = setup.credentials;
        let url = Request::at(Method::POST, &base, &["oauth", &version, "token"]).url;
        let app = App { client_id, client_secret, refresh_token }.at(url);
        Ok(Box::new(Compiled {
            login: TokenLogin::of(token, app, [NAME, ""]),
            base,
            version,
            calls: setup.config.calls_per_10_seconds.get(),
            lists: setup.config.list_ids.map(|lists| lists.0).unwrap_or_default(),
            employs: setup.config.companies == Flag::Yes,
            place: Place { pipeline: setup.config.deal_pipeline, stage: setup.config.deal_stage },
            mapping: setup.mapping,
        }))
    }
}

/// A HubSpot account that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    base: Url,
    version: String,
    calls: u32,
    /// The static lists that contacts are put on.
    lists: Vec<u64>,
    /// Whether contacts are put into their employers' companies.
    employs: bool,
    /// Where new deals stand.
    place: Place,
    mapping: Mapping,
    login: Option<TokenLogin>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        Plan::make(self, push).map(|plan| Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let plan = Plan::read(push, ctx)?;
        needed(&self.login, "token")?;
        self.bring(push, &plan, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.login.as_ref()?.login()
    }

    fn records(&self, things: &Ids, account: Option<&str>) -> Vec<Record> {
        // The probe names it so: `HubSpot account 123 (app.hubspot.com)`.
        let portal = account.and_then(|account| account.strip_prefix("HubSpot account ")?.split_once(" ("));
        named_as(&["contact", "company", "deal", "note"], things, |kind, id| {
            let (portal, domain) = portal.filter(|_| kind != "note")?;
            let kind = match kind {
                "company" => "0-2",
                "deal" => "0-3",
                _ => "0-1",
            };
            Some(format!("https://{}/contacts/{portal}/record/{kind}/{id}", domain.trim_end_matches(')')))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "token")?;
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    fn request(&self, method: Method, path: impl IntoIterator<Item: AsRef<str>>) -> Request {
        let request = Request::at(method, &self.base, path);
        match &self.login {
            Some(TokenLogin::Token(token)) => request.bearer(token),
            _ => request,
        }
    }

    fn list(&self, method: Method, list: u64, rest: &[&str]) -> Request {
        let list = list.to_string();
        self.request(method, ["crm", "lists", &self.version, &list].iter().chain(rest))
    }

    fn objects(&self, method: Method, path: &[&str]) -> Request {
        self.request(method, ["crm", "objects", &self.version].iter().chain(path))
    }
}
