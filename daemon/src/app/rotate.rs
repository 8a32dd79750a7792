//! `leadlined master-key rotate`: a new master key, under which everything is sealed anew while daemons work.
//!
//! First the key file gets the next key beside the one that seals, and every daemon reads it there; then the next one
//! seals; then what the old one sealed is sealed anew; last the file loses the old one. Whatever is killed on this way
//! leaves daemons that open everything, and running this again goes on where it stopped.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use crate::{
    app,
    config::Config,
    postgres::{
        data_dir::{DataDir, DataDirError},
        embedded::{self, EmbeddedError, dump},
        setup::{self, SetupError},
    },
    secrets::{
        Sealer,
        master_key::{self, Fingerprint, KeyRing, MasterKeyError},
    },
    store::{
        self,
        key_rotation::{self, HeldUp, RotationStep},
        sealed::{self, ResealError},
    },
};

/// Where systemd shows a unit its credentials, which nobody can write.
const CREDENTIALS: &str = "/run/credentials";
/// How often it is looked whether daemons have followed.
const LOOK: Duration = Duration::from_millis(200);
/// A daemon that can read the file does so within one beat, which is 2 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the rotation is not finished.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error("there is no master key {} yet: the first start makes it", .0.display())]
    NoKey(PathBuf),
    #[error(
        "{} is a credential of systemd, which cannot be written: name the file that LoadCredential= reads with \
         --master-key, as a user who may write it", .0.display()
    )]
    Credential(PathBuf),
    #[error("the master key {path} is {owner}'s: run this as {owner}", path = .path.display())]
    Anothers { path: PathBuf, owner: String },
    #[error("another `leadlined master-key rotate` works on this database: wait until it has ended")]
    Busy,
    #[error(
        "another `leadlined master-key rotate` named another key meanwhile: run this again, which goes on where it stopped"
    )]
    Overtaken,
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Private(#[from] EmbeddedError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error("the secrets cannot be sealed anew: run this again, which goes on where it stopped")]
    Reseal(#[from] ResealError),
    #[error("the database failed: run this again, which goes on where it stopped")]
    Store(#[from] store::Error),
    #[error("the database cannot be used")]
    Database(#[source] anyhow::Error),
}

/// Rotates the key, or finishes a rotation that was broken off. The answer is how many values were sealed anew.
pub async fn rotate(config: &Config) -> Result<u64, RotateError> {
    let path = &config.master_key;
    if path.starts_with(CREDENTIALS) {
        return Err(RotateError::Credential(path.clone()));
    }
    load(path)?;
    if config.database_url.is_some() {
        let hosts = app::hosts(config).map_err(RotateError::Database)?;
        let hosts = hosts.ok_or_else(|| RotateError::NoKey(path.clone()))?;
        return rotate_on(&hosts.writable().await?, path).await;
    }
    // A daemon that runs holds the directory and its server; otherwise we run the server ourselves for so long.
    match DataDir::open(&config.data_dir) {
        Ok(data) => {
            // Of a new one the file would lose the key under which the daemon's own database is sealed.
            embedded::require_cluster(data.path())?;
            let (options, cluster) = app::database(config, &data).await.map_err(RotateError::Database)?;
            let rotated = rotate_on(&options, path).await;
            if let Some(cluster) = cluster {
                cluster.stop().await?;
            }
            rotated
        }
        Err(DataDirError::InUse(_)) => {
            let source = dump::DumpSource::running(&config.data_dir)?;
            rotate_on(&source.connect_options(), path).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The keys of the file, which its owner may rotate.
fn load(path: &Path) -> Result<KeyRing, RotateError> {
    match master_key::load(path) {
        Ok(Some(ring)) => Ok(ring),
        Ok(None) => Err(RotateError::NoKey(path.to_owned())),
        Err(MasterKeyError::Foreign { path, owner, .. }) => Err(RotateError::Anothers { path, owner }),
        Err(error) => Err(error.into()),
    }
}

async fn rotate_on(options: &PgConnectOptions, path: &Path) -> Result<u64, RotateError> {
    let pool = setup::connect(options).await?;
    let others_wait = key_rotation::exclude_others(&pool).await?.ok_or(RotateError::Busy)?;
    // The file must be the right one before another key goes into it.
    let sealer = setup::unseal(&pool, path).await?;
    let in_use = key_rotation::keys_in_use(&pool).await?;
    // Which key of the file is which the database alone knows.
    let only = |key: &Fingerprint| -> Result<KeyRing, RotateError> {
        Ok(load(path)?.only(key).ok_or_else(|| SetupError::OtherKey(path.to_owned()))?)
    };
    let mut sealing = in_use.sealing;
    if in_use.previous.is_none() {
        let ring = load(path)?;
        let staged = in_use.next.filter(|next| ring.holds(next));
        sealing = match staged {
            Some(next) => next,
            // Nothing is sealed with another key that the file may hold.
            None => {
                let ring = only(&in_use.sealing)?.with_new();
                master_key::replace(path, &ring)?;
                ring.newest_fingerprint()
            }
        };
        turn(&pool, &sealing, path).await?;
    }
    let values = reseal(&pool, &sealer, &sealing, path).await?;
    master_key::replace(path, &only(&sealing)?)?;
    drop(others_wait);
    pool.close().await;
    Ok(values)
}

/// Waits for daemons without a key, and names each once.
struct AwaitedDaemons<'a> {
    path: &'a Path,
    begun: Instant,
    named: HashSet<i64>,
}

impl<'a> AwaitedDaemons<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, begun: Instant::now(), named: HashSet::new() }
    }

    async fn wait(&mut self, held_up: Vec<HeldUp>) {
        for HeldUp { daemon, version, key_file } in held_up {
            if self.begun.elapsed() >= PATIENCE && self.named.insert(daemon) {
                tracing::warn!(event = "master_key_awaited", daemon, version, key_file, file = %self.path.display(), "waiting for a daemon that does not have the next key: copy the file to its key file, or stop it; one whose key is a credential of systemd must be restarted then");
            }
        }
        sleep(LOOK).await;
    }
}

/// Waits until every daemon can open with the next key, and lets that one seal.
async fn turn(pool: &PgPool, next: &Fingerprint, path: &Path) -> Result<(), RotateError> {
    key_rotation::stage(pool, next).await?;
    tracing::info!(event = "master_key_staged", file = %path.display(), "the next key is in the file; it seals once every daemon has read it there");
    let mut awaited = AwaitedDaemons::new(path);
    loop {
        match key_rotation::turn(pool, next).await {
            Ok(RotationStep::Done) => break,
            Ok(RotationStep::HeldUp(held_up)) => awaited.wait(held_up).await,
            // An operator's command is about to end.
            Ok(RotationStep::Left(_)) | Err(store::Error::Locked) => sleep(LOOK).await,
            Ok(RotationStep::Overtaken) => return Err(RotateError::Overtaken),
            Err(error) => return Err(error.into()),
        }
    }
    tracing::info!(
        event = "master_key_turned",
        "the next key seals from now on; what the old one sealed is sealed anew"
    );
    Ok(())
}

/// Seals everything anew with the key that seals now. The answer is how many values that were.
async fn reseal(
    pool: &PgPool,
    sealer: &Sealer,
    sealing: &Fingerprint,
    path: &Path,
) -> Result<u64, RotateError> {
    let (mut values, mut awaited) = (0, AwaitedDaemons::new(path));
    loop {
        sealed::reseal(pool, sealer, sealing, |count| {
            values += count;
            tracing::info!(event = "master_key_progress", values, "sealed anew");
        })
        .await?;
        match key_rotation::finish(pool, sealing).await {
            Ok(RotationStep::Done) => return Ok(values),
            Ok(RotationStep::HeldUp(held_up)) => awaited.wait(held_up).await,
            // Somebody holds the rest, for as long as a command takes.
            Ok(RotationStep::Left(_)) | Err(store::Error::Locked) => sleep(LOOK).await,
            Ok(RotationStep::Overtaken) => return Err(RotateError::Overtaken),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        for (error, reported) in [
            (
                RotateError::NoKey("/data/master.key".into()),
                "there is no master key /data/master.key yet: the first start makes it",
            ),
            (
                RotateError::Credential("/run/credentials/leadlined.service/master.key".into()),
                "/run/credentials/leadlined.service/master.key is a credential of systemd, which cannot be written: name \
                 the file that LoadCredential= reads with --master-key, as a user who may write it",
            ),
            (
                RotateError::Anothers { path: "/data/master.key".into(), owner: "leadline".to_owned() },
                "the master key /data/master.key is leadline's: run this as leadline",
            ),
            (
                RotateError::Overtaken,
                "another `leadlined master-key rotate` named another key meanwhile: run this again, which goes on where it \
                 stopped",
            ),
            (
                RotateError::Busy,
                "another `leadlined master-key rotate` works on this database: wait until it has ended",
            ),
            (
                RotateError::Store(store::Error::Locked),
                "the database failed: run this again, which goes on where it stopped",
            ),
            (
                RotateError::Reseal(ResealError::Unopened(
                    "probe/7/1/sealed_candidate".to_owned(),
                    crate::secrets::SealError,
                )),
                "the secrets cannot be sealed anew: run this again, which goes on where it stopped",
            ),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }
}
