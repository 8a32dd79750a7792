//! What leads, deliveries and integrations are and how they behave: pure, without I/O, clock or randomness of its own.

pub mod address;
pub mod badge;
pub mod brand;
pub mod breaker;
pub mod delivery;
pub mod fanout;
pub mod fields;
pub mod flow;
pub mod ids;
pub mod import;
pub mod integration;
pub mod json;
pub mod lane;
pub mod lead;
pub mod mapping;
pub mod nearest;
pub mod notice;
pub mod outcome;
pub mod payload;
pub mod plan;
pub mod redact;
pub mod rotation;
pub mod signing;
pub mod sweep;
pub mod template;
pub mod why;
