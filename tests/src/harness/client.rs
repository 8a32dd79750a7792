//! The clients that tests talk with.

use std::path::Path;

use tonic::transport::{Channel, Endpoint};

/// A client for intake and receivers. Nothing here speaks TLS: the system's certificates, which take long to read, stay
/// unread.
#[must_use]
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// A channel to a control socket, for any of the generated clients.
pub async fn control(socket: &Path) -> Channel {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect().await.unwrap()
}
