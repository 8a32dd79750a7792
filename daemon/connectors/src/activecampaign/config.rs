//! What an operator sets for ActiveCampaign, and where a lead's fields go by default.

use serde_json::{Value, json};
use url::Url;

use crate::{ConfigField, config, crm};
use leadline_domain::mapping::Mapping;

/// Each tag takes up to three calls of a push.
const TAGS_MAX: usize = 5;

pub(super) const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "api_url",
        "text",
        "The URL under Settings > Developer > API Access, as https://innkept.api-us1.com",
    ),
    ConfigField::required("list_id", "text", "The list's number, as in the address of its page: listid=3"),
    ConfigField::optional(
        "tags",
        "text",
        "",
        "Tags that contacts get, with commas between them, five at most",
    ),
];

pub(super) const CREDENTIALS: &[ConfigField] =
    &[ConfigField::required("api_token", "text", "The key under Settings > Developer > API Access")];

/// What every contact has. Whatever else a mapping names is a custom field, by its personalization tag or number.
pub(super) const OWN: [&str; 4] = ["email", "firstName", "lastName", "phone"];

pub(super) fn mapping(operators: &Value) -> Result<Mapping, Vec<String>> {
    let own = json!({
        "lead.email": "email",
        "lead.phone": "phone",
        "lead.profile.first_name": "firstName",
        "lead.profile.last_name": "lastName",
    });
    match operators {
        Value::Null | Value::Object(_) => Mapping::parse(&crm::overlay(&own, operators)),
        other => Mapping::parse(other),
    }
}

/// What the configuration says beyond the common keys.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: Url,
    pub(super) list: String,
    pub(super) tags: Vec<String>,
}

impl Settings {
    pub(super) fn read(config: &Value) -> Result<Self, String> {
        let url = config::site(config, "api_url", "https://innkept.api-us1.com")?;
        let list = config::text(config, "list_id").unwrap_or_default().trim().to_owned();
        if !list.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("list_id must be the list's number, as 3".to_owned());
        }
        let tags = config::text(config, "tags").unwrap_or_default().split(',').map(str::trim);
        let tags: Vec<String> = tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        if tags.len() > TAGS_MAX {
            return Err(format!("tags: at most {TAGS_MAX}, as each takes calls of its own"));
        }
        Ok(Self { url: url.ok_or("api_url is required")?, list, tags })
    }
}
