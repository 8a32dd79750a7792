//! The Leadline daemon as a library: `app` composes it, the binary runs it, the tests run it in-process.
//!
//! Who may import whom is told in ARCHITECTURE.md and held by `tests/tidy.rs`.

pub mod app;
pub mod cli;
pub mod compute;
pub mod config;
pub mod connectors;
pub mod control;
pub mod dispatch;
pub mod domain;
pub mod intake;
pub mod postgres;
pub mod push;
pub mod secrets;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod user;
