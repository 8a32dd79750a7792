//! What an integration is told: the lists, and whether new people are asked to confirm.

use http::{HeaderName, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::CALLS;
use crate::{
    ConfigField, Request,
    config::{self, no_credentials},
    crm,
};
use leadline_domain::{integration::Integration, mapping::Mapping, outcome::Failure};

const API: &str = "https://api.brevo.com";
const API_KEY: HeaderName = HeaderName::from_static("api-key");

pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "list_ids",
        "text",
        "The numbers of the lists, as #7 beside their names, with commas between them",
    ),
    ConfigField::optional(
        "confirm_template_id",
        "integer",
        "",
        "The number of a double opt-in template: who is new to a list is asked by mail to confirm",
    ),
    ConfigField::optional("confirm_redirect_url", "text", "", "The page that people see who have confirmed"),
    ConfigField::optional(
        "calls_per_second",
        "integer",
        "10",
        "How many calls about contacts the account allows in a second: 20 with advanced limits",
    ),
];

pub(super) const CREDENTIALS: &[ConfigField] = &[ConfigField::required(
    "api_key",
    "text",
    "An API key, xkeysib-…, as in Settings > SMTP & API > API keys",
)];

fn own_mapping() -> Value {
    json!({
        "lead.profile.first_name": "FIRSTNAME",
        "lead.profile.last_name": "LASTNAME",
        "lead.phone": "SMS",
    })
}

/// What is wrong with a configuration and a mapping.
pub(super) fn problems(config: &Value, mapping: &Value) -> Vec<String> {
    let mut problems = read_mapping(mapping).err().unwrap_or_default();
    problems.extend(config::text(config, "list_ids").and_then(|text| lists(text).err()));
    problems.extend(Confirmation::of(config).err());
    problems.extend(config::pace(config, "calls_per_second", CALLS).err());
    problems
}

/// The mapping with the operator's laid over ours. The address is what people are found by, and no attribute.
fn read_mapping(mapping: &Value) -> Result<Mapping, Vec<String>> {
    if !matches!(mapping, Value::Null | Value::Object(_)) {
        return Mapping::parse(mapping);
    }
    let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping))?;
    match mapping.rules().iter().any(|rule| rule.to.as_deref() == Some("EMAIL")) {
        true => Err(vec![
            "EMAIL: is the lead's address, by which contacts are found; map nothing to it".to_owned(),
        ]),
        false => Ok(mapping),
    }
}

fn lists(text: &str) -> Result<Vec<u64>, String> {
    let numbers = text.split(',').map(|part| part.trim().trim_start_matches('#').parse::<u64>());
    numbers
        .collect::<Result<Vec<u64>, _>>()
        .map_err(|_| "list_ids must be numbers with commas between them, as 3, 7".to_owned())
}

/// How new people are asked to confirm.
#[derive(Debug)]
pub(super) struct Confirmation {
    pub(super) template: u64,
    pub(super) redirect: String,
}

impl Confirmation {
    fn of(config: &Value) -> Result<Option<Self>, String> {
        let redirect = config::text(config, "confirm_redirect_url").map(str::trim);
        match (config["confirm_template_id"].as_u64(), redirect) {
            (None, None) => Ok(None),
            (Some(template), Some(redirect)) => {
                match Url::parse(redirect) {
                    Ok(url) if matches!(url.scheme(), "https" | "http") => {
                        Ok(Some(Self { template, redirect: redirect.to_owned() }))
                    }
                    _ => Err("confirm_redirect_url must be a web address, as https://example.com/thanks"
                        .to_owned()),
                }
            }
            _ => Err("confirm_template_id and confirm_redirect_url belong together: set both or neither"
                .to_owned()),
        }
    }
}

/// Lists that are ready to get contacts.
#[derive(Debug)]
pub(super) struct Ready {
    base: Url,
    pub(super) lists: Vec<u64>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) calls: u32,
    pub(super) mapping: Mapping,
    key: Option<SecretString>,
}

impl Ready {
    pub(super) fn of(integration: &Integration) -> Result<Self, String> {
        let config = &integration.config;
        Ok(Self {
            base: config::base_or(config, API)?,
            lists: lists(config::text(config, "list_ids").unwrap_or_default())?,
            confirmation: Confirmation::of(config)?,
            calls: config::pace(config, "calls_per_second", CALLS)?,
            mapping: read_mapping(&integration.mapping).map_err(|problems| problems.join("; "))?,
            key: config::credential(&integration.credentials, "api_key"),
        })
    }

    pub(super) fn key(&self) -> Result<&SecretString, Failure> {
        self.key.as_ref().ok_or_else(|| no_credentials("api_key"))
    }

    /// A call below `/v3`.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> Request {
        let path: Vec<&str> = ["v3"].iter().chain(path).copied().collect();
        let request = Request::at(method, &self.base, &path)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        match &self.key {
            Some(key) => request.secret_header(API_KEY, key.expose_secret()),
            None => request,
        }
    }
}
