//! What the tests of vendors share.

use leadline_fakes::{Fault, Reply};
use leadlined::domain::outcome::{FailureClass, Outcome};

/// Answers with these statuses and nothing else.
pub(crate) fn statuses(statuses: &[u16]) -> Vec<Fault> {
    statuses.iter().map(|status| Fault::Answer(Reply::status(*status))).collect()
}

/// What became of an attempt that failed.
pub(crate) fn class_and_error(outcome: Outcome) -> (FailureClass, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.class, failure.error),
        Outcome::Delivered => panic!("it was delivered"),
    }
}
