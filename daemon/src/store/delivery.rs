//! Deliveries and their attempts: what operators are shown of them, and how long attempts are kept.

pub mod attempt_list;
pub mod attempts;
pub mod calls;
pub(in crate::store) mod erase;
mod filter;
mod looked_for;
pub(in crate::store) mod partitions;
pub mod read;
mod removal;
pub mod retention;
mod schedule;
pub mod vendor_id;
pub(in crate::store) mod why;
