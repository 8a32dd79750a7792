//! What was claimed and is not pushed goes back to the queue, without counting an attempt.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{DueHint, Error, Store, lane_kind},
};

/// How items go back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Their pushes were broken off, and may have arrived.
    is_broken_off: bool,
    /// They are due no earlier than in so many seconds.
    wait_seconds: f64,
}

impl Store {
    /// Gives back everything that this daemon still holds: the end of a graceful stop. Answers how many went back; one
    /// whose delivery somebody has locked stays, and is taken over from the daemon as one that died.
    pub async fn release(&self, daemon: i64) -> Result<u64, Error> {
        let held = sqlx::query!("SELECT id, attempts FROM claim WHERE daemon_id = $1 ORDER BY id", daemon)
            .fetch_all(&self.pool)
            .await?;
        let claims: Vec<i64> = held.iter().map(|claim| claim.id).collect();
        let attempts: Vec<Uuid> = held.into_iter().flat_map(|claim| claim.attempts).collect();
        let manner = Manner { is_broken_off: true, ..Manner::default() };
        let (hints, _) = back(&self.pool, daemon, &claims, &attempts, manner).await?;
        Ok(hints.len() as u64)
    }

    /// Gives back items of claims that nobody has begun to push, due no earlier than after a wait. What else the claims hold stays claimed. Answers those
    /// that stay because somebody has locked their deliveries.
    pub async fn give_back(
        &self,
        daemon: i64,
        claims: &[i64],
        attempts: &[Uuid],
        wait: Duration,
    ) -> Result<Vec<Uuid>, Error> {
        let manner = Manner { wait_seconds: wait.as_secs_f64(), ..Manner::default() };
        let (hints, left) = back(&self.pool, daemon, claims, attempts, manner).await?;
        self.wake_ups.due(hints);
        Ok(left)
    }

    /// Gives back items that this daemon cannot read, due after a wait.
    pub(super) async fn put_off(
        &self,
        daemon: i64,
        claims: &[i64],
        attempts: &[Uuid],
        wait_seconds: f64,
    ) -> Result<(), Error> {
        let manner = Manner { wait_seconds, ..Manner::default() };
        let (hints, _) = back(&self.pool, daemon, claims, attempts, manner).await?;
        self.wake_ups.due(hints);
        Ok(())
    }

    /// Gives back a claim whose answer did not come, if it was committed: it names attempts that nobody else made.
    pub(super) async fn take_back(&self, daemon: i64, attempts: &[Uuid]) -> Result<(), Error> {
        let claims = sqlx::query_scalar!(
            "SELECT id FROM claim WHERE daemon_id = $1 AND attempts && $2::uuid[]",
            daemon,
            attempts
        )
        .fetch_all(&self.pool)
        .await?;
        if !claims.is_empty() && !self.give_back(daemon, &claims, attempts, Duration::ZERO).await?.is_empty()
        {
            return Err(Error::Locked);
        }
        Ok(())
    }
}

/// Gives items back so. Answers what is due, and the attempts that stay because somebody has locked their deliveries.
pub(super) async fn back(
    db: impl sqlx::PgExecutor<'_>,
    daemon: i64,
    claims: &[i64],
    attempts: &[Uuid],
    manner: Manner,
) -> Result<(Vec<DueHint>, Vec<Uuid>), Error> {
    let rows = sqlx::query_file!(
        "src/store/queue/give_back.sql",
        daemon,
        claims,
        attempts,
        manner.is_broken_off,
        manner.wait_seconds,
    )
    .fetch_all(db)
    .await?;
    let (mut hints, mut left) = (Vec::new(), Vec::new());
    for row in rows {
        left.extend(row.attempt_id);
        if let (Some(company), Some(integration), Some(kind), Some(due_at)) =
            (row.company_id, row.integration_id, row.kind, row.due_at)
        {
            hints.push(DueHint {
                lane: LaneId::new(CompanyId(company), integration),
                kind: lane_kind(kind)?,
                due_at: due_at.to_jiff().into(),
            });
        }
    }
    Ok((hints, left))
}
