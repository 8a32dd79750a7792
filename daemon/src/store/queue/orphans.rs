//! What a daemon that died leaves behind: its claims, which another takes over.

use super::claimed::ClaimedRow;
use crate::store::{Error, Store, queue::claim::Claimed};

/// How many orphaned claims are adopted at a time.
const ADOPT_MAX: i64 = 50;

impl Store {
    /// Claims of daemons that are gone.
    pub async fn orphans(&self) -> Result<Vec<i64>, Error> {
        let orphans = sqlx::query_scalar!(
            "SELECT id FROM claim c WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = c.daemon_id)
             ORDER BY id LIMIT $1",
            ADOPT_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(orphans)
    }

    /// Takes over those of these claims that are orphans still. What was being pushed comes back as claimed by this
    /// daemon, to be finished as attempts that died; what had been finished is left out, and its claims are complete.
    /// Called again with the same claims after its answer was lost, it gives the same answer.
    pub async fn adopt(&self, daemon: i64, orphans: &[i64]) -> Result<Vec<Claimed>, Error> {
        // An array is asked again of a row that somebody took meanwhile; NOT EXISTS would be a join, and is not.
        sqlx::query!(
            "UPDATE claim SET daemon_id = $1 WHERE id IN (
                 SELECT id FROM claim c
                 WHERE id = ANY($2) AND daemon_id <> ALL(ARRAY(SELECT id FROM daemon))
                 ORDER BY id FOR UPDATE SKIP LOCKED)",
            daemon,
            orphans
        )
        .execute(&self.pool)
        .await?;
        // In a statement of its own, which sees what a finish wrote that the locks had to wait for.
        let rows = sqlx::query_file_as!(ClaimedRow, "src/store/queue/adopt.sql", daemon, orphans)
            .fetch_all(&self.pool)
            .await?;
        self.read_claimed(daemon, rows, true).await
    }
}
