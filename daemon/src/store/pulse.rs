//! Whether the database answers at all, asked on a connection of its own twice a second while somebody waits for it:
//! whoever waits for a server that is frozen or unreachable learns of it in a moment, not when a statement times out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{ConnectOptions as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::Error;
use crate::domain::ids;

/// How often the database is asked while somebody waits for it, and while nobody does.
const EVERY: Duration = Duration::from_millis(500);
const EVERY_IDLE: Duration = Duration::from_secs(10);
/// A database that has not answered for so long is away.
const PATIENCE: Duration = Duration::from_millis(1200);
/// How often a database that is away is asked.
const EVERY_AWAY: Duration = Duration::from_millis(200);
/// After so long a connection is given up: the network may have forgotten it.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a new one may take: the pool may be turned to another server meanwhile.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Whether the database answers, as far as is known.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<PulseState>);

#[derive(Debug)]
struct PulseState {
    is_alive: watch::Sender<bool>,
    /// How many wait for the database now.
    waiting: AtomicUsize,
    /// Somebody began to.
    wanted: Notify,
}

/// Somebody who waits for the database.
struct Waiter<'a>(&'a PulseState);

impl<'a> Waiter<'a> {
    fn new(state: &'a PulseState) -> Self {
        state.waiting.fetch_add(1, Ordering::Relaxed);
        state.wanted.notify_one();
        Self(state)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Pulse {
    /// Of a database that answers until it was seen not to.
    fn default() -> Self {
        let is_alive = watch::Sender::new(true);
        Self(Arc::new(PulseState { is_alive, waiting: AtomicUsize::new(0), wanted: Notify::new() }))
    }
}

impl Pulse {
    pub(super) fn is_alive(&self) -> bool {
        *self.0.is_alive.borrow()
    }

    /// Waits until the database is away.
    async fn away(&self) {
        // The sender lives as long as this does.
        if self.0.is_alive.subscribe().wait_for(|is_alive| !is_alive).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What the work comes to, unless the database is away meanwhile. Then it may be done all the same.
    pub(super) async fn unless_away<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let _waiter = Waiter::new(&self.0);
        tokio::select! {
            biased;
            () = self.away() => Err(Error::Away(sqlx::Error::PoolTimedOut)),
            done = work => done,
        }
    }

    fn set(&self, is_alive: bool) {
        let changed =
            self.0.is_alive.send_if_modified(|known| std::mem::replace(known, is_alive) != is_alive);
        metrics::gauge!("leadline_database_up").set(f64::from(u8::from(is_alive)));
        match (changed, is_alive) {
            (true, true) => tracing::info!(event = "database_back", "the database answers again"),
            (true, false) => tracing::error!(
                event = "database_away",
                "the database does not answer; leads are refused until it does"
            ),
            _ => {}
        }
    }

    /// Asks for ever. It may be dropped at any time.
    pub(super) async fn keep_asking(&self, pool: &PgPool) {
        let mut connection = None;
        loop {
            // The pool may have been turned to another server.
            let options = pool.connect_options();
            let asked = self.ask(&options, connection.take());
            match timeout(SILENCE_MAX, asked).await {
                Ok(Ok(open)) => connection = Some(open),
                Ok(Err(error)) if is_answer(&error) => self.set(true),
                Ok(Err(_)) | Err(_) => self.set(false),
            }
            self.rest().await;
        }
    }

    /// Waits until the database is to be asked again.
    async fn rest(&self) {
        if !self.is_alive() {
            return sleep(EVERY_AWAY).await;
        }
        sleep(EVERY).await;
        if self.0.waiting.load(Ordering::Relaxed) == 0 {
            tokio::select! {
                () = self.0.wanted.notified() => {}
                () = sleep(EVERY_IDLE) => {}
            }
        }
    }

    /// Asks once, and reports while it waits that the answer is late.
    async fn ask(
        &self,
        options: &PgConnectOptions,
        connection: Option<PgConnection>,
    ) -> Result<PgConnection, sqlx::Error> {
        let asked = async {
            let mut connection = match connection {
                Some(mut open) => match measure_clock(&mut open).await {
                    Ok(()) => return Ok(open),
                    // Somebody ended this connection, which says nothing of the server.
                    Err(_) => connect(options).await?,
                },
                None => connect(options).await?,
            };
            measure_clock(&mut connection).await?;
            Ok(connection)
        };
        tokio::pin!(asked);
        if let Ok(answered) = timeout(PATIENCE, &mut asked).await {
            self.set(answered.as_ref().map_or_else(is_answer, |_| true));
            return answered;
        }
        self.set(false);
        let connection = asked.await?;
        self.set(true);
        Ok(connection)
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    timeout(CONNECT_MAX, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Whether an error is the word of a server that works: too many connections, say, but not that it starts or stops.
fn is_answer(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| !code.starts_with("57P")))
}

/// Asks the database for the time, and lets ids go by it: those of several daemons are then in one order.
pub(super) async fn measure_clock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let before = SystemTime::now();
    let theirs: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        .fetch_one(connection)
        .await?;
    let after = SystemTime::now();
    // It was read at some moment of the way there and back.
    let half = after.duration_since(before).unwrap_or_default() / 2;
    let ours = (before + half).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let uncertainty = i64::try_from(half.as_millis()).unwrap_or(i64::MAX);
    ids::set_clock_offset(theirs - i64::try_from(ours).unwrap_or(theirs), uncertainty);
    Ok(())
}

/// Measures the clock once, before the first id is made: nobody else uses the pool yet.
pub(super) async fn measure_clock_first(pool: &PgPool) -> Result<(), Error> {
    measure_clock(&mut *pool.acquire().await?).await?;
    Ok(())
}
