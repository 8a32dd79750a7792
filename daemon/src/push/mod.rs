//! The only way out: calls over HTTP and mail over SMTP, guarded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::{Instant, timeout_at};

use crate::{
    connectors::{Call, CallError, CallErrorKind, Request, Response},
    domain::address::EgressPolicy,
};

mod failure;
mod mail;
mod progress;
mod resolver;
#[cfg(test)]
mod tests;

use mail::Mailer;
use progress::{Progress, Watch};
use resolver::{Names, Reach, Resolver};

/// How much of an answer is read; then the connection is closed.
pub const PUSH_CAP: usize = 64 * 1024;
/// A probe may list all of a vendor's fields.
pub const PROBE_CAP: usize = 8 * 1024 * 1024;
/// How long a look-up, the connection and the TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer deadlines are cut, so that no configuration can overflow a clock.
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 16;

/// The one client that every call goes through.
#[derive(Debug)]
pub struct Client {
    egress: EgressPolicy,
    /// For https, to every address that is permitted.
    secure: reqwest::Client,
    /// For plain http, to addresses that the configuration names, and to no other that a name resolves to.
    plain: reqwest::Client,
    mailer: Mailer,
}

impl Client {
    /// A client that keeps to this policy.
    pub fn new(egress: EgressPolicy) -> Result<Self, reqwest::Error> {
        let names = Names::default();
        let build = |reach, https_only| {
            client(Resolver::new(names.clone(), egress.clone(), reach)).https_only(https_only).build()
        };
        let secure = build(Reach::Permitted, true)?;
        let plain = build(Reach::Exceptions, false)?;
        let mailer = Mailer::new(names.clone(), egress.clone());
        Ok(Self { egress, secure, plain, mailer })
    }

    /// Makes a call; the deadline covers everything from the look-up of the name to the last byte of the answer, of
    /// which at most `cap` bytes are read.
    pub async fn call(&self, call: &Call, deadline: Duration, cap: usize) -> Result<Response, CallError> {
        match call {
            Call::Http(request) => self.http(request, deadline, cap).await,
            Call::Mail(mail) => self.mailer.send(mail, deadline.min(LONGEST_DEADLINE)).await,
        }
    }

    async fn http(&self, request: &Request, deadline: Duration, cap: usize) -> Result<Response, CallError> {
        // A literal address never reaches the resolver, so it is checked here.
        self.egress
            .check(&request.url)
            .map_err(|message| CallError { kind: CallErrorKind::Blocked, message })?;
        let client = if request.url.scheme() == "https" { &self.secure } else { &self.plain };
        let deadline = deadline.min(LONGEST_DEADLINE);
        let end = Instant::now() + deadline;
        let progress = Progress::default();
        let answer = timeout_at(end, progress.track(client.execute(outgoing(request)))).await;
        match answer {
            Ok(Ok(response)) => Ok(read(response, end, cap).await),
            Ok(Err(error)) => Err(failure::of_error(&request.url, &error)),
            Err(_) => Err(failure::of_deadline(&request.url, deadline, progress.is_connecting())),
        }
    }
}

fn client(resolver: Resolver) -> reqwest::ClientBuilder {
    let identity = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    reqwest::Client::builder()
        .dns_resolver(resolver)
        .connector_layer(Watch)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .default_headers(identity)
        // One push a connection: a stalled or broken one then takes no other push with it.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
}

fn outgoing(request: &Request) -> reqwest::Request {
    let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
    let headers = outgoing.headers_mut();
    for header in &request.headers {
        headers.append(&header.name, header.value.clone());
    }
    if !request.body.is_empty() {
        *outgoing.body_mut() = Some(request.body.clone().into());
    } else if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        // Some servers answer 411 without it.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    outgoing
}

/// Reads the body up to the cap. Status and headers are here already, so whatever ends the body early, this is an answer.
async fn read(mut response: reqwest::Response, end: Instant, cap: usize) -> Response {
    let mut body = BytesMut::new();
    let truncated = loop {
        match timeout_at(end, response.chunk()).await {
            Ok(Ok(None)) => break false,
            Ok(Ok(Some(chunk))) => {
                let room = cap - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break true;
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(error = failure::cause(&error), "an answer's body ended early");
                break true;
            }
            Err(_) => break true,
        }
    };
    Response {
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: Bytes::from(body),
        truncated,
    }
}
