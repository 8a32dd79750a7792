//! An operator's fresh start for an integration: what was counted, noted and waited for is forgotten.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::find_integration;
use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{
        Error,
        operator::command::{Command, Refusal},
        queue::{health::forget_failures, lift::close_breaker},
    },
};

/// What a reset forgot, and what it lifted.
#[derive(Clone, Debug)]
pub struct Lifted {
    pub failure_count: i64,
    pub last_error: Option<String>,
    /// Until when the target had asked to be left alone, if that was still to come.
    pub throttled_until: Option<Timestamp>,
    /// Until when the breaker was open; past if it was about to try one push.
    pub breaker_until: Option<Timestamp>,
}

impl Lifted {
    /// It as the audit keeps it: without the error, in which a target may quote a person.
    #[must_use]
    pub fn audited(&self) -> Value {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "failure_count": self.failure_count, "throttled_until": time(self.throttled_until),
            "breaker_until": time(self.breaker_until),
        })
    }
}

impl Command {
    /// Sets the failure count to zero, forgets the last error, closes the breaker and ends the pause that the target
    /// asked for. Answers what they were.
    pub async fn reset_integration(&mut self, reference: &str) -> Result<(LaneId, Lifted), Refusal> {
        let lane = find_integration(&mut self.tx, None, reference).await?;
        let LaneId { company, integration: id } = lane;
        let before = sqlx::query!(
            r#"SELECT s.failure_count, s.last_error,
                   throttle_ahead(i) AS "throttled_until: jiff_sqlx::Timestamp",
                   s.breaker_until AS "breaker_until: jiff_sqlx::Timestamp"
               FROM integration i JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
               WHERE i.company_id = $1 AND i.id = $2 FOR NO KEY UPDATE OF i, s"#,
            company.0,
            id.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        forget_failures(&mut self.tx, lane).await?;
        close_breaker(&mut self.tx, lane).await?;
        sqlx::query!(
            "UPDATE integration SET throttled_until = NULL WHERE company_id = $1 AND id = $2",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        // Its lane must hear that nothing holds it back any more.
        self.touch(lane, true);
        let lifted = Lifted {
            failure_count: before.failure_count,
            last_error: before.last_error,
            throttled_until: before.throttled_until.map(jiff_sqlx::Timestamp::to_jiff),
            breaker_until: before.breaker_until.map(jiff_sqlx::Timestamp::to_jiff),
        };
        Ok((lane, lifted))
    }
}

/// Ends the pauses that the targets of these integrations asked for. Answers which were paused.
pub(in crate::store) async fn end_pauses(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    let resumed = sqlx::query_scalar!(
        r#"WITH paused AS (
               SELECT id FROM integration i WHERE company_id = $1 AND id = ANY($2) AND throttle_ahead(i) IS NOT NULL
               ORDER BY id FOR NO KEY UPDATE
           )
           UPDATE integration i SET throttled_until = NULL FROM paused
           WHERE i.company_id = $1 AND i.id = paused.id RETURNING i.id"#,
        company.0,
        integrations,
    )
    .fetch_all(db)
    .await?;
    Ok(resumed)
}
