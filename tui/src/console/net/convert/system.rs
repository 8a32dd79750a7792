//! The system, its companies and its jobs.

use jiff::Timestamp;
use leadline_client::{millis, seconds};
use leadline_proto::v1;

use super::time;
use crate::console::data::company::{IntakeKey, Refused};
use crate::console::data::system::{Daemon, RefusedKey};
use crate::console::data::{Company, Job, System};
use crate::jobs::{JobProgress, JobSummary};

pub(in crate::console::net) fn job(it: v1::Job) -> Job {
    Job {
        state: it.state().word().to_owned(),
        kind: it.kind().word().to_owned(),
        about: JobSummary::of(&it),
        progress: JobProgress::of(&it),
        id: it.id,
        operator: it.operator,
    }
}

pub(in crate::console::net) fn company(it: v1::Company) -> Company {
    Company {
        plan: it.plan().word().to_owned(),
        id: it.id,
        name: it.name,
        paused_at: time(it.paused_at),
        quiet_hours: it.quiet_after.map_or(0, |span| (seconds(span) / 3600.0) as u32),
        last_lead_at: time(it.last_lead_at),
        created_at: time(it.created_at),
    }
}

pub(in crate::console::net) fn key(it: v1::IntakeKey, refused_at: Option<Timestamp>) -> IntakeKey {
    IntakeKey {
        id: it.id,
        prefix: it.prefix,
        revoked_at: time(it.revoked_at),
        last_used_at: time(it.last_used_at),
        last_refused_at: refused_at,
        require_signature: it.require_signature,
    }
}

pub(in crate::console::net) fn refused(prefix: &str, it: v1::Refused) -> Refused {
    Refused {
        at: time(it.at),
        key_prefix: prefix.to_owned(),
        status: it.status,
        detail: it.detail,
        errors: it.errors.into_iter().map(|problem| (problem.pointer, problem.detail)).collect(),
    }
}

pub(in crate::console::net) fn system(it: v1::GetSystemResponse) -> System {
    let (queue, rates) = (it.queue.unwrap_or_default(), it.rates.unwrap_or_default());
    let database = it.database.unwrap_or_default();
    let daemon = |it: v1::Daemon| Daemon {
        id: it.id,
        lease_until: time(it.lease_until),
        running: it.running,
        lanes: it.lanes,
        version: it.version,
    };
    let latency = (rates.p50.map(millis), rates.p95.map(millis), rates.p99.map(millis));
    System {
        version: it.version,
        panics: it.panics,
        log_lines_lost: it.log_lines_lost,
        daemons: it.daemons.into_iter().map(daemon).collect(),
        due: queue.due,
        later: queue.later,
        running: queue.running,
        held: queue.held,
        dead: queue.dead,
        is_estimate: queue.is_estimate,
        oldest_due_at: time(queue.oldest_due_at),
        oldest_undelivered_at: time(queue.oldest_undelivered_at),
        leads: rates.leads,
        attempts: rates.attempts,
        failed: rates.failed,
        span_seconds: rates.span.map_or(0, |span| span.seconds),
        latency_ms: match latency {
            (Some(p50), Some(p95), Some(p99)) => Some([p50, p95, p99]),
            _ => None,
        },
        database: database.version,
        database_bytes: database.bytes,
        connections: database.connections,
        connections_max: database.connections_max,
        schema_version: database.schema_version,
        has_trigrams: database.has_trigrams,
        refused: it.refused.into_iter().map(refused_key).collect(),
    }
}

fn refused_key(it: v1::RefusedKey) -> RefusedKey {
    RefusedKey {
        company_id: it.company_id,
        company: it.company_name,
        name: if it.form.is_empty() { format!("{}…", it.prefix) } else { it.form },
        refused: it.refused,
        last_at: time(it.last_at),
        status: it.status,
        detail: it.detail,
    }
}
