//! The statements of the store one by one, against a real server: each test has a copy of a migrated database. And all of
//! the queue's together, in whatever order (`queue`).

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod bench;
mod breaker;
mod claims;
mod commands;
mod companies;
mod finishing;
mod flows;
mod integrations;
#[expect(unreachable_pub, reason = "the tests of the whole share it")]
#[path = "../../../tests/src/harness/invariants.rs"]
mod invariants;
mod jobs;
mod leads;
mod lines;
mod locks;
mod mending;
mod notices;
mod operators;
mod pushes;
mod queue;
mod reads;
mod reasons;
mod sweeps;
mod tokens;
