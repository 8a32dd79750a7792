//! The small table of what is held or dead, beside all that was delivered, and the counts of the dead.
//!
//! New rows come from three places: `enqueue.sql` and `update.sql` (held from the start), `finish.sql` (dead), and what operators do
//! ([`add_held`], [`add_dead`]). They go through [`forget`] alone, but for those of an integration that is deleted (`removal`).

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Reason, SweepPolicy},
        ids::CompanyId,
    },
    store::{
        Error,
        failure::{Died, Named},
    },
};

/// Notes deliveries that an operator holds.
pub(in crate::store) async fn add_held(
    db: &mut PgConnection,
    company: CompanyId,
    ids: &[Uuid],
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
         SELECT company_id, integration_id, id, lead_id, 'held' FROM delivery
         WHERE company_id = $1 AND id = ANY($2)
         ON CONFLICT (company_id, integration_id, delivery_id) DO UPDATE
             SET state = excluded.state, class = NULL, error = NULL, since = excluded.since, due_at = NULL",
        company.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes deliveries that are dead again, with the class and the error of their last attempt as far as it is kept. Those
/// that the sweep comes back to are for its next run, as if they had died now.
pub(in crate::store) async fn add_dead(
    db: &mut PgConnection,
    sweep: SweepPolicy,
    company: CompanyId,
    ids: &[Uuid],
) -> Result<(), Error> {
    let reasons = sqlx::query!(
        "SELECT id, reason_code, reason_detail FROM delivery WHERE company_id = $1 AND id = ANY($2)",
        company.0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let is_swept = |code, detail| Reason::read(code, detail).is_some_and(|reason| reason.is_swept());
    let (ids, swept): (Vec<Uuid>, Vec<bool>) =
        reasons.into_iter().map(|row| (row.id, is_swept(row.reason_code, row.reason_detail))).unzip();
    sqlx::query_file!(
        "src/store/queue/add_dead.sql",
        company.0,
        &ids,
        &swept,
        sweep.interval.as_secs_f64(),
        sweep.age.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down the causes of what is dead. A row that says something else by now is left alone. Answers how many died
/// lately of each.
pub(in crate::store) async fn name_causes(db: &mut PgConnection, n: &Named) -> Result<Vec<Died>, Error> {
    let died = sqlx::query_as!(
        Died,
        r#"WITH named AS (
               UPDATE undelivered u SET cause_id = n.cause_id, currency = n.currency, pence = n.pence
               FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bigint[])
                   n(company_id, integration_id, delivery_id, class, error, cause_id, currency, pence)
               WHERE u.company_id = n.company_id AND u.integration_id = n.integration_id AND u.delivery_id = n.delivery_id
                 AND u.state = 'dead' AND u.cause_id IS NULL
                 AND u.class IS NOT DISTINCT FROM n.class AND u.error IS NOT DISTINCT FROM n.error
               RETURNING u.company_id, u.integration_id, u.cause_id, u.since
           )
           SELECT cause_id AS "cause!", date_bin('15 minutes', since, 'epoch') AS "at!: _", company_id AS "company!",
               integration_id AS "integration!", count(*) AS "deliveries!"
           FROM named WHERE since > now() - interval '1 day' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"#,
        &n.company,
        &n.integration,
        &n.delivery,
        &n.class as &[Option<String>],
        &n.error as &[Option<String>],
        &n.cause,
        &n.currency as &[Option<String>],
        &n.pence as &[Option<i64>],
    )
    .fetch_all(db)
    .await?;
    Ok(died)
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

/// Counts the dead of a locked lane anew. Answers 1 if there was another count.
pub(in crate::store) async fn recount(
    db: &mut PgConnection,
    company: CompanyId,
    integration: Uuid,
) -> Result<u64, Error> {
    let counted = sqlx::query!(
        "UPDATE integration_stat s SET dead = c.dead, updated_at = now()
         FROM (SELECT count(*) AS dead FROM undelivered
               WHERE company_id = $1 AND integration_id = $2 AND state = 'dead') c
         WHERE s.company_id = $1 AND s.integration_id = $2 AND s.dead <> c.dead",
        company.0,
        integration,
    )
    .execute(db)
    .await?;
    Ok(counted.rows_affected())
}
