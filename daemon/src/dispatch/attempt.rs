//! Carrying out one attempt: step, call, step, until the connector has an outcome.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::ready::Ready;
use crate::{
    connectors::{Exchange, Prepared, Push, Request, Response, Step},
    domain::outcome::{Failure, FailureClass, Outcome},
    push::Client,
    store::finish::{Answer, Sent},
};

/// No connector needs so many calls; one that loops is stopped.
const STEPS_MAX: usize = 32;
/// How much of a response is kept.
const KEPT_MAX: usize = 4096;
/// How many headers of a response, and how much of each, are kept.
const HEADERS_MAX: usize = 64;
const HEADER_MAX: usize = 1024;

/// What an attempt came to, fit to be stored.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) sent: Option<Sent>,
    pub(super) answer: Option<Answer>,
    /// The body of the first request.
    pub(super) body: Option<Bytes>,
}

impl Tried {
    /// A failure before anything was sent.
    pub(super) fn nothing(failure: Failure) -> Self {
        Self { outcome: Outcome::Failed(failure), took: Duration::ZERO, sent: None, answer: None, body: None }
    }
}

/// Pushes once. Whatever the connector does, this returns within the integration's timeout, or shortly after.
pub(super) async fn attempt(client: &Client, ready: &Ready, push: &Push<'_>) -> Tried {
    let started = Instant::now();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let outcome = match &ready.prepared {
        Err(failure) => Outcome::Failed(failure.clone()),
        Ok(prepared) => {
            let deadline = ready.policy.timeout;
            run(client, prepared.as_ref(), push, &mut exchanges, started, deadline).await
        }
    };
    let took = started.elapsed();
    let body = exchanges.first().map(|exchange| exchange.request.body.clone());
    let last = exchanges.pop();
    let sent = last.as_ref().map(|exchange| sent(&exchange.request));
    let answer = last.and_then(|exchange| exchange.answer.ok()).map(answer);
    Tried { outcome, took, sent, answer, body }
}

async fn run(
    client: &Client,
    prepared: &dyn Prepared,
    push: &Push<'_>,
    exchanges: &mut Vec<Exchange>,
    started: Instant,
    deadline: Duration,
) -> Outcome {
    while exchanges.len() < STEPS_MAX {
        let request = match step(prepared, push, exchanges) {
            Step::Done(outcome) => return outcome,
            Step::Call(request) => request,
        };
        let left = deadline.saturating_sub(started.elapsed());
        let answer = client.call(&request, left).await;
        exchanges.push(Exchange { request, answer });
    }
    Outcome::Failed(Failure::new(
        FailureClass::Mapping,
        format!("the push did not end within {STEPS_MAX} calls"),
    ))
}

/// A panic in a connector is that push's failure and nobody else's.
fn step(prepared: &dyn Prepared, push: &Push<'_>, exchanges: &[Exchange]) -> Step {
    catch_unwind(AssertUnwindSafe(|| prepared.step(push, exchanges))).unwrap_or_else(|_| {
        let failure = Failure::new(
            FailureClass::Mapping,
            "the connector panicked on this lead: report it with the lead's uuid",
        );
        Step::Done(Outcome::Failed(failure))
    })
}

fn sent(request: &Request) -> Sent {
    let headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.as_bytes());
            (header.name.as_str(), if header.secret { shorten(&value) } else { value.into_owned() })
        })
        .collect();
    Sent {
        method: request.method.to_string(),
        url: request.shown_url.clone(),
        headers: json(&headers),
        secret_version: request.secret_version,
    }
}

fn answer(response: Response) -> Answer {
    let headers: Vec<(&str, String)> = response
        .headers
        .iter()
        .take(HEADERS_MAX)
        .map(|(name, value)| (name.as_str(), value.chars().filter(|c| *c != '\0').take(HEADER_MAX).collect()))
        .collect();
    Answer {
        status: i16::try_from(response.status).unwrap_or(i16::MAX),
        headers: json(&headers),
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

fn json(pairs: &[(&str, String)]) -> String {
    serde_json::Value::from_iter(pairs.iter().map(|(name, value)| serde_json::json!([name, value])))
        .to_string()
}
