//! The daemon as its users meet it: one executable, a module for each subject.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod again;
mod airtable;
mod canary;
mod commands;
mod console;
mod crashes;
mod demo;
mod doors;
mod engine;
mod fields;
mod flows;
mod foreign;
mod hooks;
mod hubspot;
mod imports;
mod jobs;
mod leads;
mod life;
mod mail_tls;
mod mail_tokens;
mod mailchimp;
mod notices;
mod operator;
mod outage;
mod people;
mod persons;
mod pipedrive;
mod plans;
mod preview;
mod queue;
mod refusals;
mod refused;
mod replaces;
mod rest;
mod retention;
mod retries;
mod rotation;
mod salesforce;
mod strangers;
mod sweeps;
mod terminal;
mod vendors;
mod warnings;
mod wrong;
