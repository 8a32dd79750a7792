//! The rotation of the master key, as the database keeps it: which key seals, which one is to, and which daemons can open
//! with it. Every step is one transaction, so that whoever is killed between two of them is followed by another.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use super::{Error, Store, sealed};
pub use crate::secrets::{KeysInUse, MissingKey};
use crate::{postgres::setup, secrets::master_key::Fingerprint};

/// Whoever rotates holds it until its connection ends.
const LOCK: i64 = i64::from_be_bytes(*b"\0\0lead\0\x03");
/// A command that was killed holds its lock until the server has noticed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// What became of a step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationStep {
    Done,
    /// These daemons live, and cannot open with the key.
    HeldUp(Vec<HeldUp>),
    /// So many values are under another key: somebody held them when the others were sealed anew.
    Left(i64),
    /// The database asks for another key than this rotation's.
    Overtaken,
}

/// A daemon that cannot open with a key that it is to have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldUp {
    pub daemon: i64,
    pub version: String,
    /// Machine and path; empty for one that does not say.
    pub key_file: String,
}

/// Lets one command rotate at a time: the connection that keeps the others out while it is open. None if another one
/// rotates.
pub async fn exclude_others(pool: &PgPool) -> Result<Option<PgConnection>, Error> {
    let patience = LOCK_PATIENCE.as_millis().to_string();
    let options = setup::named(pool, "key rotation").options([("lock_timeout", &*patience)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let locked = sqlx::query!("SELECT pg_advisory_lock($1)", LOCK).execute(&mut connection).await;
    match locked.map_err(Error::from) {
        Ok(_) => Ok(Some(connection)),
        Err(Error::Locked) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which keys the database asks for.
pub async fn keys_in_use(pool: &PgPool) -> Result<KeysInUse, Error> {
    let row =
        sqlx::query!("SELECT key_fingerprint, next_fingerprint, previous_fingerprint FROM installation")
            .fetch_one(pool)
            .await?;
    read_keys(&row.key_fingerprint, row.next_fingerprint.as_deref(), row.previous_fingerprint.as_deref())
}

/// Asks every daemon to open with another key, too. Nothing is sealed with it yet, so that it may be yet another one.
pub async fn stage(pool: &PgPool, next: &Fingerprint) -> Result<(), Error> {
    sqlx::query!("UPDATE installation SET next_fingerprint = $1", next).execute(pool).await?;
    Ok(())
}

/// Lets the next key seal if every daemon that lives can open with it. A daemon that begins to live at this moment is seen
/// here, or sees the new key: its row and this exclude each other.
pub async fn turn(pool: &PgPool, next: &Fingerprint) -> Result<RotationStep, Error> {
    // Nobody waits for a lock that would be of no use.
    let held_up = held_up(&mut *pool.acquire().await?, next).await?;
    if !held_up.is_empty() {
        return Ok(RotationStep::HeldUp(held_up));
    }
    let mut tx = pool.begin().await?;
    sqlx::query!("SELECT FROM installation FOR UPDATE").execute(&mut *tx).await?;
    let held_up = self::held_up(&mut tx, next).await?;
    if !held_up.is_empty() {
        return Ok(RotationStep::HeldUp(held_up));
    }
    let turned = sqlx::query!(
        "UPDATE installation SET previous_fingerprint = key_fingerprint, key_fingerprint = $1, next_fingerprint = NULL
         WHERE next_fingerprint = $1",
        next
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(if turned.rows_affected() == 1 { RotationStep::Done } else { RotationStep::Overtaken })
}

async fn held_up(db: &mut PgConnection, next: &Fingerprint) -> Result<Vec<HeldUp>, Error> {
    let held_up = sqlx::query_as!(
        HeldUp,
        "SELECT id AS daemon, version, key_file FROM daemon
         WHERE lease_until > clock_timestamp() AND $1::bytea <> ALL (key_fingerprints) ORDER BY id",
        next
    );
    Ok(held_up.fetch_all(db).await?)
}

/// Ends a rotation to this key if nothing is under another one, and no daemon lives that would put something there.
pub async fn finish(pool: &PgPool, sealing: &Fingerprint) -> Result<RotationStep, Error> {
    let mut tx = pool.begin().await?;
    // Whoever seals now has committed before, or does so with this key.
    let key = sqlx::query_scalar!("SELECT key_fingerprint FROM installation FOR UPDATE")
        .fetch_one(&mut *tx)
        .await?;
    if key != sealing {
        return Ok(RotationStep::Overtaken);
    }
    let left = sealed::count_others(&mut tx, &key).await?;
    if left > 0 {
        return Ok(RotationStep::Left(left));
    }
    // One of a version that knows of no rotation seals with the key that it has.
    let held_up = held_up(&mut tx, sealing).await?;
    if !held_up.is_empty() {
        return Ok(RotationStep::HeldUp(held_up));
    }
    sqlx::query!("UPDATE installation SET previous_fingerprint = NULL, next_fingerprint = NULL")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(RotationStep::Done)
}

/// The keys that a row names.
pub(super) fn read_keys(
    sealing: &[u8],
    next: Option<&[u8]>,
    previous: Option<&[u8]>,
) -> Result<KeysInUse, Error> {
    KeysInUse::of(sealing, next, previous).ok_or(Error::Corrupt("key fingerprint"))
}

impl Store {
    /// Follows the database to the keys that it asks for. True if this daemon has others than before.
    pub fn follow_keys(&self, keys: &KeysInUse) -> Result<bool, MissingKey> {
        self.sealer.follow(keys)
    }

    /// The fingerprints of this daemon's keys, as its row says them.
    pub(super) fn own_keys(&self) -> Vec<Vec<u8>> {
        self.sealer.fingerprints().iter().map(|key| key.to_vec()).collect()
    }
}
