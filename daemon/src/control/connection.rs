//! Where calls come from: the unix socket, and the network with TLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixStream},
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{Listeners, access::Peer, authority::AnyAuthority};
use crate::{
    doors::{
        client_of,
        security::{Attempted, AttemptedBy, Security},
        tls::{Tls, TlsConnection, refuses_client},
    },
    shares::{Share, Shares},
    telemetry,
};

/// The most connections over the network at once, those that still shake hands included.
const REMOTE_MAX: usize = 512;
/// What one client's address has of them: who has no token may hold some, but not all.
const REMOTE_OF_ONE: usize = REMOTE_MAX / 8;
/// How long to wait when the system has no descriptors left.
const BREATH: Duration = Duration::from_millis(200);

/// Where the control API listens over the network.
#[derive(Debug)]
pub struct Remote {
    pub listener: TcpListener,
    pub tls: Arc<Tls>,
}

/// A connection to the control API.
pub(super) enum Connection {
    Local(AnyAuthority<UnixStream>, Peer),
    /// With its place, until it ends.
    Remote {
        stream: Box<AnyAuthority<TlsConnection>>,
        peer: Peer,
        _place: Share,
    },
}

/// Everything that connects, from the socket and, if there is such a door, from the network.
pub(super) fn connections(
    listeners: Listeners,
    security: Arc<Security>,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let local = UnixListenerStream::new(listeners.socket).map(|stream| {
        stream.map(|stream| {
            let user = stream.peer_cred().ok().map(|peer| (peer.uid(), peer.gid()));
            Connection::Local(AnyAuthority::new(stream), Peer::Local(user))
        })
    });
    let (sender, receiver) = mpsc::channel(1);
    if let Some(remote) = listeners.remote {
        tasks.spawn(accept(remote, security, sender, stop));
    }
    stream::select(local, ReceiverStream::new(receiver).map(Ok))
}

/// Takes connections from the network and shakes hands with each beside the others.
async fn accept(
    remote: Remote,
    security: Arc<Security>,
    sender: mpsc::Sender<Connection>,
    stop: CancellationToken,
) {
    let places = Shares::new(REMOTE_MAX, REMOTE_OF_ONE);
    let mut handshakes = JoinSet::new();
    let accepting = async {
        loop {
            while handshakes.try_join_next().is_some() {}
            match remote.listener.accept().await {
                Ok((stream, address)) => match places.try_take(client_of(address.ip()), 1) {
                    Some(place) => {
                        let tls = (Arc::clone(&remote.tls), Arc::clone(&security));
                        handshakes.spawn(greet(stream, address, tls, place, sender.clone()));
                    }
                    None => tracing::warn!(
                        event = "control_full",
                        %address,
                        "all places of the control API are taken, or all that one address has"
                    ),
                },
                Err(error) => {
                    tracing::warn!(
                        event = "control_accept_failed",
                        error = telemetry::causes(&error),
                        "cannot accept a control connection"
                    );
                    sleep(BREATH).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    (tls, security): (Arc<Tls>, Arc<Security>),
    place: Share,
    sender: mpsc::Sender<Connection>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, error = telemetry::causes(&error), "a control connection cannot be set up");
    }
    match tls.accept(stream).await {
        Ok(stream) => {
            let stream = Box::new(AnyAuthority::new(stream));
            let connection = Connection::Remote { stream, peer: Peer::Remote(address), _place: place };
            // Nobody takes connections any more: the daemon stops.
            if sender.send(connection).await.is_err() {
                tracing::debug!(%address, "a control connection came too late");
            }
        }
        Err(error) => {
            if refuses_client(&error) {
                let client = client_of(address.ip());
                security.note(Attempted::ForeignCertificate, client, AttemptedBy::default());
            }
            tracing::debug!(%address, error = telemetry::causes(&error), "no TLS came about");
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Local(_, peer) | Self::Remote { peer, .. } => *peer,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream, _) => Pin::new(stream).poll_read(context, buffer),
            Self::Remote { stream, .. } => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Local(stream, _) => Pin::new(stream).poll_write(context, bytes),
            Self::Remote { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream, _) => Pin::new(stream).poll_flush(context),
            Self::Remote { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Local(stream, _) => Pin::new(stream).poll_shutdown(context),
            Self::Remote { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Local(stream, _) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Remote { stream, .. } => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Local(stream, _) => stream.is_write_vectored(),
            Self::Remote { stream, .. } => stream.is_write_vectored(),
        }
    }
}
