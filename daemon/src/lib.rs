//! The Leadline daemon as a library: `app` composes it, the binary runs it, the tests run it in-process.
//!
//! What is pure stands in crates of its own, so that it compiles and is tested alone; here it keeps its short names.
//! Who may import whom is told in ARCHITECTURE.md and held by `tests/tidy.rs`.

pub use leadline_connectors as connectors;
pub use leadline_domain as domain;

pub mod app;
pub mod cli;
pub mod compute;
pub mod config;
pub mod control;
pub mod dispatch;
pub mod doors;
pub mod intake;
pub mod postgres;
pub mod push;
pub mod secrets;
pub mod service;
pub mod shares;
pub mod store;
pub mod telemetry;
pub mod user;
