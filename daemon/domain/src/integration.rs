//! An integration as the rest of the daemon sees it, and the policy that every connector's configuration can set.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::{
    ids::{CompanyId, IntegrationId},
    lane::LaneId,
    moment::Moment,
    notice::Notice,
    origins,
    telling::Telling,
};

/// What happened to a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Created,
    Updated,
    /// Pushed by an operator with a sample lead, to see whether it arrives.
    Test,
    /// About no lead: what operators should hear of.
    Notice(Notice),
}

impl EventKind {
    /// What happens to leads.
    pub const OF_LEADS: [Self; 2] = [Self::Created, Self::Updated];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "lead.created",
            Self::Updated => "lead.updated",
            Self::Test => "webhook.test",
            Self::Notice(notice) => notice.as_str(),
        }
    }

    /// The event of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Created, Self::Updated, Self::Test].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a probe looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Whether a push would arrive, whose account it is and what is missing.
    Test,
    /// The mapping against the target's own fields, and nothing else.
    Mapping,
    /// As a test, with new credentials: they replace the old ones if it succeeds.
    Credentials,
}

impl ProbeKind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::Test, Self::Mapping, Self::Credentials];

    /// The word that the database uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Mapping => "mapping",
            Self::Credentials => "credentials",
        }
    }

    /// The kind of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A configured target, credentials opened.
#[derive(Clone, Debug)]
pub struct Integration {
    pub company: CompanyId,
    pub company_name: String,
    pub id: IntegrationId,
    pub name: String,
    pub connector: String,
    /// Whether its pushes may go: it is enabled, no rotation holds them, and its company is not paused.
    pub enabled: bool,
    /// The whole configuration, with what is shown shortened elsewhere.
    pub config: Value,
    /// What we log in with; null for nothing.
    pub credentials: Value,
    /// The origins that they were given for; none if there are none.
    pub credentials_for: Option<String>,
    pub mapping: Value,
    pub payload: String,
    /// Raised by every change that matters to a push.
    pub version: i32,
    /// The company's brand, if it has one of its own.
    pub brand: Option<String>,
    /// How the company's people are told things.
    pub telling: Telling,
    /// Newest first: what is staged, the one that signs, one in its grace.
    pub secrets: Vec<SigningSecret>,
}

impl Integration {
    #[must_use]
    pub const fn lane(&self) -> LaneId {
        LaneId { company: self.company, integration: self.id }
    }

    /// Why its credentials may not be used, as a sentence; none if they may, or there are none.
    #[must_use]
    pub fn suspension(&self) -> Option<String> {
        origins::suspension(self.credentials_for.as_deref()?, &self.config)
    }
}

/// A version of a signing secret.
#[derive(Clone, Debug)]
pub struct SigningSecret {
    pub version: i32,
    pub secret: SecretString,
    /// When its grace ends; none for the current one.
    pub expires_at: Option<Moment>,
    /// It takes over when an operator cuts over.
    pub staged: bool,
}

/// What every connector's configuration may set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    pub timeout: Duration,
    pub concurrency: u32,
    pub rate_per_second: Option<f64>,
    pub retries: u32,
    /// The longest wait that its target may ask for, if that is not the daemon's.
    pub max_wait: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            concurrency: 16,
            rate_per_second: None,
            retries: 3,
            max_wait: None,
        }
    }
}

impl Policy {
    /// The longest wait that the target may ask for where the daemon allows so much, and the setting that says so.
    #[must_use]
    pub fn longest_wait(&self, daemons: Duration) -> (Duration, &'static str) {
        match self.max_wait.filter(|own| *own < daemons) {
            Some(own) => (own, "max_wait_seconds"),
            None => (daemons, "--max-retry-after"),
        }
    }
}
