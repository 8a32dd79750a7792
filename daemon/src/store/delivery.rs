//! Deliveries and their attempts: what operators are shown of them, and how long attempts are kept.

pub mod attempt_list;
pub mod attempts;
pub mod calls;
mod filter;
pub(in crate::store) mod partitions;
pub mod read;
pub mod retention;
mod schedule;
pub mod vendor_id;
pub(in crate::store) mod why;
