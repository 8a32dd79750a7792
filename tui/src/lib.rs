//! The console and the commands of Leadline. They know the daemon by its control API alone, through `client`.

pub mod cli;
pub mod client;
pub mod console;
pub mod demo;
#[cfg(test)]
mod fixtures;
pub mod keymap;
pub mod model;
pub mod msg;
pub mod net;
pub mod runtime;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;
