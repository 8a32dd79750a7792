//! An integration with its health.

use std::sync::Arc;

use jiff::Timestamp;

/// The health of an integration in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Badge {
    /// Deliveries are dead or exhausted.
    Failing,
    /// The target refused our login.
    Credentials,
    /// The last push failed and an automatic retry follows.
    Retrying,
    /// A word this console does not know.
    Unknown,
    /// Pushes are switched off.
    Disabled,
    /// Nothing is wrong.
    Ok,
}

impl Badge {
    /// Every badge, worst first.
    pub const ALL: [Self; 6] =
        [Self::Failing, Self::Credentials, Self::Retrying, Self::Unknown, Self::Disabled, Self::Ok];

    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "failing" => Self::Failing,
            "credentials" => Self::Credentials,
            "retrying" => Self::Retrying,
            "disabled" => Self::Disabled,
            "ok" => Self::Ok,
            _ => Self::Unknown,
        }
    }

    /// The word shown beside the glyph; the worst ones are in capitals.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failing => "FAILING",
            Self::Credentials => "CREDENTIALS",
            Self::Retrying => "retrying",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Ok => "ok",
        }
    }

    /// Whether an operator should look.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failing | Self::Credentials)
    }
}

/// What a lane waits for; times stand beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nothing, or what no operator has to know: room, its rate, a word this console does not know.
    #[default]
    Nothing,
    Disabled,
    CompanyPaused,
    CutOver,
    /// The target, or the breaker: each says until when by itself.
    Target,
}

impl Wait {
    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "disabled" => Self::Disabled,
            "company paused" => Self::CompanyPaused,
            "cut over" => Self::CutOver,
            "throttled" | "breaker" => Self::Target,
            _ => Self::Nothing,
        }
    }

    /// Whether somebody's command keeps it, whatever else does.
    pub const fn is_command(self) -> bool {
        matches!(self, Self::Disabled | Self::CompanyPaused | Self::CutOver)
    }
}

/// One configured target with its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    pub id: String,
    pub name: String,
    pub company_id: i64,
    pub company: String,
    pub connector: String,
    pub enabled: bool,
    pub badge: Badge,
    pub last_pushed_at: Option<Timestamp>,
    pub failures: u64,
    pub last_error: String,
    pub last_error_at: Option<Timestamp>,
    pub dead: u64,
    pub held: u64,
    pub pending: u64,
    pub next_retry_at: Option<Timestamp>,
    pub throttled_until: Option<Timestamp>,
    /// What the target answered when it asked for that; empty if something else was its last answer.
    pub throttle: String,
    /// Why retries wait although they are due; empty while the breaker is closed.
    pub breaker: String,
    pub breaker_until: Option<Timestamp>,
    /// Set while an old signing secret is still accepted.
    pub grace_until: Option<Timestamp>,
    /// 0 if the connector signs nothing.
    pub secret_version: u32,
    /// The version of the secret that waits for a cut over; 0 for none.
    pub staged_version: u32,
    /// What its lane waits for.
    pub wait: Wait,
    /// Whether its company is paused.
    pub paused: bool,
    pub has_credentials: bool,
    /// Its connector wants some, and there are none.
    pub lacks_credentials: bool,
    /// Whose account it is, in the target's words; empty until a look at the target was told.
    pub account: String,
    /// When the mapping was last compared with the target.
    pub checked_at: Option<Timestamp>,
    /// What the last check of the mapping found wrong, a sentence each.
    pub findings: Vec<String>,
    /// What the check behind a change found that could be added to the mapping; only the answer to that change has it.
    pub proposals: Vec<Proposal>,
    /// JSON: the operator's mapping.
    pub mapping: String,
    /// JSON, sealed values shortened.
    pub config: String,
    /// all | flows
    pub routing: String,
    /// What is asked for now and then, as it is no news; none until it has come.
    pub figures: Option<Arc<Figures>>,
}

/// What an integration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Of its newest two thousand deliveries.
    pub skipped: u64,
    /// How many died in each quarter of an hour of the last day.
    pub trend: Vec<(Timestamp, u64)>,
}

impl Figures {
    /// How many died in the last day.
    pub fn died(&self) -> u64 {
        self.trend.iter().map(|(_, count)| count).sum()
    }
}

/// A field of a lead's that the mapping says nothing of, and what it could say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub field: String,
    /// JSON.
    pub rule: String,
    pub why: String,
}

impl Integration {
    /// How the palette names it: `7/HubSpot` cannot be mistaken for another company's.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.company_id, self.name)
    }

    /// `Rosewood Barn / hubspot-eu`: what dialogs and messages call it.
    pub fn full_name(&self) -> String {
        format!("{} / {}", self.company, self.name)
    }

    /// Why nothing is pushed although it is enabled.
    pub const fn pause_label(&self) -> Option<&'static str> {
        match self.wait {
            Wait::CompanyPaused => Some("company paused"),
            Wait::CutOver => Some("until cut over"),
            Wait::Disabled | Wait::Target | Wait::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_word_says_what_keeps_a_lane() {
        for (word, wait, is_command) in [
            ("disabled", Wait::Disabled, true),
            ("company paused", Wait::CompanyPaused, true),
            ("cut over", Wait::CutOver, true),
            ("throttled", Wait::Target, false),
            ("breaker", Wait::Target, false),
            ("rate", Wait::Nothing, false),
            ("of tomorrow", Wait::Nothing, false),
            ("", Wait::Nothing, false),
        ] {
            assert_eq!((Wait::parse(word), wait.is_command()), (wait, is_command), "{word}");
        }
    }
}
