//! Any authority is taken: there is one host behind each door. gRPC's C core, and so Python, sends the
//! socket's path with its slashes percent-encoded, which the HTTP/2 library refuses as no host at all. So percent signs in
//! the value of `:authority` become hyphens on their way in: the value keeps its length, and with it all that HPACK
//! remembers.
//!
//! Header blocks are walked, not decoded: integers and the lengths of strings tell where the next field begins. A value in
//! Huffman's code is left as it is; the C core sends none.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
const NAME: &[u8] = b":authority";
/// The index of `:authority` without a value in HPACK's static table.
const NAME_INDEX: usize = 1;

/// A connection whose peer may call the host what it likes.
#[derive(Debug)]
pub(super) struct AnyAuthority<S> {
    stream: S,
    frames: Frames,
}

impl<S> AnyAuthority<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::new() }
    }
}

/// How far the frames of one connection have come in.
#[derive(Debug)]
struct Frames {
    at: At,
    block: Block,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Preface(usize),
    /// So many bytes of a frame's head are here.
    Head(usize, [u8; 9]),
    /// Bytes that are left of a frame which holds no headers.
    Other(usize),
    /// The byte that says how much padding a frame has, and what is left of the frame.
    Padding {
        left: usize,
        has_priority: bool,
    },
    /// Bytes of a priority, of headers behind it, and of padding.
    Fields {
        priority: usize,
        left: usize,
        padding: usize,
    },
}

impl Frames {
    const fn new() -> Self {
        Self { at: At::Preface(PREFACE), block: Block::new() }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get_mut(at) {
            // Nearly all bytes are of frames that hold no headers.
            let taken = if let At::Other(left) = self.at {
                let passed = left.min(bytes.len() - at);
                self.at = Self::behind(At::Other(left - passed));
                passed
            } else {
                self.take_byte(byte);
                1
            };
            at += taken;
        }
    }

    fn take_byte(&mut self, byte: &mut u8) {
        self.at = match self.at {
            At::Preface(1) => At::Head(0, [0; 9]),
            At::Preface(left) => At::Preface(left - 1),
            At::Head(have, mut head) => {
                head[have] = *byte;
                if have == 8 { self.begin(head) } else { At::Head(have + 1, head) }
            }
            At::Other(left) => Self::behind(At::Other(left - 1)),
            At::Padding { left, has_priority } => {
                let padding = usize::from(*byte);
                Self::behind(Self::fields(left - 1, has_priority, padding))
            }
            At::Fields { priority: 0, left: 0, padding } => {
                Self::behind(At::Fields { priority: 0, left: 0, padding: padding.saturating_sub(1) })
            }
            At::Fields { priority: 0, left, padding } => {
                self.block.take_byte(byte);
                Self::behind(At::Fields { priority: 0, left: left - 1, padding })
            }
            At::Fields { priority, left, padding } => {
                Self::behind(At::Fields { priority: priority - 1, left, padding })
            }
        };
    }

    fn begin(&mut self, head: [u8; 9]) -> At {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let flags = head[4];
        let at = match head[3] {
            HEADERS => {
                self.block = Block::new();
                let has_priority = flags & PRIORITY != 0;
                if flags & PADDED != 0 && length > 0 {
                    At::Padding { left: length, has_priority }
                } else {
                    Self::fields(length, has_priority, 0)
                }
            }
            CONTINUATION => Self::fields(length, false, 0),
            _ => At::Other(length),
        };
        Self::behind(at)
    }

    /// A frame that contradicts itself has no fields that we touch; the library refuses it.
    fn fields(length: usize, has_priority: bool, padding: usize) -> At {
        let priority = if has_priority { 5 } else { 0 };
        match length.checked_sub(priority + padding) {
            Some(left) => At::Fields { priority, left, padding },
            None => At::Other(length),
        }
    }

    /// The same, or the next frame if this one is through.
    fn behind(at: At) -> At {
        match at {
            At::Other(0) | At::Fields { priority: 0, left: 0, padding: 0 } => At::Head(0, [0; 9]),
            at => at,
        }
    }
}

/// How far the fields of one header block have come in.
#[derive(Debug)]
struct Block {
    next: NextByte,
    /// What the name of the field under way has in common with `:authority`; none if it differs.
    matched: Option<usize>,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum NextByte {
    Field,
    /// Goes on with an integer.
    Integer {
        value: usize,
        shift: u32,
        then: AfterInteger,
    },
    /// The length of a string.
    Length {
        is_value: bool,
    },
    Text {
        left: usize,
        is_value: bool,
        is_plain: bool,
    },
}

/// What follows an integer.
#[derive(Clone, Copy, Debug)]
enum AfterInteger {
    Field,
    /// The integer is the index of a name.
    Name,
    /// The integer is the length of a string.
    Text {
        is_value: bool,
        is_plain: bool,
    },
}

impl Block {
    const fn new() -> Self {
        Self { next: NextByte::Field, matched: None }
    }

    fn take_byte(&mut self, byte: &mut u8) {
        self.next = match self.next {
            NextByte::Field => match *byte {
                byte if byte & 0x80 != 0 => self.integer(byte, 7, AfterInteger::Field),
                byte if byte & 0x40 != 0 => self.integer(byte, 6, AfterInteger::Name),
                byte if byte & 0x20 != 0 => self.integer(byte, 5, AfterInteger::Field),
                byte => self.integer(byte, 4, AfterInteger::Name),
            },
            NextByte::Integer { value, shift, then } => {
                // The library refuses integers that are longer than any we count.
                let more = usize::from(*byte & 0x7f).checked_shl(shift).unwrap_or_default();
                let value = value.saturating_add(more);
                if *byte & 0x80 != 0 {
                    NextByte::Integer { value, shift: shift + 7, then }
                } else {
                    self.behind_integer(value, then)
                }
            }
            NextByte::Length { is_value } => {
                let is_plain = *byte & 0x80 == 0;
                self.integer(*byte, 7, AfterInteger::Text { is_value, is_plain })
            }
            NextByte::Text { left, is_value, is_plain } => {
                self.take_text(byte, is_value, is_plain);
                Self::behind_text(left - 1, is_value, is_plain)
            }
        };
    }

    fn take_text(&mut self, byte: &mut u8, is_value: bool, is_plain: bool) {
        match (is_value, self.matched) {
            (true, Some(matched)) if matched == NAME.len() && is_plain && *byte == b'%' => *byte = b'-',
            (false, Some(matched)) => {
                let is_same = is_plain && NAME.get(matched) == Some(byte);
                self.matched = is_same.then_some(matched + 1);
            }
            _ => {}
        }
    }

    fn integer(&mut self, byte: u8, bits: u32, then: AfterInteger) -> NextByte {
        let most = (1usize << bits) - 1;
        let value = usize::from(byte) & most;
        if value == most {
            NextByte::Integer { value, shift: 0, then }
        } else {
            self.behind_integer(value, then)
        }
    }

    fn behind_integer(&mut self, value: usize, then: AfterInteger) -> NextByte {
        match then {
            AfterInteger::Field => NextByte::Field,
            AfterInteger::Name => {
                self.matched = match value {
                    0 => Some(0),
                    NAME_INDEX => Some(NAME.len()),
                    _ => None,
                };
                NextByte::Length { is_value: value > 0 }
            }
            AfterInteger::Text { is_value, is_plain } => Self::behind_text(value, is_value, is_plain),
        }
    }

    fn behind_text(left: usize, is_value: bool, is_plain: bool) -> NextByte {
        match (left, is_value) {
            (0, true) => NextByte::Field,
            (0, false) => NextByte::Length { is_value: true },
            (left, _) => NextByte::Text { left, is_value, is_plain },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.frames.take(&mut buffer.filled_mut()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A field as the C core writes it: name and value in the clear.
    fn field(name: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [vec![0x40], text(name), text(value)].concat()
    }

    fn taken(stream: &[u8], chunk: usize) -> Vec<u8> {
        let mut stream = stream.to_vec();
        let mut frames = Frames::new();
        stream.chunks_mut(chunk).for_each(|bytes| frames.take(bytes));
        stream
    }

    #[test]
    fn percent_signs_of_the_authority_alone_are_replaced() {
        let block = [
            vec![0x83, 0x3f, 0x05],
            field(":path", "/a%2Fb"),
            field(":authority", "tmp%2Fleadline.sock"),
            [&[0x01, 9], &b"a%2Fb%2Fc"[..]].concat(),
            field("x-other", "1%2"),
            [&[0x7f, 0x80, 0x01, 3], &b"a%b"[..]].concat(),
        ]
        .concat();
        let expected = [
            vec![0x83, 0x3f, 0x05],
            field(":path", "/a%2Fb"),
            field(":authority", "tmp-2Fleadline.sock"),
            [&[0x01, 9], &b"a-2Fb-2Fc"[..]].concat(),
            field("x-other", "1%2"),
            [&[0x7f, 0x80, 0x01, 3], &b"a%b"[..]].concat(),
        ]
        .concat();
        let stream = |block: &[u8]| {
            let (first, rest) = block.split_at(20);
            let padded = [&[3, 0, 0, 0, 0, 16], first, b"%%%"].concat();
            [
                vec![b'P'; PREFACE],
                frame(4, 0, b"%%%%%%"),
                frame(HEADERS, 0x4 | 0x8 | 0x20, &padded[..]),
                frame(CONTINUATION, 4, &[]),
                frame(0, 0, b"data%2F"),
                frame(HEADERS, 0, first),
                frame(CONTINUATION, 4, rest),
            ]
            .concat()
        };
        for chunk in [1, 2, 7, 1000] {
            assert_eq!(taken(&stream(&block), chunk), stream(&expected), "in pieces of {chunk}");
        }
    }

    proptest::proptest! {
        /// Whatever comes in keeps its length and all but percent signs, in pieces of any size, and nothing panics.
        #[test]
        fn nothing_else_changes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), chunk in 1usize..50) {
            let stream = [vec![b'P'; PREFACE], bytes].concat();
            let out = taken(&stream, chunk);
            proptest::prop_assert_eq!(&out, &taken(&stream, 1));
            for (before, after) in stream.iter().zip(&out) {
                proptest::prop_assert!(before == after || (*before == b'%' && *after == b'-'));
            }
        }
    }
}
