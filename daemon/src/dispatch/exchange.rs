//! A call that is made, and what is kept of it: bounded, and without its credentials.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{integration_cache::PreparedIntegration, scrub::Secrets, traced::traced};
use crate::{
    connectors::{Answer as CallAnswer, Call, RequestHeader, Response},
    domain::trace::TraceContext,
    push::Client,
    store::{
        delivery::calls::CallRecord,
        queue::finish::{KeptResponse, Sent},
    },
    telemetry::Traces,
};

/// How much of a response is kept.
const KEPT_MAX: usize = 4096;
/// How much is kept of what was sent, where a push takes several calls.
const SENT_MAX: usize = 16 * 1024;
/// How many headers of a response, and how much of each, are kept.
const HEADERS_MAX: usize = 64;
const HEADER_MAX: usize = 1024;

/// A call that was made.
pub(super) struct Exchange {
    pub(super) call: Call,
    pub(super) answer: CallAnswer,
    /// From the start of the attempt to that of the call.
    pub(super) after: Duration,
    pub(super) took: Duration,
}

impl Exchange {
    /// What was sent, unless it holds credentials.
    pub(super) fn open_body(&self) -> Option<Bytes> {
        match &self.call {
            Call::Http(request) if !request.is_secret => Some(request.body.clone()),
            _ => None,
        }
    }
}

/// How a call is made.
#[derive(Clone, Copy)]
pub(super) struct CallOptions<'a> {
    pub(super) trace: Option<&'a (Traces, TraceContext)>,
    /// When the attempt began.
    pub(super) began: Instant,
    pub(super) timeout: Duration,
    pub(super) cap: usize,
}

/// Makes a call.
pub(super) async fn exchange(
    client: &Client,
    ready: &PreparedIntegration,
    call: &Call,
    options: CallOptions<'_>,
) -> Exchange {
    let (after, started) = (options.began.elapsed(), Instant::now());
    let (mut span, call) = traced(options.trace, call);
    let answer = client.call(&ready.pool, &call, options.timeout, options.cap).await;
    match &answer {
        Ok(response) => span.set("http.response.status_code", i64::from(response.status)),
        Err(_) => span.fail("no_answer"),
    }
    drop(span);
    Exchange { call, answer, after, took: started.elapsed() }
}

/// A call as it is kept.
pub(super) fn record(exchange: &Exchange, secrets: &Secrets) -> CallRecord {
    let sent = headers_and_place(&exchange.call);
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let whole = match &exchange.call {
        Call::Http(request) if request.is_secret => b"",
        Call::Http(request) => &request.body[..],
        Call::Mail(mail) => &mail.message[..],
    };
    let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let response = exchange.answer.as_ref().ok();
    let error = exchange.answer.as_ref().err().map(|error| secrets.scrub_text(&error.message));
    CallRecord {
        method: sent.method,
        url: sent.url,
        request_headers: sent.headers,
        request_body: (!exchange.call.is_secret()).then(|| text(whole, SENT_MAX)),
        request_bytes: count(whole.len()),
        response_bytes: response.map_or(0, |response| count(response.body.len())),
        status: response.map(|response| response.status),
        response_headers: response.map(kept_headers).unwrap_or_default(),
        response_body: response.map(|response| text(&response.body, KEPT_MAX)),
        after_ms: millis(exchange.after),
        duration_ms: millis(exchange.took),
        error,
    }
}

/// The beginning of a body as text that JSON in a database can hold; no character is cut in two.
fn text(body: &[u8], max: usize) -> String {
    let is_end = |at: &usize| body.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let end = (0..=body.len().min(max)).rev().find(is_end).unwrap_or_default();
    String::from_utf8_lossy(&body[..end]).replace('\0', "\u{fffd}")
}

pub(super) fn sent(call: &Call) -> Sent {
    let CallHead { method, url, headers } = headers_and_place(call);
    let secret_version = match call {
        Call::Http(request) => request.secret_version,
        Call::Mail(_) => None,
    };
    Sent { method, url, headers: json(&headers), secret_version }
}

/// Where a call goes, and its headers, credentials shortened.
struct CallHead {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
}

fn headers_and_place(call: &Call) -> CallHead {
    match call {
        Call::Http(request) => {
            let header = |header: &RequestHeader| {
                let value = String::from_utf8_lossy(header.value.as_bytes());
                let value = if header.secret { shorten(&value) } else { value.into_owned() };
                (header.name.to_string(), value)
            };
            let headers = request.headers.iter().map(header).collect();
            CallHead { method: request.method.to_string(), url: request.shown_url.clone(), headers }
        }
        Call::Mail(mail) => {
            let to = mail.to.iter().map(|to| ("RCPT TO".to_owned(), to.clone()));
            let headers = std::iter::once(("MAIL FROM".to_owned(), mail.from.clone())).chain(to).collect();
            CallHead {
                method: "SMTP".to_owned(),
                url: format!("smtp://{}:{}", mail.host, mail.port),
                headers,
            }
        }
    }
}

fn kept_headers(response: &Response) -> Vec<(String, String)> {
    let kept = response.headers.iter().take(HEADERS_MAX);
    kept.map(|(name, value)| (name.clone(), value.chars().filter(|c| *c != '\0').take(HEADER_MAX).collect()))
        .collect()
}

pub(super) fn answer(response: Response) -> KeptResponse {
    KeptResponse {
        status: i16::try_from(response.status).unwrap_or(i16::MAX),
        headers: json(&kept_headers(&response)),
        body_bytes: i64::try_from(response.body.len()).unwrap_or(i64::MAX),
        body: Bytes::copy_from_slice(&response.body[..response.body.len().min(KEPT_MAX)]),
    }
}

/// A credential as it is shown: enough to tell two apart, too little to use.
fn shorten(value: &str) -> String {
    let tail: Vec<char> = value.chars().rev().take(4).collect();
    if value.chars().count() < 12 {
        "••••".to_owned()
    } else {
        format!("••••{}", tail.iter().rev().collect::<String>())
    }
}

/// An array of pairs.
fn json(pairs: &[(String, String)]) -> String {
    serde_json::json!(pairs).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_body_ends_with_a_whole_character() {
        for (body, max, kept) in [
            ("short", 16, "short"),
            ("caf\u{e9}s", 4, "caf"),
            ("caf\u{e9}s", 5, "caf\u{e9}"),
            ("\u{1f492}\u{1f492}", 7, "\u{1f492}"),
            ("a\0b", 16, "a\u{fffd}b"),
            ("", 16, ""),
        ] {
            assert_eq!(text(body.as_bytes(), max), kept, "{body:?}");
        }
    }
}
