//! Secrets at rest: the master key, and the seals made with it; and the memory that they are in while they are used.

pub mod master_key;
pub mod memory;
mod seal;

pub use seal::{AdditionalData, KEY_ID, KeysInUse, MissingKey, SealError, Sealer};
