//! What an integration is told: which sheet, which columns, and the service account that writes there.

use http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::{CALLS, NAME};
use crate::{
    ConfigField, Request,
    config::{self, no_credentials},
    crm, oauth,
};
use leadline_domain::{
    integration::Integration,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

const API: &str = "https://sheets.googleapis.com";
const LOGIN: &str = "https://oauth2.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";
/// An assertion lasts for an hour at most.
const ASSERTION_SECONDS: i64 = 3600;
/// The field whose column rows are found by.
pub(super) const KEY: &str = "lead.uuid";

pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "spreadsheet_id",
        "text",
        "The spreadsheet's id, or its address: https://docs.google.com/spreadsheets/d/…",
    ),
    ConfigField::required("sheet", "text", "The name on the tab of the sheet that gets the rows"),
    ConfigField::optional(
        "calls_per_minute",
        "integer",
        "60",
        "How many calls a minute the service account may make: more where Google raised its quota",
    ),
];

const UNUSED: &str = "Not used: part of the key file, which can be given as it is";

pub(super) const CREDENTIALS: &[ConfigField] = &[
    ConfigField::required("client_email", "text", "The service account's address, ….iam.gserviceaccount.com"),
    ConfigField::required("private_key", "text", "The service account's private key, in PEM"),
    ConfigField::optional("private_key_id", "text", "", "Which of the service account's keys it is"),
    ConfigField::optional("type", "text", "", UNUSED),
    ConfigField::optional("project_id", "text", "", UNUSED),
    ConfigField::optional("client_id", "text", "", UNUSED),
    ConfigField::optional("auth_uri", "text", "", UNUSED),
    ConfigField::optional("token_uri", "text", "", UNUSED),
    ConfigField::optional("auth_provider_x509_cert_url", "text", "", UNUSED),
    ConfigField::optional("client_x509_cert_url", "text", "", UNUSED),
    ConfigField::optional("universe_domain", "text", "", UNUSED),
];

/// The columns, in the order in which an empty sheet gets them.
fn own_mapping() -> Value {
    json!({
        "lead.uuid": "Lead ID",
        "lead.name": "Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.event_type": "Event type",
        "lead.event_date": "Event date",
        "lead.guest_count": "Guests",
        "lead.gdpr_consent": "Consent",
        "quote.total_pence": {"to": "Quote total", "value": "{{ quote.total_pence | money }}"},
        "quote.currency": "Currency",
        "quote.proposal_url": "Proposal",
        "viewing.starts_at": "Viewing start",
        "location.name": "Venue",
        "lead.profile.notes": "Notes",
        "lead.source_url": "Source URL",
        "lead.utm.source": "UTM source",
        "lead.utm.medium": "UTM medium",
        "lead.utm.campaign": "UTM campaign",
    })
}

/// What is wrong with a configuration and a mapping.
pub(super) fn problems(config: &Value, mapping: &Value) -> Vec<String> {
    let mut problems = read_mapping(mapping).err().unwrap_or_default();
    problems.extend(config::text(config, "spreadsheet_id").and_then(|text| spreadsheet(text).err()));
    problems.extend(config::pace(config, "calls_per_minute", CALLS).err());
    problems
}

/// The id alone, out of an address too.
fn spreadsheet(text: &str) -> Result<String, String> {
    let text = text.trim();
    let after = text.split_once("/spreadsheets/d/").map(|(_, rest)| rest.split(['/', '?', '#']).next());
    let id = after.flatten().unwrap_or(text);
    if id.len() >= 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(id.to_owned());
    }
    Err("spreadsheet_id must be the id between /d/ and /edit in the spreadsheet's address, or that address"
        .to_owned())
}

/// The mapping with the operator's laid over ours, and the column that rows are found by.
fn read_mapping(mapping: &Value) -> Result<(Mapping, String), Vec<String>> {
    if !matches!(mapping, Value::Null | Value::Object(_)) {
        return Err(Mapping::parse(mapping).err().unwrap_or_default());
    }
    let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping))?;
    let key = mapping.rules().iter().find(|rule| rule.field == KEY && !rule.is_computed());
    match key.and_then(|rule| rule.to.clone()) {
        Some(key) => Ok((mapping, key)),
        None => Err(vec![format!("{KEY}: must go to a column as it is, for rows are found by it")]),
    }
}

/// A sheet that is ready to get rows.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) base: Url,
    pub(super) login_base: Url,
    pub(super) spreadsheet: String,
    pub(super) sheet: String,
    pub(super) calls: u32,
    pub(super) mapping: Mapping,
    pub(super) key: String,
    pub(super) account: Option<Account>,
}

impl Ready {
    pub(super) fn of(integration: &Integration) -> Result<Self, String> {
        let config = &integration.config;
        let (mapping, key) = read_mapping(&integration.mapping).map_err(|problems| problems.join("; "))?;
        Ok(Self {
            base: config::base_or(config, API)?,
            login_base: config::base_or(config, LOGIN)?,
            spreadsheet: spreadsheet(config::text(config, "spreadsheet_id").unwrap_or_default())?,
            sheet: config::text(config, "sheet").unwrap_or_default().trim().to_owned(),
            calls: config::pace(config, "calls_per_minute", CALLS)?,
            mapping,
            key,
            account: match &integration.credentials {
                Value::Null => None,
                credentials => Some(Account::of(credentials)?),
            },
        })
    }

    pub(super) fn account(&self) -> Result<&Account, Failure> {
        self.account.as_ref().ok_or_else(|| no_credentials("private_key"))
    }
}

/// A service account: a user of Google's without a person.
#[derive(Debug)]
pub(super) struct Account {
    email: String,
    key: SecretString,
    key_id: Option<String>,
}

impl Account {
    pub(super) fn of(credentials: &Value) -> Result<Self, String> {
        let text = |key| config::text(credentials, key).map(|text| text.trim().to_owned());
        let key = config::credential(credentials, "private_key").ok_or("private_key is required")?;
        oauth::check_key(&key)?;
        Ok(Self {
            email: text("client_email").ok_or("client_email is required")?,
            key,
            key_id: text("private_key_id"),
        })
    }

    /// The call that gets a token.
    pub(super) fn log_in(&self, base: &Url, now: i64) -> Result<Request, Failure> {
        let claims = json!({ "iss": self.email, "scope": SCOPE, "aud": format!("{LOGIN}/token"),
            "iat": now, "exp": now + ASSERTION_SECONDS });
        let assertion = oauth::assertion(&self.key, self.key_id.clone(), &claims)
            .map_err(|problem| Failure::new(FailureClass::Credentials, format!("{NAME}: {problem}")))?;
        let request = Request::at(Method::POST, base, &["token"]);
        Ok(request.secret_form(&[("grant_type", oauth::JWT_BEARER), ("assertion", &assertion)]))
    }
}
