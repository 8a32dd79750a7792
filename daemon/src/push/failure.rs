//! Why a call has no answer, told in one line, and how far it had come.

use std::{error::Error, io, time::Duration};

use url::Url;

use super::connect::ConnectError;
use crate::connectors::{CallError, CallErrorKind};

/// The deadline passed before status and headers were here.
pub(super) fn of_deadline(url: &Url, deadline: Duration, is_connecting: bool) -> CallError {
    let limit = seconds(deadline);
    if is_connecting {
        let message = format!("connect to {} failed: no connection within {limit}", target(url));
        return CallError { kind: CallErrorKind::NotSent, message };
    }
    CallError { kind: CallErrorKind::NoAnswer, message: format!("no answer within {limit}") }
}

/// There is no connection.
pub(super) fn of_connect(url: &Url, error: &ConnectError) -> CallError {
    let (kind, message) = match error {
        ConnectError::Refused(refused) => (CallErrorKind::Blocked, refused.to_string()),
        ConnectError::LookUp(failed) => (CallErrorKind::NotSent, failed.to_string()),
        ConnectError::Io(error) => {
            (CallErrorKind::NotSent, format!("connect to {} failed: {}", target(url), cause(error)))
        }
    };
    CallError { kind, message }
}

/// The request is none that HTTP can carry.
pub(super) fn of_request(error: &http::Error) -> CallError {
    let message = format!("the request cannot be sent: {}", cause(error));
    CallError { kind: CallErrorKind::NotSent, message }
}

/// The connection ended, or brought what is no HTTP, before status and headers were here.
pub(super) fn of_error(url: &Url, error: &hyper::Error, has_sent: bool) -> CallError {
    // Nobody knows surely that the last byte had not left where a connection breaks while the body is written: the
    // kernel takes much at once.
    let kind = if has_sent { CallErrorKind::NoAnswer } else { CallErrorKind::NotSent };
    CallError { kind, message: format!("no answer from {}: {}", target(url), cause(error)) }
}

/// What lies deepest: the levels above it only say that there was an error.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let deepest = std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error);
    let text = match deepest.downcast_ref::<io::Error>() {
        Some(io) if io.raw_os_error().is_some() => io.kind().to_string(),
        _ => deepest.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Host and port, and nothing of the path or query.
fn target(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
