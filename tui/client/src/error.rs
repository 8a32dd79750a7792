//! What can go wrong between us and the daemon, with the exit code of each and a line that says what to do.

use std::{collections::HashMap, error::Error, io, time::Duration};

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::Address;

/// Why a call did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers at any of these sockets.
    #[error(
        "no daemon answers at {tried} ({cause}); start `leadlined`, or say where it is with --server unix:PATH or https://HOST:PORT"
    )]
    Unreachable { tried: String, cause: String },
    /// The connection stands, but no answer came in time.
    #[error("the daemon at {address} did not answer within {} s; see its log, then try again", after.as_secs())]
    Silent { address: String, after: Duration },
    /// Something answers there, but not with a certificate that we trust.
    #[error(
        "{address} is not trusted ({cause}): name its authority with --ca FILE, and its host as its certificate does"
    )]
    Untrusted { address: String, cause: String },
    /// The socket is there, but not for us.
    #[error("{address} is not open to you; run this as the user of `leadlined` or as root")]
    Forbidden { address: String },
    /// The daemon understood and said no; the message is its own.
    #[error("{message}")]
    Refused { code: &'static str, message: String, credential: bool, why: Why },
}

/// Why the daemon said no, as programs read it; empty where it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// `DELIVERY_HELD` and the like.
    pub reason: String,
    /// What it is about: `delivery` -> its id, and the like.
    pub about: HashMap<String, String>,
}

impl ClientError {
    /// The exit code that scripts rely on.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Untrusted { .. } => 69,
            Self::Forbidden { .. } | Self::Refused { credential: true, .. } => 77,
            Self::Refused { .. } => 1,
        }
    }

    /// The code in JSON errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Untrusted { .. } => "unreachable",
            Self::Forbidden { .. } => "permission_denied",
            Self::Refused { code, .. } => code,
        }
    }

    /// Why the daemon said no.
    #[must_use]
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Refused { why, .. } if !why.reason.is_empty() => Some(why),
            _ => None,
        }
    }

    /// Whether the daemon is away, so that the same call may do later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. })
    }

    pub(super) fn from_connect(address: &Address, error: &(dyn Error + 'static)) -> Self {
        let cause = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied) {
            return Self::Forbidden { address: address.to_string() };
        }
        if let Some(cause) = chain(error).map(ToString::to_string).find(|cause| cause.contains("certificate"))
        {
            return Self::Untrusted { address: address.to_string(), cause };
        }
        let cause = match cause.map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => "no such socket".to_owned(),
            Some(io::ErrorKind::ConnectionRefused) => "nobody listens".to_owned(),
            _ => root_cause(error),
        };
        Self::Unreachable { tried: address.to_string(), cause }
    }

    /// A status with a source was made on this side: the transport failed and the daemon said nothing.
    pub(super) fn from_status(address: &Address, deadline: Duration, status: &Status) -> Self {
        let expired = chain(status).any(|cause| cause.is::<TimeoutExpired>());
        if expired || status.code() == Code::DeadlineExceeded {
            return Self::Silent { address: address.to_string(), after: deadline };
        }
        if let Some(source) = status.source() {
            return Self::from_connect(address, source);
        }
        let message = match status.message() {
            "" => format!("the daemon refused without a word ({}); see its log", status.code()),
            message => message.to_owned(),
        };
        let credential = matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated);
        let info = status.get_error_details().error_info().cloned();
        let why = info.map(|info| Why { reason: info.reason, about: info.metadata }).unwrap_or_default();
        Self::Refused { code: code_name(status.code()), message, credential, why }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument | Code::OutOfRange => "invalid_argument",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::FailedPrecondition | Code::Aborted => "failed_precondition",
        Code::PermissionDenied => "permission_denied",
        Code::Unauthenticated => "unauthenticated",
        Code::ResourceExhausted => "resource_exhausted",
        Code::Unavailable => "unavailable",
        Code::Unimplemented => "unimplemented",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::DataLoss => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_exit_codes() {
        let address = Address::parse("unix:/x/control.sock").unwrap();
        let seen = |status: &Status| {
            let error = ClientError::from_status(&address, Duration::from_secs(5), status);
            (error.exit_code(), error.code(), error.to_string())
        };
        let table = [
            (Status::not_found("no integration 'x'"), 1, "not_found", "no integration 'x'"),
            (Status::invalid_argument("bad"), 1, "invalid_argument", "bad"),
            (Status::unavailable("the database is away"), 1, "unavailable", "the database is away"),
            (Status::permission_denied("no"), 77, "permission_denied", "no"),
            (Status::unauthenticated("who"), 77, "unauthenticated", "who"),
        ];
        for (status, exit, code, message) in table {
            assert_eq!(seen(&status), (exit, code, message.to_owned()));
        }
        let (exit, code, message) = seen(&Status::deadline_exceeded(""));
        assert_eq!((exit, code), (69, "unreachable"));
        assert_eq!(
            message,
            "the daemon at unix:/x/control.sock did not answer within 5 s; see its log, then try again"
        );
        let (_, _, message) = seen(&Status::internal(""));
        let code = Code::Internal;
        assert_eq!(message, format!("the daemon refused without a word ({code}); see its log"));
        let closed = ClientError::from_connect(&address, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(
            (closed.exit_code(), &*closed.to_string()),
            (77, "unix:/x/control.sock is not open to you; run this as the user of `leadlined` or as root")
        );
        let remote = Address::parse("https://leads.example.com:7443").unwrap();
        let untrusted = io::Error::other("invalid peer certificate: UnknownIssuer");
        let error = ClientError::from_connect(&remote, &untrusted);
        assert_eq!(
            (error.exit_code(), &*error.to_string()),
            (
                69,
                "https://leads.example.com:7443 is not trusted (invalid peer certificate: UnknownIssuer): name its authority with --ca FILE, and its host as its certificate does"
            )
        );
        let lost = Status::from_error(Box::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        let (exit, _, message) = seen(&lost);
        assert_eq!(exit, 69);
        assert!(message.contains("/x/control.sock") && message.contains("`leadlined`"), "{message}");
    }
}
