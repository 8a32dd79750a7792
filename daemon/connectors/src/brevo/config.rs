//! What an integration is told: the lists, and whether new people are asked to confirm.

use crate::{config, prelude::*};

settings! {
    /// The lists, and whether new people are asked to confirm.
    pub(crate) struct Config {
        /// The numbers of the lists, as #7 beside their names, with commas between them
        list_ids: Numbers<{ usize::MAX }>,
        /// The number of a double opt-in template: who is new to a list is asked by mail to confirm
        confirm_template_id: Option<Int<1, { i64::MAX }>>,
        /// The page that people see who have confirmed
        confirm_redirect_url: Option<String>,
        /// Whether each enquiry and each change is kept as an event on its contact: yes or no
        events: Flag = "yes",
        /// How many calls about contacts the account allows in a second: 20 with advanced limits
        calls_per_second: Int<1, 10_000> = 10,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// An API key, xkeysib-…, as in Settings > SMTP & API > API keys
        api_key: Required<SecretString>,
    }
}

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["FIRSTNAME", "LASTNAME", "", "SMS", "", "", ""])
}

const TOGETHER: &str = "confirm_template_id and confirm_redirect_url belong together: set both or neither";

/// How new people are asked to confirm.
#[derive(Debug)]
pub(super) struct Confirmation {
    pub(super) template: i64,
    pub(super) redirect: String,
}

impl Confirmation {
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Problem> {
        let (template, redirect) = match (config.confirm_template_id, &config.confirm_redirect_url) {
            (None, None) => return Ok(None),
            (Some(template), Some(redirect)) => (template.0, redirect.clone()),
            _ => return Err(Problem::at("confirm_template_id", TOGETHER)),
        };
        if config::url(&redirect).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
            return Ok(Some(Self { template, redirect }));
        }
        Err(Problem::of("confirm_redirect_url", "must be a web address, as https://example.com/thanks"))
    }
}
