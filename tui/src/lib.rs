//! The console and the commands of Leadline. They know the daemon by its control API alone, through `client`.

pub mod cli;
pub mod client;
pub mod config;
pub mod console;
pub mod demo;
pub mod text;
