//! Leads that come through `/v1/save_lead`: found by their address, merged, and committed if the lead is still the one
//! that was merged with. So two posts of the same new address make one lead.

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
            tries::{LeadTries, LeadTry},
        },
        queue::{enqueue::enqueue, successors::write_update},
    },
};

/// How often a post is decided on, while other doors or other daemons change its lead.
const DECISIONS: usize = 5;

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

/// A lead as it stood when it was read: what a post of its address is decided on.
struct SavedEvent {
    event: Uuid,
    digest: Vec<u8>,
    body: Bytes,
}

impl Store {
    /// Saves a lead. `decide` is given the current event of the lead that last came with this address, and answers what
    /// to commit; what it refuses changes nothing. No connection is held meanwhile: if another door has changed the lead
    /// when that is written, it is asked once more.
    pub async fn save_lead<R, F>(
        &self,
        key: &SaveKey,
        decide: impl Fn(Option<Bytes>) -> F,
    ) -> Result<Result<Saved, R>, Error>
    where
        F: Future<Output = Result<NewEvent, R>>,
    {
        let mut tries = self.tries(key.company);
        let _turn = tries.turn(key.email_hash).await?;
        for _ in 0..DECISIONS {
            let known = self.saved_event(key).await?;
            let decided = decide(known.as_ref().map(|known| known.body.clone()));
            let event = match tries.beside(decided).await {
                Ok(event) => event,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let Some(saved) = self.write_saved(key, &event, known.as_ref(), &tries).await? {
                return Ok(Ok(saved));
            }
        }
        Err(Error::Locked)
    }

    /// The lead that an address means now; none if it is new, or its lead is gone.
    async fn saved_event(&self, key: &SaveKey) -> Result<Option<SavedEvent>, Error> {
        let row = sqlx::query!(
            "SELECT l.event_id, l.digest, e.body FROM saved_lead s
             JOIN lead l ON l.company_id = s.company_id AND l.id = s.lead_id AND l.erased_at IS NULL
             JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
             WHERE s.company_id = $1 AND s.email_hash = $2",
            key.company.0,
            &key.email_hash[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| SavedEvent { event: row.event_id, digest: row.digest, body: row.body.into() }))
    }

    /// Commits what was decided on a lead. None if it is another one by now.
    async fn write_saved(
        &self,
        key: &SaveKey,
        event: &NewEvent,
        known: Option<&SavedEvent>,
        tries: &LeadTries<'_>,
    ) -> Result<Option<Saved>, Error> {
        loop {
            match self.try_saved(key, event, known, tries).await {
                Err(error) => tries.after(error).await?,
                done => return done,
            }
        }
    }

    async fn try_saved(
        &self,
        key: &SaveKey,
        event: &NewEvent,
        known: Option<&SavedEvent>,
        tries: &LeadTries<'_>,
    ) -> Result<Option<Saved>, Error> {
        let Some(mut tried) = tries.begin(key.version).await? else { return Ok(Some(Saved::Stale)) };
        let (tx, company) = (&mut tried.tx, key.company.0);
        let address = lock(tx, key).await?;
        let made_with = address.and_then(|(_, key)| key).map(KeyId::from);
        let current = match address {
            Some((lead, _)) => current(tx, company, lead).await?,
            None => None,
        };
        let known = match (current, known) {
            (None, None) => return self.create(tried, key, event).await.map(Some),
            (Some(current), Some(known)) if current == known.event => known,
            _ => return Ok(None),
        };
        if event.digest[..] == known.digest[..] {
            let deliveries = accepted(tx, company, event.lead.uuid()).await?;
            return Ok(Some(Saved::Duplicate(event.uuid.clone(), deliveries, made_with)));
        }
        let (written, hints) = write_update(tx, event).await?;
        tried.commit().await?;
        self.wake_ups.due(hints);
        self.report_held(std::slice::from_ref(event));
        Ok(Some(Saved::Updated(event.uuid.clone(), written, made_with)))
    }

    async fn create(&self, mut tried: LeadTry, key: &SaveKey, event: &NewEvent) -> Result<Saved, Error> {
        sqlx::query!(
            "UPDATE saved_lead SET lead_id = $3, key_id = $4
             WHERE company_id = $1 AND email_hash = $2 AND lead_id <> $3",
            key.company.0,
            &key.email_hash[..],
            event.lead.uuid(),
            key.key.uuid(),
        )
        .execute(&mut *tried.tx)
        .await?;
        let (flushed, hints) = enqueue(&mut tried.tx, std::slice::from_ref(event)).await?;
        if flushed != [Flushed::Created] {
            return Ok(Saved::Stale);
        }
        tried.commit().await?;
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

/// Locks a lead, and answers its event: another door may have replaced it. None if the lead is gone.
async fn current(tx: &mut PgTransaction<'_>, company: i64, lead: Uuid) -> Result<Option<Uuid>, Error> {
    let event = sqlx::query_scalar!(
        "SELECT event_id FROM lead WHERE company_id = $1 AND id = $2 AND erased_at IS NULL FOR UPDATE",
        company,
        lead
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(event)
}
