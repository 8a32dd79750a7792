//! The console and the commands of Leadline. They know the daemon by its control API alone, through `leadline-client`.

mod acts;
pub mod cli;
pub mod columns;
pub mod config;
pub mod console;
pub mod demo;
#[cfg(test)]
mod fake;
pub mod jobs;
mod moment;
pub mod text;
