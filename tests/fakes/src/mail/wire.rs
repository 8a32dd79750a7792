//! A connection read by lines, which can become TLS on the way.

use std::io::{self, ErrorKind};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

const LINE_MAX: usize = 64 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    pub(super) is_secure: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), is_secure: false }
    }

    /// A connection to nobody, while the real one becomes another.
    pub(super) fn none() -> Self {
        Self { stream: BufReader::new(Box::new(tokio::io::empty())), is_secure: false }
    }

    /// The same connection with TLS. What was read ahead is dropped, as a server must.
    pub(super) async fn secured(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        let stream = acceptor.accept(self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), is_secure: true })
    }

    /// The next line without its end; none when the peer has closed.
    pub(super) async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() > LINE_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(Some(String::from_utf8_lossy(text).into_owned())),
            // A bare line feed ends no line; half a line is none.
            None => Err(ErrorKind::InvalidData.into()),
        }
    }

    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }
}
