//! Events that come behind a lead's first one: its content at another time, or the same once more, to be pushed again. A new
//! lead's own is written by its flush (`queue/enqueue.sql`).

use bytes::Bytes;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use crate::{
    domain::ids::CompanyId,
    store::{Error, lead::intake::NewEvent},
};

/// An event of a known lead.
pub(in crate::store) struct RepeatedEvent {
    pub(in crate::store) id: Uuid,
    pub(in crate::store) lead: Uuid,
    pub(in crate::store) body: Bytes,
}

/// Replaces the content of a locked lead.
pub(in crate::store) async fn replace_event(
    tx: &mut PgTransaction<'_>,
    update: &NewEvent,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH added AS (
            INSERT INTO event (company_id, id, lead_id, kind, body, trace)
            VALUES ($1, $3, $2, 'lead.updated', $4, $7)
         )
         UPDATE lead SET event_id = $3, digest = $5, uuid = $6, updated_at = now() WHERE company_id = $1 AND id = $2",
        update.company.0,
        update.lead.uuid(),
        update.event.uuid(),
        &update.body[..],
        &update.digest[..],
        update.uuid,
        update.trace.map(|trace| trace.to_bytes().to_vec())
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes events that bring the content of known leads once more, as if they were new.
pub(in crate::store) async fn repeat_events(
    db: &mut PgConnection,
    company: CompanyId,
    events: &[RepeatedEvent],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let leads: Vec<Uuid> = events.iter().map(|event| event.lead).collect();
    let bodies: Vec<&[u8]> = events.iter().map(|event| &event.body[..]).collect();
    sqlx::query!(
        "INSERT INTO event (company_id, id, lead_id, kind, body)
         SELECT $1, id, lead_id, 'lead.created', body
         FROM unnest($2::uuid[], $3::uuid[], $4::bytea[]) e(id, lead_id, body)",
        company.0,
        &ids,
        &leads,
        &bodies as &[&[u8]],
    )
    .execute(db)
    .await?;
    Ok(())
}
