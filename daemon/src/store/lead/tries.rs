//! How what is known of a lead is written while somebody may hold its rows: in short tries. Between them nothing is held,
//! no row and no connection, and one company's tries never have more than a share of the connections: so a company of
//! which somebody holds a row keeps nobody else waiting.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgPool, PgTransaction};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    domain::ids::CompanyId,
    shares::{Share, Shares},
    store::{Error, LOCK_GAP, LOCK_PATIENCE, Store},
};

/// How long a try waits for a row that somebody holds. It may meet some, one behind the other.
const LOCK_TRY: Duration = Duration::from_millis(50);
const TRY_MAX: Duration = Duration::from_millis(300);
/// How much longer a company waits for its own tries, as long as nobody holds its rows: as for a connection.
const CROWD_PATIENCE: Duration = Duration::from_secs(5);
/// A company has one of so many connections.
const SHARE: u32 = 4;
/// So many posts of one address are decided on at once.
const ADDRESSES_MAX: usize = 1 << 20;

/// An address of a company, by its hash.
type AddressKey = (CompanyId, [u8; 32]);

/// Who may try to write a lead now.
#[derive(Clone, Debug)]
pub(in crate::store) struct LeadPlaces(Arc<PlacesTaken>);

#[derive(Debug)]
struct PlacesTaken {
    companies: Shares<CompanyId>,
    addresses: Shares<AddressKey>,
    /// Companies of which somebody held a row, and when that was last tried.
    held: Mutex<HashMap<CompanyId, Instant>>,
}

impl LeadPlaces {
    /// Some of the connections that a pool may open are left to everything else.
    pub(in crate::store) fn of(pool: &PgPool) -> Self {
        let connections = pool.options().get_max_connections();
        let share = (connections / SHARE).max(1);
        let all = connections.saturating_sub(share).max(1);
        Self(Arc::new(PlacesTaken {
            companies: Shares::new(all as usize, share as usize),
            addresses: Shares::new(ADDRESSES_MAX, 1),
            held: Mutex::default(),
        }))
    }

    /// Waits for a place of a company.
    async fn take(&self, company: CompanyId, until: Instant) -> Result<Share, Error> {
        self.wait(company, until, self.0.companies.take(company, 1)).await
    }

    /// Waits in a line of a company. If somebody holds a row of it, only until then.
    async fn wait(
        &self,
        company: CompanyId,
        until: Instant,
        place: impl Future<Output = Option<Share>>,
    ) -> Result<Share, Error> {
        let mut place = pin!(place);
        let taken = match timeout_at(until, &mut place).await {
            Ok(taken) => taken,
            Err(_) if self.is_held(company) => return Err(Error::Locked),
            Err(_) => timeout_at(until + CROWD_PATIENCE, place).await.unwrap_or_default(),
        };
        taken.ok_or(Error::Away(sqlx::Error::PoolTimedOut))
    }

    fn is_held(&self, company: CompanyId) -> bool {
        self.held().get(&company).is_some_and(|at| at.elapsed() < LOCK_PATIENCE)
    }

    fn met_lock(&self, company: CompanyId) {
        let mut held = self.held();
        held.retain(|_, at| at.elapsed() < LOCK_PATIENCE);
        held.insert(company, Instant::now());
    }

    fn held(&self) -> MutexGuard<'_, HashMap<CompanyId, Instant>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tries of one write, until its time is over.
pub(super) struct LeadTries<'a> {
    store: &'a Store,
    company: CompanyId,
    until: Instant,
}

/// A transaction that keeps a company as it is. One that is dropped changes nothing.
pub(super) struct LeadTry {
    pub(super) tx: PgTransaction<'static>,
    _place: Share,
}

impl Store {
    /// Begins to try to write a lead of a company.
    pub(super) fn tries(&self, company: CompanyId) -> LeadTries<'_> {
        LeadTries { store: self, company, until: Instant::now() + LOCK_PATIENCE }
    }
}

impl LeadTries<'_> {
    /// Waits for a turn among the posts of an address, so that none decides on what another is about to change.
    pub(super) async fn turn(&self, email_hash: [u8; 32]) -> Result<Share, Error> {
        let LeadPlaces(places) = &self.store.places;
        let turn = places.addresses.take((self.company, email_hash), 1);
        self.store.places.wait(self.company, self.last_begin(), turn).await
    }

    /// When the last try begins, so that it ends in time.
    fn last_begin(&self) -> Instant {
        self.until - TRY_MAX
    }

    /// What is done between two tries takes time, which is not counted.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.until += began.elapsed();
        done
    }

    /// Begins a try at this version of the company; none if it is at another one.
    pub(super) async fn begin(&self, version: i64) -> Result<Option<LeadTry>, Error> {
        let place = self.store.places.take(self.company, self.last_begin()).await?;
        let mut tx = self.store.pool.begin().await?;
        let company = sqlx::query!(
            r#"SELECT l.is_free IS NULL AS "is_locked!", set_config('lock_timeout', $3, true) AS lock_timeout
               FROM company c LEFT JOIN LATERAL (
                   SELECT true AS is_free FROM company
                   WHERE id = c.id AND config_version = $2 FOR SHARE SKIP LOCKED) l ON true
               WHERE c.id = $1 AND c.config_version = $2"#,
            self.company.0,
            version,
            format!("{}ms", LOCK_TRY.as_millis()),
        )
        .fetch_optional(&mut *tx)
        .await?;
        match company {
            None => Ok(None),
            Some(company) if company.is_locked => Err(Error::Locked),
            Some(_) => Ok(Some(LeadTry { tx, _place: place })),
        }
    }

    /// Waits for the next try after one that failed. What is no lock that somebody holds, or has been tried for long enough,
    /// is the answer.
    pub(super) async fn after(&self, error: Error) -> Result<(), Error> {
        let Error::Locked = error else { return Err(error) };
        self.store.places.met_lock(self.company);
        if Instant::now() + LOCK_GAP > self.last_begin() {
            return Err(error);
        }
        sleep(LOCK_GAP).await;
        Ok(())
    }
}

impl LeadTry {
    pub(super) async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: u32) -> LeadPlaces {
        let options = sqlx::postgres::PgPoolOptions::new().max_connections(connections);
        LeadPlaces::of(&options.connect_lazy_with(sqlx::postgres::PgConnectOptions::new()))
    }

    #[tokio::test]
    async fn a_company_has_a_share_of_the_connections_and_waits_for_it_only_as_long_as_that_helps() {
        let (places, one, two) = (places(16), CompanyId(1), CompanyId(2));
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(places.take(one, Instant::now()).await.unwrap());
        }
        assert!(places.take(two, Instant::now()).await.is_ok(), "others have theirs");
        let freed = async {
            tokio::task::yield_now().await;
            taken.pop();
        };
        let (place, ()) = tokio::join!(places.take(one, Instant::now()), freed);
        assert!(place.is_ok(), "nobody holds its rows: it is a crowd, which goes on");
        places.met_lock(one);
        let _own = place;
        assert!(matches!(places.take(one, Instant::now()).await, Err(Error::Locked)));
        assert!(places.take(two, Instant::now()).await.is_ok());
    }

    #[tokio::test]
    async fn some_connections_are_never_taken() {
        for (connections, all, share) in [(16, 12, 4), (5, 4, 1), (3, 2, 1), (2, 1, 1), (1, 1, 1)] {
            let places = places(connections);
            assert_eq!(places.0.companies.free(), all, "{connections}");
            let own = (0..9).filter_map(|_| places.0.companies.try_take(CompanyId(1), 1)).collect::<Vec<_>>();
            assert_eq!(own.len(), share, "{connections}");
        }
    }
}
