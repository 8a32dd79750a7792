//! Pipedrive: a person, found by email or made, then a deal at the quote's value, then a note with the summary.
//!
//! Pipedrive has no unique field and takes no key, so whatever may have been made already is looked up before it is
//! made again; where its search may lag behind, among the newest records.

mod error;
mod plan;
mod probe;
mod push;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Answer, ConfigField, Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record,
    Request, Response, SITE, Token, config, crm, named_as,
    oauth::{self, Login},
    vendor::Vendor,
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    mapping::Mapping,
    outcome::Failure,
};
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
/// Searches may be made ten in two seconds whatever the plan; other calls twenty or more.
const CALLS: u32 = 10;
const CALLS_PER: Duration = Duration::from_secs(2);
/// So many of the newest records are looked through; fewer, where they are too long to be read together.
const NEWEST: [&str; 2] = ["20", "3"];

const FIELDS: &[ConfigField] = &[
    ConfigField::optional(
        "deals",
        "text",
        "always",
        "always, or with_quote to make a deal only for a lead that has a quote",
    ),
    ConfigField::optional(
        "notes",
        "text",
        "yes",
        "Whether the lead's summary is put as a note on the deal: yes or no",
    ),
    ConfigField::optional(
        "pipeline_id",
        "integer",
        "",
        "The pipeline of new deals; absent for the account's own choice",
    ),
    ConfigField::optional("stage_id", "integer", "", "The stage of new deals; it decides the pipeline too"),
    ConfigField::optional(
        "lead_field",
        "text",
        "",
        "The key (40 characters) of a text field of deals that takes the lead's uuid",
    ),
    ConfigField::optional(
        "calls_per_2_seconds",
        "integer",
        "10",
        "How many calls the account's plan allows in two seconds",
    ),
];

const CREDENTIALS: &[ConfigField] = &[
    ConfigField::optional("api_token", "text", "", "The API token of a user: Personal preferences > API"),
    ConfigField::optional(
        "client_id",
        "text",
        "",
        "With client_secret and refresh_token instead of api_token: the app's client id",
    ),
    ConfigField::optional("client_secret", "text", "", "The app's client secret"),
    ConfigField::optional("refresh_token", "text", "", "The refresh token that installing the app gave"),
];

fn own_mapping() -> Value {
    json!({
        "lead.name": "person.name",
        "lead.email": "person.email",
        "lead.phone": "person.phone",
        "quote.total_pence": { "to": "deal.value", "value": "{{ quote.total_pence | money }}" },
        "quote.currency": "deal.currency",
    })
}

/// Reads a mapping, whose targets say whether they are the person's or the deal's.
fn mapping(operators: &Value) -> Result<Mapping, Vec<String>> {
    let mapping = Mapping::parse(&crm::overlay(&own_mapping(), operators))?;
    let is_placed = |target: &str| {
        ["person.", "deal."].iter().any(|of| target.strip_prefix(of).is_some_and(|name| !name.is_empty()))
    };
    let problems: Vec<String> = mapping
        .rules()
        .iter()
        .filter_map(|rule| Some((rule.field, rule.to.as_deref()?)))
        .filter(|(_, target)| !is_placed(target))
        .map(|(field, target)| format!("{field}: write {target} as person.{target} or deal.{target}"))
        .collect();
    if problems.is_empty() { Ok(mapping) } else { Err(problems) }
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
struct Settings {
    with_quote_only: bool,
    notes: bool,
    pipeline: Option<i64>,
    stage: Option<i64>,
    lead_field: Option<String>,
    calls: u32,
}

impl Settings {
    fn read(config: &Value) -> Result<Self, String> {
        let choice = |key: &str, own: &str, other: &str| match config::text(config, key) {
            None => Ok(true),
            Some(word) if word == own => Ok(true),
            Some(word) if word == other => Ok(false),
            Some(word) => Err(format!("{key} must be {own} or {other}, not {word}")),
        };
        let lead_field = config::text(config, "lead_field").map(|key| key.trim().to_owned());
        if lead_field.as_deref().is_some_and(|key| !is_custom(key)) {
            return Err(
                "lead_field must be the 40 characters that Pipedrive shows as the field's API key".to_owned()
            );
        }
        Ok(Self {
            with_quote_only: !choice("deals", "always", "with_quote")?,
            notes: choice("notes", "yes", "no")?,
            pipeline: config["pipeline_id"].as_i64(),
            stage: config["stage_id"].as_i64(),
            lead_field,
            calls: config::pace(config, "calls_per_2_seconds", CALLS)?,
        })
    }
}

/// Whether a field is one that the account made: its key is a hash.
fn is_custom(key: &str) -> bool {
    key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    ..Manifest::new(
        NAME,
        "Creates or updates a Pipedrive person by email, makes a deal at the quote's value and puts a note on it",
        FIELDS,
        CREDENTIALS,
    )
};

impl Connector for Pipedrive {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(
        &self,
        config: &Value,
        operators: &Value,
        _egress: &EgressPolicy,
        _brand: &str,
    ) -> Vec<String> {
        let mut problems = Vec::from_iter(Settings::read(config).err());
        problems.extend(crm::problems_by_email(mapping(operators), "person.email"));
        problems
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        if Login::of(credentials, "api_token").is_some() {
            return Vec::new();
        }
        vec!["give an api_token, or client_id, client_secret and refresh_token".to_owned()]
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        Ok(Box::new(Ready {
            base: config::base_or(config, BASE).map_err(crm::unrenderable)?,
            login_base: config::base_or(config, LOGIN).map_err(crm::unrenderable)?,
            settings: Settings::read(config).map_err(crm::unrenderable)?,
            mapping: mapping(&integration.mapping)
                .map_err(|problems| crm::unrenderable(problems.join("; ")))?,
            login: Login::of(&integration.credentials, "api_token"),
        }))
    }
}

/// A Pipedrive account that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    base: Url,
    login_base: Url,
    settings: Settings,
    mapping: Mapping,
    login: Option<Login>,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        Plan::make(&self.mapping, &self.settings, push).map(|plan| Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let plan = Plan::read(push)?;
        self.is_ready()?;
        ctx.lock_person(&plan.email).await;
        self.bring(push, &plan, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.is_app().then_some(self)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        // The shared host leads everybody to their own company.
        let site = things.get(SITE).map_or(APP, |site| site.trim_end_matches('/'));
        named_as(&["person", "deal", "note"], things, |kind, id| {
            (kind != "note").then(|| format!("{site}/{kind}/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.settings.calls, per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        _kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.is_ready()?;
        probe::look(self, ctx, found).await
    }
}

impl super::Login for Ready {
    fn request(&self, _now: i64, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        let Some((Login::App { client_id, client_secret, .. }, refresh)) = self.login.as_ref().zip(refresh)
        else {
            return Err(config::no_credentials("refresh_token"));
        };
        let pair =
            STANDARD.encode(format!("{}:{}", client_id.expose_secret(), client_secret.expose_secret()));
        let request = Request::at(Method::POST, &self.login_base, &["oauth", "token"])
            .secret_header(header::AUTHORIZATION, &format!("Basic {pair}"))
            .secret_form(&[("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())]);
        Ok(request)
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.as_ref()?.refresh_token()
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        oauth::token(NAME, answer, "api_domain", now)
    }
}

impl Ready {
    fn is_ready(&self) -> Result<(), Failure> {
        if self.login.is_some() { Ok(()) } else { Err(config::no_credentials("api_token")) }
    }

    fn is_app(&self) -> bool {
        matches!(self.login, Some(Login::App { .. }))
    }
}
