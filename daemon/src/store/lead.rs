//! Leads that are known already: duplicates and updates.

use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    DueHint, Error, FIRST, Store,
    hold::in_flight,
    intake::{AcceptedDelivery, NewDelivery, NewEvent},
    micros,
};
use crate::domain::{
    fanout::{Arrival, FLOW, Fate, NO_CONSENT},
    ids::DeliveryId,
    integration::EventKind,
};

/// What became of an event of a known lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// The content is the same; these are the deliveries there are.
    Duplicate(Vec<AcceptedDelivery>),
    /// The content was replaced, and these deliveries were written.
    Updated(Vec<AcceptedDelivery>),
    /// The person was erased, and does not come back under this uuid.
    Erased,
    Stale,
}

impl Store {
    /// Commits an event of a lead that is known: nothing if it is a duplicate, an update otherwise. `update` carries
    /// kind [`EventKind::Updated`] and the deliveries for it.
    pub async fn accept_again(&self, update: &NewEvent) -> Result<Again, Error> {
        let mut tx = self.pool.begin().await?;
        let is_current = sqlx::query_scalar!(
            "SELECT 1 FROM company WHERE id = $1 AND config_version = $2 FOR SHARE",
            update.company.0,
            update.version
        )
        .fetch_optional(&mut *tx)
        .await?
        .is_some();
        if !is_current {
            return Ok(Again::Stale);
        }
        let (company, lead) = (update.company.0, update.lead.uuid());
        let known = sqlx::query!(
            "SELECT digest, erased_at FROM lead WHERE company_id = $1 AND id = $2 FOR UPDATE",
            company,
            lead
        )
        .fetch_optional(&mut *tx)
        .await?;
        match known {
            // Gone between the flush and now: the next flush creates it.
            None => return Ok(Again::Stale),
            Some(known) if known.erased_at.is_some() => return Ok(Again::Erased),
            Some(known) if known.digest == update.digest => {
                return Ok(Again::Duplicate(accepted(&mut tx, company, lead).await?));
            }
            Some(_) => {}
        }
        let (written, hints) = write_update(&mut tx, update).await?;
        tx.commit().await?;
        self.hub.due(hints);
        Ok(Again::Updated(written))
    }
}

pub(super) async fn accepted(
    tx: &mut PgTransaction<'_>,
    company: i64,
    lead: Uuid,
) -> Result<Vec<AcceptedDelivery>, Error> {
    let rows = sqlx::query!(
        "SELECT id, integration_id, state, reason FROM delivery WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
        company,
        lead,
    )
    .fetch_all(&mut **tx)
    .await?;
    let deliveries = rows.into_iter().map(|row| AcceptedDelivery {
        integration: row.integration_id.into(),
        id: row.id.into(),
        state: row.state,
        reason: row.reason,
    });
    Ok(deliveries.collect())
}

async fn replace_event(tx: &mut PgTransaction<'_>, update: &NewEvent) -> Result<(), Error> {
    sqlx::query!(
        "WITH added AS (
            INSERT INTO event (company_id, id, lead_id, kind, body) VALUES ($1, $3, $2, 'lead.updated', $4)
         )
         UPDATE lead SET event_id = $3, digest = $5, uuid = $6, updated_at = now() WHERE company_id = $1 AND id = $2",
        update.company.0,
        update.lead.uuid(),
        update.event.uuid(),
        &update.body[..],
        &update.digest[..],
        update.uuid
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a locked lead has become, with a delivery for each integration that it comes to.
pub(super) async fn write_update(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
) -> Result<(Vec<AcceptedDelivery>, Vec<DueHint>), Error> {
    replace_event(tx, update).await?;
    let mut written = Vec::with_capacity(update.deliveries.len());
    let mut hints = Vec::new();
    for delivery in &update.deliveries {
        let Some(kind) = kind_at(tx, update, delivery).await? else { continue };
        let (answer, hint) = add_update(tx, update, delivery, kind).await?;
        written.push(answer);
        hints.extend(hint);
    }
    Ok((written, hints))
}

/// Under which event an update comes to an integration; none if it does not come there at all.
async fn kind_at(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
    delivery: &NewDelivery,
) -> Result<Option<EventKind>, Error> {
    if delivery.arrival == Arrival::AsIs {
        return Ok(Some(EventKind::Updated));
    }
    let is_kept_away = sqlx::query_scalar!(
        r#"SELECT coalesce(bool_and(state = 'skipped' AND (reason LIKE $4 || '%' OR reason = $5)), false) AS "kept!"
           FROM delivery
           WHERE company_id = $1 AND lead_id = $2 AND integration_id = $3 AND event = 'lead.created'"#,
        update.company.0,
        update.lead.uuid(),
        delivery.integration.uuid(),
        FLOW,
        NO_CONSENT,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(match (delivery.arrival, &delivery.fate) {
        // It stays where it was, and the row that says so is there.
        (Arrival::OnlyCreated, Fate::Skipped(_)) => None,
        (Arrival::OnlyCreated, _) if !is_kept_away => None,
        (_, Fate::Pending | Fate::Held(_)) if is_kept_away => Some(EventKind::Created),
        _ => Some(EventKind::Updated),
    })
}

/// Writes one delivery of an update. It waits behind an earlier event of the lead that is not final at the same
/// integration, and takes the place of an update that waits there or is held.
async fn add_update(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
    delivery: &NewDelivery,
    kind: EventKind,
) -> Result<(AcceptedDelivery, Option<DueHint>), Error> {
    let predecessor = predecessor(tx, update, delivery).await?;
    let state = delivery.fate.state();
    let reason = match &delivery.fate {
        Fate::Pending => predecessor.map(|id| format!("waits for {}", DeliveryId::from(id))),
        other => other.reason().map(ToOwned::to_owned),
    };
    let is_due = state == "pending" && predecessor.is_none();
    let now = sqlx::query_scalar!(
        r#"WITH added AS (
            INSERT INTO delivery
                (company_id, id, integration_id, lead_id, event_id, event, state, reason, due_at, finished_at)
            VALUES ($1, $2, $3, $4, $5, $10, $6, $7, CASE WHEN $8 THEN now() END,
                CASE WHEN $6 = 'skipped' THEN now() END)
        ), queued AS (
            INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
            SELECT $1, $3, 0, now(), $2, 'first' WHERE $8
        ), held AS (
            INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
            SELECT $1, $3, $2, $4, 'held' WHERE $6 = 'held'
        ), linked AS (
            -- One that is held waits for its operator; it takes its place in the line when it is released.
            UPDATE delivery SET successor_id = $2 WHERE company_id = $1 AND id = $9 AND $6 = 'pending'
        )
        SELECT now() AS "now!""#,
        update.company.0,
        delivery.id.uuid(),
        delivery.integration.uuid(),
        update.lead.uuid(),
        update.event.uuid(),
        state,
        reason,
        is_due,
        predecessor,
        kind.as_str(),
    )
    .fetch_one(&mut **tx)
    .await?;
    let hint = DueHint {
        company: update.company,
        integration: delivery.integration,
        kind: FIRST,
        due_at: micros(now.to_jiff()),
    };
    let answer = AcceptedDelivery {
        integration: delivery.integration,
        id: delivery.id,
        state: state.to_owned(),
        reason,
    };
    Ok((answer, is_due.then_some(hint)))
}

/// The delivery that an update must wait for, after updates that it replaces are skipped.
async fn predecessor(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
    delivery: &NewDelivery,
) -> Result<Option<Uuid>, Error> {
    // The lock makes a finish that is under way wait, and then see the successor that is linked below.
    let open = sqlx::query_as!(
        Open,
        "SELECT id, event, state, successor_id, created_at FROM delivery
         WHERE company_id = $1 AND lead_id = $2 AND integration_id = $3 AND state IN ('pending', 'held')
         ORDER BY id FOR UPDATE",
        update.company.0,
        update.lead.uuid(),
        delivery.integration.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    let waits = |id: Uuid| open.iter().any(|other| other.successor_id == Some(id));
    // Behind an update an operator's push may wait, which nobody would hand on if that update went.
    let leads_on = |row: &Open| {
        open.iter().any(|other| row.successor_id == Some(other.id) && other.event != "lead.updated")
    };
    // A push that was held in flight ends all the same, and what comes later must not overtake it.
    let held: Vec<Uuid> = open.iter().filter(|row| row.state == "held").map(|row| row.id).collect();
    let running = in_flight(tx, &held).await?;
    let stands = |row: &Open| row.state == "held" && !running.contains(&row.id) || waits(row.id);
    let is_replaced = |row: &&Open| row.event == "lead.updated" && stands(row) && !leads_on(row);
    let (replaced, kept): (Vec<_>, Vec<_>) = open.iter().partition(is_replaced);
    let (replaced, kept) = (ids(&replaced), ids(&kept));
    if !replaced.is_empty() {
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM undelivered WHERE company_id = $1 AND integration_id = $4 AND delivery_id = ANY($2)
             ), unlinked AS (
                 UPDATE delivery SET successor_id = NULL
                 WHERE company_id = $1 AND id = ANY($5) AND successor_id = ANY($2)
             )
             UPDATE delivery
             SET state = 'skipped', reason = 'superseded by ' || $3, finished_at = now(), due_at = NULL,
                 successor_id = NULL
             WHERE company_id = $1 AND id = ANY($2)",
            update.company.0,
            &replaced,
            delivery.id.to_string(),
            delivery.integration.uuid(),
            &kept
        )
        .execute(&mut **tx)
        .await?;
    }
    // The last in the line; one that was rendered anew stands where the one stood that it replaced.
    let last =
        open.iter().filter(|row| kept.contains(&row.id)).max_by_key(|row| (row.created_at.to_jiff(), row.id));
    Ok(last.map(|row| row.id))
}

/// A delivery that is not final.
struct Open {
    id: Uuid,
    event: String,
    state: String,
    successor_id: Option<Uuid>,
    created_at: jiff_sqlx::Timestamp,
}

fn ids(rows: &[&Open]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}
