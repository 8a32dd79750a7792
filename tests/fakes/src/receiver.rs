//! A receiver of webhooks on loopback. How it behaves can be changed while it runs; every request is kept.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::http::{Connection, Request};

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// 200 at once.
    Good,
    /// 200 after this time.
    Slow(Duration),
    /// 500 to every nth call since this was set, 200 to the others.
    Flaky(u64),
    /// This status and body to everything.
    RefuseAll(u16, String),
    /// Takes the request and never answers.
    Hang,
    /// One reply a call since this was set, then 200.
    Script(Vec<Reply>),
    /// The status that a judge finds for the request.
    Judged(Judge),
}

/// Looks at a request as a receiver would, and answers with a status.
#[derive(Clone)]
pub struct Judge(Arc<dyn Fn(&Request) -> u16 + Send + Sync>);

impl Judge {
    /// A judge that finds like this.
    pub fn new(find: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Judge")
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    delay: Duration,
    end: ReplyEnd,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyEnd {
    Whole,
    /// The connection closes before the first byte of the answer.
    Closed,
    /// The connection closes halfway through the body.
    Cut,
    /// Nothing ever comes.
    Never,
}

impl Reply {
    /// An answer with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), delay: Duration::ZERO, end: ReplyEnd::Whole }
    }

    /// Takes the request and closes without a byte.
    #[must_use]
    pub fn close() -> Self {
        Self { end: ReplyEnd::Closed, ..Self::status(200) }
    }

    /// Closes halfway through this body.
    #[must_use]
    pub fn cut(body: impl Into<Bytes>) -> Self {
        Self { end: ReplyEnd::Cut, ..Self::status(200) }.body(body)
    }

    /// Takes the request and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self { end: ReplyEnd::Never, ..Self::status(200) }
    }

    /// An answer with this JSON body.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::status(status).header("Content-Type", "application/json").body(body.to_string())
    }

    /// The same answer, of which the peer sees nothing: the connection closes.
    #[must_use]
    pub fn lost(self) -> Self {
        Self { end: ReplyEnd::Closed, ..self }
    }

    /// The same answer, which never comes.
    #[must_use]
    pub fn stuck(self) -> Self {
        Self { end: ReplyEnd::Never, ..self }
    }

    /// With this header too.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Not before this time has passed.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The bytes on the wire, and whether the connection may carry another request.
    fn bytes(&self) -> (Vec<u8>, bool) {
        let mut head = format!("HTTP/1.1 {} Fake\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        match self.end {
            ReplyEnd::Whole => bytes.extend_from_slice(&self.body),
            ReplyEnd::Cut => bytes.extend_from_slice(&self.body[..self.body.len() / 2]),
            ReplyEnd::Closed | ReplyEnd::Never => bytes.clear(),
        }
        (bytes, self.end == ReplyEnd::Whole)
    }
}

impl Behaviour {
    /// The answer to the nth call, from 1, since this was set.
    fn reply(&self, call: u64, request: &Request) -> Reply {
        match self {
            Self::Good => Reply::status(200),
            Self::Slow(delay) => Reply::status(200).after(*delay),
            Self::Flaky(every) if call.is_multiple_of(*every) => {
                Reply::status(500).body("this receiver fails now and then")
            }
            Self::Flaky(_) => Reply::status(200),
            Self::RefuseAll(status, body) => Reply::status(*status).body(body.clone()),
            Self::Hang => Reply::hang(),
            Self::Script(replies) => {
                let at = usize::try_from(call - 1).unwrap_or(usize::MAX);
                replies.get(at).cloned().unwrap_or_else(|| Reply::status(200))
            }
            Self::Judged(judge) => Reply::status(judge.0(request)),
        }
    }
}

/// A receiver that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    calls: u64,
    requests: Vec<Request>,
}

impl Receiver {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), behaviour).await
    }

    /// Starts at this address: the way to come back where another one was.
    pub async fn start_on(address: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = State { behaviour, calls: 0, requests: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), count: watch::Sender::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Behaves so from the next call on.
    pub fn set(&self, behaviour: Behaviour) {
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.calls = 0;
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Waits until so many requests have arrived, and gives all there are. Bound it with a time-out.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        let mut arrived = self.shared.count.subscribe();
        let reached = arrived.wait_for(|arrived| *arrived >= count).await;
        debug_assert!(reached.is_ok(), "the sender lives as long as the receiver");
        drop(reached);
        self.requests()
    }

    /// Closes the port and every connection, also those that hang.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Shared {
    /// Keeps the request and says how to answer it.
    fn answer(&self, request: Request) -> Reply {
        let (reply, count) = {
            let mut state = self.lock();
            state.calls += 1;
            let reply = state.behaviour.reply(state.calls, &request);
            state.requests.push(request);
            (reply, state.requests.len())
        };
        self.count.send_replace(count);
        reply
    }
}

/// What stands behind a port.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(&self, request: Request) -> Reply;
}

/// Its connections are its own, so that they end with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<dyn Answers>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(error) => eprintln!("fake: accept: {error}"),
            },
            Some(ended) = connections.join_next() => report(ended),
        }
    }
}

/// A peer that breaks off is part of what the tests do; everything else is worth a line.
fn report(ended: Result<io::Result<()>, tokio::task::JoinError>) {
    match ended {
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => eprintln!("fake: {error}"),
        Err(error) if error.is_panic() => eprintln!("fake: {error}"),
        _ => {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<dyn Answers>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read().await? {
        let is_last = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let reply = shared.answer(request);
        if reply.end == ReplyEnd::Never {
            pending::<()>().await;
        }
        if !reply.delay.is_zero() {
            sleep(reply.delay).await;
        }
        let (bytes, goes_on) = reply.bytes();
        connection.write(&bytes).await?;
        if is_last || !goes_on {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
