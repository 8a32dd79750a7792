//! Pipedrive: a person, found by email or made, then a deal at the quote's value, then a note with the summary.
//!
//! Pipedrive has no unique field and takes no key, so whatever may have been made already is looked up before it is
//! made again; where its search may lag behind, among the newest records.

mod config;
mod employer;
mod error;
mod place;
mod plan;
mod probe;
mod push;
mod requests;
#[cfg(test)]
mod tests;

use crate::oauth::{App, Grant, TokenLogin};
use crate::prelude::*;
use config::{Config, Credentials};
use plan::Plan;

/// The connector `pipedrive`.
#[derive(Debug)]
pub(super) struct Pipedrive;

const NAME: &str = "pipedrive";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const BASE: &str = "https://api.pipedrive.com";
/// Where people see records, if a login does not say.
const APP: &str = "https://app.pipedrive.com";
const LOGIN: &str = "https://oauth.pipedrive.com";
/// In which the account's calls are counted.
const CALLS_PER: Duration = Duration::from_secs(2);
/// So many of the newest records are looked through; fewer, where they are too long to be read together.
const NEWEST: [&str; 2] = ["20", "3"];

impl TypedConnector for Pipedrive {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a Pipedrive person by email, makes a deal at the quote's value and puts a note on it",
        config::own_mapping,
    )
    .found_by("person.email");

    /// Targets say whether they are the person's or the deal's.
    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        let mapping = crm::read_mapping(&config::own_mapping(), operators)?;
        let is_placed = |target: &str| {
            ["person.", "deal."].iter().any(|of| target.strip_prefix(of).is_some_and(|name| !name.is_empty()))
        };
        let lost = mapping.targets().filter(|(_, target)| !is_placed(target));
        let lost: Vec<String> = lost
            .map(|(rule, target)| {
                format!("{}: write {target} as person.{target} or deal.{target}", rule.field)
            })
            .collect();
        if lost.is_empty() { Ok(mapping) } else { Err(Problem::all("mapping", lost)) }
    }

    fn problems(&self, config: &Config, _given: &Given<'_>) -> Vec<Problem> {
        let twice = [
            ("pipeline", config.pipeline.is_some() && config.pipeline_id.is_some()),
            ("stage", config.stage.is_some() && config.stage_id.is_some()),
        ];
        let problem = |(key, _)| Problem::of(key, format!("set {key} or {key}_id, not both"));
        twice.into_iter().filter(|(_, is_twice)| *is_twice).map(problem).collect()
    }

    fn credential_problems(&self, credentials: &Credentials, _egress: &EgressPolicy) -> Vec<Problem> {
        let Credentials { api_token, client_id, client_secret, refresh_token } = credentials;
        let is_app = [client_id, client_secret, refresh_token].iter().all(|part| part.is_some());
        let problem = "give an api_token, or client_id, client_secret and refresh_token";
        Vec::from_iter((api_token.is_none() && !is_app).then(|| Problem::new(problem)))
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let login_base = setup.common.base_or(LOGIN).map_err(crm::unrenderable)?;
        let url = Request::at(Method::POST, &login_base, &["oauth", "token"]).url;
        let Credentials { api_token, client_id, client_secret, refresh_token } = setup.credentials;
        let app = App { client_id, client_secret, refresh_token }.at(url);
        let app = app.map(|grant| Grant { is_basic: true, ..grant });
        Ok(Box::new(Compiled {
            base: setup.common.base_or(BASE).map_err(crm::unrenderable)?,
            config: setup.config,
            mapping: setup.mapping,
            login: TokenLogin::of(api_token, app, [NAME, "api_domain"]),
        }))
    }
}

/// A Pipedrive account that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    base: Url,
    config: Config,
    mapping: Mapping,
    login: Option<TokenLogin>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        Plan::make(&self.mapping, &self.config, push).map(|plan| Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let plan = Plan::read(push, ctx)?;
        needed(&self.login, "api_token")?;
        let employer = self.employer(push, &plan, ctx).await?;
        ctx.lock_person(&plan.email).await;
        self.bring(push, &plan.employed_by(employer.as_deref()), ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.login.as_ref()?.login()
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        // The shared host leads everybody to their own company.
        let site = things.get(SITE).map_or(APP, |site| site.trim_end_matches('/'));
        named_as(&["person", "organization", "deal", "note"], things, |kind, id| {
            (kind != "note").then(|| format!("{site}/{kind}/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.config.calls_per_2_seconds.get(), per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    async fn probe(&self, _kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.login, "api_token")?;
        probe::look(self, ctx).await
    }
}

impl Compiled {
    fn lead_field(&self) -> Option<&str> {
        self.config.lead_field.as_ref().map(|field| field.0.as_str())
    }

    fn is_app(&self) -> bool {
        matches!(self.login, Some(TokenLogin::App(_)))
    }
}
