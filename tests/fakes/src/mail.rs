//! A mail server: it greets, wants TLS and a login where it says so, grey-lists, and keeps what it took.

pub(crate) mod account;
mod session;
mod wire;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// Where in a conversation something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// The final dot.
    Message,
    Noop,
}

/// What goes wrong there, once.
#[derive(Clone, Debug)]
pub enum MailFault {
    /// The server says this instead, as `450 4.7.1 try again`.
    Say(&'static str),
    /// It closes the connection without a word, and has done nothing.
    Close,
    /// It does what it was asked and closes without a word.
    ActThenClose,
    /// It does what it was asked and never says so.
    ActThenHang,
    /// It says this behind its reply, in one go: what somebody in between could do before TLS begins.
    Inject(&'static str),
}

/// What it wants of those who send.
#[derive(Clone, Default)]
pub struct House {
    /// What TLS is made with; without it there is none.
    pub tls: Option<TlsAcceptor>,
    /// TLS from the first byte, not after STARTTLS.
    pub is_implicit: bool,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// Tokens open the mailbox too, those of `set_tokens`.
    pub takes_tokens: bool,
    /// Who is new is asked to come again.
    pub is_grey: bool,
    /// Recipients that there are not.
    pub strangers: BTreeSet<String>,
    /// Here it refuses whoever comes, and quotes what they logged in with.
    pub quotes_at: Option<Stage>,
}

/// A message as it was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and text, dots taken off again.
    pub message: String,
    /// Whether it came over TLS.
    pub is_secure: bool,
    /// Who had logged in.
    pub login: Option<String>,
}

impl Taken {
    /// What stands below the headers, as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let text = self.message.split_once("\r\n\r\n").map_or("", |(_, text)| text);
        if self.header("Content-Transfer-Encoding").as_deref() != Some("quoted-printable") {
            return text.to_owned();
        }
        let text = text.replace("=\r\n", "");
        let mut parts = text.split('=');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            bytes.extend(u8::from_str_radix(hex, 16));
            bytes.extend(rest.as_bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A header's value, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.message.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }
}

/// A mail server on loopback that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    house: House,
    state: Mutex<State>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<(Stage, MailFault)>,
    seen: BTreeSet<(String, String)>,
    tokens: BTreeSet<String>,
    taken: Vec<Taken>,
    /// What was said to it, in order; credentials left out.
    said: Vec<String>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl MailServer {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(house: House) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { house, state: Mutex::default(), count: watch::Sender::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on these tokens open the mailbox, and no others.
    pub fn set_tokens(&self, tokens: impl IntoIterator<Item = String>) {
        self.shared.lock().tokens = tokens.into_iter().collect();
    }

    /// Lets the next command of this stage go wrong. Faults wait for their stage in the order they came.
    pub fn fault(&self, stage: Stage, fault: MailFault) {
        self.shared.lock().faults.push_back((stage, fault));
    }

    /// Lets nothing go wrong that was asked for and has not yet.
    pub fn calm(&self) {
        self.shared.lock().faults.clear();
    }

    /// How many faults still wait.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// Every message it took.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.lock().taken.clone()
    }

    /// Every command it was given.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.shared.lock().said.clone()
    }

    /// Waits until it took so many messages, and gives all there are. Bound it with a time-out.
    pub async fn wait_for(&self, count: usize) -> Vec<Taken> {
        let mut arrived = self.shared.count.subscribe();
        let reached = arrived.wait_for(|arrived| *arrived >= count).await;
        debug_assert!(reached.is_ok(), "the sender lives as long as the server");
        drop(reached);
        self.taken()
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

    fn fault(&self, stage: Stage) -> Option<MailFault> {
        let mut state = self.lock();
        let at = state.faults.iter().position(|(wanted, _)| *wanted == stage)?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }

    fn note(&self, said: String) {
        self.lock().said.push(said);
    }

    /// Whether sender and recipient were seen before; from now on they were.
    fn is_known(&self, from: &str, to: &str) -> bool {
        !self.lock().seen.insert((from.to_owned(), to.to_owned()))
    }

    fn take(&self, taken: Taken) {
        let count = {
            let mut state = self.lock();
            state.taken.push(taken);
            state.taken.len()
        };
        self.count.send_replace(count);
    }
}

/// Its connections are its own, so that they end with it. A peer that breaks off is part of what the tests do.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(session::serve(stream, Arc::clone(&shared)));
                }
                Err(error) => eprintln!("fake: accept: {error}"),
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    eprintln!("fake: {error}");
                }
            }
        }
    }
}
