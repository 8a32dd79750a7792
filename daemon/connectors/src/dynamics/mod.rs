//! Dynamics 365 Sales: a lead in Dataverse, found by address among those that are not qualified yet, or made; and a note
//! for each enquiry.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::leads::{Enquiry, LeadPlan};
use crate::oauth::{Grant, TokenLogin};
use crate::prelude::*;
use config::{Config, Credentials};

const NAME: &str = "dynamics";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// A user may make 6,000 calls in five minutes, all programs of the user together.
const CALLS: u32 = 16;

/// The connector `dynamics`.
#[derive(Debug)]
pub(super) struct Dynamics;

impl TypedConnector for Dynamics {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a lead in Dynamics 365 Sales, found by email, and puts a note with the enquiry on it",
        config::own_mapping,
    )
    .found_by(config::NAMES.email);

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let own = setup.config.environment_url.0.clone().map(|url| url.0);
        let environment = own.ok_or_else(|| crm::unrenderable("environment_url is required"))?;
        let login = setup.common.or(setup.config.login_url.as_ref(), config::LOGIN);
        let path = [&*setup.config.tenant_id.0, "oauth2", "v2.0", "token"];
        let url = Request::at(Method::POST, &login.map_err(crm::unrenderable)?, &path).url;
        // What the token is for.
        let scope = Some(format!("{}/.default", environment.as_str().trim_end_matches('/')));
        let app = setup.credentials.client_id.0.zip(setup.credentials.client_secret.0);
        let app = app.map(|(id, secret)| Grant { scope, ..Grant::at(url, id, Some(secret)) });
        Ok(Box::new(Compiled {
            base: setup.common.base().unwrap_or(&environment).clone(),
            environment,
            settings: setup.config,
            login: TokenLogin::of(None, app, [NAME, ""]),
            mapping: setup.mapping,
        }))
    }
}

/// An environment that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    environment: Url,
    /// Where to call.
    base: Url,
    settings: Config,
    login: Option<TokenLogin>,
    mapping: Mapping,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        let mut plan = LeadPlan::make(config::NAMES, &self.mapping, push)?;
        let title = Json::string(&plan.title);
        plan.add("subject", title);
        plan.add("leadsourcecode", Json::integer(self.settings.lead_source.0.into()));
        if let Some(campaign) = &self.settings.campaign_id {
            plan.add("campaignid@odata.bind", Json::string(&format!("/campaigns({})", campaign.0)));
        }
        // What is the key in the URL must not be in the body.
        if let Some(key) = &self.settings.alternate_key {
            plan.create.take_at(&key.0);
            plan.update.take_at(&key.0);
        }
        Ok(Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "client_secret")?;
        Enquiry { crm: self, push, plan: LeadPlan::read(push, ctx)? }.bring(ctx).await
    }

    fn login(&self) -> Option<&dyn Login> {
        self.login.as_ref()?.login()
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["lead", "note"], things, |kind, id| {
            let site = self.environment.as_str().trim_end_matches('/');
            (kind == "lead").then(|| format!("{site}/main.aspx?etn=lead&id={id}&pagetype=entityrecord"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS, per: Duration::from_secs(1) })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "client_secret")?;
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    /// A query. OData takes a plus sign for one, so that blanks are written otherwise.
    fn query(&self, path: &str, pairs: &[(&str, &str)]) -> Request {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(pairs);
        let query = url.query().unwrap_or_default().replace('+', "%20").replace("%24", "$");
        url.set_query(Some(&query));
        self.request(Method::GET, url)
    }

    /// The rest of a list, by the query that its answer gave.
    fn rest_of(&self, path: &str, query: &str) -> Request {
        let mut url = self.url(path);
        url.set_query(Some(query));
        self.request(Method::GET, url)
    }

    /// A write, which answers with the record.
    fn write(&self, method: Method, path: &str, id: &str, record: &Json) -> Request {
        let mut url = self.url(path);
        url.set_query(Some(&format!("$select={id}")));
        let request = self.request(method, url);
        request
            .header(HeaderName::from_static("prefer"), HeaderValue::from_static("return=representation"))
            .json(record.to_bytes())
    }

    /// Parentheses and quotes are part of a path here: `leads(…)`.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/api/data/{}/{path}", config::VERSION));
        url
    }

    fn request(&self, method: Method, url: Url) -> Request {
        let four = HeaderValue::from_static("4.0");
        Request::new(method, url)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(HeaderName::from_static("odata-version"), four.clone())
            .header(HeaderName::from_static("odata-maxversion"), four)
    }

    /// Whether duplicate detection is told to look, which it does not by itself.
    fn respects_duplicates(&self) -> bool {
        self.settings.duplicates.as_str() == "respect"
    }
}
