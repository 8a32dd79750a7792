//! The system as a whole: read only.

use leadline_proto::v1::{self, system_service_server::SystemService};
use tonic::{Request, Response};

use super::{
    Control, Reply,
    convert::{count, time},
    words,
};
use crate::{
    store::system::{self, Daemon, Database, Queue, RefusedKey, SystemRates},
    telemetry::{self, FaultCounts},
};

#[tonic::async_trait]
impl SystemService for Control {
    async fn get_system(&self, _: Request<v1::GetSystemRequest>) -> Reply<v1::GetSystemResponse> {
        let system = self.store.system().await?;
        let FaultCounts { panics, log_lines_lost } = telemetry::fault_counts();
        Ok(Response::new(v1::GetSystemResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            daemons: system.daemons.into_iter().map(v1::Daemon::from).collect(),
            queue: Some(system.queue.into()),
            rates: Some(system.rates.into()),
            database: Some(system.database.into()),
            at: Some(time(system.at)),
            panics,
            log_lines_lost,
            refused: system.refused.into_iter().map(v1::RefusedKey::from).collect(),
        }))
    }
}

impl From<Daemon> for v1::Daemon {
    fn from(daemon: Daemon) -> Self {
        Self {
            id: daemon.id,
            lease_until: Some(time(daemon.lease_until)),
            running: count(daemon.running),
            lanes: count(daemon.lanes),
            version: daemon.version,
            started_at: Some(time(daemon.started_at)),
        }
    }
}

impl From<RefusedKey> for v1::RefusedKey {
    fn from(key: RefusedKey) -> Self {
        Self {
            company_id: key.company.0,
            company_name: key.company_name,
            key_id: ulid::Ulid::from(key.key).to_string(),
            prefix: key.prefix,
            form: key.form,
            refused: count(key.refused),
            last_at: Some(time(key.last_at)),
            status: key.status.max(0).unsigned_abs().into(),
            detail: key.detail,
        }
    }
}

impl From<Queue> for v1::Queue {
    fn from(queue: Queue) -> Self {
        Self {
            due: count(queue.due),
            later: count(queue.later),
            running: count(queue.running),
            held: count(queue.held),
            dead: count(queue.dead),
            oldest_due_at: queue.oldest_due_at.map(time),
            oldest_undelivered_at: queue.oldest_undelivered_at.map(time),
            lanes: count(queue.lanes),
            is_estimate: queue.is_estimate,
        }
    }
}

impl From<SystemRates> for v1::Rates {
    fn from(rates: SystemRates) -> Self {
        let [p50, p95, p99] =
            rates.percentiles.map_or([None; 3], |all| all.map(|span| Some(words::duration(span))));
        Self {
            span: Some(words::duration(system::SPAN)),
            leads: count(rates.leads),
            attempts: count(rates.attempts),
            failed: count(rates.failed),
            p50,
            p95,
            p99,
        }
    }
}

impl From<Database> for v1::Database {
    fn from(database: Database) -> Self {
        let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            version: database.version,
            bytes: count(database.bytes),
            connections: small(database.connections),
            connections_max: small(database.connections_max),
            has_trigrams: database.has_trigrams,
            schema_version: database.schema_version,
            oldest_transaction: database.oldest_transaction.map(words::duration),
        }
    }
}
