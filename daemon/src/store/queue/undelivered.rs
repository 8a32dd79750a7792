//! The small table of what is held or dead, beside all that was delivered, and the counts of the dead.
//!
//! New rows come from four places: `enqueue.sql` and `update.sql` (held from the start), `finish.sql` (dead), [`add_held`] and [`restore`].
//! They go through [`forget`] alone, but for those of an integration that is deleted (`removal`).

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{domain::ids::CompanyId, store::Error};

/// Notes deliveries that an operator holds.
pub(in crate::store) async fn add_held(
    db: &mut PgConnection,
    company: CompanyId,
    ids: &[Uuid],
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
         SELECT company_id, integration_id, id, lead_id, 'held' FROM delivery
         WHERE company_id = $1 AND id = ANY($2)",
        company.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes deliveries whose skip is undone as they were noted before, and counts the dead.
pub(in crate::store) async fn restore(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    ids: &[Uuid],
) -> Result<(), Error> {
    lock_counts(db, company, integrations).await?;
    sqlx::query!(
        "WITH stands AS (
             INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, since, due_at)
             SELECT d.company_id, d.integration_id, d.id, d.lead_id, s.state, s.class, s.error,
                 coalesce(s.since, now()), s.due_at
             FROM skipped s JOIN delivery d ON d.company_id = s.company_id AND d.id = s.delivery_id
             WHERE s.company_id = $1 AND s.delivery_id = ANY($2) AND s.state IN ('held', 'dead')
             RETURNING integration_id, state),
         counted AS (
             SELECT integration_id, count(*) FILTER (WHERE state = 'dead') AS dead FROM stands
             GROUP BY integration_id)
         UPDATE integration_stat i SET dead = i.dead + c.dead, updated_at = now()
         FROM counted c WHERE i.company_id = $1 AND i.integration_id = c.integration_id",
        company.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes deliveries from the small table, and from the counts of the dead.
pub(in crate::store) async fn forget(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    ids: &[Uuid],
) -> Result<(), Error> {
    lock_counts(db, company, integrations).await?;
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM undelivered
             WHERE company_id = $1 AND integration_id = ANY($2) AND delivery_id = ANY($3)
             RETURNING integration_id, state),
         counted AS (
             SELECT integration_id, count(*) FILTER (WHERE state = 'dead') AS dead FROM gone GROUP BY integration_id)
         UPDATE integration_stat s SET dead = greatest(s.dead - c.dead, 0), updated_at = now()
         FROM counted c WHERE s.company_id = $1 AND s.integration_id = c.integration_id",
        company.0,
        integrations,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Two that lock rows in the same order cannot lock each other out.
pub(in crate::store) async fn lock_counts(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
) -> Result<(), Error> {
    sqlx::query!(
        "SELECT dead FROM integration_stat WHERE company_id = $1 AND integration_id = ANY($2)
         ORDER BY integration_id FOR UPDATE",
        company.0,
        integrations,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}
