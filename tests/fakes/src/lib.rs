//! Stands in for the world outside: receivers that behave, misbehave and remember, and leads that look real.

pub mod account;
pub mod activecampaign;
pub mod airtable;
pub mod brevo;
pub mod discord;
pub mod dynamics;
pub mod google_sheets;
pub mod hooks;
mod http;
pub mod hubspot;
pub mod klaviyo;
mod leads;
pub mod mail;
pub mod mailchimp;
pub mod pipedrive;
mod receiver;
pub mod rest;
pub mod salesforce;
pub mod slack;
pub mod teams;
pub mod vendor;
pub mod zoho;

pub use account::{Account, Connection, Deed, OpenAccount, Record, Rule, Trap};
pub use http::Request;
pub use leads::sample_lead;
pub use receiver::{Behaviour, Judge, Receiver, Reply};
pub use vendor::{Fake, Fault, Vendor};

use account::{Opening, open};

/// Opens an account at a vendor.
pub type OpenFn = fn() -> Opening;

/// Every connector's vendor, and how an account there is opened. A new one is a line here and one above.
pub const VENDORS: [(&str, OpenFn); 20] = [
    ("activecampaign", || open(activecampaign::ActiveCampaign::default())),
    ("airtable", || open(airtable::Airtable::new())),
    ("brevo", || open(brevo::Brevo::default())),
    ("discord", || open(discord::Discord::new("123456789", "abcdefghijklmnop-token"))),
    ("dynamics", || open(dynamics::Dynamics::default())),
    ("email", mail::account::open),
    ("google_sheets", || open(google_sheets::GoogleSheets::raised())),
    ("hubspot", || open(hubspot::Hubspot::default())),
    ("klaviyo", || open(klaviyo::Klaviyo::default())),
    ("mailchimp", || open(mailchimp::Mailchimp::new())),
    ("make", || open(hooks::Hooks::of(hooks::Product::Make).with_key("make-key-0123456789"))),
    ("n8n", || open(hooks::Hooks::of(hooks::Product::N8n))),
    ("pipedrive", || open(pipedrive::Pipedrive::default())),
    ("rest", || open(rest::Rest::with_keys())),
    ("salesforce", || open(salesforce::Salesforce::default())),
    ("slack", || open(slack::Slack::new("/services/T1/B1/slack-hook-5f2c"))),
    ("teams", || {
        open(teams::Teams::new("/workflows/0f1e/triggers/manual/paths/invoke", "0123456789abcdef-teams"))
    }),
    ("webhook", || open(hooks::Hooks::of(hooks::Product::Own))),
    ("zapier", || open(hooks::Hooks::of(hooks::Product::Zapier))),
    ("zoho", || open(zoho::Zoho::default())),
];

/// Where people are told apart by their address, and have a first and a last name.
pub const PEOPLE: [&str; 5] = ["activecampaign", "brevo", "hubspot", "klaviyo", "mailchimp"];

/// Opens an account at the vendor of a connector.
///
/// # Errors
/// There is no such vendor, or it cannot listen.
pub async fn open_account(connector: &str) -> std::io::Result<Box<dyn OpenAccount>> {
    let vendor = VENDORS.iter().find(|(name, _)| *name == connector);
    let (_, open) = vendor.ok_or_else(|| std::io::Error::other(format!("there is no vendor {connector}")))?;
    open().await
}
