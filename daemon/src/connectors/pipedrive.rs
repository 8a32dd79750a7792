//! Pipedrive: a person, found by email or made, then a deal at the quote's value, then a note with the summary.
//!
//! Pipedrive has no unique field and takes no key, so whatever may have been made already is looked up before it is
//! made again; where its search may lag behind, among the newest records.

mod error;
mod plan;
mod probe;
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
    vendor::{Vendor, id_of, unreadable},
};
use crate::domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
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

    /// Person, deal and note, each once for each delivery, in this order.
    async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let done = format!("person.{}", push.id);
        let person = match ctx.id(&done) {
            Some(person) => person,
            None => self.person(push, plan, ctx).await?,
        };
        ctx.keep_site().await;
        ctx.keep(&[("person", &person), (&done, &person)]).await;
        let mut deal = None;
        if let Some(wanted) = &plan.deal {
            let done = format!("deal.{}", push.id);
            let id = match ctx.id(&done) {
                Some(deal) => deal,
                None => self.deal(push, plan, wanted, &person, ctx).await?,
            };
            ctx.keep(&[("deal", &id), (&done, &id)]).await;
            deal = Some(id);
        }
        match &plan.note {
            Some(note) => self.note(push, note, &person, deal.as_deref(), ctx).await,
            None => Ok(()),
        }
    }

    async fn person(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        ctx: &mut Conversation<'_>,
    ) -> Result<String, Failure> {
        if let Some(id) = ctx.id("person")
            && self.refreshed(plan, &id, ctx).await?
        {
            return Ok(id);
        }
        if let Some(id) = self.find_person(plan, ctx).await?
            && self.refreshed(plan, &id, ctx).await?
        {
            return Ok(id);
        }
        // The search lags behind what an earlier attempt made, and behind what was deleted.
        if let Some(id) = self.find_new_person(push, plan, ctx).await?
            && self.refreshed(plan, &id, ctx).await?
        {
            return Ok(id);
        }
        self.made(self.create("persons", &plan.new_person()), "person id", ctx).await
    }

    /// Writes the lead to a person that is there, adding to its addresses and numbers; false if it is gone.
    async fn refreshed(&self, plan: &Plan, id: &str, ctx: &mut Conversation<'_>) -> Result<bool, Failure> {
        let there = ctx.send(self.get(&["api", "v2", "persons", id], &[])).await?;
        if there.is_one_of(&[404, 410]) {
            return Ok(false);
        }
        let body = json(&there, ctx.now)?;
        if body["data"]["is_deleted"] == true {
            return Ok(false);
        }
        if let Some(changes) = plan.person_changes(&body["data"]) {
            VENDOR.good(ctx, self.patch("persons", id, &changes)).await?;
        }
        Ok(true)
    }

    /// The person with the lead's address; of several, the oldest.
    async fn find_person(&self, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<Option<String>, Failure> {
        let query = [("term", plan.email.as_str()), ("fields", "email"), ("exact_match", "true")];
        let found = VENDOR.json(ctx, self.get(&["api", "v2", "persons", "search"], &query)).await?;
        Ok(error::oldest(&found, &plan.email))
    }

    /// The person with the lead's address among the newest, where an earlier attempt or another push may have made one.
    async fn find_new_person(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        ctx: &mut Conversation<'_>,
    ) -> Result<Option<String>, Failure> {
        if !(push.is_repeat || ctx.recently_pushed()) {
            return Ok(None);
        }
        let answer = fitting(ctx, |limit| self.newest("persons", None, limit)).await?;
        Ok(error::with_email(&json(&answer, ctx.now)?, &plan.email))
    }

    async fn deal(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        wanted: &Json,
        person: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<String, Failure> {
        if let Some(id) = ctx.id("deal") {
            let answer = ctx.send(self.patch("deals", &id, &Plan::deal_changes(wanted))).await?;
            if answer.is_good() {
                return Ok(id);
            }
            if !answer.is_one_of(&[404, 410]) && !self.is_archived(&id, &answer, ctx).await? {
                return Err(error::failure(&answer, ctx.now));
            }
        }
        // Where the deal was deleted too: an earlier attempt may have made it anew.
        if push.is_repeat {
            let answer = fitting(ctx, |limit| self.newest("deals", Some(person), limit)).await?;
            let deals = json(&answer, ctx.now)?;
            if let Some(id) = error::same_deal(&deals, plan, wanted, self.settings.lead_field.as_deref()) {
                return Ok(id);
            }
        }
        self.made(self.create("deals", &self.new_deal(wanted, person)), "deal id", ctx).await
    }

    /// Whether a deal took no change because it is archived: then the lead gets a new one. No code is documented for it,
    /// so the deal itself is asked.
    async fn is_archived(
        &self,
        id: &str,
        answer: &Response,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool, Failure> {
        if !answer.is_one_of(&[400, 403, 405, 409, 422]) {
            return Ok(false);
        }
        let deal = ctx.send(self.get(&["api", "v2", "deals", id], &[])).await?;
        let is_archived =
            deal.is_good() && deal.json().is_some_and(|deal| deal["data"]["is_archived"] == true);
        if is_archived {
            ctx.note(format!("deal {id} is archived and takes no changes: a new one was made"));
        }
        Ok(is_archived)
    }

    async fn note(
        &self,
        push: &Push<'_>,
        note: &str,
        person: &str,
        deal: Option<&str>,
        ctx: &mut Conversation<'_>,
    ) -> Result<(), Failure> {
        let key = format!("note.{}", push.id);
        if ctx.id(&key).is_some() {
            return Ok(());
        }
        let (of, id) = deal.map_or(("person_id", person), |deal| ("deal_id", deal));
        if push.is_repeat {
            let answer = fitting(ctx, |limit| self.notes(of, id, limit)).await?;
            // Even one note is longer than what is read of an answer: ours says at its beginning whose it is.
            if answer.truncated {
                if push.is_told_by(&String::from_utf8_lossy(&answer.body)) {
                    return Ok(());
                }
            } else if let Some(found) = error::note_of(&json(&answer, ctx.now)?, push) {
                ctx.keep(&[(&key, &found)]).await;
                return Ok(());
            }
        }
        let made = self.made(self.write_note(note, of, id), "note id", ctx).await?;
        ctx.keep(&[(&key, &made)]).await;
        Ok(())
    }

    /// The id of what a call makes.
    async fn made(
        &self,
        request: Request,
        what: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<String, Failure> {
        let answer = VENDOR.good(ctx, request).await?;
        let id = answer.json().as_ref().and_then(|body| id_of(&body["data"]["id"]));
        id.ok_or_else(|| unreadable(NAME, &answer, what))
    }
}

/// The answer to a list of the newest records: of so many as fit into what is read of an answer.
async fn fitting(
    ctx: &mut Conversation<'_>,
    list: impl Fn(&'static str) -> Request,
) -> Result<Response, Failure> {
    for limit in NEWEST {
        let answer = ctx.send(list(limit)).await?;
        if !answer.truncated {
            return Ok(answer);
        }
    }
    ctx.send(list("1")).await
}

/// What a look-up found. It has made nothing, so asking again does no harm.
fn json(answer: &Response, now: i64) -> Result<Value, Failure> {
    if !answer.is_good() {
        return Err(error::failure(answer, now));
    }
    answer.json().ok_or_else(|| {
        let failure = unreadable(NAME, answer, "JSON");
        Failure { class: FailureClass::Transient, ..failure }
    })
}
