//! What Dynamics 365 Sales is configured with, and where a lead's fields go by default.

use crate::{leads::Names, prelude::*};

pub(super) const LOGIN: &str = "https://login.microsoftonline.com";
pub(super) const VERSION: &str = "v9.2";

settings! {
    /// The environment, and what becomes of leads.
    pub(crate) struct Config {
        /// The environment's address, as https://contoso.crm4.dynamics.com
        environment_url: Required<BaseUrl>,
        /// The directory (tenant) id of the app's registration
        tenant_id: TenantId,
        /// Where to log in, for national clouds; absent for https://login.microsoftonline.com
        login_url: Option<BaseUrl>,
        /// The name of a text column of Lead with an alternate key that takes the lead's uuid, as new_leadref; absent for none
        alternate_key: Option<Column>,
        /// The number of the Lead Source of new leads; 8 is Web
        lead_source: Int<0, 2_147_483_647> = 8,
        /// The id of the campaign that new leads come from, as in the address of its page; absent for none. An update changes none
        campaign_id: Option<CampaignId>,
        /// save in spite of the environment's duplicate detection rules, or respect them
        duplicates: Duplicates = "save",
        /// Whether a new enquiry opens a disqualified lead again: yes or no; its note says where it stays so
        reopen: Flag = "no",
    }
}

settings! {
    /// The app that we are.
    pub(crate) struct Credentials {
        /// The application (client) id of the app's registration
        client_id: Required<SecretString>,
        /// A client secret of it: its value, not its id
        client_secret: Required<SecretString>,
    }
}

words! {
    /// What is made of duplicate detection rules.
    pub(crate) enum Duplicates { Save = "save", Respect = "respect" }
}

parsed! {
    /// The id or the domain of a directory, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct TenantId(String) = tenant
}

parsed! {
    /// The logical name of a column, which becomes part of a path.
    pub(crate) struct Column(String) = column
}

parsed! {
    /// The id of a campaign, which becomes part of a path.
    pub(crate) struct CampaignId(String) = campaign
}

fn campaign(text: &str) -> Result<String, Problem> {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_id = is_hex && parts == [8, 4, 4, 4, 12];
    fit(text.to_owned(), is_id, "must be a campaign's id, as 0f1e2d3c-0000-4000-8000-000000000001")
}

fn tenant(text: &str) -> Result<String, Problem> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    fit(text.to_owned(), is_plain, "must be the directory's id or domain")
}

fn column(text: &str) -> Result<String, Problem> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    fit(text.to_owned(), is_name, "must be a column's logical name, as new_leadref")
}

pub(super) const NAMES: Names = Names {
    vendor: super::NAME,
    email: "emailaddress1",
    first: "firstname",
    last: "lastname",
    limits: &[
        ("firstname", 50),
        ("lastname", 50),
        ("telephone1", 50),
        ("mobilephone", 20),
        ("companyname", 100),
        ("jobtitle", 100),
        ("websiteurl", 200),
        ("subject", 300),
    ],
    owner: ("ownerid", |id| ("ownerid@odata.bind", Json::string(&format!("/systemusers({id})")))),
};

pub(super) fn own_mapping() -> Value {
    let [company, position, website] = ["companyname", "jobtitle", "websiteurl"];
    crm::person_mapping(["firstname", "lastname", "emailaddress1", "telephone1", company, position, website])
}
