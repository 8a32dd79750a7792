//! What the tests stand on: daemons in this process and as processes of their own, each on a database of its own.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

mod harness;
pub mod proto;

pub use harness::{
    child::{ChildDaemon, leadline, leadlined, takes},
    cli::{Cli, Ran},
    client::{control, http},
    daemon::Daemon,
    database::Database,
    figure::{deviation, figure},
    invariants::{broken_invariants, check_invariants},
    left_out::left_out,
    operator::{Operator, post_lead, request_id},
    pty::{Pty, Shown, key},
    pushing::{Bringing, Pushing},
    scene::{Cast, Scene, Setting},
    wait::wait_until,
    wire::Wire,
};
