//! Ends this process's own connections to a server that is left, whoever waits on them. A machine that vanished answers
//! nothing, not even that a connection is gone: what waits for it would wait until the kernel gives up, a quarter of an
//! hour later, and neither the pool nor the driver can be told.

use std::{
    fs, io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::RawFd,
};

use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};

/// Where a process sees its own descriptors.
const DESCRIPTORS: &str = "/dev/fd";

/// Ends every TCP connection to these addresses. The answer is how many there were.
///
/// Between the question and the end of a connection another thread may close it and be given its number for a new one:
/// then that one ends, as any connection may at any time.
pub(super) fn cut_off(addresses: &[SocketAddr]) -> io::Result<usize> {
    let mut count = 0;
    if addresses.is_empty() {
        return Ok(count);
    }
    for entry in fs::read_dir(DESCRIPTORS)? {
        let name = entry?.file_name();
        let Some(descriptor) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if peer(descriptor).is_some_and(|peer| addresses.contains(&peer)) {
            // It may have ended by itself meanwhile.
            count += usize::from(shutdown(descriptor, Shutdown::Both).is_ok());
        }
    }
    Ok(count)
}

/// Whom a descriptor is connected to over TCP.
fn peer(descriptor: RawFd) -> Option<SocketAddr> {
    let address: SockaddrStorage = getpeername(descriptor).ok()?;
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    // Neither zone nor flow is part of what a name resolves to.
    let v6 = |address: SocketAddrV6| SocketAddr::from((*address.ip(), address.port()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| v6(SocketAddrV6::from(*address))))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    #[test]
    fn whoever_waits_on_a_connection_is_told_and_other_connections_stay() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(left) = TcpListener::bind(any) else { continue };
            let kept = TcpListener::bind(any).unwrap();
            let addresses = [left.local_addr().unwrap(), kept.local_addr().unwrap()];
            let [mut to_left, mut to_kept] = addresses.map(|address| TcpStream::connect(address).unwrap());
            let waits = thread::spawn(move || to_left.read(&mut [0]));
            // Whoever accepts is no client: its end has the client's address.
            let (_near, (mut other, _)) = (left.accept().unwrap(), kept.accept().unwrap());
            assert_eq!(cut_off(&[]).unwrap(), 0);
            assert_eq!(cut_off(&addresses[..1]).unwrap(), 1, "{any}");
            assert_eq!(waits.join().unwrap().unwrap(), 0, "it ends, and nothing came");
            io::Write::write_all(&mut other, b"x").unwrap();
            assert_eq!(to_kept.read(&mut [0]).unwrap(), 1);
        }
    }
}
