//! Deleting integrations: hidden at once, their deliveries and attempts removed in batches, across restarts if need be.

use sqlx::postgres::PgQueryResult;
use uuid::Uuid;

use crate::{
    domain::lane::LaneId,
    store::{
        Error, Store,
        integration::LockedIntegration,
        job::forget::remove_lane,
        notice::forget_reported,
        operator::command::{Command, Refusal},
        queue::{health::remove_health, removal::remove_sweep},
    },
};

/// How many rows one statement removes.
pub(in crate::store) const BATCH: i64 = 5000;

/// How much goes with an integration.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub deliveries: u64,
    pub attempts: u64,
}

impl Command {
    /// Hides a locked integration and frees its name; [`Store::finish_deletions`] does the rest.
    pub async fn delete_integration(&mut self, integration: &LockedIntegration) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE integration SET enabled = false, deleted_at = now(), version = version + 1
             WHERE company_id = $1 AND id = $2",
            integration.company.id.0,
            integration.id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.touch(integration.lane(), true);
        Ok(())
    }
}

impl Store {
    /// How much would go with an integration.
    pub async fn removal(&self, lane: LaneId) -> Result<Removal, Error> {
        let counts = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM delivery WHERE company_id = $1 AND integration_id = $2) AS "deliveries!",
                      (SELECT count(*) FROM attempt WHERE company_id = $1 AND integration_id = $2) AS "attempts!""#,
            lane.company.0,
            lane.integration.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Removal { deliveries: counts.deliveries.unsigned_abs(), attempts: counts.attempts.unsigned_abs() })
    }

    /// Removes what is left of deleted integrations, and logins that nobody has had for long. One that is still being pushed
    /// to stays for the next time. Answers how many stay.
    pub async fn finish_deletions(&self) -> Result<usize, Error> {
        let deleted = sqlx::query!("SELECT company_id, id FROM integration WHERE deleted_at IS NOT NULL")
            .fetch_all(&self.pool)
            .await?;
        let mut left = 0;
        for row in deleted {
            left += usize::from(!self.remove(row.company_id, row.id).await?);
        }
        self.forget_logins().await?;
        Ok(left)
    }

    /// Whether nothing of it is left. Somebody else may remove the same one at the same time.
    async fn remove(&self, company: i64, integration: Uuid) -> Result<bool, Error> {
        self.remove_due(integration).await?;
        if self.is_being_pushed(company, integration).await? {
            return Ok(false);
        }
        // What a dead daemon was pushing may have come back to the queue in between.
        self.remove_due(integration).await?;
        self.remove_attempts(company, integration).await?;
        self.remove_deliveries(company, integration).await?;
        self.remove_vendor_ids(company, integration).await?;
        self.remove_row(company, integration).await
    }

    async fn is_being_pushed(&self, company: i64, integration: Uuid) -> Result<bool, Error> {
        let pushed = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM claim k CROSS JOIN LATERAL unnest(k.items) i WHERE i.integration_id = $2)
                   OR EXISTS (SELECT FROM probe
                       WHERE company_id = $1 AND integration_id = $2 AND daemon_id IS NOT NULL) AS "pushed!""#,
            company,
            integration,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(pushed)
    }

    /// Removes the integration itself with the few rows about it; not while any of the many is left. A batch that was
    /// empty does not tell: it may have met the locks of somebody who removes the same.
    async fn remove_row(&self, company: i64, integration: Uuid) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        remove_health(&mut tx, company, integration).await?;
        let gone = sqlx::query_scalar!(
            r#"WITH gone AS (
                   DELETE FROM integration i WHERE company_id = $1 AND id = $2
                       AND NOT EXISTS (SELECT FROM delivery WHERE company_id = $1 AND integration_id = $2)
                       AND NOT EXISTS (SELECT FROM attempt WHERE company_id = $1 AND integration_id = $2)
                       AND NOT EXISTS (SELECT FROM vendor_id WHERE company_id = $1 AND integration_id = $2)
                       AND NOT EXISTS (SELECT FROM due WHERE integration_id = $2)
                   RETURNING company_id, id
               ), probes AS (
                   DELETE FROM probe t USING gone g WHERE t.company_id = g.company_id AND t.integration_id = g.id
               ), secrets AS (
                   DELETE FROM signing_secret t USING gone g WHERE t.company_id = g.company_id AND t.integration_id = g.id
               )
               SELECT count(*) AS "gone!" FROM gone"#,
            company,
            integration,
        )
        .fetch_one(&mut *tx)
        .await?;
        if gone == 0 {
            return Ok(false);
        }
        remove_sweep(&mut tx, company, integration).await?;
        remove_lane(&mut tx, company, integration).await?;
        forget_reported(&mut tx, company, integration).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Removes batch after batch until one is empty.
pub(in crate::store) async fn until_gone<F>(batch: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<PgQueryResult, sqlx::Error>>,
{
    while batch().await?.rows_affected() > 0 {}
    Ok(())
}
