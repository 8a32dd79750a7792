//! Stands in for the world outside: receivers that behave, misbehave and remember, and leads that look real.

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

pub use http::Request;
pub use leads::sample_lead;
pub use receiver::{Behaviour, Judge, Receiver, Reply};
pub use vendor::{Fake, Fault, Vendor};
