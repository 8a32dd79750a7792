//! What to do about a cause, in plain words, and the acts that fit.

use crate::outcome::FailureClass;

/// An act that may end a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ReplaceCredentials,
    EditMapping,
    EditConfig,
    Test,
    Retry,
    RetryReRendered,
    Wait,
    Skip,
}

/// What to do about a class of failures.
#[must_use]
pub const fn advice(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Mapping => {
            "The mapping or a template cannot be rendered for these leads, and nothing was sent. Mend the mapping, look \
             at the preview of one of them, then retry with a new rendering."
        }
        FailureClass::Blocked => {
            "The address may not be pushed to, or the target redirects elsewhere. Correct the URL, or let the daemon's \
             configuration allow the address, then test and retry."
        }
        FailureClass::Throttled => {
            "The target takes fewer calls than there were. It is asked again by itself; if that goes on, lower the \
             integration's rate or raise the quota at the vendor, then retry."
        }
        FailureClass::Transient => {
            "The target was away or failed inside. It is asked again by itself, and swept for three days after that; \
             if it is back already, retry now."
        }
        FailureClass::Credentials => {
            "The target refuses our login, or what the login may do. Replace the credentials or grant what is missing; \
             once a test passes, retry these deliveries: nothing else brings them back."
        }
        FailureClass::Rejected => {
            "The target refuses what was sent. Compare the mapping with the target's fields, correct one of the two, \
             then retry with a new rendering; skip leads that it will never take."
        }
        FailureClass::Unknown => {
            "No full answer came, so these may have arrived. Look at the target for one of them first; a retry carries \
             the same id, and may make a second record where the target does not know ids."
        }
    }
}

/// The acts that fit a class, the likeliest first.
#[must_use]
pub const fn actions(class: FailureClass) -> &'static [Action] {
    match class {
        FailureClass::Mapping => &[Action::EditMapping, Action::RetryReRendered, Action::Skip],
        FailureClass::Blocked => &[Action::EditConfig, Action::Test, Action::Retry],
        FailureClass::Throttled => &[Action::Wait, Action::EditConfig, Action::Retry],
        FailureClass::Transient => &[Action::Wait, Action::Test, Action::Retry],
        FailureClass::Credentials => &[Action::ReplaceCredentials, Action::Test, Action::Retry],
        FailureClass::Rejected => &[Action::EditMapping, Action::RetryReRendered, Action::Skip],
        FailureClass::Unknown => &[Action::Test, Action::Retry, Action::Skip],
    }
}
