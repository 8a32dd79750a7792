//! Why a call has no answer, told in one line, and how far it had come.

use std::{error::Error, io, time::Duration};

use url::Url;

use super::{
    CONNECT_TIMEOUT,
    resolver::{LookUpFailed, Refused},
};
use crate::connectors::{CallError, CallErrorKind};

/// The deadline passed before status and headers were here.
pub(super) fn of_deadline(url: &Url, deadline: Duration, connecting: bool) -> CallError {
    if connecting {
        let message =
            format!("connect to {} failed: no connection within {}", target(url), seconds(deadline));
        return CallError { kind: CallErrorKind::NotSent, message };
    }
    CallError { kind: CallErrorKind::NoAnswer, message: format!("no answer within {}", seconds(deadline)) }
}

/// The client gave up before status and headers were here.
pub(super) fn of_error(url: &Url, error: &reqwest::Error) -> CallError {
    let (kind, message) = if let Some(refused) = find::<Refused>(error) {
        (CallErrorKind::Blocked, refused.to_string())
    } else if let Some(failed) = find::<LookUpFailed>(error) {
        (CallErrorKind::NotSent, failed.to_string())
    } else if error.is_connect() && error.is_timeout() {
        let limit = seconds(CONNECT_TIMEOUT);
        (CallErrorKind::NotSent, format!("connect to {} failed: no connection within {limit}", target(url)))
    } else if error.is_connect() {
        (CallErrorKind::NotSent, format!("connect to {} failed: {}", target(url), cause(error)))
    } else if error.is_builder() {
        (CallErrorKind::NotSent, format!("the request cannot be sent: {}", cause(error)))
    } else {
        // A connection that breaks while the body is written belongs here too: hyper takes up to 400 KiB at once and
        // the kernel does the rest, so nobody tells us surely that the last byte had not left.
        (CallErrorKind::NoAnswer, format!("no answer from {}: {}", target(url), cause(error)))
    };
    CallError { kind, message }
}

/// What lies deepest: the levels above it only say that there was an error, and some repeat the URL with its query.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let Some(deepest) = chain(error).last() else { return "the client refused the request".into() };
    let text = match deepest.downcast_ref::<io::Error>() {
        Some(io) if io.raw_os_error().is_some() => io.kind().to_string(),
        _ => deepest.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// Host and port, and nothing of the path or query.
fn target(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
