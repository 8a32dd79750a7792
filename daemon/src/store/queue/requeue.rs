//! Bringing deliveries to the queue that stand nowhere: what manual retries, jobs, the sweep and operators' moves share.
//!
//! A delivery comes to its place: if an earlier one of its lead is open at the same integration it waits behind that,
//! and whoever waited behind that waits behind it. All of them are locked, so that no change can miss another.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{CRASHES_SUSPECT, LaneKind, Trigger},
        ids::{CompanyId, DeliveryId},
    },
    store::{
        Error,
        delivery::vendor_id,
        operator::command::{Command, NewDue, Refusal},
        queue::{
            line::{LockedLine, lock_line},
            undelivered,
        },
    },
};

/// How deliveries come to the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Requeue<'a> {
    /// None: as a first attempt or a retry, by the attempts that each has had.
    pub(in crate::store) attempt: Option<(LaneKind, Trigger)>,
    pub(in crate::store) operator: Option<&'a str>,
    /// The job that brings them back.
    pub(in crate::store) job: Option<Uuid>,
}

/// Locks deliveries with what stands in line with them, then the counts of their integrations, as a finish does.
pub(in crate::store) async fn lock(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    ids: &[Uuid],
) -> Result<LockedLine, Error> {
    let line = lock_line(&mut *db, company, ids).await?;
    undelivered::lock_counts(db, company, integrations).await?;
    Ok(line)
}

/// Brings locked dead and delivered ones back to the queue on a fresh schedule, but for those of whose lead an update
/// is on its way. Answers which, and what is due.
pub(in crate::store) async fn requeue(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    ids: &[Uuid],
    how: &Requeue<'_>,
) -> Result<(Vec<Uuid>, Vec<NewDue>), Error> {
    vendor_id::forget_done(db, company, ids).await?;
    // A final one has handed on its successor; it must not do so again. Poison is given one more chance, alone.
    let requeued = sqlx::query_scalar!(
        "UPDATE delivery d SET state = 'pending', reason_code = NULL, reason_detail = NULL,
                             finished_at = NULL, retries = 0, waits = 0,
                             crashes = least(crashes, $3), successor_id = NULL, job_id = coalesce($4, job_id)
         WHERE company_id = $1 AND id = ANY($2) AND state IN ('dead', 'delivered')
           AND reason_code IS DISTINCT FROM 'erased'
           AND NOT has_open_update_behind(d)
         RETURNING id",
        company.0,
        ids,
        CRASHES_SUSPECT,
        how.job,
    )
    .fetch_all(&mut *db)
    .await?;
    undelivered::forget(db, company, integrations, &requeued).await?;
    let due = line_up(db, company, &requeued, how).await?;
    Ok((requeued, due))
}

/// Queues locked pending ones that stand nowhere yet, oldest first, or puts them behind an earlier one that is open.
pub(in crate::store) async fn line_up(
    db: &mut PgConnection,
    company: CompanyId,
    ids: &[Uuid],
    how: &Requeue<'_>,
) -> Result<Vec<NewDue>, Error> {
    let waiting = sqlx::query!(
        r#"SELECT d.id, d.successor_id, p.id AS "earlier_id!", p.successor_id AS earlier_successor_id
           FROM delivery d CROSS JOIN LATERAL (
               SELECT p.id, p.successor_id FROM delivery p
               WHERE p.company_id = d.company_id AND p.lead_id = d.lead_id AND p.integration_id = d.integration_id
                 AND p.state IN ('pending', 'held') AND (p.created_at, p.id) < (d.created_at, d.id)
               ORDER BY p.created_at DESC, p.id DESC LIMIT 1) p
           WHERE d.company_id = $1 AND d.id = ANY($2) ORDER BY d.created_at, d.id"#,
        company.0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    // Who waits behind each. One of them may be the earlier one of the next, so it goes from the oldest on.
    let mut successors: HashMap<Uuid, Option<Uuid>> = HashMap::new();
    for row in &waiting {
        let behind = successors.insert(row.earlier_id, Some(row.id)).unwrap_or(row.earlier_successor_id);
        // One that was held has kept whoever waits behind it.
        successors.insert(row.id, behind.or(row.successor_id));
    }
    let earlier: HashMap<Uuid, Uuid> = waiting.iter().map(|row| (row.id, row.earlier_id)).collect();
    put_behind(db, company, &successors, &earlier).await?;
    let first: Vec<Uuid> = ids.iter().copied().filter(|id| !earlier.contains_key(id)).collect();
    queue(db, company, &first, how).await
}

/// Writes who waits behind whom; those that wait say for which earlier one.
async fn put_behind(
    db: &mut PgConnection,
    company: CompanyId,
    successors: &HashMap<Uuid, Option<Uuid>>,
    earlier: &HashMap<Uuid, Uuid>,
) -> Result<(), Error> {
    let ids: Vec<Uuid> = successors.keys().copied().collect();
    let behind: Vec<Option<Uuid>> = successors.values().copied().collect();
    let waits_for: Vec<Option<String>> =
        ids.iter().map(|id| earlier.get(id).map(|earlier| DeliveryId::from(*earlier).to_string())).collect();
    sqlx::query!(
        "UPDATE delivery d SET successor_id = line.successor_id,
             due_at = CASE WHEN line.waits_for IS NULL THEN d.due_at END,
             reason_code = CASE WHEN line.waits_for IS NULL THEN d.reason_code ELSE 'waits_for' END,
             reason_detail = CASE WHEN line.waits_for IS NULL THEN d.reason_detail ELSE to_jsonb(line.waits_for) END
         FROM unnest($2::uuid[], $3::uuid[], $4::text[]) line(id, successor_id, waits_for)
         WHERE d.company_id = $1 AND d.id = line.id",
        company.0,
        &ids,
        &behind as &[Option<Uuid>],
        &waits_for as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Queues locked pending ones that stand nowhere yet, oldest first, whatever is before them.
pub(in crate::store) async fn queue(
    db: &mut PgConnection,
    company: CompanyId,
    ids: &[Uuid],
    how: &Requeue<'_>,
) -> Result<Vec<NewDue>, Error> {
    let (kind, trigger) = how.attempt.unzip();
    let rows = sqlx::query!(
        "WITH line AS MATERIALIZED (
             SELECT company_id, integration_id, id, coalesce($3::smallint, kind_after(attempts)) AS kind,
                    coalesce($4::text, trigger_after(attempts)) AS trigger,
                    CASE WHEN $3::smallint = 0 THEN front_of_lane(integration_id, 0::smallint) ELSE now() END
                        + row_number() OVER (ORDER BY id) * interval '1 microsecond' AS due_at
             FROM delivery WHERE company_id = $1 AND id = ANY($2)
         ), scheduled AS (
             UPDATE delivery d SET due_at = line.due_at, reason_code = NULL, reason_detail = NULL FROM line
             WHERE d.company_id = line.company_id AND d.id = line.id
         )
         INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger, operator)
         SELECT company_id, integration_id, kind, due_at, id, trigger, $5 FROM line
         RETURNING integration_id, kind, due_at",
        company.0,
        ids,
        kind.map(LaneKind::number),
        trigger.map(Trigger::as_str),
        how.operator,
    )
    .fetch_all(&mut *db)
    .await?;
    rows.into_iter().map(|row| NewDue::new(row.integration_id, row.kind, row.due_at)).collect()
}

impl Command {
    /// Queues locked pending ones that stand nowhere, oldest first, each as its attempts so far say.
    pub(super) async fn line_up(&mut self, company: CompanyId, ids: &[Uuid]) -> Result<(), Refusal> {
        let due = line_up(&mut self.tx, company, ids, &Requeue::default()).await?;
        self.became_due(company, &due);
        Ok(())
    }
}
