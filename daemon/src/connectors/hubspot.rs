//! HubSpot: a contact, upserted by email, then a note with the lead's summary on its timeline.

mod answer;
mod plan;
mod probe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Exchange, Manifest, Pace, Prepared, Probe, ProbeStep, Push, Request, Response,
    Step, Token, config, crm,
    oauth::{self, Login},
    talk::{self, Heard, Talk},
};
use crate::domain::{
    address::EgressPolicy,
    integration::Integration,
    mapping::Mapping,
    outcome::{Failure, FailureClass, Outcome},
};
use plan::Plan;

/// The connector `hubspot`.
#[derive(Debug)]
pub(super) struct Hubspot;

const VENDOR: &str = "hubspot";
const BASE: &str = "https://api.hubapi.com";
/// Each version lives for about 18 months. The later ones refuse a contact that lacks what an administrator requires.
const API_VERSION: &str = "2026-03";
/// What the smallest accounts may call in ten seconds. Not verified for every plan, so it can be set.
const CALLS: u32 = 100;
const CALLS_PER: Duration = Duration::from_secs(10);
/// A note to a contact, among the associations that HubSpot itself defines.
const NOTE_TO_CONTACT: u32 = 202;
/// Under which the address is kept that is the contact's, but maybe not its first.
const SECOND_EMAIL: &str = "second_email";
/// So many of a contact's newest notes are searched for one that may be there already.
const NOTES_READ: usize = 20;
const NOTES_READ_SINGLY: usize = 5;

const FIELDS: &[ConfigField] = &[
    ConfigField::optional("api_version", "text", API_VERSION, "The dated version of HubSpot's API"),
    ConfigField::optional(
        "calls_per_10_seconds",
        "integer",
        "100",
        "How many calls the account allows in ten seconds: 190 with Professional or Enterprise",
    ),
];

const CREDENTIALS: &[ConfigField] = &[
    ConfigField::optional(
        "token",
        "text",
        "",
        "A service key, or the token of a private app that exists already",
    ),
    ConfigField::optional(
        "client_id",
        "text",
        "",
        "With client_secret and refresh_token instead of a token: the app's client id",
    ),
    ConfigField::optional("client_secret", "text", "", "The app's client secret"),
    ConfigField::optional("refresh_token", "text", "", "The refresh token that installing the app gave"),
];

fn own_mapping() -> Value {
    json!({
        "lead.email": "email",
        "lead.profile.first_name": "firstname",
        "lead.profile.last_name": "lastname",
        "lead.phone": "phone",
    })
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    ..Manifest::new(
        VENDOR,
        "Creates or updates a HubSpot contact by email and puts a note with the lead on its timeline",
        FIELDS,
        CREDENTIALS,
    )
};

impl Connector for Hubspot {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, _egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let mut problems = Vec::from_iter(version(config).err());
        problems.extend(config::pace(config, "calls_per_10_seconds", CALLS).err());
        let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping));
        problems.extend(crm::problems_by_email(mapping, "email"));
        problems
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        if Login::of(credentials, "token").is_some() {
            return Vec::new();
        }
        vec!["give a token, or client_id, client_secret and refresh_token".to_owned()]
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        let mapping = crm::overlay(&own_mapping(), &integration.mapping);
        Ok(Box::new(Ready {
            base: config::base_or(config, BASE).map_err(crm::unrenderable)?,
            version: version(config).map_err(crm::unrenderable)?,
            calls: config::pace(config, "calls_per_10_seconds", CALLS).map_err(crm::unrenderable)?,
            mapping: Mapping::parse(&mapping).map_err(|problems| crm::unrenderable(problems.join("; ")))?,
            login: Login::of(&integration.credentials, "token"),
        }))
    }
}

fn version(config: &Value) -> Result<String, String> {
    let version = config::text(config, "api_version").unwrap_or(API_VERSION).trim();
    let is_plain = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain { Ok(version.to_owned()) } else { Err("api_version must be like 2026-03".to_owned()) }
}

/// A HubSpot account that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    base: Url,
    version: String,
    calls: u32,
    mapping: Mapping,
    login: Option<Login>,
}

impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        Plan::make(&self.mapping, push)?.bytes().map(Some)
    }

    fn step(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Step {
        let plan = match Plan::read(push) {
            Ok(plan) => plan,
            Err(failure) => return talk::failed(failure),
        };
        if self.login.is_none() {
            return talk::failed(config::no_credentials("token"));
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
        let url = talk::url(&self.base, &["oauth", &self.version, "token"]);
        Some(Ok(Request::new(Method::POST, url).secret_form(&[
            ("grant_type", "refresh_token"),
            ("client_id", client_id.expose_secret()),
            ("client_secret", client_secret.expose_secret()),
            ("refresh_token", refresh_token.expose_secret()),
        ])))
    }

    fn token(&self, exchange: &Exchange, now: i64) -> Result<Token, Failure> {
        oauth::token(VENDOR, exchange, "", now)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        answer::spent(response)
    }

    fn probe(&self, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
        probe::step(self, probe, exchanges)
    }
}

impl Ready {
    /// The contact, once for each delivery; then its note, once for each delivery.
    fn push(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<()> {
        let done = format!("contact.{}", talk.push.id);
        let contact = match talk.id(&done) {
            Some(contact) => contact.to_owned(),
            None => self.contact(talk, plan)?,
        };
        talk.keep(&[("contact", &contact), (&done, &contact)])?;
        if self.note(talk, plan, &contact)? {
            return Ok(());
        }
        // The contact was deleted since it was written: the lead's person is looked for once more.
        let contact = self.by_email(talk, plan)?;
        talk.keep(&[("contact", &contact), (&done, &contact)])?;
        if self.note(talk, plan, &contact)? {
            return Ok(());
        }
        let error = "hubspot OBJECT_NOT_FOUND the contact is gone again";
        Err(talk::stop(Failure::new(FailureClass::Transient, error)))
    }

    fn contact(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<String> {
        if let Some(id) = talk.id("contact") {
            let properties = if talk.id(SECOND_EMAIL) == Some(&plan.email) {
                &plan.without_email()
            } else {
                &plan.properties
            };
            let answer = talk.ask(self.patch(talk.token(), id, false, properties))?;
            if let Some(contact) = self.settled(talk, plan, answer)? {
                return Ok(contact);
            }
        }
        self.by_email(talk, plan)
    }

    /// Searching first would not do: HubSpot's search lags behind what was written.
    fn by_email(&self, talk: &Talk<'_>, plan: &Plan) -> Heard<String> {
        let answer = talk.ask(self.patch(talk.token(), &plan.email, true, &plan.properties))?;
        if let Some(contact) = self.settled(talk, plan, answer)? {
            return Ok(contact);
        }
        let answer = talk.ask(self.create(talk.token(), &plan.properties))?;
        match self.settled(talk, plan, answer)? {
            Some(contact) => Ok(contact),
            None => Err(self.refused(talk, answer)),
        }
    }

    /// The id of the contact that an answer is about; none if there is no such contact.
    fn settled(&self, talk: &Talk<'_>, plan: &Plan, answer: &Response) -> Heard<Option<String>> {
        if talk::is_good(answer) {
            return match answer.json().as_ref().and_then(|body| talk::id_of(&body["id"])) {
                Some(id) => Ok(Some(id)),
                None => Err(talk::stop(talk::unreadable(VENDOR, answer, "contact id"))),
            };
        }
        if answer.status == 404 {
            return Ok(None);
        }
        let Some(existing) = answer::existing(answer) else { return Err(self.refused(talk, answer)) };
        // The address is another contact's, maybe not its first: that stays as it is, the rest is written. Updates
        // leave it alone too, until the lead has another address.
        talk.keep(&[(SECOND_EMAIL, &plan.email)])?;
        let again = talk.ask(self.patch(talk.token(), &existing, false, &plan.without_email()))?;
        if talk::is_good(again) { Ok(Some(existing)) } else { Err(self.refused(talk, again)) }
    }

    /// Whether the note is there; false if its contact is not.
    fn note(&self, talk: &Talk<'_>, plan: &Plan, contact: &str) -> Heard<bool> {
        let key = format!("note.{}", talk.push.id);
        if talk.id(&key).is_some() {
            return Ok(true);
        }
        if talk.push.is_repeat
            && let Some(note) = self.find_note(talk, contact)?
        {
            talk.keep(&[(&key, &note)])?;
            return Ok(true);
        }
        let answer = talk.ask(self.write_note(talk.token(), &plan.note, contact))?;
        if answer.status == 404 {
            return Ok(false);
        }
        if !talk::is_good(answer) {
            return Err(self.refused(talk, answer));
        }
        match answer.json().as_ref().and_then(|body| talk::id_of(&body["id"])) {
            Some(note) => talk.keep(&[(&key, &note)]).map(|()| true),
            None => Err(talk::stop(talk::unreadable(VENDOR, answer, "note id"))),
        }
    }

    /// HubSpot takes no key for a note, so that one whose answer was lost is looked for by what it says.
    fn find_note(&self, talk: &Talk<'_>, contact: &str) -> Heard<Option<String>> {
        let listed = talk.ask(self.list_notes(talk.token(), contact))?;
        if listed.status == 404 {
            return Ok(None);
        }
        let Some(notes) = Some(listed).filter(|listed| talk::is_good(listed)).and_then(Response::json) else {
            return Err(if talk::is_good(listed) {
                talk::stop(talk::unreadable(VENDOR, listed, "list of notes"))
            } else {
                self.refused(talk, listed)
            });
        };
        let newest = answer::newest(&notes, NOTES_READ);
        if newest.is_empty() {
            return Ok(None);
        }
        let read = talk.ask(self.read_notes(talk.token(), &newest))?;
        if !talk::is_good(read) {
            return Err(self.refused(talk, read));
        }
        match read.json() {
            Some(body) => Ok(answer::note_of(&body, talk.push)),
            None if read.truncated => self.find_note_singly(talk, &newest),
            None => Err(talk::stop(talk::unreadable(VENDOR, read, "notes"))),
        }
    }

    /// Where people write long notes: one by one. What a note is known by stands at its beginning.
    fn find_note_singly(&self, talk: &Talk<'_>, newest: &[String]) -> Heard<Option<String>> {
        for id in newest.iter().take(NOTES_READ_SINGLY) {
            let read = talk.ask(self.read_notes(talk.token(), std::slice::from_ref(id)))?;
            if !talk::is_good(read) {
                return Err(self.refused(talk, read));
            }
            if talk.push.is_told_by(&String::from_utf8_lossy(&read.body)) {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn refused(&self, talk: &Talk<'_>, answer: &Response) -> Box<Step> {
        if answer.status == 401 && talk.token().is_some() {
            return Box::new(Step::Renew);
        }
        talk::stop(answer::failure(answer, talk.push.now))
    }

    fn request(&self, method: Method, path: &[&str], token: Option<&Token>) -> Request {
        let request = Request::new(method, talk::url(&self.base, path));
        match (token, &self.login) {
            (Some(token), _) => request.bearer(&token.secret),
            (None, Some(Login::Token(token))) => request.bearer(token),
            (None, _) => request,
        }
    }

    fn objects(&self, method: Method, path: &[&str], token: Option<&Token>) -> Request {
        let path: Vec<&str> = ["crm", "objects", &self.version].iter().chain(path).copied().collect();
        self.request(method, &path, token)
    }

    fn patch(
        &self,
        token: Option<&Token>,
        id: &str,
        is_email: bool,
        properties: &serde_json::Map<String, Value>,
    ) -> Request {
        let mut request = self.objects(Method::PATCH, &["contacts", id], token);
        if is_email {
            request = talk::with_query(request, &[("idProperty", "email")]);
        }
        request.json(json!({ "properties": properties }).to_string())
    }

    fn create(&self, token: Option<&Token>, properties: &serde_json::Map<String, Value>) -> Request {
        let body = json!({ "properties": properties, "associations": [] });
        self.objects(Method::POST, &["contacts"], token).json(body.to_string())
    }

    fn write_note(&self, token: Option<&Token>, properties: &Value, contact: &str) -> Request {
        let kind = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT });
        let body = json!({
            "properties": properties,
            "associations": [{ "to": { "id": contact }, "types": [kind] }],
        });
        self.objects(Method::POST, &["notes"], token).json(body.to_string())
    }

    fn list_notes(&self, token: Option<&Token>, contact: &str) -> Request {
        let request = self.objects(Method::GET, &["contacts", contact, "associations", "notes"], token);
        talk::with_query(request, &[("limit", "500")])
    }

    fn read_notes(&self, token: Option<&Token>, ids: &[String]) -> Request {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({ "properties": ["hs_note_body"], "propertiesWithHistory": [], "inputs": inputs });
        self.objects(Method::POST, &["notes", "batch", "read"], token).json(body.to_string())
    }
}
