//! The connections of one integration, kept for its next push. Nobody else's calls use them: a target that closes them
//! costs its neighbours nothing, and there are never more than the integration may have pushes in flight.
//!
//! A crowd of pushes does not open a connection each: whoever finds none waits for one that comes back, as long as
//! opening one takes. At worst it is late by that; mostly a handshake is saved.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use url::{Position, Url};

use super::{
    Body,
    wire::{Traffic, Wire},
};
use crate::connectors::{Request, Response};

/// How long a connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Where a connection leads: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(String);

impl Origin {
    pub(super) fn of(url: &Url) -> Self {
        Self(url[..Position::BeforePath].to_owned())
    }
}

/// How long a push waits for a connection in use, at least and at most: the least is what a timer can tell apart.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The connections of one integration, whatever its version.
#[derive(Debug, Default)]
pub struct Pool {
    kept: Mutex<Kept>,
    /// Those in use, too, and those that are being opened.
    open: Arc<AtomicUsize>,
    came_back: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    size: usize,
    idle: Vec<PooledConnection>,
    /// How long the last one took to open.
    opened_in: Duration,
}

/// A connection's place among those that are open; free when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    open: Arc<AtomicUsize>,
    taken: Instant,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool that keeps so many connections.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let pool = Self::default();
        pool.resize(size);
        pool
    }

    /// Keeps so many from now on.
    pub fn resize(&self, size: usize) {
        let mut kept = self.kept();
        kept.size = size;
        kept.idle.truncate(size);
    }

    /// Closes the connections that nobody has used for a while.
    pub fn close_idle(&self) {
        self.kept().idle.retain(PooledConnection::is_fresh);
    }

    /// A connection that is idle, or comes back in a moment; or else a place for a new one.
    pub(super) async fn take(&self, origin: &Origin) -> Result<PooledConnection, Slot> {
        let end = Instant::now() + self.kept().opened_in.clamp(PATIENCE.0, PATIENCE.1);
        loop {
            let came_back = self.came_back.notified();
            match self.idle_or_place(origin, Instant::now() >= end) {
                Some(taken) => return taken,
                None if timeout_at(end, came_back).await.is_ok() => {}
                None => tracing::trace!("no connection came back"),
            }
        }
    }

    /// None while it is worth waiting for a connection in use.
    fn idle_or_place(&self, origin: &Origin, has_waited: bool) -> Option<Result<PooledConnection, Slot>> {
        let mut kept = self.kept();
        // The one that was used last: the others may then become old enough to be closed.
        let is_ours = |connection: &PooledConnection| connection.origin == *origin && connection.is_fresh();
        if let Some(at) = kept.idle.iter().rposition(is_ours) {
            return Some(Ok(kept.idle.remove(at)));
        }
        let open = self.open.load(Ordering::Relaxed);
        let in_use = open.saturating_sub(kept.idle.len());
        if in_use > 0 && !has_waited {
            return None;
        }
        // Idle ones lead elsewhere, to where the integration is not pushing now.
        if open >= kept.size && !kept.idle.is_empty() {
            kept.idle.remove(0);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Err(Slot { open: Arc::clone(&self.open), taken: Instant::now() }))
    }

    /// A new connection stands.
    pub(super) fn opened(&self, connection: &PooledConnection) {
        self.kept().opened_in = connection.place.taken.elapsed();
    }

    /// Keeps a connection whose answer was read to its end, if it can take another request.
    pub(super) async fn give_back(&self, mut connection: PooledConnection) {
        if !connection.is_ready().await {
            return;
        }
        connection.since = Instant::now();
        connection.is_used = true;
        let mut kept = self.kept();
        if kept.idle.len() < kept.size {
            kept.idle.push(connection);
            drop(kept);
            self.came_back.notify_one();
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves bytes as long as it is polled; none once the connection has ended.
type Driver = Option<Pin<Box<http1::Connection<TokioIo<Wire>, Body>>>>;

/// A connection. Nothing runs in the background: it is driven by whoever waits for its answer, and ends when dropped.
#[derive(Debug)]
pub(super) struct PooledConnection {
    origin: Origin,
    sender: SendRequest<Body>,
    driver: Driver,
    traffic: Arc<Traffic>,
    is_used: bool,
    since: Instant,
    place: Slot,
}

impl PooledConnection {
    pub(super) async fn open(origin: Origin, place: Slot, wire: Wire) -> hyper::Result<Self> {
        let traffic = wire.traffic();
        let mut builder = http1::Builder::new();
        // Targets' answers are read as browsers and other clients read them.
        builder
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let (sender, driver) = builder.handshake(TokioIo::new(wire)).await?;
        let driver = Some(Box::pin(driver));
        Ok(Self { origin, sender, driver, traffic, is_used: false, since: Instant::now(), place })
    }

    /// Sends a request and waits for status and headers.
    pub(super) async fn send(
        &mut self,
        request: http::Request<Body>,
    ) -> hyper::Result<hyper::Response<Incoming>> {
        self.traffic.begin(self.is_used);
        let answer = self.sender.send_request(request);
        drive(&mut self.driver, answer).await
    }

    /// Waits for something of this connection.
    pub(super) async fn drive<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        drive(&mut self.driver, awaited).await
    }

    /// Whether it was used before, and was closed before any byte of this request left.
    pub(super) fn is_stale(&self) -> bool {
        self.is_used && !self.has_sent()
    }

    /// Whether a byte of the request has left.
    pub(super) fn has_sent(&self) -> bool {
        self.traffic.has_sent()
    }

    /// The answer of a target that said success and went on with what is no HTTP: it has taken the request.
    pub(super) fn unreadable_success(&self, error: &hyper::Error) -> Option<Response> {
        let status =
            self.traffic.status().filter(|status| error.is_parse() && (200..300).contains(status))?;
        Some(Response { status, headers: Vec::new(), body: Bytes::new(), truncated: true })
    }

    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE_MAX
    }

    /// Whether it can take another request at once: one whose answer came before the request had left cannot.
    async fn is_ready(&mut self) -> bool {
        let Self { sender, driver, .. } = self;
        std::future::poll_fn(|cx| {
            poll(driver, cx);
            Poll::Ready(matches!(sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }
}

async fn drive<T>(driver: &mut Driver, awaited: impl Future<Output = T>) -> T {
    let mut awaited = pin!(awaited);
    std::future::poll_fn(|cx| {
        poll(driver, cx);
        awaited.as_mut().poll(cx)
    })
    .await
}

/// An error of the connection reaches whoever waits for the answer, too.
fn poll(driver: &mut Driver, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|running| running.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

/// A request as it goes over the wire.
pub(super) fn outgoing(request: &Request) -> Result<http::Request<Body>, http::Error> {
    let url = &request.url;
    let mut outgoing = http::Request::builder()
        .method(request.method.clone())
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if request.headers.iter().all(|header| header.name != header::ACCEPT) {
        outgoing = outgoing.header(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    for header in request.headers.iter().filter(|header| header.name != header::ACCEPT_ENCODING) {
        outgoing = outgoing.header(&header.name, &header.value);
    }
    if request.body.is_empty() && matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        // Some servers answer 411 without it.
        outgoing = outgoing.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    outgoing.body(Body::new(request.body.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_connection_is_opened_only_where_waiting_did_not_help() {
        let (pool, origin) = (Pool::new(4), Origin("https://crm.example".into()));
        let place = |has_waited| pool.idle_or_place(&origin, has_waited).and_then(Result::err);
        let first = place(false).expect("nothing is there to wait for");
        assert!(place(false).is_none(), "the first one may come back");
        let second = place(true).expect("it did not");
        drop(first);
        assert!(place(false).is_none(), "the second one may come back");
        drop(second);
        assert!(place(false).is_some(), "nobody would give one back");
    }
}
