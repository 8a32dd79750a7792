//! The store: the only SQL there is, divided by what it is about.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, PgTransaction, Postgres, pool::PoolConnection};
use tokio::time::{error::Elapsed, timeout};

use crate::{
    domain::{
        delivery::{LaneKind, State},
        integration::{EventKind, Policy},
        moment::Moment,
        outcome::FailureClass,
    },
    postgres::setup,
    secrets::{AdditionalData, MissingKey, SealError, Sealer},
};

pub mod activity;
pub mod bounded;
pub mod company;
pub mod delivery;
pub mod failure;
pub mod flow;
pub mod integration;
pub mod job;
mod kept;
pub mod key_rotation;
pub mod lead;
pub mod notice;
pub mod operator;
mod pulse;
pub mod queue;
mod replica;
pub mod sealed;
pub mod shown;
pub mod system;
pub mod tend;
pub mod token;
mod wake_ups;

pub use crate::domain::delivery::SweepPolicy;
pub use delivery::partitions::ensure_partitions;
use kept::KeptConnection;
use lead::tries::LeadPlaces;

pub use lead::person::ensure_trigrams;
pub use wake_ups::{Change, DueHint, WakeUps};

/// How long intake waits for what somebody holds of a company, and how often it looks.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(1);
pub const LOCK_GAP: Duration = Duration::from_millis(25);
/// How long what nobody waits for (a sweep, a job, the look for what is stranded) waits for a lock: it comes back by itself.
const ASIDE_LOCK: &str = "1s";
/// Longer than the server lets a statement run.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away or overloaded: the same call may work in a moment.
    #[error("the database is away")]
    Away(#[source] sqlx::Error),
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    MasterKey(#[from] MissingKey),
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    /// The database is newer than this daemon.
    #[error(
        "a stored {what} is {word:?}, which this daemon does not know: run the newest leadlined of this database"
    )]
    UnknownWord { what: &'static str, word: String },
    /// Somebody holds a row: the same call may work in a moment.
    #[error("somebody holds what is to be written: try again in a moment")]
    Locked,
}

impl Error {
    /// Whether the same call may work in a moment: the database is away, or it chose this transaction to end a deadlock.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away(_) | Self::Locked => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| matches!(&*code, "40001" | "40P01" | "57014"))
            }
            _ => false,
        }
    }

    /// Whether the values of a statement are what the database refuses: the same call never works, another one may.
    #[must_use]
    pub fn blames_values(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                // 22 data, 23 constraints, 54 limits.
                error.code().is_some_and(|code| matches!(code.get(..2), Some("22" | "23" | "54")))
            }
            Self::Database(_) | Self::Seal(_) | Self::Corrupt(_) | Self::UnknownWord { .. } => true,
            Self::Away(_) | Self::Locked | Self::MasterKey(_) => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Tls(_) => Self::Away(error),
            // 08 connection, 53 out of resources, 57P shutting down or starting up, 25006 read-only after a fail-over.
            sqlx::Error::Database(inner)
                if inner.code().is_some_and(|code| {
                    code.starts_with("08")
                        || code.starts_with("53")
                        || code.starts_with("57P")
                        || code == "25006"
                }) =>
            {
                Self::Away(error)
            }
            // A lock that did not come in time.
            sqlx::Error::Database(inner) if inner.code().is_some_and(|code| code == "55P03") => Self::Locked,
            _ => Self::Database(error),
        }
    }
}

/// The store of one daemon.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    /// For intake's flushes, with their statement prepared, however many others there are.
    intakes: KeptConnection,
    /// For files of leads, which are written a thousand at a time: nobody who sends one lead waits behind them.
    imports: KeptConnection,
    /// For finishing, whose plan is pinned to what is right when the tables are full.
    finishes: KeptConnection,
    /// For what keeps this daemon alive to the others: whoever waits on all other connections must not make it look dead.
    beats: KeptConnection,
    places: LeadPlaces,
    sealer: Sealer,
    wake_ups: Arc<WakeUps>,
    sweep: SweepPolicy,
    /// How long attempts are kept.
    kept: Duration,
    leads_kept: Option<Duration>,
    readings_kept: Duration,
    /// How a connector and a configuration limit their lane: connectors are not known here.
    policy: fn(&str, &Value) -> Policy,
    /// How long a server may be silent.
    silence_max: Duration,
    pulse: pulse::Pulse,
    /// A server that may answer lists.
    replica: Option<replica::Replica>,
}

impl Store {
    /// A store on a migrated database.
    #[must_use]
    pub fn new(pool: PgPool, sealer: Sealer, wake_ups: Arc<WakeUps>) -> Self {
        let intakes = KeptConnection::of(setup::apart(&pool, "intake"));
        let imports = KeptConnection::of(setup::apart(&pool, "import"));
        // What somebody holds is written later; the rest of a flush does not wait for it.
        let finishes = KeptConnection::of(setup::pinned(&pool, "finish", &[("lock_timeout", "500ms")]));
        let beats = KeptConnection::of(setup::pinned(&pool, "beat", &[]));
        let places = LeadPlaces::of(&pool);
        let policy = |_: &str, _: &Value| Policy::default();
        let (sweep, kept) = (SweepPolicy::default(), delivery::retention::KEPT_DEFAULT);
        Self {
            pool,
            intakes,
            imports,
            finishes,
            beats,
            places,
            sealer,
            wake_ups,
            sweep,
            kept,
            leads_kept: None,
            readings_kept: operator::reading::READINGS_KEPT_DEFAULT,
            policy,
            silence_max: SILENCE_MAX,
            pulse: pulse::Pulse::default(),
            replica: None,
        }
    }

    /// A store for tests that ask no database anything.
    #[cfg(test)]
    pub(crate) fn unconnected() -> Self {
        let pool =
            sqlx::postgres::PgPoolOptions::new().connect_lazy_with(sqlx::postgres::PgConnectOptions::new());
        let ring = crate::secrets::master_key::KeyRing::of(vec![[0; 32].into()]).expect("a key makes a ring");
        let sealer = Sealer::new(std::path::Path::new("/no/master.key"), &ring);
        Self::new(pool, sealer, Arc::new(WakeUps::new().0))
    }

    /// The same, with what connectors say of their lanes.
    #[must_use]
    pub fn limited_by(self, policy: fn(&str, &Value) -> Policy) -> Self {
        Self { policy, ..self }
    }

    /// The same, for a server that may be silent for so long.
    #[must_use]
    pub fn silent_at_most(self, silence_max: Duration) -> Self {
        Self { silence_max, ..self }
    }

    /// The same, with this policy of the sweep.
    #[must_use]
    pub fn sweeping(self, sweep: SweepPolicy) -> Self {
        Self { sweep, ..self }
    }

    /// The same, with attempts kept for this long, and leads for that long if not for ever.
    #[must_use]
    pub fn keeping(self, kept: Duration, leads_kept: Option<Duration>) -> Self {
        Self { kept, leads_kept, ..self }
    }

    /// The same, with what is noted of readings kept for this long.
    #[must_use]
    pub fn keeping_readings(self, readings_kept: Duration) -> Self {
        Self { readings_kept, ..self }
    }

    /// The same for membership, on connections that nobody else uses.
    #[must_use]
    pub fn beating(&self) -> Self {
        Self { pool: self.beats.pool().clone(), ..self.clone() }
    }

    /// Every pool there is, for whoever turns them to another server.
    #[must_use]
    pub fn pools(&self) -> [PgPool; 5] {
        let own = [&self.intakes, &self.imports, &self.finishes, &self.beats].map(|kept| kept.pool().clone());
        let [intakes, imports, finishes, beats] = own;
        [self.pool.clone(), intakes, imports, finishes, beats]
    }

    /// Watches for ever whether the database answers. Until this runs, it is taken to do so.
    pub async fn watch_database(&self) {
        self.pulse.keep_asking(&self.pool).await;
    }

    /// Lets ids go by the database's clock, before the first one is made.
    pub async fn follow_clock(&self) -> Result<(), Error> {
        pulse::measure_clock_first(&self.pool).await
    }

    /// What the work comes to, unless the database is away meanwhile; then it may be done all the same.
    pub async fn unless_away<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.pulse.unless_away(work).await
    }

    /// What the work comes to, unless the server is silent for longer than it may be. Then it may be done all the same.
    pub(crate) async fn unless_silent<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(self.silence_max, work).await.unwrap_or(Err(Error::Away(sqlx::Error::PoolTimedOut)))
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        let asked = async { Ok(sqlx::query("SELECT 1").execute(&self.pool).await?) };
        self.pulse.is_alive() && self.unless_away(asked).await.is_ok()
    }

    /// Closes the connections that take in, finish and beat; the pool is its owner's to close.
    pub async fn close(&self) {
        self.intakes.close().await;
        self.imports.close().await;
        self.finishes.close().await;
        self.beats.close().await;
    }

    /// The wake-ups of this daemon.
    #[must_use]
    pub fn wake_ups(&self) -> &Arc<WakeUps> {
        &self.wake_ups
    }

    /// Begins what nobody waits for.
    async fn begin_aside(&self) -> Result<PgTransaction<'static>, Error> {
        let mut tx = self.pool.begin().await?;
        wait_for_locks(&mut tx, ASIDE_LOCK).await?;
        Ok(tx)
    }

    /// Opens a sealed text.
    fn open_text(&self, place: &AdditionalData, sealed: &[u8]) -> Result<SecretString, Error> {
        let text = String::from_utf8(self.sealer.open(place, sealed)?);
        Ok(text.map_err(|_| Error::Corrupt("sealed text"))?.into())
    }
}

/// What the server answered within [`Store::silence_max`]; a network that swallows packets answers nothing, not even
/// an error. A connection that was silent is closed, for in the pool it would be waited for; what it was to do may be
/// done or not.
fn heard<T, E: Into<Error>>(
    mut connection: PoolConnection<Postgres>,
    answer: Result<Result<T, E>, Elapsed>,
) -> Result<T, Error> {
    answer.map_or_else(
        |_| {
            connection.close_on_drop();
            Err(Error::Away(sqlx::Error::PoolTimedOut))
        },
        |answer| answer.map_err(Into::into),
    )
}

/// Lets a transaction wait for a lock no longer than so: it is begun again later, and others find a connection meanwhile.
async fn wait_for_locks(db: &mut PgConnection, at_most: &str) -> Result<(), Error> {
    sqlx::query!("SELECT set_config('lock_timeout', $1, true)", at_most).fetch_one(db).await?;
    Ok(())
}

/// Text that its column takes: a NUL would fail the whole statement.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

/// The same of every text of a JSON document.
fn storable_json(document: Value) -> Value {
    match document {
        Value::String(text) => Value::String(storable(&text)),
        Value::Array(items) => items.into_iter().map(storable_json).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (storable(&name), storable_json(value))).collect()
        }
        plain => plain,
    }
}

/// A stored word, if this daemon knows it.
fn known<T>(what: &'static str, word: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
    parse(word).ok_or_else(|| Error::UnknownWord { what, word: word.to_owned() })
}

/// The state of a delivery's row.
fn state(word: &str) -> Result<State, Error> {
    known("delivery state", word, State::parse)
}

/// The events that a row subscribes to.
fn events(words: &[String]) -> Result<Vec<EventKind>, Error> {
    words.iter().map(|word| known("event", word, EventKind::parse)).collect()
}

/// Events as a row keeps them.
fn event_words(events: &[EventKind]) -> Vec<&'static str> {
    events.iter().map(|event| event.as_str()).collect()
}

/// The failure class of a row.
fn class(word: Option<&str>) -> Result<Option<FailureClass>, Error> {
    word.map(|word| known("failure class", word, FailureClass::parse)).transpose()
}

/// The kind of a due row.
fn lane_kind(number: i16) -> Result<LaneKind, Error> {
    LaneKind::of(number).ok_or_else(|| Error::UnknownWord { what: "lane kind", word: number.to_string() })
}

/// A time of a row.
fn moment(at: jiff_sqlx::Timestamp) -> Moment {
    at.to_jiff().into()
}
