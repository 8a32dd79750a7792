//! The daemon of another profile, which is looked at beside the one that the console works with.

use super::{Conn, Integration};

/// What is known of it.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    pub conn: Conn,
    /// False until it has told its integrations.
    pub is_loaded: bool,
    pub integrations: Vec<Integration>,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self { conn: Conn::Connecting, is_loaded: false, integrations: Vec::new() }
    }
}
