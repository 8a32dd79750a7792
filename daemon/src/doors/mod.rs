//! What the doors share: TLS, who a client is, and who tries what.

use std::net::IpAddr;

pub mod security;
pub mod tls;
mod validity;

/// The client that an address belongs to: one over IPv6 has a network of its own, and any address of it.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}
