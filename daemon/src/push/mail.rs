//! Mail out: one message over one connection to a mail server, whose address is checked like any other.
//!
//! Until the final dot nothing has been accepted, so whatever ends the conversation before it is safe to repeat. After
//! it a lost reply means that the message may be there.

mod lines;

use std::{
    collections::HashMap,
    error::Error as _,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lettre::{
    Address,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Auth, Data, Mail as MailFrom, Noop, Rcpt},
        extension::{ClientId, Extension},
        response::Response as Reply,
    },
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{CONNECT_TIMEOUT, resolver::SystemNames};
use crate::{
    connectors::{CallError, CallErrorKind, Mail, MailSecurity, REFUSED, Response},
    domain::address::{EgressPolicy, allowing},
};
use lines::LineStream;

/// What passwords are told with, and tokens.
const PASSWORDS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];
const TOKENS: &[Mechanism] = &[Mechanism::Xoauth2];
/// How long a goodbye may take: nothing depends on it.
const GOODBYE: Duration = Duration::from_secs(1);
/// So many hosts' certificates are prepared at once; then all are read anew.
const TRUSTED_MAX: usize = 64;

/// Speaks to mail servers.
pub(super) struct Mailer {
    names: SystemNames,
    egress: EgressPolicy,
    /// What each host's certificate is checked with. To read the system's certificates takes a while.
    trusted: Mutex<HashMap<String, TlsParameters>>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").finish_non_exhaustive()
    }
}

/// Why a conversation ended early.
enum Stop {
    /// The server said so.
    Reply(Response),
    Failed(CallError),
}

impl Stop {
    fn not_sent(message: String) -> Self {
        Self::Failed(CallError { kind: CallErrorKind::NotSent, message })
    }

    fn blocked(message: String) -> Self {
        Self::Failed(CallError { kind: CallErrorKind::Blocked, message })
    }
}

/// One conversation, which ends in time.
#[derive(Clone, Copy)]
struct Course<'a> {
    mail: &'a Mail,
    end: Instant,
    deadline: Duration,
}

impl Mailer {
    pub(super) fn new(names: SystemNames, egress: EgressPolicy) -> Self {
        Self { names, egress, trusted: Mutex::default() }
    }

    /// Brings a message, or without one logs in and says goodbye. The deadline covers everything.
    pub(super) async fn send(&self, mail: &Mail, deadline: Duration) -> Result<Response, CallError> {
        let course = Course { mail, end: Instant::now() + deadline, deadline };
        match self.converse(course).await {
            Ok(response) | Err(Stop::Reply(response)) => Ok(response),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn converse(&self, course: Course<'_>) -> Result<Response, Stop> {
        let mut connection = self.connect(course).await?;
        let said = match course.log_in(&mut connection).await {
            Ok(()) if course.mail.message.is_empty() => course.say(&mut connection, "NOOP", Noop).await,
            Ok(()) => course.bring(&mut connection).await,
            Err(stop) => Err(stop),
        };
        if !matches!(said, Err(Stop::Failed(_))) {
            // What was said stands, whatever the goodbye comes to.
            drop(timeout(GOODBYE, connection.quit()).await);
        }
        said
    }

    /// A connection to the first address that takes one, secured as wanted.
    async fn connect(&self, course: Course<'_>) -> Result<AsyncSmtpConnection, Stop> {
        let mut last = None;
        for ip in self.addresses(course).await? {
            let address = SocketAddr::new(ip, course.mail.port);
            match self.open(course, address).await {
                Err(stop @ Stop::Failed(CallError { kind: CallErrorKind::NotSent, .. })) => last = Some(stop),
                opened => return opened,
            }
        }
        Err(last.unwrap_or_else(|| Stop::not_sent(format!("{} has no address", course.mail.host))))
    }

    /// Every address of the host, or none of them if one may not be reached.
    async fn addresses(&self, course: Course<'_>) -> Result<Vec<IpAddr>, Stop> {
        let host = &course.mail.host;
        let found = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => match timeout_at(course.end, self.names.look_up(host)).await {
                Ok(found) => found.map_err(|error| Stop::not_sent(error.to_string()))?,
                Err(_) => return Err(course.too_late("the look-up of its name")),
            },
        };
        for ip in &found {
            self.admit(course.mail, *ip)?;
        }
        Ok(found)
    }

    fn admit(&self, mail: &Mail, ip: IpAddr) -> Result<(), Stop> {
        let what = if mail.host == ip.to_string() {
            mail.host.clone()
        } else {
            format!("{} resolves to {ip}, which", mail.host)
        };
        if !self.egress.permits(ip) {
            return Err(Stop::blocked(format!(
                "{what} is not a public address: use another host, or {}",
                allowing(ip)
            )));
        }
        if mail.security == MailSecurity::None && !self.egress.is_exception(ip) {
            return Err(Stop::blocked(format!(
                "{what} may not be mailed without TLS: use starttls or tls, or {}",
                allowing(ip)
            )));
        }
        Ok(())
    }

    async fn open(&self, course: Course<'_>, address: SocketAddr) -> Result<AsyncSmtpConnection, Stop> {
        let mail = course.mail;
        let hello = ClientId::Domain(mail.from.rsplit_once('@').map_or("localhost", |(_, at)| at).to_owned());
        match mail.security {
            MailSecurity::None => {
                let stream = Box::new(course.stream(address).await?);
                let opening = AsyncSmtpConnection::connect_with_transport(stream, &hello);
                course.step("greeting", opening).await
            }
            MailSecurity::StartTls => {
                let stream = Box::new(LineStream::new(course.stream(address).await?));
                let opening = AsyncSmtpConnection::connect_with_transport(stream, &hello);
                let mut connection = course.step("greeting", opening).await?;
                if !connection.server_info().supports_feature(Extension::StartTls) {
                    return Err(Stop::blocked(format!(
                        "{}:{} offers no STARTTLS, and nothing is sent in the clear: use the port that does, or tls",
                        mail.host, mail.port
                    )));
                }
                course.step("STARTTLS", connection.starttls(self.trust(&mail.host)?, &hello)).await?;
                Ok(connection)
            }
            MailSecurity::Tls => {
                let (trust, limit) = (Some(self.trust(&mail.host)?), Some(CONNECT_TIMEOUT));
                let opening = AsyncSmtpConnection::connect_tokio1(address, limit, &hello, trust, None);
                course.step("connection with TLS", opening).await
            }
        }
    }

    fn trust(&self, host: &str) -> Result<TlsParameters, Stop> {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trust) = trusted.get(host) {
            return Ok(trust.clone());
        }
        let trust = TlsParameters::new(host.to_owned()).map_err(|error| {
            Stop::not_sent(format!("TLS for {host} cannot be prepared: {}", cause(&error)))
        })?;
        if trusted.len() >= TRUSTED_MAX {
            trusted.clear();
        }
        trusted.insert(host.to_owned(), trust.clone());
        Ok(trust)
    }
}

impl Course<'_> {
    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Stop> {
        let Some(login) = &self.mail.login else { return Ok(()) };
        let mechanisms = if login.is_token { TOKENS } else { PASSWORDS };
        if connection.server_info().get_auth_mechanism(mechanisms).is_none() {
            // Without the secret: the server itself shall say that it knows no such login.
            let bare = format!("AUTH {}\r\n", mechanisms[0]);
            let reply = self.say(connection, "AUTH", bare).await?;
            return Err(Stop::Reply(reply));
        }
        let credentials = Credentials::new(login.username.clone(), login.secret.expose_secret().to_owned());
        if !login.is_token {
            return self.step("AUTH", connection.auth(mechanisms, &credentials)).await.map(drop);
        }
        let command = Auth::new(Mechanism::Xoauth2, credentials, None);
        let reply = self.step("AUTH", async { connection.command(command?).await }).await?;
        if reply.has_code(334) {
            // Why a token is refused comes as a challenge; the refusal itself follows an empty answer to it.
            let reply = self.say(connection, "AUTH", "\r\n").await?;
            return if (200..300).contains(&reply.status) { Ok(()) } else { Err(Stop::Reply(reply)) };
        }
        Ok(())
    }

    /// The envelope, then the message. Who can get it gets it; those who are refused for good are named in the answer. A
    /// refusal that may pass stops all, so that a later attempt tells everybody at once.
    async fn bring(&self, connection: &mut AsyncSmtpConnection) -> Result<Response, Stop> {
        let from = address(&self.mail.from)?;
        let stage = format!("MAIL FROM {}", self.mail.from);
        self.say(connection, &stage, MailFrom::new(Some(from), Vec::new())).await?;
        let mut refused = Vec::new();
        for to in &self.mail.to {
            let stage = format!("RCPT TO {to}");
            match self.say(connection, &stage, Rcpt::new(address(to)?, Vec::new())).await {
                Err(Stop::Reply(reply))
                    if (500..600).contains(&reply.status) && refused.len() + 1 < self.mail.to.len() =>
                {
                    let text = String::from_utf8_lossy(&reply.body).into_owned();
                    refused.push(format!("{to}: {} {text}", reply.status));
                }
                said => drop(said?),
            }
        }
        let go_on = self.say(connection, "DATA", Data).await?;
        if go_on.status != 354 {
            return Err(Stop::Reply(go_on));
        }
        let mut said = self.finish(connection).await?;
        said.headers.extend(refused.into_iter().map(|who| (REFUSED.to_owned(), who)));
        Ok(said)
    }

    async fn finish(&self, connection: &mut AsyncSmtpConnection) -> Result<Response, Stop> {
        const STAGE: &str = "the message";
        let is_out = AtomicBool::new(false);
        // The next bytes that leave after the last part are the final dot.
        let end = std::iter::from_fn(|| {
            is_out.store(true, Ordering::Relaxed);
            None
        });
        let message = std::iter::once(&self.mail.message[..]).chain(end);
        let said = timeout_at(self.end, connection.message_iter(message)).await;
        let message = match said {
            Ok(Ok(reply)) => return Ok(response(STAGE, &reply)),
            Ok(Err(error)) => match refusal(STAGE, &error) {
                Some(response) => return Err(Stop::Reply(response)),
                None => format!("no reply from {} to {STAGE}: {}", self.mail.host, cause(&error)),
            },
            Err(_) => format!(
                "no reply from {} to {STAGE} within {} s",
                self.mail.host,
                self.deadline.as_secs_f64()
            ),
        };
        let kind =
            if is_out.load(Ordering::Relaxed) { CallErrorKind::NoAnswer } else { CallErrorKind::NotSent };
        Err(Stop::Failed(CallError { kind, message }))
    }

    /// Says a command and takes the reply to it.
    async fn say(
        &self,
        connection: &mut AsyncSmtpConnection,
        stage: &str,
        command: impl fmt::Display,
    ) -> Result<Response, Stop> {
        self.step(stage, connection.command(command)).await.map(|reply| response(stage, &reply))
    }

    async fn step<T>(
        &self,
        stage: &str,
        work: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, Stop> {
        match timeout_at(self.end, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(match refusal(stage, &error) {
                Some(response) => Stop::Reply(response),
                None => Stop::not_sent(format!(
                    "{}:{}: {stage} failed: {}",
                    self.mail.host,
                    self.mail.port,
                    cause(&error)
                )),
            }),
            Err(_) => Err(self.too_late(stage)),
        }
    }

    fn too_late(&self, stage: &str) -> Stop {
        let (host, limit) = (&self.mail.host, self.deadline.as_secs_f64());
        Stop::not_sent(format!("{host}: {stage} did not end within {limit} s"))
    }

    async fn stream(&self, address: SocketAddr) -> Result<TcpStream, Stop> {
        let limit = CONNECT_TIMEOUT.min(self.deadline);
        let cause = match timeout_at(self.end, timeout(limit, TcpStream::connect(address))).await {
            Ok(Ok(Ok(stream))) => return Ok(stream),
            Ok(Ok(Err(error))) => error.kind().to_string(),
            Ok(Err(_)) | Err(_) => format!("no connection within {} s", limit.as_secs_f64()),
        };
        Err(Stop::not_sent(format!("connect to {} ({address}) failed: {cause}", self.mail.host)))
    }
}

/// An address as the protocol takes it; what could break out of its command is none.
fn address(text: &str) -> Result<Address, Stop> {
    text.parse().map_err(|_| Stop::blocked(format!("{:?} is not an address that mail can be sent to", text)))
}

fn response(stage: &str, reply: &Reply) -> Response {
    let text = reply.message().collect::<Vec<_>>().join("\n");
    answered(stage, reply.code().into(), text)
}

/// The server's refusal, if the error is one.
fn refusal(stage: &str, error: &SmtpError) -> Option<Response> {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    error.status().map(|code| answered(stage, code.into(), text))
}

fn answered(stage: &str, status: u16, text: String) -> Response {
    let headers = vec![("stage".to_owned(), stage.to_owned())];
    Response { status, headers, body: Bytes::from(text), truncated: false }
}

/// What lies deepest: the levels above it only say that there was an error.
fn cause(error: &SmtpError) -> String {
    let deepest = std::iter::successors(error.source(), |&error| error.source()).last();
    let text = deepest.map_or_else(|| error.to_string(), ToString::to_string);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
