//! The clients that tests talk with.

use std::path::Path;

use tonic::transport::{Channel, Endpoint};

/// A client for intake and receivers.
#[must_use]
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A channel to a control socket, for any of the generated clients.
pub async fn control(socket: &Path) -> Channel {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect().await.unwrap()
}
