//! The one place where the store's errors become statuses. What is the daemon's own trouble is logged here, once.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    store::{
        Error,
        operator::{
            command::Refusal,
            refusal::{Fault, Known},
        },
    },
    telemetry,
};

/// Whose reasons they are.
const DOMAIN: &str = "leadline";

/// The bytes of a message that is sent whole. It travels as a header, in which a byte may take three; clients read 16 KiB.
const MESSAGE_MAX: usize = 2000;
/// The bytes of what a refusal is about.
const ABOUT_MAX: usize = 200;
/// How much of a longer one stands behind the cut: what to do comes last.
const TAIL: usize = 500;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => refused(Code::InvalidArgument, "INVALID_REQUEST", message),
            Refusal::NotFound(message) => refused(Code::NotFound, "NOT_FOUND", message),
            Refusal::State(message) => refused(Code::FailedPrecondition, "WRONG_STATE", message),
            Refusal::Exists(message) => refused(Code::AlreadyExists, "EXISTS", message),
            Refusal::Known(known) => (*known).into(),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<Known> for Status {
    fn from(known: Known) -> Self {
        let code = match known.reason.fault() {
            Fault::Request => Code::InvalidArgument,
            Fault::Missing => Code::NotFound,
            Fault::State => Code::FailedPrecondition,
        };
        let short = |text: String| text[..text.floor_char_boundary(ABOUT_MAX)].to_owned();
        let about = known.about.into_iter().map(|(what, id)| (what.to_owned(), short(id))).collect();
        with_info(code, known.reason.as_str(), known.message, about)
    }
}

/// A status with a reason and nothing that it is about.
pub(super) fn refused(code: Code, reason: &str, message: impl Into<String>) -> Status {
    with_info(code, reason, message.into(), HashMap::new())
}

/// A refusal that the server made before any method saw the call: it has a reason, too.
pub(super) fn with_reason(status: Status) -> Status {
    let reason = match status.code() {
        _ if !status.details().is_empty() => return status,
        Code::OutOfRange | Code::ResourceExhausted => "MESSAGE_TOO_LONG",
        Code::NotFound => "UNKNOWN",
        Code::Unimplemented => "NOT_SUPPORTED",
        _ => "UNREADABLE_REQUEST",
    };
    let mut reasoned = refused(status.code(), reason, status.message());
    // What stands beside it is for the client, as which encodings are taken.
    *reasoned.metadata_mut() = status.metadata().clone();
    reasoned
}

/// A status whose reason programs can read, as `google.rpc.ErrorInfo`.
pub(super) fn with_info(code: Code, reason: &str, message: String, about: HashMap<String, String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, about);
    Status::with_error_details(code, cut(message), details)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let chain = telemetry::causes(&error);
        match error {
            Error::Away(_) => {
                tracing::warn!(
                    event = "control_database_away",
                    error = chain,
                    "a control call found the database away"
                );
                refused(Code::Unavailable, "DATABASE_AWAY", format!("{chain}; try again in a moment"))
            }
            error if error.is_passing() => {
                tracing::warn!(
                    event = "control_call_conflicted",
                    error = chain,
                    "a control call met another that was in its way"
                );
                refused(Code::Unavailable, "CONFLICT", "another change was in the way; try again in a moment")
            }
            Error::Database(_) => {
                tracing::error!(event = "control_call_failed", error = chain, "a control call failed");
                refused(Code::Internal, "DATABASE_FAILED", format!("{error}: the daemon's log says why"))
            }
            Error::MasterKey(_) => {
                tracing::error!(
                    event = "control_key_missing",
                    error = chain,
                    "a control call found no key to seal with"
                );
                let message = "the daemon lacks a master key: its log says which";
                refused(Code::FailedPrecondition, "MASTER_KEY_MISSING", message)
            }
            Error::Seal(_) | Error::Corrupt(_) | Error::UnknownWord { .. } | Error::Locked => {
                tracing::error!(
                    event = "control_value_unreadable",
                    error = chain,
                    "a control call met a stored value that cannot be used"
                );
                refused(Code::DataLoss, "UNREADABLE", chain)
            }
        }
    }
}

/// A message that fits: what it quotes may be of any length.
fn cut(message: String) -> String {
    if message.len() <= MESSAGE_MAX {
        return message;
    }
    let head = &message[..message.floor_char_boundary(MESSAGE_MAX - TAIL)];
    let tail = &message[message.ceil_char_boundary(message.len() - TAIL)..];
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::MissingKey;
    use crate::store::operator::refusal::RefusalReason;

    #[test]
    fn each_refusal_has_its_code() {
        let away = Error::Away(std::io::Error::other("refused").into());
        for (refusal, code, message) in [
            (Refusal::Invalid("a".into()), Code::InvalidArgument, "a"),
            (Refusal::unknown("lead", "a"), Code::NotFound, "no lead a"),
            (Refusal::State("a".into()), Code::FailedPrecondition, "a"),
            (Refusal::Exists("a".into()), Code::AlreadyExists, "a"),
            (Refusal::Store(Error::Corrupt("plan")), Code::DataLoss, "a stored plan cannot be read"),
            (
                Refusal::Store(Error::Locked),
                Code::Unavailable,
                "another change was in the way; try again in a moment",
            ),
            (
                Refusal::Store(Error::Seal(crate::secrets::SealError)),
                Code::DataLoss,
                "a sealed value does not open: it belongs to another row or was sealed with another master key",
            ),
            (
                Refusal::Store(Error::MasterKey(MissingKey::InUse {
                    file: "/data/key".into(),
                    source: None,
                })),
                Code::FailedPrecondition,
                "the daemon lacks a master key: its log says which",
            ),
            (
                Refusal::Store(Error::Database(sqlx::Error::RowNotFound)),
                Code::Internal,
                "the database refused a statement: the daemon's log says why",
            ),
        ] {
            let status = Status::from(refusal);
            assert_eq!((status.code(), status.message()), (code, message));
            assert!(status.get_error_details().error_info().is_some(), "{message} has no reason");
        }
        let long = Status::from(Refusal::unknown("lead", format!("{}: look", "é".repeat(10_000))));
        assert!(long.message().starts_with("no lead éé") && long.message().ends_with("éé: look"));
        assert!((1990..=2010).contains(&long.message().len()), "{}", long.message().len());
        let known = Known::new(RefusalReason::DeliveryHeld, "held").about("delivery", "é".repeat(1000));
        let info = Status::from(Refusal::from(known)).get_error_details().error_info().unwrap().clone();
        assert_eq!(
            (&*info.reason, &*info.domain, info.metadata["delivery"].len()),
            ("DELIVERY_HELD", "leadline", 200)
        );
        let plain =
            Status::from(Refusal::State("a".into())).get_error_details().error_info().unwrap().clone();
        assert_eq!(plain.reason, "WRONG_STATE");
        let bare = with_reason(Status::new(Code::OutOfRange, "it is too long"));
        assert_eq!((bare.code(), bare.message()), (Code::OutOfRange, "it is too long"));
        assert_eq!(bare.get_error_details().error_info().unwrap().reason, "MESSAGE_TOO_LONG");
        let known = refused(Code::NotFound, "NOBODY_HAS", "no");
        assert_eq!(with_reason(known).get_error_details().error_info().unwrap().reason, "NOBODY_HAS");
        let status = Status::from(away);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("the database is away: "), "{}", status.message());
    }
}
