//! What Salesforce is configured with.

use crate::{leads::Names, prelude::*};

settings! {
    /// What becomes of Leads, and where.
    pub(crate) struct Config {
        /// Where to log in: your My Domain, https://NAME.my.salesforce.com; client_id and client_secret alone work only there. Absent for base_url, or https://login.salesforce.com
        login_url: Option<BaseUrl>,
        /// Whom a private key's login is for; absent for login or test.salesforce.com, by login_url
        audience: Option<String>,
        /// The version of the REST API
        api_version: Version = "v62.0",
        /// A unique external id field of Lead that takes the lead's uuid, as Lead_Ref__c; absent for none
        external_id_field: Option<FieldName>,
        /// The LeadSource of new Leads
        lead_source: String = "Web",
        /// save in spite of duplicate rules that only warn, or respect those too; rules that block always do
        duplicates: Duplicates = "save",
        /// without_consent sets HasOptedOutOfEmail on new Leads that gave no consent
        opt_out: OptOut = "no",
        /// The id of the assignment rule for new Leads, or none; absent for the active rule. An update never changes the owner
        assignment_rule: Option<AssignmentRule>,
        /// The id of a campaign, as 701…, that the Leads of new leads become members of; an update makes nobody a member again
        campaign_id: Option<CampaignId>,
        /// The member status there, as Responded; absent for the campaign's own default
        campaign_status: Option<String>,
        /// Whether the enquiry of somebody who has a Lead already is kept as a Task on it
        tasks: Flag = "yes",
        /// Which values of Status mean that a Lead is closed, with commas between them
        closed_statuses: List = "Closed - Not Converted, Unqualified",
        /// The Status that a closed Lead gets by a new enquiry, as Working - Contacted; absent to leave it closed and say so in the Task
        reopen_status: Option<String>,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The consumer key of the external client app
        client_id: Required<SecretString>,
        /// Its consumer secret: alone for the client credentials flow, or with refresh_token
        client_secret: Option<SecretString>,
        /// A refresh token that a user's approval gave
        refresh_token: Option<SecretString>,
        /// With username: the RSA key in PEM whose certificate the app has
        private_key: Option<SecretString>,
        /// The user that the private key logs in
        username: Option<String>,
    }
}

words! {
    /// What is made of duplicate rules that only warn.
    pub(crate) enum Duplicates { Save = "save", Respect = "respect" }
}

words! {
    /// Who is marked as not to be mailed.
    pub(crate) enum OptOut { No = "no", WithoutConsent = "without_consent" }
}

parsed! {
    /// The name of a field in the API.
    pub(crate) struct FieldName(String) = field_name
}

parsed! {
    /// A version of the API, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct Version(String) = version
}

parsed! {
    /// The header's value for new Leads.
    pub(crate) struct AssignmentRule(HeaderValue) = assignment_rule
}

parsed! {
    /// The id of a campaign.
    pub(crate) struct CampaignId(String) = campaign_id
}

fn campaign_id(text: &str) -> Result<String, Problem> {
    let is_id = text.starts_with("701") && matches!(text.len(), 15 | 18) && is_name(text);
    fit(text.to_owned(), is_id, "must be a campaign's id, as 701…")
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn field_name(text: &str) -> Result<String, Problem> {
    fit(text.to_owned(), is_name(text), "must be a field's API name, as Lead_Ref__c")
}

fn version(text: &str) -> Result<String, Problem> {
    let is_number = text.strip_prefix('v').is_some_and(|number| number.parse::<f32>().is_ok());
    fit(text.to_owned(), is_number, "must be like v62.0")
}

fn assignment_rule(text: &str) -> Result<HeaderValue, Problem> {
    let value = match text {
        "none" => Some(HeaderValue::from_static("FALSE")),
        rule if rule.starts_with("01Q") && is_name(rule) => HeaderValue::try_from(rule).ok(),
        _ => None,
    };
    value.ok_or_else(|| Problem::new("must be a rule's id, as 01Q…, or none"))
}

/// How many characters the standard fields take; an organization says it of its own.
pub(super) const NAMES: Names = Names {
    vendor: super::NAME,
    email: "Email",
    first: "FirstName",
    last: "LastName",
    limits: &[
        ("FirstName", 40),
        ("LastName", 80),
        ("Phone", 40),
        ("MobilePhone", 40),
        ("Company", 255),
        ("Title", 128),
        ("Website", 255),
        ("LeadSource", 255),
        ("Description", 32_000),
    ],
    owner: ("OwnerId", |id| ("OwnerId", Json::string(id))),
};

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["FirstName", "LastName", "Email", "Phone", "Company", "Title", "Website"])
}
