//! The bytes of one connection, and what is noted of them: whether a request has begun to leave, and how its answer
//! begins.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// What is noted of a connection for the request that is on its way.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<WireNotes>);

#[derive(Debug, Default)]
struct WireNotes {
    has_sent: bool,
    /// The connection was idle: before anything is written, it must be silent and open.
    must_be_silent: bool,
    head: Vec<u8>,
}

impl Traffic {
    /// The next request begins, on a connection that was idle or is fresh.
    pub(super) fn begin(&self, was_idle: bool) {
        self.note(|noted| *noted = WireNotes { must_be_silent: was_idle, ..WireNotes::default() });
    }

    pub(super) fn has_sent(&self) -> bool {
        self.note(|noted| noted.has_sent)
    }

    /// The status with which the answer begins.
    pub(super) fn status(&self) -> Option<u16> {
        self.note(|noted| {
            let status = noted.head.strip_prefix(b"HTTP/1.")?.get(1..5)?.strip_prefix(b" ")?;
            std::str::from_utf8(status).ok()?.parse().ok()
        })
    }

    fn note<T>(&self, act: impl FnOnce(&mut WireNotes) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to a target, in the clear or secured.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    traffic: Arc<Traffic>,
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream), traffic: Arc::default() }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), traffic: Arc::default() }
    }

    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut (dyn Both + Unpin)> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }

    /// The kernel is asked, not the runtime: its news of a close may be a moment old.
    fn is_silent_and_open(&self) -> bool {
        let tcp = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(tcp).peek(&mut byte);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

trait Both: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Both for T {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.as_mut().stream().poll_read(cx, buf);
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            self.traffic.note(|noted| {
                let room = STATUS_LINE.saturating_sub(noted.head.len());
                noted.head.extend_from_slice(&read[..read.len().min(room)]);
            });
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.traffic.note(|noted| std::mem::take(&mut noted.must_be_silent)) && !self.is_silent_and_open()
        {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let polled = self.as_mut().stream().poll_write(cx, bytes);
        // Also what waits to be written may have left in part.
        if !matches!(polled, Poll::Ready(Err(_))) {
            self.traffic.note(|noted| noted.has_sent = true);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
