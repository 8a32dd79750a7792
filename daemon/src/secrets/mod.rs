//! Secrets at rest: the master key, and the seals made with it.

pub mod master_key;
mod seal;

pub use seal::{AdditionalData, SealError, Sealer};
