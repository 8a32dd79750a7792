//! The messages of a gRPC body, each rewritten on its way; trailers go by as they are.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::HeaderMap;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tonic::{Code, Status, body::Body};

use crate::{control::status, telemetry};

/// What stands before each message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// A longer message is refused before it is read whole. Requests have the server's own limit on top.
const MESSAGE_MAX: usize = 256 * 1024 * 1024;

/// How the end of a body tells what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// The reader is ours: it finds the status as the body's error.
    AsError,
    /// The reader is a client: the trailers carry the status.
    AsTrailers,
}

/// What rewrites messages, one after the other.
pub(super) trait Rewrite: Send + 'static {
    fn rewrite(&mut self, message: Bytes) -> impl Future<Output = Result<Bytes, Status>> + Send;

    /// Resolves when nothing more may go by.
    fn ended(&mut self) -> impl Future<Output = Status> + Send {
        std::future::pending()
    }
}

struct StreamState<R> {
    body: Body,
    buffer: BytesMut,
    rewrite: R,
    failing: Failing,
    is_over: bool,
}

/// A body whose messages are rewritten.
pub(super) fn rewritten(body: Body, rewrite: impl Rewrite, failing: Failing) -> Body {
    let state = StreamState { body, buffer: BytesMut::new(), rewrite, failing, is_over: false };
    Body::new(StreamBody::new(stream::unfold(state, |mut state| async move {
        if state.is_over {
            return None;
        }
        let frame = match state.next().await {
            Ok(frame) => Ok(frame?),
            Err(status) => {
                state.is_over = true;
                match state.failing {
                    Failing::AsError => Err(status),
                    Failing::AsTrailers => Ok(Frame::trailers(trailers(&status))),
                }
            }
        };
        Some((frame, state))
    })))
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(error) = status.add_header(&mut trailers) {
        tracing::error!(
            event = "status_not_written",
            error = telemetry::causes(&error),
            "a status cannot be written"
        );
    }
    trailers
}

impl<R: Rewrite> StreamState<R> {
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        loop {
            if let Some(message) = self.message()? {
                let message = self.rewrite.rewrite(message).await?;
                let mut whole = BytesMut::with_capacity(HEAD + message.len());
                whole.put_u8(0);
                let length = u32::try_from(message.len()).map_err(|_| too_long())?;
                whole.put_u32(length);
                whole.put(message);
                return Ok(Some(Frame::data(whole.freeze())));
            }
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                status = self.rewrite.ended() => return Err(status),
            };
            match frame {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(cut_off()),
                Some(frame) => match frame?.into_data() {
                    Ok(data) => self.buffer.put(data),
                    Err(trailers) => return Ok(Some(trailers)),
                },
            }
        }
    }

    /// The next message, if all of it is here.
    fn message(&mut self) -> Result<Option<Bytes>, Status> {
        if self.buffer.len() < HEAD {
            return Ok(None);
        }
        if self.buffer[0] != 0 {
            return Err(compressed());
        }
        let mut length = &self.buffer[1..HEAD];
        let length = length.get_u32() as usize;
        if length > MESSAGE_MAX {
            return Err(too_long());
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn too_long() -> Status {
    let message = "the message is too long: ask for less at once";
    status::refused(Code::ResourceExhausted, "MESSAGE_TOO_LONG", message)
}

fn cut_off() -> Status {
    status::refused(Code::Internal, "MESSAGE_CUT_OFF", "a message was cut off")
}

fn compressed() -> Status {
    status::refused(Code::Unimplemented, "NOT_SUPPORTED", "send messages uncompressed")
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    /// Doubles each message; one that says `no` is refused.
    struct Double;

    impl Rewrite for Double {
        async fn rewrite(&mut self, message: Bytes) -> Result<Bytes, Status> {
            if &message[..] == b"no" {
                return Err(Status::not_found("no such thing"));
            }
            Ok([&message[..], &message[..]].concat().into())
        }
    }

    fn message(text: &str) -> Vec<u8> {
        [&[0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
    }

    /// The body that comes of these bytes in pieces of a size: its data and trailers, or the status it ends with.
    async fn read(bytes: &[u8], piece: usize, failing: Failing) -> Result<(Vec<u8>, HeaderMap), Status> {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = Body::new(StreamBody::new(stream::iter(pieces)));
        let mut body = rewritten(body, Double, failing);
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(bytes) => data.extend_from_slice(&bytes),
                Err(frame) => trailers = frame.into_trailers().unwrap(),
            }
        }
        Ok((data, trailers))
    }

    #[tokio::test]
    async fn each_message_is_rewritten_however_it_is_cut() {
        let sent = [message("ab"), message(""), message("xyz")].concat();
        let expected = [message("abab"), message(""), message("xyzxyz")].concat();
        for piece in [1, 2, 5, 7, 1000] {
            let (data, trailers) = read(&sent, piece, Failing::AsError).await.unwrap();
            assert_eq!((data, trailers.len()), (expected.clone(), 0), "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn what_goes_wrong_ends_the_body_with_its_status() {
        let sent = [message("ab"), message("no"), message("ab")].concat();
        let status = read(&sent, 3, Failing::AsError).await.unwrap_err();
        assert_eq!(status.message(), "no such thing");
        let (data, trailers) = read(&sent, 3, Failing::AsTrailers).await.unwrap();
        assert_eq!((data, &trailers["grpc-status"]), (message("abab"), &http::HeaderValue::from_static("5")));
        for (bytes, told) in [
            (&[1, 0, 0, 0, 0][..], "send messages uncompressed"),
            (&[0, 0xff, 0, 0, 0], "the message is too long: ask for less at once"),
            (&[0, 0, 0, 0, 2, 1], "a message was cut off"),
        ] {
            let status = read(bytes, 2, Failing::AsError).await.unwrap_err();
            assert_eq!(status.message(), told);
            assert!(status.get_error_details().error_info().is_some(), "{told} has no reason");
        }
    }
}
