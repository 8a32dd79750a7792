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

use sqlx::{Connection as _, PgPool, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use crate::{
    app,
    config::Config,
    postgres::{
        data_dir::{DataDir, DataDirError},
        embedded::{EmbeddedError, dump},
        setup::{self, SetupError},
    },
    secrets::{
        Sealer,
        master_key::{self, Fingerprint, MasterKeyError},
    },
    store::{
        self,
        key_rotation::{self, HeldUp},
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
    #[error("another `leadlined master-key rotate` works on this database: wait until it has ended")]
    Busy,
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
    if master_key::load(path)?.is_none() {
        return Err(RotateError::NoKey(path.clone()));
    }
    if config.database_url.is_some() {
        let hosts = app::hosts(config).map_err(RotateError::Database)?;
        let hosts = hosts.ok_or_else(|| RotateError::NoKey(path.clone()))?;
        return rotate_on(&hosts.writable().await?, path).await;
    }
    // A daemon that runs holds the directory and its server; otherwise we run the server ourselves for so long.
    match DataDir::open(&config.data_dir) {
        Ok(data) => {
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

async fn rotate_on(options: &PgConnectOptions, path: &Path) -> Result<u64, RotateError> {
    let pool = setup::connect(options).await?;
    let others_wait = key_rotation::exclude_others(&pool).await?.ok_or(RotateError::Busy)?;
    // The file must be the right one before another key goes into it.
    let sealer = setup::unseal(&pool, path).await?;
    let ring = master_key::load(path)?.ok_or_else(|| RotateError::NoKey(path.to_owned()))?;
    let in_use = key_rotation::keys_in_use(&pool).await?;
    let has_begun =
        in_use.previous.is_some() || ring.newest_fingerprint() == in_use.sealing && ring.count() > 1;
    if !has_begun {
        let next = if ring.count() == 1 { ring.with_new() } else { ring };
        master_key::replace(path, &next)?;
        turn(&pool, &next.newest_fingerprint(), path).await?;
    }
    let values = reseal(&pool, &sealer).await?;
    // Nothing needs the old key any more, in no moment at which this may be killed.
    let ring = master_key::load(path)?.ok_or_else(|| RotateError::NoKey(path.to_owned()))?;
    master_key::replace(path, &ring.newest())?;
    others_wait.close().await.map_err(store::Error::from)?;
    pool.close().await;
    Ok(values)
}

/// Waits until every daemon can open with the next key, and lets that one seal.
async fn turn(pool: &PgPool, next: &Fingerprint, path: &Path) -> Result<(), RotateError> {
    key_rotation::stage(pool, next).await?;
    tracing::info!(event = "master_key_staged", file = %path.display(), "the next key is in the file; it seals once every daemon has read it there");
    let begun = Instant::now();
    let mut named: HashSet<i64> = HashSet::new();
    loop {
        match key_rotation::turn(pool, next).await {
            Ok(held_up) if held_up.is_empty() => break,
            Ok(held_up) => {
                for HeldUp { daemon, version, key_file } in held_up {
                    if begun.elapsed() >= PATIENCE && named.insert(daemon) {
                        tracing::warn!(event = "master_key_awaited", daemon, version, key_file, file = %path.display(), "waiting for a daemon that does not have the next key: copy the file to its key file, or stop it; one whose key is a credential of systemd must be restarted then");
                    }
                }
            }
            // An operator's command is about to end.
            Err(store::Error::Locked) => {}
            Err(error) => return Err(error.into()),
        }
        sleep(LOOK).await;
    }
    tracing::info!(
        event = "master_key_turned",
        "the next key seals from now on; what the old one sealed is sealed anew"
    );
    Ok(())
}

/// Seals everything anew with the key that seals now. The answer is how many values that were.
async fn reseal(pool: &PgPool, sealer: &Sealer) -> Result<u64, RotateError> {
    let in_use = key_rotation::keys_in_use(pool).await?;
    let mut values = 0;
    loop {
        sealed::reseal(pool, sealer, &in_use.sealing, |count| {
            values += count;
            tracing::info!(event = "master_key_progress", values, "sealed anew");
        })
        .await?;
        match key_rotation::finish(pool).await {
            Ok(0) => return Ok(values),
            // Somebody holds the rest, for as long as a command takes.
            Ok(_) | Err(store::Error::Locked) => sleep(LOOK).await,
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
