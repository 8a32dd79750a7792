//! A connection that is read a line at a time, so that nothing which arrives before TLS is taken for what comes after.
//!
//! The client reads ahead and keeps what it has when it begins with TLS. Somebody in between could so put replies
//! behind the one to STARTTLS, and they would be believed. Read by lines, such bytes end up in the handshake instead,
//! which then fails.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// So far is looked ahead for the end of a line.
const AHEAD: usize = 4096;

#[derive(Debug)]
pub(super) struct LineStream(TcpStream);

impl LineStream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ahead = [0; AHEAD];
        let mut seen = ReadBuf::new(&mut ahead);
        ready!(self.0.poll_peek(cx, &mut seen))?;
        let line =
            seen.filled().iter().position(|byte| *byte == b'\n').map_or(seen.filled().len(), |at| at + 1);
        let room = line.min(buffer.remaining());
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = vec![0; room];
        let mut read = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut read))?;
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for LineStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}
