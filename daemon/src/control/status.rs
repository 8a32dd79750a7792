//! The one place where the store's errors become statuses. What is the daemon's own trouble is logged here, once.

use std::error::Error as _;

use tonic::Status;

use crate::store::{Error, command::Refusal};

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Self::invalid_argument(message),
            Refusal::NotFound(message) => Self::not_found(message),
            Refusal::State(message) => Self::failed_precondition(message),
            Refusal::Exists(message) => Self::already_exists(message),
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
            Error::Database(_) => {
                tracing::error!(error = chain, "a control call failed");
                Self::internal(format!("{error}: the daemon's log says why"))
            }
            Error::Seal(_) | Error::Corrupt(_) => {
                tracing::error!(error = chain, "a control call met a stored value that cannot be used");
                Self::data_loss(chain)
            }
        }
    }
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
        ] {
            let status = Status::from(refusal);
            assert_eq!((status.code(), status.message()), (code, message));
        }
        let status = Status::from(away);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("the database is away: "), "{}", status.message());
    }
}
