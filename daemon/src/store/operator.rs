//! What operators do: the frame of every command, and the audit it leaves.

pub mod audit;
pub mod command;
pub mod refusal;
