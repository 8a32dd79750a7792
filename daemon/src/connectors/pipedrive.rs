//! Pipedrive: a person, found by email or made, then a deal at the quote's value, then a note with the summary.
//!
//! Pipedrive has no unique field and takes no key, so whatever may have been made already is looked up before it is
//! made again; where its search may lag behind, among the newest records.

mod answer;
mod plan;
mod probe;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    ConfigField, Connector, Exchange, Manifest, Pace, Prepared, Probe, ProbeStep, Push, Request, Response,
    Step, Token, config, crm,
    oauth::{self, Login},
    talk::{self, Heard, Talk},
};
use crate::domain::{
    address::EgressPolicy,
    integration::Integration,
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass, Outcome},
};
use plan::Plan;

/// The connector `pipedrive`.
#[derive(Debug)]
pub(super) struct Pipedrive;

const VENDOR: &str = "pipedrive";
const BASE: &str = "https://api.pipedrive.com";
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
        VENDOR,
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

impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        Plan::make(&self.mapping, &self.settings, push).map(|plan| Some(plan.bytes()))
    }

    fn step(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Step {
        let plan = match Plan::read(push) {
            Ok(plan) => plan,
            Err(failure) => return talk::failed(failure),
        };
        if self.login.is_none() {
            return talk::failed(config::no_credentials("api_token"));
        }
        match self.push(&Talk::new(push, exchanges), &plan) {
            Ok(()) => Step::Done(Outcome::Delivered),
            Err(next) => *next,
        }
    }

    fn login(&self, _now: i64) -> Option<Result<Request, Failure>> {
        let Some(Login::App { client_id, client_secret, refresh_token }) = &self.login else {
            return None;
        };
        let pair =
            STANDARD.encode(format!("{}:{}", client_id.expose_secret(), client_secret.expose_secret()));
        let request = Request::new(Method::POST, talk::url(&self.login_base, &["oauth", "token"]))
            .secret_header(header::AUTHORIZATION, &format!("Basic {pair}"))
            .secret_form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token.expose_secret()),
            ]);
        Some(Ok(request))
    }

    fn token(&self, exchange: &Exchange, now: i64) -> Result<Token, Failure> {
        oauth::token(VENDOR, exchange, "api_domain", now)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn person(&self, push: &Push<'_>) -> Option<String> {
        Plan::read(push).ok().map(|plan| plan.email)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.settings.calls, per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        answer::spent(response)
    }

    fn probe(&self, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
        probe::step(self, probe, exchanges)
    }
}

impl Ready {
    /// Person, deal and note, each once for each delivery, in this order.
    fn push(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<()> {
        let done = format!("person.{}", talk.push.id);
        let person = match talk.id(&done) {
            Some(person) => person.to_owned(),
            None => self.person(talk, plan)?,
        };
        talk.keep(&[("person", &person), (&done, &person)])?;
        let mut deal = None;
        if let Some(wanted) = &plan.deal {
            let done = format!("deal.{}", talk.push.id);
            let id = match talk.id(&done) {
                Some(deal) => deal.to_owned(),
                None => self.deal(talk, plan, wanted, &person)?,
            };
            talk.keep(&[("deal", &id), (&done, &id)])?;
            deal = Some(id);
        }
        match &plan.note {
            Some(note) => self.note(talk, note, &person, deal.as_deref()),
            None => Ok(()),
        }
    }

    fn person(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<String> {
        if let Some(id) = talk.id("person")
            && self.refreshed(talk, plan, id)?
        {
            return Ok(id.to_owned());
        }
        if let Some(id) = self.find_person(talk, plan)?
            && self.refreshed(talk, plan, &id)?
        {
            return Ok(id);
        }
        // The search lags behind what an earlier attempt made, and behind what was deleted.
        if let Some(id) = self.find_new_person(talk, plan)?
            && self.refreshed(talk, plan, &id)?
        {
            return Ok(id);
        }
        self.made(talk, self.create(talk.token(), "persons", &plan.new_person()), "person id")
    }

    /// Writes the lead to a person that is there, adding to its addresses and numbers; false if it is gone.
    fn refreshed(&self, talk: &Talk<'_>, plan: &Plan, id: &str) -> Heard<bool> {
        let there = talk.ask(self.get(talk.token(), &["api", "v2", "persons", id], &[]))?;
        if matches!(there.status, 404 | 410) {
            return Ok(false);
        }
        let body = self.json(talk, there)?;
        if body["data"]["is_deleted"] == true {
            return Ok(false);
        }
        let Some(changes) = plan.person_changes(&body["data"]) else { return Ok(true) };
        let answer = talk.ask(self.patch(talk.token(), "persons", id, &changes))?;
        if talk::is_good(answer) { Ok(true) } else { Err(self.refused(talk, answer)) }
    }

    /// The person with the lead's address; of several, the oldest.
    fn find_person(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<Option<String>> {
        let query = [("term", plan.email.as_str()), ("fields", "email"), ("exact_match", "true")];
        let answer = talk.ask(self.get(talk.token(), &["api", "v2", "persons", "search"], &query))?;
        Ok(answer::oldest(&self.json(talk, answer)?))
    }

    /// The person with the lead's address among the newest, where an earlier attempt or another push may have made one.
    fn find_new_person(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<Option<String>> {
        if !(talk.push.is_repeat || talk.push.recently_pushed) {
            return Ok(None);
        }
        let answer = self.fitting(talk, |limit| self.newest(talk.token(), "persons", None, limit))?;
        Ok(answer::with_email(&self.json(talk, answer)?, &plan.email))
    }

    fn deal(&self, talk: &Talk<'_>, plan: &Plan, wanted: &Json, person: &str) -> Heard<String> {
        if let Some(id) = talk.id("deal") {
            let answer = talk.ask(self.patch(talk.token(), "deals", id, &Plan::deal_changes(wanted)))?;
            if talk::is_good(answer) {
                return Ok(id.to_owned());
            }
            if !matches!(answer.status, 404 | 410) {
                return Err(self.refused(talk, answer));
            }
        }
        // Where the deal was deleted too: an earlier attempt may have made it anew.
        if talk.push.is_repeat {
            let answer =
                self.fitting(talk, |limit| self.newest(talk.token(), "deals", Some(person), limit))?;
            let deals = self.json(talk, answer)?;
            if let Some(id) = answer::same_deal(&deals, plan, wanted, self.settings.lead_field.as_deref()) {
                return Ok(id);
            }
        }
        self.made(talk, self.create(talk.token(), "deals", &self.new_deal(wanted, person)), "deal id")
    }

    fn note(&self, talk: &Talk<'_>, note: &str, person: &str, deal: Option<&str>) -> Heard<()> {
        let key = format!("note.{}", talk.push.id);
        if talk.id(&key).is_some() {
            return Ok(());
        }
        let (of, id) = deal.map_or(("person_id", person), |deal| ("deal_id", deal));
        if talk.push.is_repeat {
            let answer = self.fitting(talk, |limit| self.notes(talk.token(), of, id, limit))?;
            // Even one note is longer than what is read of an answer: ours says at its beginning whose it is.
            if answer.truncated {
                if talk.push.is_told_by(&String::from_utf8_lossy(&answer.body)) {
                    return Ok(());
                }
            } else if let Some(found) = answer::note_of(&self.json(talk, answer)?, talk.push) {
                return talk.keep(&[(&key, &found)]);
            }
        }
        let made = self.made(talk, self.write_note(talk.token(), note, of, id), "note id")?;
        talk.keep(&[(&key, &made)])
    }

    /// The answer to a list of the newest records: of so many as fit into what is read of an answer.
    fn fitting<'a>(&self, talk: &Talk<'a>, list: impl Fn(&'static str) -> Request) -> Heard<&'a Response> {
        for limit in NEWEST {
            let answer = talk.ask(list(limit))?;
            if !answer.truncated {
                return Ok(answer);
            }
        }
        talk.ask(list("1"))
    }

    /// The id of what a call makes.
    fn made(&self, talk: &Talk<'_>, request: Request, what: &str) -> Heard<String> {
        let answer = talk.ask(request)?;
        if !talk::is_good(answer) {
            return Err(self.refused(talk, answer));
        }
        let id = answer.json().as_ref().and_then(|body| talk::id_of(&body["data"]["id"]));
        id.ok_or_else(|| talk::stop(talk::unreadable(VENDOR, answer, what)))
    }

    fn json(&self, talk: &Talk<'_>, answer: &Response) -> Heard<Value> {
        if !talk::is_good(answer) {
            return Err(self.refused(talk, answer));
        }
        // A look-up has made nothing, so asking again does no harm.
        answer.json().ok_or_else(|| {
            let failure = talk::unreadable(VENDOR, answer, "JSON");
            talk::stop(Failure::new(FailureClass::Transient, failure.error))
        })
    }

    fn refused(&self, talk: &Talk<'_>, answer: &Response) -> Box<Step> {
        if answer.status == 401 && talk.token().is_some() {
            return Box::new(Step::Renew);
        }
        talk::stop(answer::failure(answer, talk.push.now))
    }
}
