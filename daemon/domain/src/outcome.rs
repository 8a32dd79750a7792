//! What an attempt came to: the answer of a connector, in the words that decide what happens next.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Which kind of failure, and so what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Our mapping or template cannot be rendered; nothing was sent.
    Mapping,
    /// Our guard refused the address, or the target redirected.
    Blocked,
    /// The target asks us to slow down; the whole lane waits.
    Throttled,
    /// It may work in a moment.
    Transient,
    /// Our login was refused.
    Credentials,
    /// The target refuses this lead.
    Rejected,
    /// The request left, and no full answer came: maybe delivered.
    Unknown,
}

impl FailureClass {
    /// Every class, for tables and help.
    pub const ALL: [Self; 7] = [
        Self::Mapping,
        Self::Blocked,
        Self::Throttled,
        Self::Transient,
        Self::Credentials,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mapping => "mapping",
            Self::Blocked => "blocked",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Credentials => "credentials",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// The class as people are told it: what may have arrived says so.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Unknown => "unknown, maybe delivered",
            other => other.as_str(),
        }
    }

    /// The class of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// Whether an automatic retry may help.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::Unknown)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: FailureClass,
    /// One line, at most 500 characters when stored.
    pub error: String,
    /// How long the target asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a wish of the target.
    pub fn new(class: FailureClass, error: impl Into<String>) -> Self {
        Self { class, error: error.into(), retry_after: None }
    }

    /// The same, with at most so much of the wait that the target asked for as this setting allows: its wish stays as a
    /// note.
    #[must_use]
    pub fn waiting_at_most(mut self, (max, setting): (Duration, &str)) -> Self {
        if let Some(asked) = self.retry_after.filter(|asked| *asked > max) {
            let (asked, most) = (asked.as_secs(), max.as_secs());
            self.error.push_str(&format!(" (it asked for a wait of {asked} s: {setting} allows {most} s)"));
            self.retry_after = Some(max);
        }
        self
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    Failed(Failure),
}

impl Outcome {
    /// Why it failed, if it did.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Delivered => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::Policy;

    #[test]
    fn a_wait_is_cut_to_what_is_allowed_and_what_was_asked_for_is_noted() {
        let hour = Duration::from_secs(3600);
        let most = Policy::default().longest_wait(hour);
        let asking = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Failure::new(FailureClass::Throttled, "slow down")
        };
        let cut = asking(64_570).waiting_at_most(most);
        assert_eq!(cut.retry_after, Some(hour));
        assert_eq!(cut.error, "slow down (it asked for a wait of 64570 s: --max-retry-after allows 3600 s)");
        assert_eq!(asking(3600).waiting_at_most(most), asking(3600));
        let silent = Failure::new(FailureClass::Throttled, "slow down");
        assert_eq!(silent.clone().waiting_at_most(most), silent);
        // The smaller of the two counts.
        for (own, expected) in
            [(60, "max_wait_seconds allows 60 s"), (7200, "--max-retry-after allows 3600 s")]
        {
            let policy = Policy { max_wait: Some(Duration::from_secs(own)), ..Policy::default() };
            let cut = asking(64_570).waiting_at_most(policy.longest_wait(hour));
            assert_eq!(cut.error, format!("slow down (it asked for a wait of 64570 s: {expected})"));
            assert_eq!(cut.retry_after, Some(Duration::from_secs(own.min(3600))));
        }
    }
}
