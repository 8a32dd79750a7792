//! What makes a lane wait is lifted: by an operator who wants a push now, or because its target is another or answers.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{
        Error,
        integration::reset::end_pauses,
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
        let mut lifted = end_pauses(&mut self.tx, company, integrations).await?;
        let tried = sqlx::query_scalar!(
            "UPDATE integration_stat SET breaker_until = now(), updated_at = now()
             WHERE company_id = $1 AND integration_id = ANY($2) AND breaker_until > now()
             RETURNING integration_id",
            company.0,
            integrations,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        lifted.extend(tried);
        lifted.sort_unstable();
        lifted.dedup();
        for integration in lifted {
            self.touch(LaneId::new(company, integration), true);
        }
        Ok(())
    }
}
