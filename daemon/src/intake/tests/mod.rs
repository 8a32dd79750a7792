//! The intake against a store in memory: every rule of it but the SQL.

mod batch;
mod fair;
pub(super) mod fake;
mod flush;
mod forms;
mod http;
mod keys;
mod openapi;
mod server;

/// Waits until something holds; how long that takes is nobody's business.
pub(super) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}
