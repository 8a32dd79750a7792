//! The daemon as its users meet it: one executable, a module for each subject.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod airtable;
mod commands;
mod console;
mod crashes;
mod doors;
mod engine;
mod flows;
mod foreign;
mod hubspot;
mod imports;
mod hooks;
mod leads;
mod life;
mod notices;
mod operator;
mod mailchimp;
mod mail_tls;
mod outage;
mod persons;
mod preview;
mod people;
mod queue;
mod refusals;
mod rest;
mod retries;
mod rotation;
mod strangers;
mod sweeps;
mod terminal;
mod vendors;
