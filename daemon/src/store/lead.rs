//! Leads that are known already: duplicates and updates.

use sqlx::PgTransaction;
use uuid::Uuid;

use crate::{
    domain::delivery::{Reason, State},
    store::{
        Error, Store,
        lead::{
            intake::{AcceptedDelivery, NewEvent},
            tries::LeadTries,
        },
        queue::successors::write_update,
        shown::Shown,
    },
};

pub mod anywhere;
pub mod erase;
pub(super) mod event;
pub mod evidence;
pub mod import;
pub mod intake;
pub mod keep;
pub mod person;
pub mod place;
pub mod read;
pub(super) mod recent;
pub mod save;
pub mod trace;
pub(super) mod tries;

/// What became of an event of a known lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaccepted {
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
    /// kind `lead.updated` and the deliveries for it.
    pub async fn accept_again(&self, update: &NewEvent) -> Result<Reaccepted, Error> {
        let tries = self.tries(update.company);
        loop {
            match self.try_again(update, &tries).await {
                Err(error) => tries.after(error).await?,
                done => return done,
            }
        }
    }

    async fn try_again(&self, update: &NewEvent, tries: &LeadTries<'_>) -> Result<Reaccepted, Error> {
        let Some(mut tried) = tries.begin(update.version).await? else { return Ok(Reaccepted::Stale) };
        let (tx, company, lead) = (&mut tried.tx, update.company.0, update.lead.uuid());
        let known = sqlx::query!(
            "SELECT digest, erased_at FROM lead WHERE company_id = $1 AND id = $2 FOR UPDATE",
            company,
            lead
        )
        .fetch_optional(&mut **tx)
        .await?;
        match known {
            // Gone between the flush and now: the next flush creates it.
            None => return Ok(Reaccepted::Stale),
            Some(known) if known.erased_at.is_some() => return Ok(Reaccepted::Erased),
            Some(known) if known.digest == update.digest => {
                return Ok(Reaccepted::Duplicate(accepted(tx, company, lead).await?));
            }
            Some(_) => {}
        }
        let (written, hints) = write_update(tx, update).await?;
        tried.commit().await?;
        self.wake_ups.due(hints);
        self.report_held(std::slice::from_ref(update));
        Ok(Reaccepted::Updated(written))
    }
}

pub(super) async fn accepted(
    tx: &mut PgTransaction<'_>,
    company: i64,
    lead: Uuid,
) -> Result<Vec<AcceptedDelivery>, Error> {
    let rows = sqlx::query!(
        "SELECT id, integration_id, state, reason_code, reason_detail FROM delivery WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
        company,
        lead,
    )
    .fetch_all(&mut **tx)
    .await?;
    let deliveries = rows.into_iter().map(|row| AcceptedDelivery {
        integration: row.integration_id.into(),
        id: row.id.into(),
        state: Shown::read(&row.state, State::parse),
        reason: Reason::read(row.reason_code, row.reason_detail).map(|reason| reason.text()),
    });
    Ok(deliveries.collect())
}
