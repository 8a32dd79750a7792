//! The health of lanes, a row each: made with its integration, set back by operators, scrubbed of what quotes a person, and
//! removed. What pushes say of it is written by `finish.sql`.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::Error,
};

/// Begins to keep the health of a lane.
pub(in crate::store) async fn add_health(db: &mut PgConnection, lane: LaneId) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO integration_stat (company_id, integration_id) VALUES ($1, $2)",
        lane.company.0,
        lane.integration.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets how often a lane failed, and of what.
pub(in crate::store) async fn forget_failures(db: &mut PgConnection, lane: LaneId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE integration_stat SET failure_count = 0, last_error = NULL, last_error_at = NULL, updated_at = now()
         WHERE company_id = $1 AND integration_id = $2",
        lane.company.0,
        lane.integration.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces errors that quote a person.
pub(in crate::store) async fn scrub_errors(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    errors: &[String],
    by: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE integration_stat SET updated_at = now(),
             last_error = CASE WHEN last_error = ANY($3) THEN $4 ELSE last_error END,
             breaker_error = CASE WHEN breaker_error = ANY($3) THEN $4 ELSE breaker_error END
         WHERE company_id = $1 AND integration_id = ANY($2) AND (last_error = ANY($3) OR breaker_error = ANY($3))",
        company.0,
        integrations,
        errors,
        by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the health of an integration that is deleted.
pub(in crate::store) async fn remove_health(
    db: &mut PgConnection,
    company: i64,
    integration: Uuid,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM integration_stat WHERE company_id = $1 AND integration_id = $2",
        company,
        integration,
    )
    .execute(db)
    .await?;
    Ok(())
}
