//! The system, and what happens in it.

use jiff::Timestamp;
use leadline_proto::v1::{self, activity::What};
use serde::Serialize;

use super::{Attempt, AuditLine, text, time};

/// A line of `activity`: an attempt or an operator's act.
#[derive(Debug, Serialize)]
pub(crate) struct Activity {
    at: Option<Timestamp>,
    company_id: i64,
    company: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<AuditLine>,
}

impl From<v1::Activity> for Activity {
    fn from(it: v1::Activity) -> Self {
        let (integration, attempt, act) = match it.what {
            Some(What::Attempt(attempt)) => {
                (text(attempt.integration_name.clone()), Some((*attempt).into()), None)
            }
            Some(What::Act(line)) => (None, None, Some(line.into())),
            None => (None, None, None),
        };
        Self {
            at: time(it.at),
            company_id: it.company_id,
            company: it.company_name,
            integration,
            attempt,
            act,
        }
    }
}

impl Activity {
    /// The line that people read, but for its time.
    pub(crate) fn sentence(&self) -> String {
        match (&self.attempt, &self.act) {
            (Some(attempt), _) => {
                let integration = self.integration.as_deref().unwrap_or_default();
                format!("{}  {integration}  {}", self.company, attempt.sentence())
            }
            (None, Some(act)) => format!("{}  {}", self.company, act.sentence()),
            (None, None) => String::new(),
        }
    }

    /// When it happened.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        self.at
    }
}

/// `system show`.
#[derive(Debug, Serialize)]
pub(crate) struct System {
    /// Of the daemon that answers, as are the two below.
    version: String,
    panics: u64,
    log_lines_lost: u64,
    at: Option<Timestamp>,
    daemons: Vec<Daemon>,
    queue: Queue,
    rates: Rates,
    database: Database,
    refused: Vec<RefusedKey>,
}

/// An intake key or a form whose posts are refused.
#[derive(Debug, Serialize)]
struct RefusedKey {
    company: String,
    company_id: i64,
    key_id: String,
    key: Option<String>,
    form: Option<String>,
    refused: u64,
    last_at: Option<Timestamp>,
    status: u32,
    detail: String,
}

impl From<v1::RefusedKey> for RefusedKey {
    fn from(it: v1::RefusedKey) -> Self {
        Self {
            company: it.company_name,
            company_id: it.company_id,
            key_id: it.key_id,
            key: text(it.prefix),
            form: text(it.form),
            refused: it.refused,
            last_at: time(it.last_at),
            status: it.status,
            detail: it.detail,
        }
    }
}

#[derive(Debug, Serialize)]
struct Daemon {
    id: i64,
    version: Option<String>,
    started_at: Option<Timestamp>,
    lease_until: Option<Timestamp>,
    running: u64,
    lanes: u64,
}

#[derive(Debug, Serialize)]
struct Queue {
    due: u64,
    later: u64,
    running: u64,
    held: u64,
    dead: u64,
    lanes: u64,
    oldest_due_at: Option<Timestamp>,
    oldest_undelivered_at: Option<Timestamp>,
    /// There are more than are counted: due, later and held are about so many.
    is_estimate: bool,
}

#[derive(Debug, Serialize)]
struct Rates {
    span_seconds: f64,
    leads: u64,
    attempts: u64,
    failed: u64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Database {
    version: String,
    schema_version: i64,
    bytes: u64,
    connections: u32,
    connections_max: u32,
    has_trigrams: bool,
    oldest_transaction_seconds: Option<f64>,
}

impl From<v1::GetSystemResponse> for System {
    fn from(it: v1::GetSystemResponse) -> Self {
        let queue = it.queue.unwrap_or_default();
        Self {
            version: it.version,
            panics: it.panics,
            log_lines_lost: it.log_lines_lost,
            at: time(it.at),
            daemons: super::shapes(it.daemons),
            queue: Queue {
                due: queue.due,
                later: queue.later,
                running: queue.running,
                held: queue.held,
                dead: queue.dead,
                lanes: queue.lanes,
                oldest_due_at: time(queue.oldest_due_at),
                oldest_undelivered_at: time(queue.oldest_undelivered_at),
                is_estimate: queue.is_estimate,
            },
            rates: it.rates.unwrap_or_default().into(),
            database: it.database.unwrap_or_default().into(),
            refused: super::shapes(it.refused),
        }
    }
}

impl From<v1::Daemon> for Daemon {
    fn from(it: v1::Daemon) -> Self {
        Self {
            id: it.id,
            version: text(it.version),
            started_at: time(it.started_at),
            lease_until: time(it.lease_until),
            running: it.running,
            lanes: it.lanes,
        }
    }
}

impl From<v1::Rates> for Rates {
    fn from(it: v1::Rates) -> Self {
        // From whole parts: a product of fractions has digits that nobody measured.
        let millis = |span: Option<prost_types::Duration>| {
            span.map(|span| {
                (span.seconds as f64).mul_add(1000.0, f64::from((span.nanos + 500) / 1000) / 1000.0)
            })
        };
        Self {
            span_seconds: seconds(it.span).unwrap_or_default(),
            leads: it.leads,
            attempts: it.attempts,
            failed: it.failed,
            p50_ms: millis(it.p50),
            p95_ms: millis(it.p95),
            p99_ms: millis(it.p99),
        }
    }
}

impl From<v1::Database> for Database {
    fn from(it: v1::Database) -> Self {
        Self {
            version: it.version,
            schema_version: it.schema_version,
            bytes: it.bytes,
            connections: it.connections,
            connections_max: it.connections_max,
            has_trigrams: it.has_trigrams,
            oldest_transaction_seconds: seconds(it.oldest_transaction),
        }
    }
}

fn seconds(span: Option<prost_types::Duration>) -> Option<f64> {
    span.map(leadline_client::seconds)
}
