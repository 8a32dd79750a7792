//! The one place where the store's errors become statuses. What is the daemon's own trouble is logged here, once.

use std::error::Error as _;

use tonic::Status;

use crate::store::{Error, operator::command::Refusal};

/// The bytes of a message that is sent whole. It travels as a header, in which a byte may take three; clients read 16 KiB.
const MESSAGE_MAX: usize = 2000;
/// How much of a longer one stands behind the cut: what to do comes last.
const TAIL: usize = 500;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Self::invalid_argument(cut(message)),
            Refusal::NotFound(message) => Self::not_found(cut(message)),
            Refusal::State(message) => Self::failed_precondition(cut(message)),
            Refusal::Exists(message) => Self::already_exists(cut(message)),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let chain = chain(&error);
        match error {
            Error::Away(_) => {
                tracing::warn!(error = chain, "a control call found the database away");
                Self::unavailable(format!("{chain}; try again in a moment"))
            }
            error if error.is_passing() => {
                tracing::warn!(error = chain, "a control call met another that was in its way");
                Self::unavailable("another change was in the way; try again in a moment")
            }
            Error::Database(_) => {
                tracing::error!(error = chain, "a control call failed");
                Self::internal(format!("{error}: the daemon's log says why"))
            }
            Error::Seal(_) | Error::Corrupt(_) | Error::UnknownWord { .. } | Error::Locked => {
                tracing::error!(error = chain, "a control call met a stored value that cannot be used");
                Self::data_loss(chain)
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

/// An error with its causes, on one line.
fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn each_refusal_has_its_code() {
        let away = Error::Away(std::io::Error::other("refused").into());
        for (refusal, code, message) in [
            (Refusal::Invalid("a".into()), Code::InvalidArgument, "a"),
            (Refusal::NotFound("a".into()), Code::NotFound, "a"),
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
                Refusal::Store(Error::Database(sqlx::Error::RowNotFound)),
                Code::Internal,
                "the database refused a statement: the daemon's log says why",
            ),
        ] {
            let status = Status::from(refusal);
            assert_eq!((status.code(), status.message()), (code, message));
        }
        let long = Status::from(Refusal::NotFound(format!("no {}: look", "é".repeat(10_000))));
        assert!(long.message().starts_with("no éé") && long.message().ends_with("éé: look"));
        assert!((1990..=2010).contains(&long.message().len()), "{}", long.message().len());
        let status = Status::from(away);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("the database is away: "), "{}", status.message());
    }
}
