//! What Zoho CRM is configured with, and where a lead's fields go by default.

use crate::{leads::Names, prelude::*};

pub(super) const VERSION: &str = "v8";
pub(super) const ACCOUNTS: &str = "https://accounts.zoho.com";

settings! {
    /// Where to log in, and what becomes of Leads.
    pub(crate) struct Config {
        /// Where your data centre logs in, https://accounts.zoho.eu or .com, .in, .com.au, .jp, .sa, .uk, .ae, .com.cn, accounts.zohocloud.ca; absent for .com
        accounts_url: Option<BaseUrl>,
        /// The Lead Source of new Leads
        lead_source: String = "Web",
        /// The id of the assignment rule for new Leads; absent for none. An update never changes the owner
        assignment_rule: Option<RuleId>,
        /// Tags that new leads get, with commas between them, ten at most; none is ever taken away
        tags: Few<10>,
        /// Which values of Lead Status mean that a Lead is closed, with commas between them
        closed_statuses: List = "Junk Lead, Lost Lead, Not Qualified",
        /// The Lead Status that a closed Lead gets by a new enquiry; absent to leave it closed and say so in the note
        reopen_status: Option<String>,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// The client id of a self client in Zoho's API console
        client_id: Required<SecretString>,
        /// Its client secret
        client_secret: Required<SecretString>,
        /// The refresh token that its code was exchanged for
        refresh_token: Required<SecretString>,
    }
}

parsed! {
    /// The id of an assignment rule.
    pub(crate) struct RuleId(String) = rule_id
}

fn rule_id(text: &str) -> Result<String, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    fit(text.to_owned(), is_number, "must be a rule's id, which is a number")
}

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
    owner: ("Owner", |id| ("Owner", Json::object([("id", Json::string(id))]))),
};

pub(super) fn own_mapping() -> Value {
    crm::person_mapping(["First_Name", "Last_Name", "Email", "Phone", "Company", "Designation", "Website"])
}
