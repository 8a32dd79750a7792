//! What an operator sets for Zoho CRM, and where a lead's fields go by default.

use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::{ConfigField, config, crm, leads::Names};
use leadline_domain::mapping::Mapping;

pub(super) const VERSION: &str = "v8";
const ACCOUNTS: &str = "https://accounts.zoho.com";
/// What new organizations call a Lead that came to nothing.
const CLOSED: &str = "Junk Lead, Lost Lead, Not Qualified";

pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::optional(
        "accounts_url",
        "text",
        ACCOUNTS,
        "Where your data centre logs in: accounts.zoho.com, .eu, .in, .com.au, .jp, .sa, accounts.zohocloud.ca",
    ),
    ConfigField::optional("lead_source", "text", "Web", "The Lead Source of new Leads"),
    ConfigField::optional(
        "assignment_rule",
        "text",
        "",
        "The id of the assignment rule for new Leads; absent for none. An update never changes the owner",
    ),
    ConfigField::optional(
        "closed_statuses",
        "text",
        CLOSED,
        "Which values of Lead Status mean that a Lead is closed, with commas between them",
    ),
    ConfigField::optional(
        "reopen_status",
        "text",
        "",
        "The Lead Status that a closed Lead gets by a new enquiry; absent to leave it closed and say so in the note",
    ),
];

pub(super) const CREDENTIALS: &[ConfigField] = &[
    ConfigField::required("client_id", "text", "The client id of a self client in Zoho's API console"),
    ConfigField::required("client_secret", "text", "Its client secret"),
    ConfigField::required("refresh_token", "text", "The refresh token that its code was exchanged for"),
];

pub(super) const NAMES: Names = Names {
    vendor: super::NAME,
    email: "Email",
    first: "First_Name",
    last: "Last_Name",
    limits: &[
        ("First_Name", 40),
        ("Last_Name", 80),
        ("Phone", 30),
        ("Mobile", 30),
        ("Company", 200),
        ("Designation", 100),
        ("Website", 255),
    ],
};

pub(super) fn mapping(operators: &Value) -> Result<Mapping, Vec<String>> {
    let own = json!({
        "lead.profile.first_name": "First_Name",
        "lead.profile.last_name": "Last_Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.profile.company": "Company",
        "lead.profile.position": "Designation",
        "lead.profile.website": "Website",
    });
    match operators {
        Value::Null | Value::Object(_) => Mapping::parse(&crm::overlay(&own, operators)),
        other => Mapping::parse(other),
    }
}

/// The app that we are.
#[derive(Debug)]
pub(super) struct App {
    pub(super) client_id: SecretString,
    pub(super) client_secret: SecretString,
    pub(super) refresh_token: SecretString,
}

impl App {
    pub(super) fn of(credentials: &Value) -> Option<Self> {
        let read = |key| config::credential(credentials, key);
        Some(Self {
            client_id: read("client_id")?,
            client_secret: read("client_secret")?,
            refresh_token: read("refresh_token")?,
        })
    }
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) accounts: Url,
    pub(super) source: String,
    pub(super) assignment: Option<String>,
    pub(super) closed: Vec<String>,
    pub(super) reopen: Option<String>,
}

impl Settings {
    pub(super) fn read(config: &Value) -> Result<Self, String> {
        let text = |key: &str| config::text(config, key).map(|text| text.trim().to_owned());
        let accounts = match config::site(config, "accounts_url", ACCOUNTS)? {
            Some(url) => url,
            None => config::base_or(config, ACCOUNTS)?,
        };
        let assignment = text("assignment_rule");
        if assignment.as_deref().is_some_and(|rule| !rule.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err("assignment_rule must be a rule's id, which is a number".to_owned());
        }
        let closed = text("closed_statuses").unwrap_or_else(|| CLOSED.to_owned());
        let closed = closed.split(',').map(|status| status.trim().to_owned());
        Ok(Self {
            accounts,
            source: text("lead_source").unwrap_or_else(|| "Web".to_owned()),
            assignment,
            closed: closed.filter(|status| !status.is_empty()).collect(),
            reopen: text("reopen_status"),
        })
    }
}
