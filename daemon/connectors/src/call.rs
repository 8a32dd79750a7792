//! Calls and answers as values: what a connector asks for, and what `push` brings back.

use std::{borrow::Cow, io::Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::Token;
use leadline_domain::template::percent_encode;

/// The longest answer that is taken out of gzip, in bytes.
const PLAIN_MAX: u64 = 8 * 1024 * 1024;

/// A call as a value.
#[derive(Clone, Debug)]
pub enum Call {
    Http(Request),
    Mail(Mail),
}

impl From<Request> for Call {
    fn from(request: Request) -> Self {
        Self::Http(request)
    }
}

impl From<Mail> for Call {
    fn from(mail: Mail) -> Self {
        Self::Mail(mail)
    }
}

impl Call {
    /// Whether the body holds credentials: it is neither kept nor shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Http(request) if request.is_secret)
    }

    /// Puts a token of a login into the call, in the place of an earlier one, and directs it to where the login says.
    pub(super) fn log_in(&mut self, token: &Token, scheme: &str) {
        match self {
            Self::Http(request) => request.log_in(token, scheme),
            Self::Mail(mail) => {
                if let Some(login) = mail.login.as_mut().filter(|login| login.is_token) {
                    login.secret = token.secret.clone();
                }
            }
        }
    }
}

/// A request as a value.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: http::Method,
    pub url: Url,
    /// The URL fit to be shown: query credentials shortened.
    pub shown_url: String,
    pub headers: Vec<RequestHeader>,
    pub body: Bytes,
    /// The body holds credentials: it is neither kept nor shown.
    pub is_secret: bool,
    /// The answer lists all that an account has of something: more of it is read than of others.
    pub is_long: bool,
    /// The version of the secret that signed it, if it is signed.
    pub secret_version: Option<i32>,
}

/// A message for a mail server, as a value.
#[derive(Clone, Debug)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub security: MailSecurity,
    /// None sends without a login.
    pub login: Option<MailLogin>,
    pub from: String,
    pub to: Vec<String>,
    /// Headers and text as they go over the wire; empty for a probe, which logs in and says goodbye.
    pub message: Bytes,
}

/// Who logs in to a mail server, and with what.
#[derive(Clone, Debug)]
pub struct MailLogin {
    pub username: String,
    /// A password, or a token that OAuth 2 gave.
    pub secret: SecretString,
    pub is_token: bool,
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, or nothing is sent.
    StartTls,
    /// In the clear, to addresses that the daemon's configuration allows.
    None,
}

impl Request {
    /// A request to a path below the base: each segment is encoded, so that no value adds another.
    #[must_use]
    pub fn at(method: http::Method, base: &Url, segments: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            percent_encode(segment.as_ref(), &mut path);
        }
        let mut url = base.clone();
        url.set_path(&path);
        Self::new(method, url)
    }

    /// With this query.
    #[must_use]
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        if !pairs.is_empty() {
            self.url.query_pairs_mut().extend_pairs(pairs);
            self.shown_url = self.url.to_string();
        }
        self
    }

    fn log_in(&mut self, token: &Token, scheme: &str) {
        if let Some(base) = &token.base {
            let is_shown_whole = self.shown_url == self.url.as_str();
            let mut url = base.clone();
            url.set_path(self.url.path());
            url.set_query(self.url.query());
            self.url = url;
            if is_shown_whole {
                self.shown_url = self.url.to_string();
            }
        }
        let login = format!("{scheme} {}", token.secret.expose_secret());
        // A token that no header can carry is left out, and the target then refuses the login.
        self.headers.retain(|header| header.name != header::AUTHORIZATION);
        if let Ok(value) = HeaderValue::try_from(login) {
            let at = self.headers.len().min(1);
            self.headers.insert(at, RequestHeader { name: header::AUTHORIZATION, value, secret: true });
        }
    }

    /// A request without a body.
    #[must_use]
    pub fn new(method: http::Method, url: Url) -> Self {
        Self {
            method,
            shown_url: url.to_string(),
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            is_secret: false,
            is_long: false,
            secret_version: None,
        }
        .header(header::USER_AGENT, HeaderValue::from_static(concat!("Leadline/", env!("CARGO_PKG_VERSION"))))
    }

    /// One whose answer lists all that an account has of something, or repeats what was written.
    #[must_use]
    pub fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push(RequestHeader { name, value, secret: false });
        self
    }

    /// With a header that is shortened wherever it is shown. A credential that no header can carry is left out, and
    /// the target then refuses the login.
    #[must_use]
    pub fn secret_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.push(RequestHeader { name, value, secret: true });
        }
        self
    }

    /// With `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &SecretString) -> Self {
        self.secret_header(header::AUTHORIZATION, &format!("Bearer {}", token.expose_secret()))
    }

    /// With `Authorization: Basic`.
    #[must_use]
    pub fn basic(self, name: &str, password: &SecretString) -> Self {
        let login = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
        self.secret_header(header::AUTHORIZATION, &format!("Basic {login}"))
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// With a form that holds credentials.
    #[must_use]
    pub fn secret_form(mut self, pairs: &[(&str, &str)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.body = form.into();
        self.is_secret = true;
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }
}

impl Response {
    /// Whether a call did what it should, going by the status.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether its status is one of these.
    #[must_use]
    pub fn is_one_of(&self, statuses: &[u16]) -> bool {
        statuses.contains(&self.status)
    }

    /// The number that a header has.
    #[must_use]
    pub fn number(&self, header: &str) -> Option<u64> {
        self.header(header)?.trim().parse().ok()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is: also behind a byte order mark, compressed though nobody asked for that, or in Latin-1.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        let plain = self.plain();
        let text = plain.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&plain);
        if std::str::from_utf8(text).is_err() {
            let latin: String = text.iter().map(|byte| char::from(*byte)).collect();
            return serde_json::from_str(&latin).ok();
        }
        serde_json::from_slice(text).ok()
    }

    /// The body, taken out of gzip if it is in it.
    fn plain(&self) -> Cow<'_, [u8]> {
        if !self.body.starts_with(b"\x1f\x8b") {
            return Cow::Borrowed(&self.body);
        }
        let mut plain = Vec::new();
        let reader = flate2::read::GzDecoder::new(&*self.body);
        match reader.take(PLAIN_MAX).read_to_end(&mut plain) {
            Ok(_) => Cow::Owned(plain),
            Err(_) => Cow::Borrowed(&self.body),
        }
    }
}

/// A header of a request; a secret value is shortened wherever it is shown.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    pub name: http::HeaderName,
    pub value: http::HeaderValue,
    pub secret: bool,
}

/// What came of a call.
pub type Answer = Result<Response, CallError>;

/// What the target answered; a mail server's reply has its code as status. The body is cut at the cap.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    pub kind: CallErrorKind,
    /// One line for operators: `connect to 192.0.2.1:443 timed out after 30 s`.
    pub message: String,
}

/// How far a call came that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// Our guard refused the address.
    Blocked,
    /// It failed before the last byte of the request left.
    NotSent,
    /// The request left, and no full answer came.
    NoAnswer,
}
