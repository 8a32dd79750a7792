//! Deleting integrations: hidden at once, their deliveries and attempts removed in batches, across restarts if need be.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Error, Store,
    command::{Command, Refusal},
    integration::LockedIntegration,
};
use crate::domain::ids::{CompanyId, IntegrationId};

/// How many rows one statement removes.
const BATCH: i64 = 5000;

/// How much goes with an integration.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub deliveries: u64,
    pub attempts: u64,
}

async fn removal(
    db: &mut PgConnection,
    company: CompanyId,
    integration: IntegrationId,
) -> Result<Removal, Error> {
    let counts = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM delivery WHERE company_id = $1 AND integration_id = $2) AS "deliveries!",
                  (SELECT count(*) FROM attempt WHERE company_id = $1 AND integration_id = $2) AS "attempts!""#,
        company.0,
        integration.uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(Removal { deliveries: counts.deliveries.unsigned_abs(), attempts: counts.attempts.unsigned_abs() })
}

impl Command {
    /// How much goes with a locked integration.
    pub async fn removal(&mut self, integration: &LockedIntegration) -> Result<Removal, Refusal> {
        Ok(removal(&mut self.tx, integration.company.id, integration.id).await?)
    }

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
        self.touch(integration.company.id, integration.id, true);
        Ok(())
    }
}

impl Store {
    /// How much would go with an integration.
    pub async fn removal(&self, company: CompanyId, integration: IntegrationId) -> Result<Removal, Error> {
        removal(&mut *self.pool.acquire().await?, company, integration).await
    }

    /// Removes what is left of deleted integrations. One that is still being pushed to stays for the next time.
    /// Answers how many are gone for good.
    pub async fn finish_deletions(&self) -> Result<usize, Error> {
        let deleted = sqlx::query!("SELECT company_id, id FROM integration WHERE deleted_at IS NOT NULL")
            .fetch_all(&self.pool)
            .await?;
        let mut gone = 0;
        for row in deleted {
            gone += usize::from(self.remove(row.company_id, row.id).await?);
        }
        Ok(gone)
    }

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
        let mut tx = self.pool.begin().await?;
        sqlx::query!("DELETE FROM sweep WHERE company_id = $1 AND integration_id = $2", company, integration)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("DELETE FROM job WHERE company_id = $1 AND integration_id = $2", company, integration)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("DELETE FROM probe WHERE company_id = $1 AND integration_id = $2", company, integration)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "DELETE FROM signing_secret WHERE company_id = $1 AND integration_id = $2",
            company,
            integration
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "DELETE FROM integration_stat WHERE company_id = $1 AND integration_id = $2",
            company,
            integration
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("DELETE FROM notice_told WHERE company_id = $1 AND subject = $2", company, integration)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("DELETE FROM integration WHERE company_id = $1 AND id = $2", company, integration)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn remove_vendor_ids(&self, company: i64, integration: Uuid) -> Result<(), Error> {
        loop {
            let removed = sqlx::query!(
                "DELETE FROM vendor_id WHERE company_id = $1 AND integration_id = $2 AND lead_id IN (
                     SELECT lead_id FROM vendor_id WHERE company_id = $1 AND integration_id = $2 LIMIT $3)",
                company,
                integration,
                BATCH
            )
            .execute(&self.pool)
            .await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
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

    /// Waits for a claim under way rather than passing it over: what it takes is then seen as being pushed.
    async fn remove_due(&self, integration: Uuid) -> Result<(), Error> {
        loop {
            let removed = sqlx::query!(
                "DELETE FROM due WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM due WHERE integration_id = $1 LIMIT $2))",
                integration,
                BATCH,
            )
            .execute(&self.pool)
            .await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    async fn remove_attempts(&self, company: i64, integration: Uuid) -> Result<(), Error> {
        loop {
            let removed = sqlx::query!(
                "DELETE FROM attempt WHERE (company_id, integration_id, id, started_at) IN (
                     SELECT company_id, integration_id, id, started_at FROM attempt
                     WHERE company_id = $1 AND integration_id = $2 LIMIT $3)",
                company,
                integration,
                BATCH,
            )
            .execute(&self.pool)
            .await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    async fn remove_deliveries(&self, company: i64, integration: Uuid) -> Result<(), Error> {
        loop {
            let removed = sqlx::query!(
                "WITH gone AS (
                     DELETE FROM delivery WHERE company_id = $1 AND id IN (
                         SELECT id FROM delivery WHERE company_id = $1 AND integration_id = $2 ORDER BY id LIMIT $3)
                     RETURNING id),
                 also AS (
                     DELETE FROM undelivered u USING gone
                     WHERE u.company_id = $1 AND u.integration_id = $2 AND u.delivery_id = gone.id)
                 SELECT 1 AS one FROM gone LIMIT 1",
                company,
                integration,
                BATCH,
            )
            .fetch_optional(&self.pool)
            .await?;
            if removed.is_none() {
                return Ok(());
            }
        }
    }
}
