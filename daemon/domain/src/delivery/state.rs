//! Where a delivery stands, what started an attempt, and the two kinds of what waits: as words, and as types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Held,
    Delivered,
    Dead,
    Skipped,
}

impl State {
    /// Every state there is.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Held, Self::Delivered, Self::Dead, Self::Skipped];
    /// Those that are neither delivered nor skipped.
    pub const UNDELIVERED: [Self; 3] = [Self::Pending, Self::Held, Self::Dead];

    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
        }
    }

    /// The state of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What started an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    First,
    Retry,
    Sweep,
    Manual,
    Test,
}

impl Trigger {
    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Sweep => "sweep",
            Self::Manual => "manual",
            Self::Test => "test",
        }
    }

    /// The trigger of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::First, Self::Retry, Self::Sweep, Self::Manual, Self::Test]
            .into_iter()
            .find(|trigger| trigger.as_str() == word)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of what is due in a lane goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaneKind {
    /// First attempts, and what an operator asks for by name: they go before retries.
    First,
    /// Everything that comes back: it heeds the breaker.
    Retry,
}

impl LaneKind {
    /// Both, in the order in which they go.
    pub const ALL: [Self; 2] = [Self::First, Self::Retry];

    /// The number that the database keeps.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::First => 0,
            Self::Retry => 1,
        }
    }

    /// The kind of a number, if it is one.
    #[must_use]
    pub fn of(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Where it stands among both.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How far a lead is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadState {
    /// Nothing of it is delivered.
    Unsynced,
    /// Some of it is delivered, and some is not.
    Pushed,
    /// All that is not skipped is delivered.
    Complete,
}

impl LeadState {
    /// Every state there is.
    pub const ALL: [Self; 3] = [Self::Unsynced, Self::Pushed, Self::Complete];

    /// The state of a lead with so many deliveries that are delivered, and that are neither delivered nor skipped.
    #[must_use]
    pub const fn of(delivered: i64, open: i64) -> Self {
        match (delivered, open) {
            (0, _) => Self::Unsynced,
            (_, 0) => Self::Complete,
            _ => Self::Pushed,
        }
    }

    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsynced => "unsynced",
            Self::Pushed => "pushed",
            Self::Complete => "complete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for state in State::ALL {
            assert_eq!(State::parse(&state.to_string()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for trigger in [Trigger::First, Trigger::Retry, Trigger::Sweep, Trigger::Manual, Trigger::Test] {
            assert_eq!(Trigger::parse(&trigger.to_string()), Some(trigger));
        }
        for kind in LaneKind::ALL {
            assert_eq!(LaneKind::of(kind.number()), Some(kind));
            assert_eq!(LaneKind::ALL[kind.index()], kind);
        }
        for state in LeadState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!((State::parse("lost"), Trigger::parse(""), LaneKind::of(2)), (None, None, None));
    }

    #[test]
    fn a_lead_is_as_far_as_its_deliveries() {
        use LeadState::{Complete, Pushed, Unsynced};
        for (delivered, open, expected) in
            [(0, 0, Unsynced), (0, 2, Unsynced), (1, 1, Pushed), (1, 0, Complete), (3, 0, Complete)]
        {
            assert_eq!(LeadState::of(delivered, open), expected);
        }
    }
}
