//! Requests whose lines end as HTTP has it. A proxy and a server that do not agree where a request ends can be made to
//! disagree about whose request it is, so a line feed alone is refused, and so is a body of two lengths.
//!
//! The stream is watched on its way to the parser; what is wrong is replaced by a NUL, which the parser answers with
//! 400.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of a head is kept to read its lengths from; the parser refuses longer ones.
const HEAD_CAP: usize = 64 * 1024;

/// A stream of requests that is watched.
#[derive(Debug)]
pub(super) struct StrictLines<S> {
    stream: S,
    watch: Watch,
}

impl<S> StrictLines<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, watch: Watch::default() }
    }
}

/// Where in a request the stream is.
#[derive(Debug)]
enum Watch {
    /// Its request line and headers, so far.
    Head(Vec<u8>),
    /// So many bytes of its body are to come.
    Body(u64),
    /// The line that says how long the next chunk is.
    ChunkSize(Vec<u8>),
    /// So many bytes of a chunk are to come, its line end included.
    Chunk(u64),
    /// Lines behind the last chunk; the current one.
    Trailer(Vec<u8>),
    /// The parser refuses it, or will.
    Over,
}

impl Default for Watch {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Watch {
    /// Looks at what was read, in order.
    fn see(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Body(left) | Self::Chunk(left) => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += step;
                    *left -= step as u64;
                    if *left == 0 {
                        *self = match self {
                            Self::Body(_) => Self::default(),
                            _ => Self::ChunkSize(Vec::new()),
                        };
                    }
                }
                Self::Over => return,
                Self::Head(seen) | Self::ChunkSize(seen) | Self::Trailer(seen) => {
                    let byte = &mut bytes[at];
                    at += 1;
                    if *byte == b'\n' && seen.last() != Some(&b'\r') {
                        *byte = 0;
                    }
                    seen.push(*byte);
                    if *byte == 0 || seen.len() > HEAD_CAP {
                        *self = Self::Over;
                    } else if *byte == b'\n' && self.line_ends() == Err(Twice) {
                        *byte = 0;
                        *self = Self::Over;
                    }
                }
            }
        }
    }

    /// Goes on behind a line.
    fn line_ends(&mut self) -> Result<(), Twice> {
        match self {
            // Blank lines before a request are let pass.
            Self::Head(head) if head == b"\r\n" => head.clear(),
            Self::Head(head) if head.ends_with(b"\r\n\r\n") => {
                *self = match lengths(head) {
                    (None, false) => Self::default(),
                    (Some(0), false) => Self::default(),
                    (Some(length), false) => Self::Body(length),
                    (None, true) => Self::ChunkSize(Vec::new()),
                    (Some(_), true) => return Err(Twice),
                }
            }
            Self::ChunkSize(line) => {
                let digits = line.split(|byte| !byte.is_ascii_hexdigit()).next().unwrap_or_default();
                let size =
                    std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                *self = match size {
                    Some(0) => Self::Trailer(Vec::new()),
                    Some(size) => Self::Chunk(size.saturating_add(2)),
                    None => Self::Over,
                };
            }
            Self::Trailer(line) if line == b"\r\n" => *self = Self::default(),
            Self::Trailer(line) => line.clear(),
            _ => {}
        }
        Ok(())
    }
}

/// A body that says its length and comes in chunks too.
#[derive(Debug, PartialEq, Eq)]
struct Twice;

/// The length that a head announces, and whether the body comes in chunks.
fn lengths(head: &[u8]) -> (Option<u64>, bool) {
    let (mut length, mut is_chunked) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = String::from_utf8_lossy(&value[1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            // What is no number is for the parser to refuse.
            length = Some(value.trim().parse().unwrap_or(u64::MAX));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            is_chunked |= value.to_ascii_lowercase().contains("chunked");
        }
    }
    (length, is_chunked)
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictLines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.watch.see(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictLines<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser is given, whole and byte by byte.
    fn seen(text: &str) -> String {
        let mut whole = text.as_bytes().to_vec();
        Watch::default().see(&mut whole);
        let mut watch = Watch::default();
        let mut single = text.as_bytes().to_vec();
        for byte in single.chunks_mut(1) {
            watch.see(byte);
        }
        assert_eq!(whole, single, "{text:?}");
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn requests_with_whole_lines_are_let_pass() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\n\n\nbGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\na\nb\r\nA\r\n0123456\n\n\n\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(seen(text), text);
        }
    }

    #[test]
    fn a_line_feed_alone_and_two_lengths_are_refused() {
        for (text, given) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\0Host: a\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\0\r\n"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\0"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\n",
                "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\0",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\0",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\0",
            ),
        ] {
            assert_eq!(seen(text), given);
        }
    }
}
