//! What ActiveCampaign is configured with, and where a lead's fields go by default.

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::config::{BaseUrl, List, Problem, Required, Setting, parsed, settings};

/// Each tag takes up to three calls of a push.
const TAGS_MAX: usize = 5;

settings! {
    /// The account, and what becomes of its contacts.
    pub(crate) struct Config {
        /// The URL under Settings > Developer > API Access, as https://innkept.api-us1.com
        api_url: Required<BaseUrl>,
        /// The list's number, as in the address of its page: listid=3
        list_id: ListId,
        /// Tags that contacts get, with commas between them, five at most
        tags: Tags,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The key under Settings > Developer > API Access
        api_token: Required<SecretString>,
    }
}

parsed! {
    /// The number of a list.
    #[derive(Default)]
    pub(crate) struct ListId(String) = list_id
}

/// A few tags; absent is none.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(try_from = "List")]
pub(crate) struct Tags(pub(super) Vec<String>);

impl TryFrom<List> for Tags {
    type Error = Problem;

    fn try_from(tags: List) -> Result<Self, Problem> {
        if tags.0.len() > TAGS_MAX {
            return Err(Problem::new(format!("at most {TAGS_MAX}, as each takes calls of its own")));
        }
        Ok(Self(tags.0))
    }
}

impl Setting for Tags {
    const REQUIRED: bool = false;
}

fn list_id(text: &str) -> Result<String, Problem> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err(Problem::new("must be the list's number, as 3"))
    }
}

/// What every contact has. Whatever else a mapping names is a custom field, by its personalization tag or number.
pub(super) const OWN: [&str; 4] = ["email", "firstName", "lastName", "phone"];

pub(super) fn own_mapping() -> Value {
    json!({
        "lead.email": "email",
        "lead.phone": "phone",
        "lead.profile.first_name": "firstName",
        "lead.profile.last_name": "lastName",
    })
}
