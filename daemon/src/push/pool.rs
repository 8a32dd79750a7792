//! The connections of one integration, kept for its next push. Nobody else's calls use them: a target that closes them
//! costs its neighbours nothing, and there are never more than the integration may have pushes in flight.
//!
//! A crowd of pushes does not open a connection each: whoever finds none waits for one that comes back, as long as
//! opening one takes. At worst it is late by that; mostly a handshake is saved.

use std::{
    collections::HashMap,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    open: Arc<OpenByOrigin>,
}

#[derive(Debug, Default)]
struct Kept {
    size: usize,
    idle: Vec<PooledConnection>,
    /// How long the last one took to open.
    opened_in: Duration,
}

/// The connections that are open or being opened, by where they lead. It is locked behind what is kept, never before.
#[derive(Debug, Default)]
struct OpenByOrigin(Mutex<HashMap<Origin, OpenTo>>);

#[derive(Debug, Default)]
struct OpenTo {
    count: usize,
    /// One of them is idle again, or the last one is gone.
    came_back: Arc<Notify>,
}

impl OpenByOrigin {
    fn locked(&self) -> MutexGuard<'_, HashMap<Origin, OpenTo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells that one came back.
    fn came_back(&self, origin: &Origin) -> Arc<Notify> {
        let mut open = self.locked();
        let there = match open.get(origin) {
            Some(there) => there,
            None => open.entry(origin.clone()).or_default(),
        };
        Arc::clone(&there.came_back)
    }
}

/// A connection's place among those that are open; free when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    origin: Origin,
    open: Arc<OpenByOrigin>,
    taken: Instant,
}

impl Slot {
    fn take(origin: &Origin, open: &Arc<OpenByOrigin>) -> Self {
        open.locked().entry(origin.clone()).or_default().count += 1;
        Self { origin: origin.clone(), open: Arc::clone(open), taken: Instant::now() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.locked();
        let Some(there) = open.get_mut(&self.origin) else { return };
        there.count -= 1;
        if there.count > 0 {
            return;
        }
        // Nobody would give one back to those who wait. They stay known to whoever opens the next one.
        there.came_back.notify_waiters();
        if Arc::strong_count(&there.came_back) == 1 {
            open.remove(&self.origin);
        }
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
        if let Some(taken) = self.idle_or_place(origin, false) {
            return taken;
        }
        let patience = self.kept().opened_in.clamp(PATIENCE.0, PATIENCE.1);
        self.wait(origin, Instant::now() + patience).await
    }

    async fn wait(&self, origin: &Origin, end: Instant) -> Result<PooledConnection, Slot> {
        loop {
            let notify = self.open.came_back(origin);
            let mut came_back = pin!(notify.notified());
            // Waits from here on: what comes back while it looks wakes it.
            came_back.as_mut().enable();
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
        let leads_there = |connection: &PooledConnection| connection.place.origin == *origin;
        let is_ours = |connection: &PooledConnection| leads_there(connection) && connection.is_fresh();
        if let Some(at) = kept.idle.iter().rposition(is_ours) {
            return Some(Ok(kept.idle.remove(at)));
        }
        let (open, there) = {
            let open = self.open.locked();
            (open.values().map(|there| there.count).sum::<usize>(), open.get(origin).map_or(0, |to| to.count))
        };
        // Those that are idle are too old.
        let idle = kept.idle.iter().filter(|connection| leads_there(connection)).count();
        if there > idle && !has_waited {
            return None;
        }
        // Idle ones lead elsewhere, to where the integration is not pushing now.
        if open >= kept.size && !kept.idle.is_empty() {
            kept.idle.remove(0);
        }
        Some(Err(Slot::take(origin, &self.open)))
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
        let came_back = self.open.came_back(&connection.place.origin);
        let mut kept = self.kept();
        if kept.idle.len() < kept.size {
            kept.idle.push(connection);
            drop(kept);
            came_back.notify_one();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves bytes as long as it is polled; none once the connection has ended.
type Driver = Option<Pin<Box<http1::Connection<TokioIo<Wire>, Body>>>>;

/// A connection. Nothing runs in the background: it is driven by whoever waits for its answer, and ends when dropped.
#[derive(Debug)]
pub(super) struct PooledConnection {
    sender: SendRequest<Body>,
    driver: Driver,
    traffic: Arc<Traffic>,
    is_used: bool,
    since: Instant,
    place: Slot,
}

impl PooledConnection {
    pub(super) async fn open(place: Slot, wire: Wire) -> hyper::Result<Self> {
        let traffic = wire.traffic();
        let mut builder = http1::Builder::new();
        // Targets' answers are read as browsers and other clients read them.
        builder
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let (sender, driver) = builder.handshake(TokioIo::new(wire)).await?;
        let driver = Some(Box::pin(driver));
        Ok(Self { sender, driver, traffic, is_used: false, since: Instant::now(), place })
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
    use futures::poll;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection to an origin, and its other end.
    async fn open(pool: &Pool, origin: &Origin) -> (PooledConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let theirs = listener.accept().await.unwrap().0;
        let place = Slot::take(origin, &pool.open);
        (PooledConnection::open(place, Wire::plain(ours)).await.unwrap(), theirs)
    }

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
        assert!(pool.open.locked().is_empty());
    }

    #[tokio::test]
    async fn only_those_are_waited_for_and_woken_by_that_lead_to_the_same_place() {
        let [one, two, three] = ["https://one.example", "https://two.example", "https://three.example"]
            .map(|origin| Origin(origin.into()));
        let pool = Pool::new(4);
        let ((first, _first), (second, _second)) = (open(&pool, &one).await, open(&pool, &two).await);
        // However slow this machine is, nobody has waited for long enough.
        let end = Instant::now() + Duration::from_secs(600);
        let mut waiting = (pin!(pool.wait(&one, end)), pin!(pool.wait(&two, end)));
        assert!(poll!(&mut waiting.0).is_pending() && poll!(&mut waiting.1).is_pending());
        assert!(matches!(poll!(pin!(pool.wait(&three, end))), Poll::Ready(Err(_))), "none leads there");
        pool.give_back(second).await;
        assert!(poll!(&mut waiting.0).is_pending(), "the other one came back");
        assert!(matches!(poll!(&mut waiting.1), Poll::Ready(Ok(_))), "though it waits for longer");
        drop(first);
        assert!(matches!(poll!(&mut waiting.0), Poll::Ready(Err(_))), "the last one that led there is gone");
    }
}
