//! What operators do: the frame of every command, the audit it leaves, and who read whom.

pub mod audit;
pub mod command;
pub mod reading;
pub mod refusal;
