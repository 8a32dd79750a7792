//! Deliveries of a person who is erased: none is pushed any more, and nothing of what was rendered is kept.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::ids::CompanyId,
    store::{
        Error,
        operator::command::{Command, Refusal},
        queue::undelivered,
    },
};

impl Command {
    /// Skips those of a lead's locked deliveries that are not delivered. Answers how many.
    pub(in crate::store) async fn skip_erased(
        &mut self,
        company: CompanyId,
        integrations: &[Uuid],
        ids: &[Uuid],
    ) -> Result<u64, Refusal> {
        // A claim that takes one of these now makes this wait, and is seen as running afterwards.
        self.remove_due(integrations, ids).await?;
        let skipped = sqlx::query!(
            "UPDATE delivery SET state = 'skipped', reason_code = 'erased', reason_detail = NULL, finished_at = coalesce(finished_at, now()),
                                 due_at = NULL, successor_id = NULL
             WHERE company_id = $1 AND id = ANY($2) AND state IN ('pending', 'held', 'dead')",
            company.0,
            ids,
        )
        .execute(&mut *self.tx)
        .await?;
        undelivered::forget(&mut self.tx, company, integrations, ids).await?;
        Ok(skipped.rows_affected())
    }
}

/// Removes what deliveries hold of a lead; those that were delivered say from now on that it is erased.
pub(in crate::store) async fn scrub_deliveries(
    db: &mut PgConnection,
    company: CompanyId,
    ids: &[Uuid],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE delivery SET body = NULL, progress = NULL,
             reason_code = CASE WHEN state = 'skipped' THEN reason_code ELSE 'erased' END,
             reason_detail = CASE WHEN state = 'skipped' THEN reason_detail END
         WHERE company_id = $1 AND id = ANY($2)",
        company.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}
