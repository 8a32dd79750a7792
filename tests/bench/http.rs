//! HTTP as lean as it can be, so that the load generator and the receiver take little of the cores that are measured.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    ops::Add,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// When a lead arrived first, and how often it did.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) times: usize,
}

/// How many different deliveries arrived, and how many pushes came beside the first of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) different: usize,
    pub(crate) again: usize,
}

impl Arrived {
    /// Of how often each arrived.
    pub(crate) fn of(times: impl Iterator<Item = usize>) -> Self {
        let add = |sum: Self, times| Self { different: sum.different + 1, again: sum.again + times - 1 };
        times.fold(Self::default(), add)
    }
}

impl Add for Arrived {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { different: self.different + other.different, again: self.again + other.again }
    }
}

/// Answers 200 to whatever it reads, counts how often each delivery came, and notes when each lead arrived at `/` if told
/// to. Below `/slow` it takes [`SLOW`], below `/hang` it never answers, so that what comes there may come again.
pub(crate) struct Receiver {
    hosts: Vec<SocketAddr>,
    state: Arc<State>,
    _server: JoinSet<()>,
}

/// How long what is slow takes.
pub(crate) const SLOW: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    count: AtomicUsize,
    connections: AtomicUsize,
    /// Connections by the path of their first push, which is its integration's.
    by_path: Mutex<HashMap<String, usize>>,
    handshakes: AtomicUsize,
    slow: AtomicUsize,
    slow_most: AtomicUsize,
    arrivals: Mutex<Option<HashMap<String, Arrival>>>,
    /// How often each delivery came, by its id.
    deliveries: Mutex<HashMap<ulid::Ulid, usize>>,
}

impl Receiver {
    /// A receiver on one host.
    pub(crate) async fn start() -> Self {
        Self::start_on(1, None).await
    }

    /// A receiver that stands on so many hosts, behind TLS if it is given.
    pub(crate) async fn start_on(hosts: u8, tls: Option<TlsAcceptor>) -> Self {
        let state = Arc::new(State::default());
        let mut server = JoinSet::new();
        let mut addresses = Vec::new();
        for host in 1..=hosts {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0)).await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            server.spawn(accept(listener, tls.clone(), Arc::clone(&state)));
        }
        Self { hosts: addresses, state, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.hosts[0]
    }

    pub(crate) fn hosts(&self) -> &[SocketAddr] {
        &self.hosts
    }

    pub(crate) fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How many one integration opened at most, since this was asked last.
    pub(crate) fn connections_most(&self) -> usize {
        std::mem::take(&mut *self.state.by_path.lock().unwrap()).into_values().max().unwrap_or_default()
    }

    /// How many of them took a whole handshake.
    pub(crate) fn handshakes(&self) -> usize {
        self.state.handshakes.load(Ordering::Relaxed)
    }

    /// How many slow pushes were under way at once, at most.
    pub(crate) fn slow_most(&self) -> usize {
        self.state.slow_most.load(Ordering::Relaxed)
    }

    /// Notes arrivals at `/` by lead from now on.
    pub(crate) fn note(&self) {
        *self.state.arrivals.lock().unwrap() = Some(HashMap::new());
    }

    /// How many leads were noted so far.
    pub(crate) fn noted_count(&self) -> usize {
        self.state.arrivals.lock().unwrap().as_ref().map_or(0, HashMap::len)
    }

    /// What was noted.
    pub(crate) fn noted(&self) -> HashMap<String, Arrival> {
        self.state.arrivals.lock().unwrap().take().unwrap_or_default()
    }

    /// What of deliveries arrived since this was asked last. One that had arrived before then is a new one.
    pub(crate) fn arrived(&self) -> Arrived {
        let deliveries = std::mem::take(&mut *self.state.deliveries.lock().unwrap());
        Arrived::of(deliveries.into_values())
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        state.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let Some(tls) = tls else { return serve(stream, state).await };
            let Ok(stream) = tls.accept(stream).await else { return };
            if stream.get_ref().1.handshake_kind() != Some(rustls::HandshakeKind::Resumed) {
                state.handshakes.fetch_add(1, Ordering::Relaxed);
            }
            serve(stream, state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut is_new = true;
    while let Some((head, body)) = read_message(&mut stream, &mut buffer).await {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if std::mem::take(&mut is_new) {
            *state.by_path.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        }
        state.count.fetch_add(1, Ordering::Relaxed);
        if path == "/"
            && let Some(arrivals) = state.arrivals.lock().unwrap().as_mut()
        {
            let first = Arrival { at: Instant::now(), wall: SystemTime::now(), times: 0 };
            arrivals.entry(uuid_in(&body)).or_insert(first).times += 1;
        }
        if !path.starts_with("/hang")
            && let Some(id) = header(&head, "webhook-id").and_then(|id| id.parse().ok())
        {
            *state.deliveries.lock().unwrap().entry(id).or_default() += 1;
        }
        if path.starts_with("/slow") {
            let now = state.slow.fetch_add(1, Ordering::Relaxed) + 1;
            state.slow_most.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(SLOW).await;
            state.slow.fetch_sub(1, Ordering::Relaxed);
        } else if path.starts_with("/hang") {
            std::future::pending::<()>().await;
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn uuid_in(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    text.split_once(r#""uuid":""#).map(|(_, rest)| rest[..26].to_owned()).unwrap_or_default()
}

/// A client that keeps its connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: "
        );
        Self { stream, buffer: Vec::with_capacity(4096), head }
    }

    /// Posts, and gives the status.
    pub(crate) async fn post(&mut self, body: &str) -> u16 {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = read_message(&mut self.stream, &mut self.buffer).await.unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// Reads one message with its body; none if the peer closed.
async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
            buffer.reserve(end + 4 + length - buffer.len());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
