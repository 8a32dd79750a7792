//! What breaks around a daemon, one module for each kind of fault: `make faults`.
//!
//! Each case prints its figures as lines of JSON (`leadline_tests::figure`) and fails above their limits. Cases are short
//! and bring their own daemon, so that all of them together take minutes.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod attack;
mod failover;
mod hostile;
mod log;
mod memory;
mod postgres;
mod receivers;
mod rows;
mod upgrade;
mod verified;
