//! What makes a lane wait is lifted: by an operator who wants a push now, or because its target is another or answers.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{
        Error,
        operator::command::{Command, Refusal},
    },
};

/// Closes the breaker of a lane, as if its target had never failed.
pub(in crate::store) async fn close_breaker(db: &mut PgConnection, lane: LaneId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE integration_stat SET streak = 0, trips = 0, breaker_until = NULL, breaker_error = NULL
         WHERE company_id = $1 AND integration_id = $2 AND (streak > 0 OR trips > 0)",
        lane.company.0,
        lane.integration.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

impl Command {
    /// Ends the pauses that targets asked for, and lets breakers that are open try at once: in each lane one push goes
    /// ahead, and what becomes of it decides about the others.
    pub(in crate::store) async fn lift(
        &mut self,
        company: CompanyId,
        integrations: &[Uuid],
    ) -> Result<(), Refusal> {
        // Integrations before their counts, as a finish locks them.
        let lifted = sqlx::query_scalar!(
            r#"WITH paused AS (
                   SELECT id FROM integration WHERE company_id = $1 AND id = ANY($2) AND throttled_until > now()
                   ORDER BY id FOR NO KEY UPDATE
               ), resumed AS (
                   UPDATE integration i SET throttled_until = NULL FROM paused
                   WHERE i.company_id = $1 AND i.id = paused.id RETURNING i.id
               ), tried AS (
                   UPDATE integration_stat SET breaker_until = now(), updated_at = now()
                   WHERE company_id = $1 AND integration_id = ANY($2) AND breaker_until > now()
                   RETURNING integration_id
               )
               SELECT id AS "id!" FROM resumed UNION SELECT integration_id FROM tried"#,
            company.0,
            integrations,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        for integration in lifted {
            self.touch(LaneId::new(company, integration), true);
        }
        Ok(())
    }
}
