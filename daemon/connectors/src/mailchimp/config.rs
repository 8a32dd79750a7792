//! What Mailchimp is configured with.

use crate::prelude::*;

settings! {
    /// The audience, and how people join it.
    pub(crate) struct Config {
        /// The audience's id, as in Audience > Settings > Audience name and defaults
        list_id: String,
        /// pending asks new members by mail to confirm, subscribed does not; who is a member already stays as they are
        status_if_new: Status = "pending",
        /// Tags that members get, with commas between them; none is ever taken away
        tags: List,
        /// The ids of groups (interests) that the members of new leads are in, with commas between them; integration check names them
        groups: List,
        /// The ids of the marketing permissions that the members of new leads give, with commas between them; integration check names them
        marketing_permissions: List,
        /// Whether each enquiry and each change is kept as a note on its member, of a thousand characters: yes or no
        notes: Flag = "yes",
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// An API key with its data centre at the end, as …-us21
        api_key: Required<ApiKey>,
    }
}

words! {
    /// What somebody is who was no member before.
    pub(crate) enum Status { Pending = "pending", Subscribed = "subscribed" }
}

/// A key, and the data centre that it is for.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "SecretString")]
pub(crate) struct ApiKey {
    pub(super) centre: String,
    pub(super) key: SecretString,
}

impl TryFrom<SecretString> for ApiKey {
    type Error = Problem;

    fn try_from(key: SecretString) -> Result<Self, Problem> {
        let centre = data_centre(&key);
        let centre = centre
            .ok_or_else(|| Problem::new("must end in its data centre, as -us21: copy the whole key"))?;
        Ok(Self { centre, key })
    }
}

impl Setting for ApiKey {
    const SECRET: bool = true;
}

/// The data centre at the end of a key. It becomes part of a host, so nothing but letters and digits will do.
fn data_centre(key: &SecretString) -> Option<String> {
    let (_, centre) = key.expose_secret().rsplit_once('-')?;
    let letters = centre.bytes().take_while(u8::is_ascii_lowercase).count();
    let digits = centre.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    let is_one = (2..=3).contains(&letters) && (1..=4).contains(&digits) && letters + digits == centre.len();
    is_one.then(|| centre.to_owned())
}

/// The merge fields that every new audience has for the name.
pub(super) const NAMES: [(&str, &str); 2] =
    [("lead.profile.first_name", "FNAME"), ("lead.profile.last_name", "LNAME")];

/// First and last name go to merge fields of their own beside this.
pub(super) fn own_mapping() -> Value {
    json!({ "lead.phone": "PHONE" })
}
