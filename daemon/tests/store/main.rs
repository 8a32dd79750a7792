//! The statements of the store one by one, against a real server: each test has a copy of a migrated database.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod bench;
mod breaker;
mod claims;
mod commands;
mod companies;
mod finishing;
mod flows;
mod integrations;
mod jobs;
mod leads;
mod lines;
mod locks;
mod mending;
mod notices;
mod operators;
mod pushes;
mod reads;
mod reasons;
mod sweeps;
mod tokens;
