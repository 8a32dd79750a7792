//! Takes connections, each within its limits, and lets them finish when it is told to stop.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn};

use super::{
    body::DISCARD_TIMEOUT,
    client::{HttpPeer, TrustedProxies},
    connections::{ConnectionPlace, Connections},
    places::{REQUESTS, REQUESTS_OF_ONE},
    strict_lines::StrictLines,
    write_timeout::WriteTimeout,
};
use crate::{
    doors::{client_of, tls::Tls},
    telemetry,
};

/// How long a request's headers may take, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER_CAP: usize = 64 * 1024;
/// How long the other end of a connection may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(60);
/// How long requests may still take after the stop: a slow body and its commit.
const GRACE: Duration = Duration::from_secs(15);
/// How long a connection may take to end once its place is wanted: one whose request was refused is idle while its body is
/// read away, and its sender is still to see why.
const LEAVE: Duration = DISCARD_TIMEOUT.saturating_add(Duration::from_secs(1));
/// How long to wait when the system has no descriptors left.
const BREATH: Duration = Duration::from_millis(200);
/// What a connection is told for which there is no place.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

pub(super) async fn run(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    proxies: TrustedProxies,
    stop: CancellationToken,
) {
    let all = Connections::new(REQUESTS, REQUESTS_OF_ONE);
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let (stream, peer) = accept(&listener).await;
            while let Some(ended) = connections.try_join_next() {
                log_panic(ended);
            }
            match all.enter(client_of(peer), proxies.has(peer), &stop) {
                Some(connection) => {
                    let served = Served { peer, connection, router: router.clone(), stop: stop.clone() };
                    connections.spawn(greet(stream, tls.clone(), served));
                }
                None => refuse(&stream, peer),
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(GRACE, ending).await.is_err() {
        tracing::warn!(
            event = "connections_cut",
            connections = connections.len(),
            "cutting connections that did not end in time"
        );
        connections.abort_all();
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    }
}

/// A connection that has its place.
struct Served {
    peer: IpAddr,
    connection: ConnectionPlace,
    router: Router,
    stop: CancellationToken,
}

/// Shakes hands where there is TLS, and serves.
async fn greet(stream: TcpStream, tls: Option<Arc<Tls>>, served: Served) {
    let Some(tls) = tls else { return serve(stream, served).await };
    let close = served.connection.close.clone();
    match close.run_until_cancelled(tls.accept(stream)).await {
        Some(Ok(stream)) => serve(stream, served).await,
        Some(Err(error)) => {
            tracing::debug!(peer = %served.peer, error = telemetry::causes(&error), "no TLS came about")
        }
        None => {}
    }
}

/// Serves one connection until it ends, its place is wanted, or the daemon stops.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, served: Served) {
    let Served { peer, connection, router, stop } = served;
    let connection = Arc::new(connection);
    let close = connection.close.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(HttpPeer::new(peer, connection.request()));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_CAP);
    let stream = StrictLines::new(WriteTimeout::new(stream, STALL));
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        () = close.cancelled() => {
            served.as_mut().graceful_shutdown();
            if stop.is_cancelled() { Some(served.await) } else { timeout(LEAVE, served).await.ok() }
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(error = telemetry::causes(&error), "a connection ended early"),
        None => tracing::debug!("a connection was cut to make room"),
    }
}

/// Tells a connection that there is no place for it, if it can be told at once.
fn refuse(stream: &TcpStream, peer: IpAddr) {
    metrics::counter!("leadline_intake_connections_refused_total").increment(1);
    match stream.try_write(FULL) {
        Ok(_) => tracing::debug!(%peer, "all places are taken"),
        Err(error) => tracing::debug!(%peer, error = telemetry::causes(&error), "all places are taken"),
    }
}

/// The next connection; what goes wrong with one says nothing of the next.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        let error = match listener.accept().await {
            Ok((stream, peer)) => match stream.set_nodelay(true) {
                Ok(()) => return (stream, peer.ip()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if is_of_one_connection(&error) {
            tracing::debug!(
                error = telemetry::causes(&error),
                "a connection was gone before it was accepted"
            );
        } else {
            tracing::error!(
                event = "intake_accept_failed",
                error = telemetry::causes(&error),
                "cannot accept connections; raise the limit of open files if that is the cause"
            );
            sleep(BREATH).await;
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(
            event = "connection_panicked",
            error = telemetry::causes(&error),
            "a connection panicked"
        );
    }
}
