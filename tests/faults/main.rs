//! What breaks around a daemon, one module for each kind of fault: `make faults`.
//!
//! Each case prints its figures as lines of JSON (`leadline_tests::figure`) and fails above their limits. Cases are short
//! and bring their own daemon, so that all of them together take minutes. One that measures time has the machine to itself.

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

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// For a case whose figures are of time: no other case runs meanwhile.
async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// For all other cases.
async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}
