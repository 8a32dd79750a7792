//! HubSpot: a contact, upserted by email, then a note with the lead's summary on its timeline.

mod error;
mod plan;
mod probe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    Answer, ConfigField, Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record,
    Request, Response, Token, config, crm, named_as,
    oauth::{self, Login},
    vendor::{Vendor, id_of, unreadable},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};
use plan::Plan;

/// The connector `hubspot`.
#[derive(Debug)]
pub(super) struct Hubspot;

const NAME: &str = "hubspot";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const BASE: &str = "https://api.hubapi.com";
/// Each version lives for about 18 months. The later ones refuse a contact that lacks what an administrator requires.
const API_VERSION: &str = "2026-03";
/// What the smallest accounts may call in ten seconds. Not verified for every plan, so it can be set.
const CALLS: u32 = 100;
const CALLS_PER: Duration = Duration::from_secs(10);
/// A note to a contact, among the associations that HubSpot itself defines.
const NOTE_TO_CONTACT: u32 = 202;
/// Under which the address is kept that is the contact's, but maybe not its first.
const SECOND_EMAIL: &str = "_second_email";
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
        NAME,
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

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        Plan::make(&self.mapping, push)?.bytes().map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let plan = Plan::read(push)?;
        self.is_ready()?;
        self.bring(push, &plan, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        matches!(self.login, Some(Login::App { .. })).then_some(self)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, account: Option<&str>) -> Vec<Record> {
        // The probe names it so: `HubSpot account 123 (app.hubspot.com)`.
        let portal = account.and_then(|account| account.strip_prefix("HubSpot account ")?.split_once(" ("));
        named_as(&["contact", "note"], things, |kind, id| {
            let (portal, domain) = portal.filter(|_| kind == "contact")?;
            Some(format!("https://{}/contacts/{portal}/record/0-1/{id}", domain.trim_end_matches(')')))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: CALLS_PER })
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        error::spent(response)
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.is_ready()?;
        probe::look(self, kind, ctx, found).await
    }
}

impl super::Login for Ready {
    fn request(&self, _now: i64, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        let Some((Login::App { client_id, client_secret, .. }, refresh)) = self.login.as_ref().zip(refresh)
        else {
            return Err(config::no_credentials("refresh_token"));
        };
        let request = Request::at(Method::POST, &self.base, &["oauth", &self.version, "token"]);
        Ok(request.secret_form(&[
            ("grant_type", "refresh_token"),
            ("client_id", client_id.expose_secret()),
            ("client_secret", client_secret.expose_secret()),
            ("refresh_token", refresh.expose_secret()),
        ]))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.as_ref()?.refresh_token()
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        oauth::token(NAME, answer, "", now)
    }
}

impl Ready {
    fn is_ready(&self) -> Result<(), Failure> {
        if self.login.is_some() { Ok(()) } else { Err(config::no_credentials("token")) }
    }

    /// The contact, once for each delivery; then its note, once for each delivery.
    async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let done = format!("contact.{}", push.id);
        let contact = match ctx.id(&done) {
            Some(contact) => contact,
            None => self.contact(ctx, plan).await?,
        };
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        if self.note(push, ctx, plan, &contact).await? {
            return Ok(());
        }
        // The contact was deleted since it was written: the lead's person is looked for once more.
        let contact = self.by_email(ctx, plan).await?;
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        if self.note(push, ctx, plan, &contact).await? {
            return Ok(());
        }
        let error = "hubspot OBJECT_NOT_FOUND the contact is gone again";
        Err(Failure::new(FailureClass::Transient, error))
    }

    async fn contact(&self, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String, Failure> {
        if let Some(id) = ctx.id("contact") {
            let properties = if ctx.id(SECOND_EMAIL).as_ref() == Some(&plan.email) {
                &plan.without_email()
            } else {
                &plan.properties
            };
            let answer = ctx.send(self.patch(&id, false, properties)).await?;
            if let Some(contact) = self.settled(ctx, plan, &answer).await? {
                return Ok(contact);
            }
        }
        self.by_email(ctx, plan).await
    }

    /// Searching first would not do: HubSpot's search lags behind what was written.
    async fn by_email(&self, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String, Failure> {
        let answer = ctx.send(self.patch(&plan.email, true, &plan.properties)).await?;
        if let Some(contact) = self.settled(ctx, plan, &answer).await? {
            return Ok(contact);
        }
        let answer = ctx.send(self.create(&plan.properties)).await?;
        let contact = self.settled(ctx, plan, &answer).await?;
        contact.ok_or_else(|| error::failure(&answer, ctx.now))
    }

    /// The id of the contact that an answer is about; none if there is no such contact.
    async fn settled(
        &self,
        ctx: &mut Conversation<'_>,
        plan: &Plan,
        answer: &Response,
    ) -> Result<Option<String>, Failure> {
        if answer.is_good() {
            return made(answer, "contact id").map(Some);
        }
        if answer.status == 404 {
            return Ok(None);
        }
        let Some(existing) = error::existing(answer) else { return Err(error::failure(answer, ctx.now)) };
        // The address is another contact's, maybe not its first: that stays as it is, the rest is written. Updates
        // leave it alone too, until the lead has another address.
        ctx.keep(&[(SECOND_EMAIL, &plan.email)]).await;
        VENDOR.good(ctx, self.patch(&existing, false, &plan.without_email())).await?;
        Ok(Some(existing))
    }

    /// Whether the note is there; false if its contact is not.
    async fn note(
        &self,
        push: &Push<'_>,
        ctx: &mut Conversation<'_>,
        plan: &Plan,
        contact: &str,
    ) -> Result<bool, Failure> {
        let key = format!("note.{}", push.id);
        if ctx.id(&key).is_some() {
            return Ok(true);
        }
        if push.is_repeat
            && let Some(note) = self.find_note(push, ctx, contact).await?
        {
            ctx.keep(&[(&key, &note)]).await;
            return Ok(true);
        }
        let answer = ctx.send(self.write_note(&plan.note, contact)).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        if !answer.is_good() {
            return Err(error::failure(&answer, ctx.now));
        }
        ctx.keep(&[(&key, &made(&answer, "note id")?)]).await;
        Ok(true)
    }

    /// HubSpot takes no key for a note, so that one whose answer was lost is looked for by what it says.
    async fn find_note(
        &self,
        push: &Push<'_>,
        ctx: &mut Conversation<'_>,
        contact: &str,
    ) -> Result<Option<String>, Failure> {
        let listed = ctx.send(self.list_notes(contact)).await?;
        if listed.status == 404 {
            return Ok(None);
        }
        if !listed.is_good() {
            return Err(error::failure(&listed, ctx.now));
        }
        let notes = listed.json().ok_or_else(|| unreadable(NAME, &listed, "list of notes"))?;
        let newest = error::newest(&notes, NOTES_READ);
        if newest.is_empty() {
            return Ok(None);
        }
        let read = VENDOR.good(ctx, self.read_notes(&newest)).await?;
        match read.json() {
            Some(body) => Ok(error::note_of(&body, push)),
            None if read.truncated => self.find_note_singly(push, ctx, &newest).await,
            None => Err(unreadable(NAME, &read, "notes")),
        }
    }

    /// Where people write long notes: one by one. What a note is known by stands at its beginning.
    async fn find_note_singly(
        &self,
        push: &Push<'_>,
        ctx: &mut Conversation<'_>,
        newest: &[String],
    ) -> Result<Option<String>, Failure> {
        for id in newest.iter().take(NOTES_READ_SINGLY) {
            let read = VENDOR.good(ctx, self.read_notes(std::slice::from_ref(id))).await?;
            if push.is_told_by(&String::from_utf8_lossy(&read.body)) {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let request = Request::at(method, &self.base, path);
        match &self.login {
            Some(Login::Token(token)) => request.bearer(token),
            _ => request,
        }
    }

    fn objects(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["crm", "objects", &self.version].iter().chain(path).copied().collect();
        self.request(method, &path)
    }

    fn patch(&self, id: &str, is_email: bool, properties: &serde_json::Map<String, Value>) -> Request {
        let mut request = self.objects(Method::PATCH, &["contacts", id]);
        if is_email {
            request = request.query(&[("idProperty", "email")]);
        }
        request.json(json!({ "properties": properties }).to_string())
    }

    fn create(&self, properties: &serde_json::Map<String, Value>) -> Request {
        let body = json!({ "properties": properties, "associations": [] });
        self.objects(Method::POST, &["contacts"]).json(body.to_string())
    }

    fn write_note(&self, properties: &Value, contact: &str) -> Request {
        let kind = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT });
        let body = json!({
            "properties": properties,
            "associations": [{ "to": { "id": contact }, "types": [kind] }],
        });
        self.objects(Method::POST, &["notes"]).json(body.to_string())
    }

    fn list_notes(&self, contact: &str) -> Request {
        let request = self.objects(Method::GET, &["contacts", contact, "associations", "notes"]);
        request.query(&[("limit", "500")])
    }

    fn read_notes(&self, ids: &[String]) -> Request {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({ "properties": ["hs_note_body"], "propertiesWithHistory": [], "inputs": inputs });
        self.objects(Method::POST, &["notes", "batch", "read"]).json(body.to_string())
    }
}

/// The id of what an answer says was made or changed.
fn made(answer: &Response, what: &str) -> Result<String, Failure> {
    let id = answer.json().as_ref().and_then(|body| id_of(&body["id"]));
    id.ok_or_else(|| unreadable(NAME, answer, what))
}
