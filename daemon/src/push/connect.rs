//! From a URL to an open connection: look up, connect to one of the addresses, secure.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    resolver::{LookUpFailed, Refused, Resolver},
    wire::Wire,
};

/// How long an address has for itself before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(300);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    LookUp(#[from] LookUpFailed),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens connections, all secured or all in the clear.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: Resolver,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(super) fn new(resolver: Resolver, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { resolver, tls: tls.map(TlsConnector::from) }
    }

    pub(super) async fn open(&self, url: &Url) -> Result<Wire, ConnectError> {
        let port = url.port_or_known_default().unwrap_or_default();
        let (addresses, name) = match url.host() {
            Some(Host::Domain(name)) => (self.resolver.resolve(name).await?, name.to_owned()),
            // The policy has let literal addresses pass already.
            Some(Host::Ipv4(ip)) => (vec![ip.into()], ip.to_string()),
            Some(Host::Ipv6(ip)) => (vec![ip.into()], ip.to_string()),
            None => return Err(io::Error::other("the URL has no host").into()),
        };
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let stream = connect_to_any(&addresses).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Wire::plain(stream)) };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        Ok(Wire::tls(tls.connect(name, stream).await?))
    }
}

/// Connects to the first address that takes the connection. A silent one delays the next only for a moment.
async fn connect_to_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut rest = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::other("the name has no address");
    loop {
        match rest.next() {
            Some(address) => attempts.push(TcpStream::connect(*address)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let ended = if rest.len() == 0 {
            attempts.next().await
        } else {
            timeout(HEAD_START, attempts.next()).await.ok().flatten()
        };
        match ended {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = error,
            None => {}
        }
    }
}
