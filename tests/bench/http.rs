//! HTTP as lean as it can be, so that the load generator and the receiver take little of the cores that are measured.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// When a push arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
}

/// Answers 200 to whatever it reads, counts it, and notes when each lead arrived if told to.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct State {
    count: AtomicUsize,
    connections: AtomicUsize,
    arrivals: Mutex<Option<HashMap<String, Arrival>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let mut server = JoinSet::new();
        let shared = Arc::clone(&state);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(stream, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Notes arrivals by lead from now on.
    pub(crate) fn note(&self) {
        *self.state.arrivals.lock().unwrap() = Some(HashMap::new());
    }

    /// What was noted.
    pub(crate) fn noted(&self) -> HashMap<String, Arrival> {
        self.state.arrivals.lock().unwrap().take().unwrap_or_default()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while let Some((_, body)) = read_message(&mut stream, &mut buffer).await {
        state.count.fetch_add(1, Ordering::Relaxed);
        if let Some(arrivals) = state.arrivals.lock().unwrap().as_mut() {
            let arrival = Arrival { at: Instant::now(), wall: SystemTime::now() };
            arrivals.insert(uuid_in(&body), arrival);
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

fn uuid_in(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
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
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.trim().parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
