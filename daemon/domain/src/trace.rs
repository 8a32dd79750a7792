//! Where an event stands in a distributed trace: what `traceparent` of the W3C Trace Context says.

use std::fmt;

/// A span that others may be below: its trace, its own id, and whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub flags: u8,
}

/// How many bytes one takes where it is stored.
const STORED: usize = 25;

impl TraceContext {
    /// Reads a `traceparent`. None for what is none: a sender's mistake there costs the trace, never the lead.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = bytes::<1>(version)?;
        // Later versions may say more at the end; this one may not.
        if version == [0xff] || (version == [0] && parts.next().is_some()) {
            return None;
        }
        let context =
            Self { trace_id: bytes(trace)?, span_id: bytes(span)?, flags: u8::from_be_bytes(bytes(flags)?) };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    /// As it is stored.
    #[must_use]
    pub fn to_bytes(self) -> [u8; STORED] {
        let mut bytes = [0; STORED];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = self.flags;
        bytes
    }

    /// What was stored; none if it was not stored by [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(stored: &[u8]) -> Option<Self> {
        let stored: &[u8; STORED] = stored.try_into().ok()?;
        let (trace, rest) = stored.split_first_chunk()?;
        let (span, rest) = rest.split_first_chunk()?;
        Some(Self { trace_id: *trace, span_id: *span, flags: *rest.first()? })
    }
}

impl fmt::Display for TraceContext {
    /// A `traceparent` of version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.trace_id);
        let span = u64::from_be_bytes(self.span_id);
        // Only the flag that says whether it is recorded may be handed on.
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags & 1)
    }
}

/// So many bytes in lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 2 * N || !is_hex {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_and_stored_as_it_was() {
        let context = TraceContext::parse(EXAMPLE).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        assert_eq!(TraceContext::from_bytes(&[1; 24]), None);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for (text, expected) in [
            (EXAMPLE, true),
            // A later version may say more.
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902é-01", false),
            ("", false),
        ] {
            assert_eq!(TraceContext::parse(text).is_some(), expected, "{text}");
        }
    }
}
