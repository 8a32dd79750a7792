//! What an operator can change, and what came of it.

use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::undo::{PutBack, Replaced};
use super::{AttemptState, Integration};

/// How a new signing secret comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretEntry {
    /// It signs at once; the old one stays for so many seconds.
    Now { grace_seconds: u32 },
    /// It goes along until cut over; with hold, nothing is pushed meanwhile.
    Staged { hold: bool },
}

/// A secret that is wiped when dropped and that no debug print shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over without copying it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself: to be drawn, copied, saved or sent, never to be logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What to do with held deliveries when an integration is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Keep,
    Release,
    Skip,
}

impl Held {
    /// The word of the control API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Release => "release",
            Self::Skip => "skip",
        }
    }
}

/// Which deliveries a bulk act is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkTarget {
    /// These, whatever their state.
    Ids(Vec<String>),
    /// The dead ones of an integration.
    Dead { integration: String },
    /// The pending ones of an integration: those that wait for their retry.
    Waiting { integration: String },
    /// The pending and the dead ones of an integration.
    Undelivered { integration: String },
    /// The held ones of an integration.
    HeldOf { integration: String },
    /// The dead ones of a cause: of all companies, or of one.
    Cause { cause: String, company: Option<i64> },
}

/// Which skips are undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    Ids(Vec<String>),
    /// All that one bulk skip skipped.
    Job(String),
}

/// How long a cause stays off the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snooze {
    Hours(u32),
    Until(Timestamp),
    /// It comes back at once.
    End,
}

impl Snooze {
    /// Whether it ends one.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End)
    }
}

/// An integration to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntegration {
    pub company: i64,
    pub connector: String,
    pub name: String,
    /// JSON objects.
    pub config: String,
    pub credentials: Option<Secret>,
    pub is_disabled: bool,
}

/// A change an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    Retry {
        target: BulkTarget,
        re_render: bool,
        /// Where a job carries it out: at most so many.
        per_minute: Option<u32>,
    },
    Hold(BulkTarget),
    Release(BulkTarget),
    Skip(BulkTarget),
    /// Puts skipped deliveries back where they stood.
    Unskip(Skipped),
    Create(Box<NewIntegration>),
    /// The name and the configuration, JSON, of an integration; none is left as it is.
    Settings {
        integration: String,
        name: Option<String>,
        config: Option<String>,
    },
    SetPlan {
        company: i64,
        plan: &'static str,
    },
    /// Pauses a company, or resumes it.
    PauseCompany {
        company: i64,
        paused: bool,
    },
    Enable {
        integration: String,
        held: Held,
    },
    Disable {
        integration: String,
    },
    Test {
        integration: String,
    },
    Reset {
        integration: String,
    },
    Rotate {
        integration: String,
        entry: SecretEntry,
    },
    CutOver {
        integration: String,
    },
    Revoke {
        integration: String,
    },
    Credentials {
        integration: String,
        json: Secret,
    },
    Mapping {
        integration: String,
        json: String,
    },
    Push {
        lead: String,
        company: i64,
        integration: Option<String>,
    },
    Snooze {
        cause: String,
        until: Snooze,
    },
    CancelJob {
        job: String,
    },
    ResumeJob {
        job: String,
    },
    FlowWhen {
        flow: String,
        when: String,
    },
    FlowEnabled {
        flow: String,
        enabled: bool,
    },
    /// What a save replaced stands again, unless somebody has changed it since.
    PutBack(Box<PutBack>),
}

impl Mutation {
    /// A retry at the lanes' own pace.
    pub const fn retry(target: BulkTarget, re_render: bool) -> Self {
        Self::Retry { target, re_render, per_minute: None }
    }

    /// The same, at most so many a minute, where a job carries it out.
    pub fn paced(self, per_minute: Option<u32>) -> Self {
        match self {
            Self::Retry { target, re_render, .. } => Self::Retry { target, re_render, per_minute },
            other => other,
        }
    }

    /// The same until this time, where it is a cause that is taken off the list.
    pub fn until(self, at: Option<Timestamp>) -> Self {
        match (self, at) {
            (Self::Snooze { cause, .. }, Some(at)) => Self::Snooze { cause, until: Snooze::Until(at) },
            (other, _) => other,
        }
    }

    /// Whether a job would carry it out, which can keep a pace.
    pub const fn is_job(&self) -> bool {
        match self {
            Self::Retry { target, .. } => !matches!(target, BulkTarget::Ids(_)),
            _ => false,
        }
    }
}

/// The answer to a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Deliveries moved: how many, the job that moves the rest, if there is one.
    Moved {
        count: u64,
        job: String,
    },
    Enabled {
        integration: Box<Integration>,
        held: u64,
    },
    Changed(Box<Integration>),
    Reset {
        integration: Box<Integration>,
        lifted: Lifted,
    },
    Tested {
        integration: String,
        state: AttemptState,
        status: Option<u32>,
        duration_ms: Option<u32>,
        error: String,
    },
    /// New credentials were tried: they are kept if `error` is empty.
    Credentials {
        integration: String,
        error: String,
    },
    /// Without a secret if the daemon had answered this request before, or the answer was lost on the way.
    Rotated {
        integration: Box<Integration>,
        secret: Option<Secret>,
    },
    /// A new integration, and its signing secret if it has one.
    Created {
        integration: Box<Integration>,
        secret: Option<Secret>,
    },
    /// Done; the sentences say what else to know.
    Noted(Vec<String>),
    /// A save, and what it came to; none where it has no way back.
    Saved {
        done: Box<Self>,
        replaced: Option<Box<Replaced>>,
    },
}

/// What a reset forgot, and what it lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifted {
    pub failures: u64,
    pub throttled_until: Option<Timestamp>,
    pub breaker_until: Option<Timestamp>,
}

/// What a dry run says.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub count: u64,
    pub seconds: f64,
    /// Some of the people it is about, oldest first.
    pub sample: Vec<String>,
}
