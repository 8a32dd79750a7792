//! Jobs that nobody asks for any more: they ended long ago, or their integration is deleted.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::{Error, Store};

impl Store {
    /// Forgets jobs that ended in all their lanes.
    pub(in crate::store) async fn forget_jobs(&self, db: &mut PgConnection) -> Result<u64, Error> {
        let gone = sqlx::query!(
            "DELETE FROM job j WHERE j.finished_at < now() - $1 * interval '1 second'
               AND NOT EXISTS (SELECT FROM job o WHERE o.id = j.id
                   AND (o.finished_at IS NULL OR o.finished_at >= now() - $1 * interval '1 second'))",
            self.kept.as_secs_f64(),
        )
        .execute(db)
        .await?;
        Ok(gone.rows_affected())
    }
}

/// Forgets the lanes of jobs that went through an integration that is deleted.
pub(in crate::store) async fn remove_lane(
    db: &mut PgConnection,
    company: i64,
    integration: Uuid,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM job WHERE company_id = $1 AND integration_id = $2", company, integration)
        .execute(db)
        .await?;
    Ok(())
}
