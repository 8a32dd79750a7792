//! Leads that come through `/v1/save_lead`: found by their address, merged and committed in one transaction, so that
//! two posts of the same new address make one lead.

use bytes::Bytes;
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, KeyId, LeadId},
    store::{
        Error, Store,
        lead::{
            accepted,
            intake::{AcceptedDelivery, Flushed, NewEvent},
        },
        queue::{enqueue::enqueue, successors::write_update},
    },
};

/// Under what a lead is saved.
#[derive(Clone, Copy, Debug)]
pub struct SaveKey {
    pub company: CompanyId,
    /// The version of the view that is decided on.
    pub version: i64,
    pub email_hash: [u8; 32],
    /// The intake key it comes with.
    pub key: KeyId,
    /// The lead's id if the address is new.
    pub new_id: LeadId,
}

/// What became of a saved lead; the key that it was made with, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The address was new.
    Created(String, Vec<AcceptedDelivery>),
    /// Merging changed nothing; these are the deliveries there are.
    Duplicate(String, Vec<AcceptedDelivery>, Option<KeyId>),
    /// The content was replaced, and these deliveries were written.
    Updated(String, Vec<AcceptedDelivery>, Option<KeyId>),
    /// The company's configuration is no longer the one decided on.
    Stale,
}

impl Store {
    /// Saves a lead. `decide` is given the current event of the lead that last came with this address, locked, and
    /// answers what to commit; what it refuses changes nothing.
    pub async fn save_lead<R, F>(
        &self,
        key: &SaveKey,
        decide: impl FnOnce(Option<Bytes>) -> F,
    ) -> Result<Result<Saved, R>, Error>
    where
        F: Future<Output = Result<NewEvent, R>>,
    {
        let Some(mut tx) = self.begin_current(key.company, key.version).await? else {
            return Ok(Ok(Saved::Stale));
        };
        let locked = lock(&mut tx, key).await?;
        let made_with = locked.and_then(|(_, key)| key).map(KeyId::from);
        let known = match locked {
            Some((lead, _)) => current(&mut tx, key.company.0, lead).await?,
            None => None,
        };
        let Some((digest, body)) = known else {
            let event = match decide(None).await {
                Ok(event) => event,
                Err(refusal) => return Ok(Err(refusal)),
            };
            return self.create(tx, key, &event).await.map(Ok);
        };
        let event = match decide(Some(body)).await {
            Ok(event) => event,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if event.digest[..] == digest[..] {
            let deliveries = accepted(&mut tx, key.company.0, event.lead.uuid()).await?;
            return Ok(Ok(Saved::Duplicate(event.uuid, deliveries, made_with)));
        }
        let (written, hints) = write_update(&mut tx, &event).await?;
        tx.commit().await?;
        self.wake_ups.due(hints);
        self.report_held(std::slice::from_ref(&event));
        Ok(Ok(Saved::Updated(event.uuid, written, made_with)))
    }

    async fn create(
        &self,
        mut tx: PgTransaction<'_>,
        key: &SaveKey,
        event: &NewEvent,
    ) -> Result<Saved, Error> {
        sqlx::query!(
            "UPDATE saved_lead SET lead_id = $3, key_id = $4
             WHERE company_id = $1 AND email_hash = $2 AND lead_id <> $3",
            key.company.0,
            &key.email_hash[..],
            event.lead.uuid(),
            key.key.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        let (flushed, hints) = enqueue(&mut tx, std::slice::from_ref(event)).await?;
        if flushed != [Flushed::Created] {
            return Ok(Saved::Stale);
        }
        tx.commit().await?;
        self.wake_ups.due(hints);
        self.report_held(std::slice::from_ref(event));
        Ok(Saved::Created(event.uuid.clone(), event.deliveries.iter().map(AcceptedDelivery::from).collect()))
    }
}

/// Locks the address. Answers the lead it means and the key it was made with, or none if it is new; another post of it waits from here on.
async fn lock(tx: &mut PgTransaction<'_>, key: &SaveKey) -> Result<Option<(Uuid, Option<Uuid>)>, Error> {
    let added = sqlx::query!(
        "INSERT INTO saved_lead (company_id, email_hash, lead_id, key_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        key.company.0,
        &key.email_hash[..],
        key.new_id.uuid(),
        key.key.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    if added.rows_affected() > 0 {
        return Ok(None);
    }
    let lead = sqlx::query!(
        "SELECT lead_id, key_id FROM saved_lead WHERE company_id = $1 AND email_hash = $2 FOR UPDATE",
        key.company.0,
        &key.email_hash[..],
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(lead.map(|row| (row.lead_id, row.key_id)))
}

/// The digest and the event of a lead, which is locked first: its event may be replaced by another door meanwhile.
async fn current(
    tx: &mut PgTransaction<'_>,
    company: i64,
    lead: Uuid,
) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
    let Some(row) = sqlx::query!(
        "SELECT digest, event_id FROM lead WHERE company_id = $1 AND id = $2 AND erased_at IS NULL FOR UPDATE",
        company,
        lead
    )
    .fetch_optional(&mut **tx)
    .await?
    else {
        return Ok(None);
    };
    let body = sqlx::query_scalar!(
        "SELECT body FROM event WHERE company_id = $1 AND id = $2",
        company,
        row.event_id
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Some((row.digest, body.into())))
}
