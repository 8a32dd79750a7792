//! The pieces of the harness.

pub(crate) mod child;
pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod figure;
pub(crate) mod invariants;
pub(crate) mod left_out;
pub(crate) mod mended;
pub(crate) mod operator;
pub(crate) mod pty;
pub(crate) mod pushing;
pub(crate) mod scene;
mod server;
pub(crate) mod wait;
pub(crate) mod wire;
