//! What HubSpot is configured with.

use crate::prelude::*;

settings! {
    /// How the account is called.
    pub(crate) struct Config {
        /// The dated version of HubSpot's API
        api_version: Version = "2026-03",
        /// The numbers (ILS ids) of static lists that the contacts of new leads are put on, with commas between them, twenty at most; an update puts nobody back
        list_ids: Option<Numbers<20>>,
        /// The pipeline of the deal that each new lead makes, by name or id; absent for the one that has deal_stage. Without both no deal is made
        deal_pipeline: Option<String>,
        /// The stage of that deal, by name or id; absent for the pipeline's first. An update moves none
        deal_stage: Option<String>,
        /// Whether the contact of a new lead is put into its employer's company: yes or no. It is found by the domain of lead.profile.website, else by the name in lead.profile.company, or made; one that the contact is in already stays
        companies: Flag = "no",
        /// How many calls the account allows the key in ten seconds: 190 with Professional or Enterprise. All pushes with one key share it, those of other integrations too where this number is the same
        calls_per_10_seconds: Int<1, 10_000> = 100,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// A service key, or the token of a private app that exists already
        token: Option<SecretString>,
        /// With client_secret and refresh_token instead of a token: the app's client id
        client_id: Option<SecretString>,
        /// The app's client secret
        client_secret: Option<SecretString>,
        /// The refresh token that installing the app gave
        refresh_token: Option<SecretString>,
    }
}

parsed! {
    /// A dated version, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct Version(String) = version
}

fn version(text: &str) -> Result<String, Problem> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fit(text.to_owned(), is_plain, "must be like 2026-03")
}

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["firstname", "lastname", "email", "phone", "company", "jobtitle", "website"])
}
