//! An operator's fresh start for an integration: what was counted, noted and waited for is forgotten.

use serde_json::{Value, json};

use super::find_integration;
use crate::{
    domain::lane::LaneId,
    store::operator::command::{Command, Refusal},
};

impl Command {
    /// Sets the failure count to zero, forgets the last error, closes the breaker and ends the pause that the target
    /// asked for. Answers what they were.
    pub async fn reset_integration(&mut self, reference: &str) -> Result<(LaneId, Value), Refusal> {
        let lane = find_integration(&mut self.tx, None, reference).await?;
        let LaneId { company, integration: id } = lane;
        let before = sqlx::query!(
            r#"SELECT s.failure_count, s.last_error, i.throttled_until AS "throttled_until: jiff_sqlx::Timestamp",
                   s.breaker_until AS "breaker_until: jiff_sqlx::Timestamp"
               FROM integration i JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
               WHERE i.company_id = $1 AND i.id = $2 FOR NO KEY UPDATE OF i, s"#,
            company.0,
            id.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        sqlx::query!(
            "UPDATE integration_stat
             SET failure_count = 0, last_error = NULL, last_error_at = NULL, updated_at = now(),
                 streak = 0, trips = 0, breaker_until = NULL, breaker_error = NULL
             WHERE company_id = $1 AND integration_id = $2",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        sqlx::query!(
            "UPDATE integration SET throttled_until = NULL WHERE company_id = $1 AND id = $2",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        // Its lane must hear that nothing holds it back any more.
        self.touch(lane, true);
        let time = |at: Option<jiff_sqlx::Timestamp>| at.map(|at| at.to_jiff().to_string());
        let before = json!({
            "failure_count": before.failure_count, "last_error": before.last_error,
            "throttled_until": time(before.throttled_until), "breaker_until": time(before.breaker_until),
        });
        Ok((lane, before))
    }
}
