//! The statements of the store one by one, against a real server: each test has a copy of a migrated database. And all of
//! the queue's together, in whatever order (`queue`).

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod accepting;
mod bench;
mod breaker;
mod bulk;
mod causes;
mod claims;
mod commands;
mod companies;
mod crowd;
mod daemons;
mod finishing;
mod flows;
mod flushes;
mod histories;
mod integrations;
#[expect(unreachable_pub, reason = "the tests of the whole share it")]
#[path = "../../../tests/src/harness/invariants.rs"]
mod invariants;
mod jobs;
mod keeping;
mod kept;
mod key_rotation;
mod leads;
mod lines;
mod lists;
mod locks;
mod logins;
mod matrix;
mod mending;
mod moves;
mod naming;
mod notices;
mod operators;
mod people;
mod probes;
mod pushes;
mod queue;
mod readings;
mod reads;
mod reasons;
mod retries;
mod searches;
mod selections;
#[path = "../../../tests/src/harness/server.rs"]
mod server;
mod snoozes;
mod sweeps;
mod takeovers;
mod targets;
mod tokens;
mod unknown_words;
mod wakes;
mod watching;
