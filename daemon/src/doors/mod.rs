//! What the doors share: TLS, and who tries what.

pub mod security;
pub mod tls;
mod validity;
