//! The queue: which deliveries are due, who works on them, and every step of a delivery's life.
//!
//! `claim` takes due rows for the lanes that have room, `finish` records what became of them; `requeue` and `retry` bring
//! final deliveries back, `hold`, `release` and `unskip` keep and free them, `successors` keeps a lead's events in order, `daemons`
//! knows who lives and returns the claims of those that died.

pub mod claim;
pub mod daemons;
pub mod finish;
pub mod hold;
pub mod push;
pub mod release;
pub(in crate::store) mod requeue;
pub mod retry;
pub(in crate::store) mod successors;
pub mod sweep;
pub mod unskip;
