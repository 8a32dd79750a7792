//! Reads that another server may answer: a replica, while it has seen all that is committed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};

use super::{Error, Store};
use crate::telemetry;

/// How long a reader waits for the replica to catch up before it asks the primary.
const PATIENCE: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a replica that failed is left alone.
const REST: Duration = Duration::from_secs(5);

/// A server that follows the primary.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pool: PgPool,
    rests_until: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// The same, whose lists are answered by a replica.
    #[must_use]
    pub fn read_from(self, pool: Option<PgPool>) -> Self {
        let replica = pool.map(|pool| Replica { pool, rests_until: Arc::default() });
        Self { replica, ..self }
    }

    /// A store to read lists with: on the replica once it has seen what is committed now, so that nobody misses what they
    /// have just done; else on the primary.
    pub async fn for_lists(&self) -> Self {
        let Some(replica) = self.replica.as_ref().filter(|replica| !replica.rests()) else {
            return self.clone();
        };
        let outcome = match timeout(PATIENCE, self.has_caught_up(replica)).await {
            Ok(Ok(true)) => "replica",
            Ok(Ok(false)) | Err(_) => "late",
            Ok(Err(error)) => {
                tracing::warn!(
                    event = "replica_unusable",
                    error = telemetry::causes(&error),
                    "lists are read from the primary for a while"
                );
                replica.rest();
                "failed"
            }
        };
        metrics::counter!("leadline_replica_reads_total", "outcome" => outcome).increment(1);
        let pool = if outcome == "replica" { &replica.pool } else { &self.pool };
        Self { pool: pool.clone(), ..self.clone() }
    }

    /// Waits until the replica has replayed what the primary has written. False for a server that follows another one,
    /// or none.
    async fn has_caught_up(&self, replica: &Replica) -> Result<bool, Error> {
        let written = sqlx::query!(
            r#"SELECT pg_current_wal_flush_lsn()::text AS "lsn!", system_identifier AS "system!"
               FROM pg_control_system()"#
        )
        .fetch_one(&self.pool)
        .await?;
        loop {
            let replayed = sqlx::query!(
                r#"SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) AS "is_there!",
                       pg_is_in_recovery() AND system_identifier = $2 AS "follows!"
                   FROM pg_control_system()"#,
                written.lsn,
                written.system,
            )
            .fetch_one(&replica.pool)
            .await?;
            if replayed.is_there || !replayed.follows {
                return Ok(replayed.is_there && replayed.follows);
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Replica {
    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }
}
