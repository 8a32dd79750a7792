//! Reads a request's body within its limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use tokio::time::timeout;

use super::{
    places::Room,
    problem::{ProblemDetails, is_of_a_page},
};

/// The largest body that is accepted.
pub(super) const BODY_CAP: usize = 256 * 1024;
/// How long a body may take, from the first byte to the last.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refused body is still read, and for how long at most. Half of that time is left to chance, so that a crowd
/// that was refused at once does not come back at once.
const DISCARD_CAP: usize = 1024 * 1024;
pub(super) const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Refuses what can be refused before the body is read.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), ProblemDetails> {
    if is_of_a_page(headers) {
        return Err(ProblemDetails::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a page of a browser cannot post its form here: post JSON from your server, or the form to /v1/forms/{form}",
        ));
    }
    if !is_of_type(headers, "application/json") {
        return Err(ProblemDetails::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON: send it with the header Content-Type: application/json",
        ));
    }
    check_encoding(headers)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > BODY_CAP as u64) {
        return Err(too_large());
    }
    Ok(())
}

/// Refuses what can be refused before a batch is read.
pub(super) fn check_batch_headers(headers: &HeaderMap) -> Result<(), ProblemDetails> {
    if !is_of_type(headers, "application/x-ndjson") {
        return Err(ProblemDetails::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be NDJSON, a lead event a line: send it with the header Content-Type: application/x-ndjson",
        ));
    }
    check_encoding(headers)
}

fn check_encoding(headers: &HeaderMap) -> Result<(), ProblemDetails> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ProblemDetails::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "compressed bodies are not accepted: send the JSON as it is, without Content-Encoding",
        ));
    }
    Ok(())
}

/// Whatever parameters follow: a body that is not UTF-8 is refused as malformed.
fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(wanted)
}

/// Reads the whole body into the room that it takes. What the request holds besides is given back before a body that is
/// refused meanwhile is read away.
pub(super) async fn read<H>(
    body: Body,
    mut room: Room<'_>,
    held: H,
) -> Result<(Bytes, Room<'_>, H), ProblemDetails> {
    let mut chunks = body.into_data_stream();
    match read_within(BODY_TIMEOUT, &mut chunks, &mut room).await {
        Ok(bytes) => Ok((bytes, room, held)),
        Err(problem) => {
            drop((room, held));
            // Who paused too long has had the time, and who broke off sends no more.
            if !matches!(problem.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_REQUEST) {
                discard_chunks(chunks).await;
            }
            Err(problem)
        }
    }
}

async fn read_within(
    limit: Duration,
    chunks: &mut BodyDataStream,
    room: &mut Room<'_>,
) -> Result<Bytes, ProblemDetails> {
    timeout(limit, collect(chunks, room)).await.unwrap_or_else(|_| {
        let limit = limit.as_secs_f64();
        Err(ProblemDetails::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body took longer than {limit} s: send it again, without pauses"),
        ))
    })
}

async fn collect(chunks: &mut BodyDataStream, room: &mut Room<'_>) -> Result<Bytes, ProblemDetails> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            ProblemDetails::new(
                StatusCode::BAD_REQUEST,
                format!("the body ended early: send it again ({error})"),
            )
        })?;
        if bytes.len() + chunk.len() > BODY_CAP {
            return Err(too_large());
        }
        room.grow(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Reads a refused body away, within reason. A connection that is closed with unread bytes is reset, and the sender
/// may then never see why it was refused. What the request held is given back before: senders who are refused and take
/// their time would else have every place, and leave others none.
pub(super) async fn discard(headers: &HeaderMap, body: Body, held: impl Sized) {
    drop(held);
    // Who asks before sending has sent nothing yet.
    if !headers.contains_key(header::EXPECT) {
        discard_chunks(body.into_data_stream()).await;
    }
}

async fn discard_chunks(mut chunks: BodyDataStream) {
    let reading = async {
        let mut room = DISCARD_CAP;
        while let Some(Ok(chunk)) = chunks.next().await
            && chunk.len() <= room
        {
            room -= chunk.len();
        }
    };
    let limit = DISCARD_TIMEOUT.mul_f64(rand::random_range(0.5..=1.0));
    if timeout(limit, reading).await.is_err() {
        tracing::debug!("a sender is slow to send a body that was refused");
    }
}

fn too_large() -> ProblemDetails {
    let cap = BODY_CAP / 1024;
    ProblemDetails::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {cap} KiB: send one lead per request"),
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{domain::ids::CompanyId, intake::places::Places};

    #[tokio::test]
    async fn a_body_that_stalls_is_cut() {
        let stalling = futures::stream::iter([Ok::<_, Infallible>("{")]).chain(futures::stream::pending());
        let places = Places::default();
        let (mut room, mut chunks) =
            (places.room(CompanyId(7)), Body::from_stream(stalling).into_data_stream());
        let limit = Duration::from_millis(50);
        let problem = read_within(limit, &mut chunks, &mut room).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(problem.detail(), "the body took longer than 0.05 s: send it again, without pauses");
    }

    #[tokio::test]
    async fn bodies_of_one_company_take_no_more_than_its_share_of_the_memory() {
        let places = Places::default();
        let mut rooms = Vec::new();
        let full = loop {
            match read(Body::from(vec![b' '; BODY_CAP]), places.room(CompanyId(7)), ()).await {
                Ok((_, room, ())) => rooms.push(room),
                Err(problem) => break problem,
            }
        };
        assert_eq!((rooms.len(), full.status()), (64, StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(
            full.detail(),
            "more bytes of leads come in at once than there is room for: send this lead again after Retry-After seconds"
        );
        assert!(read(Body::from(vec![b' '; BODY_CAP]), places.room(CompanyId(8)), ()).await.is_ok());
        rooms.clear();
        let read = read(Body::from("{}"), places.room(CompanyId(7)), ()).await;
        assert!(read.is_ok(), "what is done gives its room back");
    }
}
