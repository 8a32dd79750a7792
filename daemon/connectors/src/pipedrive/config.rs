//! What Pipedrive is configured with.

use crate::prelude::*;

settings! {
    /// What is made of a lead, and how the account is called.
    pub(crate) struct Config {
        /// For which leads a deal is made: with_quote leaves out those that have no quote
        deals: Deals = "always",
        /// Whether the lead's summary is put as a note on the deal; a note costs 10 of the day's tokens
        notes: Flag = "yes",
        /// The pipeline of new deals, by its name; absent for the account's own choice
        pipeline: Option<String>,
        /// The stage of new deals, by its name; where several pipelines have one of that name, pipeline decides
        stage: Option<String>,
        /// The pipeline of new deals, by its number, which takes no look at the account
        pipeline_id: Option<Id>,
        /// The stage of new deals, by its number; it decides the pipeline too
        stage_id: Option<Id>,
        /// Whether the lead's employer (lead.profile.company) becomes the organization of its person and deal: found by name, else made
        organizations: Flag = "no",
        /// The key (40 characters) of a text field of deals that takes the lead's uuid
        lead_field: Option<LeadField>,
        /// How many calls the account's plan allows in two seconds: the search takes 10, other calls 20 to 120. Above 10, look-ups may be answered 429 and wait. All pushes with one token share it, those of other integrations too where this number is the same
        calls_per_2_seconds: Int<1, 10_000> = 10,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The API token of a user: Personal preferences > API
        api_token: Option<SecretString>,
        /// With client_secret and refresh_token instead of api_token: the app's client id
        client_id: Option<SecretString>,
        /// The app's client secret
        client_secret: Option<SecretString>,
        /// The refresh token that installing the app gave
        refresh_token: Option<SecretString>,
    }
}

/// The number that Pipedrive gave to something.
pub(super) type Id = Int<1, { i64::MAX }>;

words! {
    /// For which leads a deal is made.
    pub(crate) enum Deals { Always = "always", WithQuote = "with_quote" }
}

parsed! {
    /// A field that the account made.
    pub(crate) struct LeadField(String) = lead_field
}

fn lead_field(text: &str) -> Result<String, Problem> {
    let problem = "must be the 40 characters that Pipedrive shows as the field's API key";
    fit(text.to_owned(), is_custom(text), problem)
}

/// Whether a field is one that the account made: its key is a hash.
pub(super) fn is_custom(key: &str) -> bool {
    key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn own_mapping() -> Value {
    json!({
        "lead.name": "person.name",
        "lead.email": "person.email",
        "lead.phone": "person.phone",
        "quote.total_pence": { "to": "deal.value", "value": "{{ quote.total_pence | money }}" },
        "quote.currency": "deal.currency",
    })
}
