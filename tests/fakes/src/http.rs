//! Just enough HTTP/1.1, by hand: a fake must see the bytes as they come and may break off anywhere.

use std::{
    io::{self, ErrorKind},
    time::{Instant, SystemTime},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its last byte was read; monotonic, to measure gaps with.
    pub at: Instant,
    /// The same by the wall clock.
    pub time: SystemTime,
    /// `POST` and the like.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In the order and the case that they came in.
    pub headers: Vec<(String, String)>,
    /// The raw bytes.
    pub body: Bytes,
}

impl Request {
    /// The first header of this name, case ignored.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A connection that requests are read from, one after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next request, or nothing when the peer has closed.
    pub(crate) async fn read(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.read_head().await? else { return Ok(None) };
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(invalid("no request line"));
        };
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut request = Request {
            at: Instant::now(),
            time: SystemTime::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Bytes::new(),
        };
        request.body = self.read_body(&request).await?;
        (request.at, request.time) = (Instant::now(), SystemTime::now());
        Ok(Some(request))
    }

    /// Writes these bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn read_head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.split_to(end);
                self.buffer.advance(4);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("the head is too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn read_body(&mut self, request: &Request) -> io::Result<Bytes> {
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks().await;
        }
        let length = request.header("content-length").unwrap_or("0");
        let length = length.parse().map_err(|_| invalid("no content length"))?;
        self.take(length).await
    }

    async fn read_chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.read_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("no chunk size"))?;
            if size == 0 {
                while !self.read_line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            if body.len() + size > BODY_BYTES_MAX {
                return Err(invalid("the body is too long"));
            }
            body.extend_from_slice(&self.take(size).await?);
            self.read_line().await?;
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("a line is too long"));
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        if length > BODY_BYTES_MAX {
            return Err(invalid("the body is too long"));
        }
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
