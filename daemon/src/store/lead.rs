//! Leads that are known already: duplicates and updates.

use sqlx::PgTransaction;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    domain::{delivery::Reason, ids::CompanyId},
    store::{
        Error, LOCK_GAP, LOCK_PATIENCE, Store,
        lead::intake::{AcceptedDelivery, NewEvent},
        queue::successors::write_update,
        state,
    },
};

pub mod erase;
pub mod evidence;
pub mod import;
pub mod intake;
pub mod keep;
pub mod person;
pub mod place;
pub mod read;
pub mod save;
pub mod trace;

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
        let Some(mut tx) = self.begin_current(update.company, update.version).await? else {
            return Ok(Reaccepted::Stale);
        };
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
            None => return Ok(Reaccepted::Stale),
            Some(known) if known.erased_at.is_some() => return Ok(Reaccepted::Erased),
            Some(known) if known.digest == update.digest => {
                return Ok(Reaccepted::Duplicate(accepted(&mut tx, company, lead).await?));
            }
            Some(_) => {}
        }
        let (written, hints) = write_update(&mut tx, update).await?;
        tx.commit().await?;
        self.wake_ups.due(hints);
        self.report_held(std::slice::from_ref(update));
        Ok(Reaccepted::Updated(written))
    }
}

impl Store {
    /// Begins a transaction that keeps a company as it is at this version; none if it is at another one. A company that
    /// somebody holds is waited for without a connection, so that the leads of others need not wait for one.
    pub(super) async fn begin_current(
        &self,
        company: CompanyId,
        version: i64,
    ) -> Result<Option<PgTransaction<'static>>, Error> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let mut tx = self.pool.begin().await?;
            let is_locked = sqlx::query_scalar!(
                r#"SELECT l.is_free IS NULL AS "is_locked!" FROM company c LEFT JOIN LATERAL (
                       SELECT true AS is_free FROM company
                       WHERE id = c.id AND config_version = $2 FOR SHARE SKIP LOCKED) l ON true
                   WHERE c.id = $1 AND c.config_version = $2"#,
                company.0,
                version,
            )
            .fetch_optional(&mut *tx)
            .await?;
            match is_locked {
                None => return Ok(None),
                Some(false) => return Ok(Some(tx)),
                Some(true) if Instant::now() >= deadline => return Err(Error::Locked),
                Some(true) => {
                    tx.rollback().await?;
                    sleep(LOCK_GAP).await;
                }
            }
        }
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
    let deliveries = rows.into_iter().map(|row| {
        Ok(AcceptedDelivery {
            integration: row.integration_id.into(),
            id: row.id.into(),
            state: state(&row.state)?,
            reason: Reason::read(row.reason_code, row.reason_detail).map(|reason| reason.text()),
        })
    });
    deliveries.collect()
}
