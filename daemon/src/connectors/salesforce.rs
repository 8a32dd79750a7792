//! Salesforce: a Lead, found by email among those that are not converted yet, or made.

mod answer;
mod login;
mod plan;
mod probe;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Exchange, Manifest, Prepared, Probe, ProbeStep, Push, Request, Response, Step,
    Token, config, crm, oauth,
    talk::{self, Heard, Talk},
};
use crate::domain::{
    address::EgressPolicy,
    integration::Integration,
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass, Outcome},
};
use login::Login;
use plan::Plan;

/// The connector `salesforce`.
#[derive(Debug)]
pub(super) struct Salesforce;

const VENDOR: &str = "salesforce";
const LOGIN_URL: &str = "https://login.salesforce.com";
const API_VERSION: &str = "v62.0";
/// So often a write is repeated with texts cut, as each refusal may name one field alone.
const CUTS_MAX: usize = 8;

const FIELDS: &[ConfigField] = &[
    ConfigField::optional(
        "login_url",
        "text",
        LOGIN_URL,
        "Where to log in: your My Domain, https://NAME.my.salesforce.com; client_id and client_secret alone work only there",
    ),
    ConfigField::optional(
        "audience",
        "text",
        "",
        "Whom a private key's login is for; absent for login or test.salesforce.com, by login_url",
    ),
    ConfigField::optional("api_version", "text", API_VERSION, "The version of the REST API"),
    ConfigField::optional(
        "external_id_field",
        "text",
        "",
        "A unique external id field of Lead that takes the lead's uuid, as Lead_Ref__c; absent for none",
    ),
    ConfigField::optional("lead_source", "text", "Web", "The LeadSource of new Leads"),
    ConfigField::optional(
        "duplicates",
        "text",
        "respect",
        "respect your duplicate rules, or save in spite of those that only warn",
    ),
    ConfigField::optional(
        "opt_out",
        "text",
        "no",
        "without_consent sets HasOptedOutOfEmail on new Leads that gave no consent",
    ),
];

const CREDENTIALS: &[ConfigField] = &[
    ConfigField::required("client_id", "text", "The consumer key of the external client app"),
    ConfigField::optional(
        "client_secret",
        "text",
        "",
        "Its consumer secret: alone for the client credentials flow, or with refresh_token",
    ),
    ConfigField::optional("refresh_token", "text", "", "A refresh token that a user's approval gave"),
    ConfigField::optional(
        "private_key",
        "text",
        "",
        "With username: the RSA key in PEM whose certificate the app has",
    ),
    ConfigField::optional("username", "text", "", "The user that the private key logs in"),
];

fn own_mapping() -> Value {
    json!({
        "lead.profile.first_name": "FirstName",
        "lead.profile.last_name": "LastName",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.profile.company": "Company",
    })
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
struct Settings {
    login_url: Url,
    audience: String,
    version: String,
    external: Option<String>,
    source: String,
    saves_duplicates: bool,
    opts_out: bool,
}

impl Settings {
    fn read(config: &Value) -> Result<Self, String> {
        let text = |key: &str| config::text(config, key).map(str::trim);
        let choice = |key: &str, own: &str, other: &str| match text(key) {
            None => Ok(false),
            Some(word) if word == own => Ok(false),
            Some(word) if word == other => Ok(true),
            Some(word) => Err(format!("{key} must be {own} or {other}, not {word}")),
        };
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let external = text("external_id_field").map(str::to_owned);
        if external.as_deref().is_some_and(|name| !is_name(name)) {
            return Err("external_id_field must be a field's API name, as Lead_Ref__c".to_owned());
        }
        let version = text("api_version").unwrap_or(API_VERSION).to_owned();
        if version.strip_prefix('v').is_none_or(|number| number.parse::<f32>().is_err()) {
            return Err("api_version must be like v62.0".to_owned());
        }
        let login_url = login::url(config)?;
        Ok(Self {
            audience: text("audience").map_or_else(|| login::audience(&login_url), str::to_owned),
            login_url,
            version,
            external,
            source: text("lead_source").unwrap_or("Web").to_owned(),
            saves_duplicates: choice("duplicates", "respect", "save")?,
            opts_out: choice("opt_out", "no", "without_consent")?,
        })
    }
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    ..Manifest::new(VENDOR, "Creates or updates a Salesforce Lead, found by email", FIELDS, CREDENTIALS)
};

impl Connector for Salesforce {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let settings = Settings::read(config).and_then(|settings| {
            egress.check(&settings.login_url).map_err(|problem| format!("login_url: {problem}"))
        });
        let mut problems = Vec::from_iter(settings.err());
        let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping));
        problems.extend(crm::problems_by_email(mapping, "Email"));
        problems
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        Vec::from_iter(Login::of(credentials).err())
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        let mapping = crm::overlay(&own_mapping(), &integration.mapping);
        Ok(Box::new(Ready {
            base: config::base_url(config).map_err(crm::unrenderable)?,
            settings: Settings::read(config).map_err(crm::unrenderable)?,
            mapping: Mapping::parse(&mapping).map_err(|problems| crm::unrenderable(problems.join("; ")))?,
            login: Login::of(&integration.credentials).ok(),
        }))
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Ready {
    /// Where to call, if not where the login says.
    base: Option<Url>,
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
        let Some(token) = push.token else {
            return talk::failed(config::no_credentials("client_id"));
        };
        match self.push(&Talk::new(push, exchanges), token, &plan) {
            Ok(()) => Step::Done(Outcome::Delivered),
            Err(next) => *next,
        }
    }

    fn login(&self, now: i64) -> Option<Result<Request, Failure>> {
        let login = self.login.as_ref()?;
        Some(login.request(&self.settings.login_url, &self.settings.audience, now))
    }

    fn token(&self, exchange: &Exchange, now: i64) -> Result<Token, Failure> {
        let mut token = oauth::token(VENDOR, exchange, "instance_url", now)?;
        if let Some(base) = &self.base {
            token.base = Some(base.clone());
        }
        Ok(token)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn person(&self, push: &Push<'_>) -> Option<String> {
        Plan::read(push).ok().map(|plan| plan.email)
    }

    fn spent(&self, response: &Response) -> Option<Failure> {
        answer::spent(response)
    }

    fn probe(&self, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
        probe::step(self, probe, exchanges)
    }
}

impl Ready {
    fn push(&self, talk: &Talk<'_>, token: &Token, plan: &Plan) -> Heard<()> {
        let done = format!("lead.{}", talk.push.id);
        if talk.id(&done).is_some() {
            return Ok(());
        }
        if let Some(id) = talk.id("lead")
            && self.updated(talk, token, plan, id)?
        {
            return Ok(());
        }
        // Whatever an earlier attempt made is found here too: queries see what was written at once.
        let found = talk.ask(self.query(token, &by_email(&plan.email)))?;
        let found = self.json(talk, found, "records")?;
        if let Some(id) = found["records"][0]["Id"].as_str()
            && self.updated(talk, token, plan, id)?
        {
            return talk.keep(&[("lead", id), (&done, id)]);
        }
        let made = self.written(talk, &plan.create, || self.create(token, plan))?;
        if !talk::is_good(made) {
            return Err(refused(talk, made));
        }
        match made.json().as_ref().and_then(|body| talk::id_of(&body["id"])) {
            Some(id) => talk.keep(&[("lead", &id), (&done, &id)]),
            // Where it was there already, by its external id, older versions say nothing more.
            None if made.status == 204 => Ok(()),
            None => Err(talk::stop(talk::unreadable(VENDOR, made, "id"))),
        }
    }

    /// Writes the lead to a Lead that is there; false if it is gone.
    fn updated(&self, talk: &Talk<'_>, token: &Token, plan: &Plan, id: &str) -> Heard<bool> {
        let object = || self.object(Method::PATCH, &["Lead", id], token);
        let answer = self.written(talk, &plan.update, object)?;
        if talk::is_good(answer) {
            return Ok(true);
        }
        if answer.status == 404 || answer::is_deleted(answer) {
            return Ok(false);
        }
        Err(refused(talk, answer))
    }

    fn json(&self, talk: &Talk<'_>, answer: &Response, lacking: &str) -> Heard<Value> {
        if !talk::is_good(answer) {
            return Err(refused(talk, answer));
        }
        answer.json().filter(|body| body[lacking].is_array()).ok_or_else(|| {
            let failure = talk::unreadable(VENDOR, answer, lacking);
            talk::stop(Failure::new(FailureClass::Transient, failure.error))
        })
    }

    /// The answer to a write. Texts that are too long for the organization's own fields are cut to what it takes.
    fn written<'a>(
        &self,
        talk: &Talk<'a>,
        fields: &Json,
        request: impl Fn() -> Request,
    ) -> Heard<&'a Response> {
        let mut fields = fields.clone();
        for _ in 0..CUTS_MAX {
            let answer = talk.ask(self.write(request(), &fields))?;
            if !plan::cut(&mut fields, &answer::too_long(answer)) {
                return Ok(answer);
            }
        }
        talk.ask(self.write(request(), &fields))
    }

    fn create(&self, token: &Token, plan: &Plan) -> Request {
        match &self.settings.external {
            Some(field) => self.object(Method::PATCH, &["Lead", field, &plan.lead], token),
            None => self.object(Method::POST, &["Lead"], token),
        }
    }

    fn write(&self, request: Request, fields: &Json) -> Request {
        let request = request.json(fields.to_bytes());
        if !self.settings.saves_duplicates {
            return request;
        }
        let name = HeaderName::from_static("sforce-duplicate-rule-header");
        request.header(name, HeaderValue::from_static("allowSave=true"))
    }

    fn query(&self, token: &Token, soql: &str) -> Request {
        talk::with_query(self.request(Method::GET, &["query"], token), &[("q", soql)])
    }

    fn object(&self, method: Method, path: &[&str], token: &Token) -> Request {
        let path: Vec<&str> = ["sobjects"].iter().chain(path).copied().collect();
        self.request(method, &path, token)
    }

    fn request(&self, method: Method, path: &[&str], token: &Token) -> Request {
        let base = token.base.as_ref().unwrap_or(&self.settings.login_url);
        let path: Vec<&str> =
            ["services", "data", &self.settings.version].iter().chain(path).copied().collect();
        Request::new(method, talk::url(base, &path)).bearer(&token.secret)
    }
}

fn refused(talk: &Talk<'_>, answer: &Response) -> Box<Step> {
    if answer::is_session_over(answer) {
        return Box::new(Step::Renew);
    }
    talk::stop(answer::failure(answer, talk.push.now))
}

/// A Lead that was converted is a customer by now and takes no changes.
fn by_email(email: &str) -> String {
    format!(
        "SELECT Id FROM Lead WHERE Email = '{}' AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 2",
        quoted(email)
    )
}

/// Text that is safe within the quotes of a query.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '\'' | '\\' | '"') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}
