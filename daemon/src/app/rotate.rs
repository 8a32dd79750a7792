//! `leadlined master-key rotate`: a new master key, under which everything is sealed anew.
//!
//! The key file holds both keys while that is done. So a crash at any moment leaves a daemon that starts and opens
//! everything, and running this again finishes it.

use std::path::PathBuf;

use crate::{
    app,
    config::Config,
    postgres::{
        data_dir::{DataDir, DataDirError},
        setup::{self, SetupError},
    },
    secrets::{
        Sealer,
        master_key::{self, MasterKeyError},
    },
    store::{self, sealed},
};

/// Why the key is still the old one.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error(
        "{0} daemons work on this database: stop all of them, and start them with the new key file afterwards"
    )]
    Running(i64),
    #[error("there is no master key {} yet: the first start makes it", .0.display())]
    NoKey(PathBuf),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error("the secrets cannot be sealed anew")]
    Store(#[from] store::Error),
    #[error("the database cannot be used")]
    Database(#[source] anyhow::Error),
}

/// Rotates the key. The answer is how many values were sealed anew.
pub async fn rotate(config: &Config) -> Result<u64, RotateError> {
    let path = &config.master_key;
    let ring = master_key::load(path)?.ok_or_else(|| RotateError::NoKey(path.clone()))?;
    let data = DataDir::open(&config.data_dir)?;
    let (options, cluster) = app::database(config, &data).await.map_err(RotateError::Database)?;
    let rotated = async {
        let pool = setup::connect(&options).await?;
        // Nobody but us can be on a private one.
        let living = if cluster.is_some() { 0 } else { sealed::living_daemons(&pool).await? };
        if living > 0 {
            return Err(RotateError::Running(living));
        }
        // The file must be the right one before another key goes into it.
        setup::unseal(&pool, path).await?;
        let both = if ring.count() == 1 { ring.with_new() } else { ring };
        master_key::replace(path, &both)?;
        let sealer = Sealer::new(&both);
        let count = sealed::reseal(&pool, &sealer, &sealer).await?;
        pool.close().await;
        master_key::replace(path, &both.newest())?;
        Ok(count)
    };
    let rotated = rotated.await;
    if let Some(cluster) = cluster {
        cluster.stop().await.map_err(|error| RotateError::Database(error.into()))?;
    }
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        for (error, reported) in [
            (
                RotateError::Running(2),
                "2 daemons work on this database: stop all of them, and start them with the new key file afterwards",
            ),
            (
                RotateError::NoKey("/data/master.key".into()),
                "there is no master key /data/master.key yet: the first start makes it",
            ),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }
}
