//! Jobs, activity, and the system itself.

use jiff::Timestamp;

use super::{Attempt, AttemptState};
use crate::jobs::{JobProgress, JobSummary};

/// A bulk retry, push or skip that outlives whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: String,
    /// running | done | cancelled
    pub state: String,
    /// retry | push | skip
    pub kind: String,
    /// What it was asked to do.
    pub about: JobSummary,
    pub operator: String,
    pub progress: JobProgress,
}

/// What an operator did: a line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: String,
    pub at: Option<Timestamp>,
    pub operator: String,
    /// The method, as filters name it.
    pub action: String,
    pub target: String,
    /// What was done, and to what with what changed of it, in words.
    pub verb: String,
    pub object: String,
    pub before: String,
    pub after: String,
}

/// Something that happened: an attempt, or what an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Unique among what is listed.
    pub id: String,
    pub at: Option<Timestamp>,
    pub company: String,
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Attempt(Box<Attempt>),
    Act(Box<AuditEntry>),
    /// More than was told: what stands here in the order of time is asked for.
    Gap,
}

impl Activity {
    /// Whether it is a push that failed.
    pub fn is_bad(&self) -> bool {
        matches!(&self.what, What::Attempt(attempt) if attempt.state == AttemptState::Failed)
    }
}

/// A daemon that works on this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    pub id: i64,
    pub lease_until: Option<Timestamp>,
    pub running: u64,
    pub lanes: u64,
    pub version: String,
}

/// The state of the whole system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Of the daemon that answers, as are the two below.
    pub version: String,
    pub panics: u64,
    pub log_lines_lost: u64,
    pub daemons: Vec<Daemon>,
    pub due: u64,
    pub later: u64,
    pub running: u64,
    pub held: u64,
    pub dead: u64,
    /// Whether due, later and held are about so many.
    pub is_estimate: bool,
    pub oldest_due_at: Option<Timestamp>,
    pub oldest_undelivered_at: Option<Timestamp>,
    /// Of the last minutes.
    pub leads: u64,
    pub attempts: u64,
    pub failed: u64,
    pub span_seconds: i64,
    /// p50, p95 and p99 of a push, in milliseconds.
    pub latency_ms: Option<[u32; 3]>,
    pub database: String,
    pub database_bytes: u64,
    pub connections: u32,
    pub connections_max: u32,
    pub schema_version: i64,
    pub has_trigrams: bool,
    /// Most refusals first.
    pub refused: Vec<RefusedKey>,
}

/// An intake key, or a form, whose posts were refused in the last 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    pub company_id: i64,
    pub company: String,
    /// How the key begins, or what the form is called.
    pub name: String,
    pub refused: u64,
    /// Of the newest one.
    pub last_at: Option<Timestamp>,
    pub status: u32,
    pub detail: String,
}
