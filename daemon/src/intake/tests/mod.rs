//! The intake against a ledger in memory: every rule of it but the SQL.

mod fake;
mod flush;
mod http;
mod server;
