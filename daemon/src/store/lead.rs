//! Leads that are known already: duplicates and updates.

use sqlx::PgTransaction;
use uuid::Uuid;

use crate::store::{
    Error, Store,
    lead::intake::{AcceptedDelivery, NewEvent},
    queue::successors::write_update,
};

pub mod erase;
pub mod import;
pub mod intake;
pub mod read;
pub mod save;
pub mod trace;

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
    /// kind `lead.updated` and the deliveries for it.
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
