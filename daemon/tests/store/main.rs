//! The queue's statements one by one, against a real server: each test has a copy of a migrated database.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod bench;
mod breaker;
mod claims;
mod finishing;
mod jobs;
mod lines;
mod locks;
mod mending;
mod operators;
mod pushes;
mod reasons;
mod sweeps;
