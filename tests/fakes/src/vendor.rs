//! What every vendor's fake stands on: a port, the vendor's state behind it, and faults that can be scripted.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    http::Request,
    receiver::{Answers, Reply, accept},
};

/// A vendor's cloud: what it keeps, and how it answers.
pub trait Vendor: Send + 'static {
    /// Acts on a request and answers it.
    fn handle(&mut self, request: &Request) -> Reply;
}

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This is the answer, and the vendor does nothing.
    Answer(Reply),
    /// The vendor does nothing, and the connection closes without an answer.
    Close,
    /// The vendor acts, and the connection closes without an answer.
    ActThenClose,
    /// The vendor acts, and never answers.
    ActThenHang,
    /// The vendor acts, and answers after this time.
    ActThenWait(Duration),
    /// The vendor acts, and what it answers cannot be read.
    ActThenGarble,
}

/// Says for each call whether it goes wrong.
pub type Chaos = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

/// What people do to a vendor's records.
pub type Act<V> = Box<dyn FnOnce(&mut V) + Send>;

/// A vendor that listens on loopback until it is stopped or dropped.
pub struct Fake<V> {
    address: SocketAddr,
    shared: Arc<Shared<V>>,
    tasks: JoinSet<()>,
}

struct Shared<V>(Mutex<State<V>>);

struct State<V> {
    vendor: V,
    faults: VecDeque<(String, Fault)>,
    chaos: Option<Chaos>,
    /// What happens when so many more calls have come.
    meanwhile: Option<(usize, Act<V>)>,
    requests: Vec<Request>,
}

impl<V> fmt::Debug for Fake<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<V: Vendor> Fake<V> {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(vendor: V) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state =
            State { vendor, faults: VecDeque::new(), chaos: None, meanwhile: None, requests: Vec::new() };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, tasks })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at what the vendor keeps, or changes it.
    pub fn with<R>(&self, look: impl FnOnce(&mut V) -> R) -> R {
        look(&mut self.shared.lock().vendor)
    }

    /// Lets the next call whose `METHOD /path` begins so go wrong. Faults wait for their calls in the order they came.
    pub fn fault(&self, call: &str, fault: Fault) {
        self.shared.lock().faults.push_back((call.to_owned(), fault));
    }

    /// Lets calls go wrong as this says, where no fault was asked for.
    pub fn chaos(&self, chaos: Option<Chaos>) {
        self.shared.lock().chaos = chaos;
    }

    /// Lets this happen when so many more calls have been answered, before the next.
    pub fn meanwhile(&self, calls: usize, act: Act<V>) {
        self.shared.lock().meanwhile = Some((calls, act));
    }

    /// How many faults still wait for their call.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// `METHOD /path?query` of every request so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let state = self.shared.lock();
        state.requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// The most calls in any stretch of so much time: what a quota counts.
    #[must_use]
    pub fn busiest(&self, window: Duration) -> usize {
        let times: Vec<Instant> = self.shared.lock().requests.iter().map(|request| request.at).collect();
        let within = |(first, at): (usize, &Instant)| {
            times[first..].iter().take_while(|later| later.duration_since(*at) < window).count()
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// Closes the port and every connection, also those that hang.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl<V> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Vendor> Answers for Shared<V> {
    fn answer(&self, request: Request) -> Reply {
        let mut state = self.lock();
        let call = format!("{} {}", request.method, request.path);
        state.requests.push(request.clone());
        match state.meanwhile.take() {
            Some((0, act)) => act(&mut state.vendor),
            Some((calls, act)) => state.meanwhile = Some((calls - 1, act)),
            None => {}
        }
        let scripted = state.faults.iter().position(|(wanted, _)| call.starts_with(wanted));
        let fault = match scripted.and_then(|at| state.faults.remove(at)) {
            Some((_, fault)) => Some(fault),
            None => state.chaos.as_mut().and_then(|chaos| chaos(&request)),
        };
        match fault {
            None => state.vendor.handle(&request),
            Some(Fault::Answer(reply)) => reply,
            Some(Fault::Close) => Reply::close(),
            Some(Fault::ActThenClose) => state.vendor.handle(&request).lost(),
            Some(Fault::ActThenHang) => state.vendor.handle(&request).stuck(),
            Some(Fault::ActThenWait(time)) => state.vendor.handle(&request).after(time),
            Some(Fault::ActThenGarble) => state.vendor.handle(&request).body("<html>"),
        }
    }
}

/// A request, taken apart for a vendor's routes.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: String,
    /// The segments of the path, decoded.
    pub path: Vec<String>,
    /// The pairs of the query, decoded.
    pub query: BTreeMap<String, String>,
    /// The body as JSON; null if it is not.
    pub body: Value,
}

impl Route {
    /// Takes a request apart.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        Self {
            method: request.method.clone(),
            path: path.split('/').skip(1).map(|segment| decode(segment, false)).collect(),
            query: pairs(query),
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
        }
    }

    /// Method and segments, to be matched on.
    #[must_use]
    pub fn parts(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    /// A value of the query, empty if it is absent.
    #[must_use]
    pub fn asked(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }
}

/// The pairs of a form or a query, decoded.
#[must_use]
pub fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// The `Authorization` of a name with its password.
#[must_use]
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn decode(text: &str, is_form: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) if is_form => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A vendor's quota: so many calls in any stretch of so much time.
#[derive(Clone, Debug)]
pub struct Quota {
    pub calls: usize,
    pub per: Duration,
    taken: VecDeque<Instant>,
    /// How many calls were over it.
    pub refused: usize,
}

impl Quota {
    /// A quota of which nothing is used yet.
    #[must_use]
    pub fn new(calls: usize, per: Duration) -> Self {
        Self { calls, per, taken: VecDeque::new(), refused: 0 }
    }

    /// A quota that no calls exceed.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX, Duration::from_secs(1))
    }

    /// Takes a call in, unless it is one too many.
    pub fn admit(&mut self, at: Instant) -> bool {
        while self.taken.front().is_some_and(|first| at.duration_since(*first) >= self.per) {
            self.taken.pop_front();
        }
        if self.taken.len() >= self.calls {
            self.refused += 1;
            return false;
        }
        self.taken.push_back(at);
        true
    }

    /// How many calls are left now.
    #[must_use]
    pub fn left(&self) -> usize {
        self.calls.saturating_sub(self.taken.len())
    }
}

/// Chance that comes the same way in every run.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The chance of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 0 up to this one, which is not reached.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded() {
        let found = pairs("q=a%2Bb+c&empty=&flag");
        assert_eq!(found["q"], "a+b c");
        assert_eq!((found["empty"].as_str(), found["flag"].as_str()), ("", ""));
        assert_eq!(decode("a+b%40c%2", false), "a+b@c%2");
        assert_eq!(decode("%F0%9F%91%B0", true), "👰");
    }

    #[test]
    fn a_quota_counts_any_stretch_of_time() {
        let start = Instant::now();
        let mut quota = Quota::new(2, Duration::from_secs(2));
        let at = |millis| start + Duration::from_millis(millis);
        let admitted: Vec<bool> = [0, 1500, 1900, 2000, 2100, 3500].map(|t| quota.admit(at(t))).to_vec();
        assert_eq!(admitted, [true, true, false, true, false, true]);
        assert_eq!((quota.refused, quota.left()), (2, 0));
    }
}
