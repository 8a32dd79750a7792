//! Takes connections, each within its limits, and lets them finish when it is told to stop.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::patient::Patient;

/// The most connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// How long a request's headers may take, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER_CAP: usize = 64 * 1024;
/// How long the other end of a connection may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(60);
/// How long requests may still take after the stop: a slow body and its commit.
const GRACE: Duration = Duration::from_secs(15);
/// How long to wait when the system has no descriptors left.
const BREATH: Duration = Duration::from_millis(200);

pub(super) async fn run(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_CAP);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = accept(&listener).await;
            while let Some(ended) = connections.try_join_next() {
                log_panic(ended);
            }
            let service = TowerToHyperService::new(router.clone());
            let connection =
                graceful.watch(http.serve_connection(TokioIo::new(Patient::new(stream, STALL)), service));
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting connections that did not end in time");
        connections.abort_all();
    }
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

/// The next connection; what goes wrong with one says nothing of the next.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        let error = match listener.accept().await {
            Ok((stream, _)) => match stream.set_nodelay(true) {
                Ok(()) => return stream,
                Err(error) => error,
            },
            Err(error) => error,
        };
        if is_of_one_connection(&error) {
            tracing::debug!(%error, "a connection was gone before it was accepted");
        } else {
            tracing::error!(%error, "cannot accept connections; raise the limit of open files if that is the cause");
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
        tracing::error!(%error, "a connection panicked");
    }
}
