//! What ActiveCampaign is configured with, and where a lead's fields go by default.

use crate::prelude::*;

settings! {
    /// The account, and what becomes of its contacts.
    pub(crate) struct Config {
        /// The URL under Settings > Developer > API Access, as https://innkept.api-us1.com
        api_url: Required<BaseUrl>,
        /// The list's number, as in the address of its page: listid=3
        list_id: ListId,
        /// Tags that contacts get, with commas between them, five at most
        tags: Few<5>,
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

fn list_id(text: &str) -> Result<String, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    fit(text.to_owned(), is_number, "must be the list's number, as 3")
}

/// What every contact has. Whatever else a mapping names is a custom field, by its personalization tag or number.
pub(super) const OWN: [&str; 4] = ["email", "firstName", "lastName", "phone"];

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["firstName", "lastName", "email", "phone", "", "", ""])
}
