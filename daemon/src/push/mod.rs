//! The only way out: calls over HTTP and mail over SMTP, guarded.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response as Answer, body::Incoming};
use rustls::{ClientConfig, client::Resumption, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::{Instant, timeout_at};

use crate::{
    connectors::{Call, CallError, CallErrorKind, Request, Response},
    domain::address::EgressPolicy,
};

mod connect;
mod failure;
mod mail;
mod pool;
mod resolver;
#[cfg(test)]
mod tests;
mod wire;

use connect::Dialer;
use mail::Mailer;
pub use pool::Pool;
use pool::{Origin, PooledConnection, Slot};
use resolver::{Reach, Resolver, SystemNames};

/// How much of an answer is read; then the connection is closed.
pub const PUSH_CAP: usize = 64 * 1024;
/// A probe may list all of a vendor's fields, and a push all of what its settings name one of.
pub const PROBE_CAP: usize = 8 * 1024 * 1024;
/// What is read of an answer that a push says is long, as a list is. As many may be in memory as pushes are in flight.
const LONG_CAP: usize = 1024 * 1024;
/// How long a look-up, the connection and the TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The TLS sessions of so many targets are kept: a connection that resumes one needs no certificate and half the work.
const SESSIONS: usize = 4096;
/// Longer deadlines are cut, so that no configuration can overflow a clock.
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The one client that every call goes through. Connections are kept apart in a [`Pool`] for each integration.
#[derive(Debug)]
pub struct Client {
    egress: EgressPolicy,
    /// For https, to every address that is permitted.
    secure: Dialer,
    /// For plain http, to addresses that the configuration names, and to no other that a name resolves to.
    plain: Dialer,
    mailer: Mailer,
}

impl Client {
    /// A client that keeps to this policy.
    pub fn new(egress: EgressPolicy) -> Result<Self, rustls::Error> {
        let names = SystemNames::default();
        let resolver = |reach| Resolver::new(names.clone(), egress.clone(), reach);
        let secure = Dialer::new(resolver(Reach::Permitted), Some(tls()?));
        let plain = Dialer::new(resolver(Reach::Exceptions), None);
        let mailer = Mailer::new(names.clone(), egress.clone());
        Ok(Self { egress, secure, plain, mailer })
    }

    /// Makes a call; the deadline covers everything from the look-up of the name to the last byte of the answer, of
    /// which at most `cap` bytes are read, or more where the request says that it is long.
    pub async fn call(
        &self,
        pool: &Pool,
        call: &Call,
        deadline: Duration,
        cap: usize,
    ) -> Result<Response, CallError> {
        let deadline = deadline.min(LONGEST_DEADLINE);
        match call {
            Call::Http(request) => self.http(pool, request, deadline, cap).await,
            // Mail is rare and its conversation large: boxed, it does not make every push larger.
            Call::Mail(mail) => self.mailer.send(mail, deadline).boxed().await,
        }
    }

    async fn http(
        &self,
        pool: &Pool,
        request: &Request,
        deadline: Duration,
        cap: usize,
    ) -> Result<Response, CallError> {
        let cap = if request.is_long { cap.max(LONG_CAP) } else { cap };
        // A literal address never reaches the resolver, so it is checked here.
        self.egress
            .check(&request.url)
            .map_err(|error| CallError { kind: CallErrorKind::Blocked, message: error.to_string() })?;
        let origin = Origin::of(&request.url);
        let end = Instant::now() + deadline;
        loop {
            let outgoing = pool::outgoing(request).map_err(|error| failure::of_request(&error))?;
            let mut connection = match pool.take(&origin).await {
                Ok(connection) => connection,
                // Connections are opened rarely, and a handshake is large.
                Err(place) => self.connect(pool, place, request, end, deadline).boxed().await?,
            };
            return match timeout_at(end, connection.send(outgoing)).await {
                Ok(Ok(answer)) => Ok(read(pool, connection, answer, end, cap).await),
                // The target closed the connection while it was idle, and no byte of the request has left: nothing
                // was tried yet.
                Ok(Err(_)) if connection.is_stale() => continue,
                Ok(Err(error)) => connection
                    .unreadable_success(&error)
                    .ok_or_else(|| failure::of_error(&request.url, &error, connection.has_sent())),
                Err(_) => Err(failure::of_deadline(&request.url, deadline, !connection.has_sent())),
            };
        }
    }

    async fn connect(
        &self,
        pool: &Pool,
        place: Slot,
        request: &Request,
        end: Instant,
        deadline: Duration,
    ) -> Result<PooledConnection, CallError> {
        let connector = if request.url.scheme() == "https" { &self.secure } else { &self.plain };
        let limit = Instant::now() + CONNECT_TIMEOUT;
        match timeout_at(limit.min(end), connector.open(&request.url)).await {
            Ok(Ok(wire)) => PooledConnection::open(place, wire)
                .await
                .inspect(|connection| pool.opened(connection))
                .map_err(|error| failure::of_error(&request.url, &error, false)),
            Ok(Err(error)) => Err(failure::of_connect(&request.url, &error)),
            Err(_) => Err(failure::of_deadline(&request.url, CONNECT_TIMEOUT.min(deadline), true)),
        }
    }
}

/// The one configuration of all connections of this process. The system's certificates are read once.
fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(shared) = SHARED.get() {
        return Ok(Arc::clone(shared));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::clone(SHARED.get_or_init(|| secured(config))))
}

/// What is asked of every secured connection. What a target's session is resumed by is kept here.
fn secured(mut config: ClientConfig) -> Arc<ClientConfig> {
    // One push a connection: a stalled or broken one then takes no other push with it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Arc::new(config)
}

/// Reads the body up to the cap. Status and headers are here already, so whatever ends the body early, this is an answer.
async fn read(
    pool: &Pool,
    mut connection: PooledConnection,
    answer: Answer<Incoming>,
    end: Instant,
    cap: usize,
) -> Response {
    let (head, mut incoming) = answer.into_parts();
    let mut body = BytesMut::new();
    let truncated = loop {
        match timeout_at(end, connection.drive(incoming.frame())).await {
            Ok(None) => break false,
            Ok(Some(Ok(frame))) => {
                let Ok(chunk) = frame.into_data() else { continue };
                let room = cap - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break true;
                }
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(error = failure::cause(&error), "an answer's body ended early");
                break true;
            }
            Err(_) => break true,
        }
    };
    if !truncated {
        pool.give_back(connection).await;
    }
    Response {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: Bytes::from(body),
        truncated,
    }
}

/// What is sent as a body.
type Body = Full<Bytes>;
