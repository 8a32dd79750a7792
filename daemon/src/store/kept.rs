//! A connection for a statement that is carried out all the time. A pool asks each connection that comes back whether it
//! still answers: a round trip more for each flush, and two wake-ups on either side. Here it is kept as it is.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{error::Elapsed, timeout},
};

use super::Error;
use crate::{postgres::setup::ACQUIRE_TIMEOUT, telemetry};

/// What the server remembers for a connection grows with its age; pools give theirs up after as long.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// One connection as a pool makes them, for one user at a time: whoever comes meanwhile waits for it.
#[derive(Clone, Debug)]
pub(super) struct KeptConnection {
    pool: PgPool,
    place: Arc<Mutex<Option<OpenedConnection>>>,
}

#[derive(Debug)]
struct OpenedConnection {
    connection: PgConnection,
    /// Where it leads, as the pool had it then.
    server: Arc<PgConnectOptions>,
    since: Instant,
}

impl OpenedConnection {
    /// Whether it leads where the pool leads now, and is not too old.
    fn is_fresh(&self, pool: &PgPool) -> bool {
        self.since.elapsed() < LIFE && Arc::ptr_eq(&self.server, &pool.connect_options())
    }
}

/// The connection while somebody uses it. Dropped, it ends, and with it whatever was begun on it.
#[derive(Debug)]
pub(super) struct InUse {
    open: OpenedConnection,
    place: OwnedMutexGuard<Option<OpenedConnection>>,
}

impl KeptConnection {
    pub(super) fn of(pool: PgPool) -> Self {
        Self { pool, place: Arc::default() }
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The connection that is kept, or another one, within the time that a pool gives one.
    pub(super) async fn take(&self) -> Result<InUse, sqlx::Error> {
        let place = timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.place).lock_owned()).await;
        let mut place = place.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if let Some(open) = place.take().filter(|open| open.is_fresh(&self.pool)) {
            return Ok(InUse { open, place });
        }
        let server = self.pool.connect_options();
        let connection = self.pool.acquire().await?.detach();
        Ok(InUse { open: OpenedConnection { connection, server, since: Instant::now() }, place })
    }

    /// Closes it once nobody uses it.
    pub(super) async fn close(&self) {
        // First, so that nobody opens another one.
        self.pool.close().await;
        if let Some(open) = self.place.lock().await.take()
            && let Err(error) = open.connection.close().await
        {
            tracing::debug!(error = telemetry::causes(&error), "the server did not hear a farewell");
        }
    }
}

impl InUse {
    /// What the server answered, as [`super::heard`]. Where it did, the next statement has the connection, so that a
    /// transaction must have ended by then: one that is dropped ends with the next statement only.
    pub(super) fn heard<T, E: Into<Error>>(self, answer: Result<Result<T, E>, Elapsed>) -> Result<T, Error> {
        let answer = match answer {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(Error::Away(sqlx::Error::PoolTimedOut)),
        };
        if matches!(answer, Ok(_) | Err(Error::Locked | Error::Database(sqlx::Error::Database(_)))) {
            self.keep();
        }
        answer
    }

    /// Leaves it to the next statement: no transaction is open on it.
    pub(super) fn keep(self) {
        let Self { open, mut place } = self;
        *place = Some(open);
    }
}

impl Deref for InUse {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.open.connection
    }
}

impl DerefMut for InUse {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.open.connection
    }
}
