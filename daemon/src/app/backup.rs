//! `leadlined backup` and `restore`: the private database as one file, which only the right master key makes useful.
//!
//! The file is a line of JSON that says what follows, and then what `pg_dump` wrote in its own format. Secrets in it stay
//! sealed; the key is never part of it.

use std::{
    env, fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::{
    app::own_user::{self, OwnUserError},
    config::{Config, LogFormat},
    postgres::{
        data_dir::{DataDir, DataDirError},
        embedded::{self, Cluster, EmbeddedError, dump},
        inspect::inspect,
        setup::SetupError,
    },
    secrets::master_key::{self, KeyRing, MasterKeyError},
    telemetry, user,
};

/// The layout of the file that this version writes and reads.
const FORMAT: u32 = 1;
/// The first line is no longer than this.
const HEADER_MAX: u64 = 4096;
/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Why there is no backup, or no database from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("this is for the private database: yours behind --database-url is backed up with its own tools")]
    NotPrivate,
    #[error("there is a database in {path} already: move {path} away, or choose another --data-dir", path = .0.display())]
    Occupied(PathBuf),
    #[error("{} is there already: choose another name", .0.display())]
    Exists(PathBuf),
    #[error("cannot use {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("this is no backup that leadlined {version} can read: take the one that wrote it", version = env!("CARGO_PKG_VERSION"))]
    NoBackup,
    #[error("the secrets in this backup need their master key: copy it to {path}, then restore", path = .0.display())]
    NoKey(PathBuf),
    #[error("the secrets in this backup were sealed with another master key than {}: copy the right one there", .0.display())]
    OtherKey(PathBuf),
    #[error(
        "this backup was written while the master key was rotated: {path} must hold the key {lacking} the rotation, too, \
         in a line of its own", path = .path.display()
    )]
    HalfTheKeys { path: PathBuf, lacking: &'static str },
    #[error("the master key was rotated meanwhile: back up again")]
    Rotated,
    #[error(transparent)]
    Postgres(#[from] EmbeddedError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    OwnUser(#[from] OwnUserError),
    #[error("nothing was backed up as {0}: the line before says why")]
    OfOwner(String),
}

/// The first line of a backup.
#[derive(Debug, Serialize, Deserialize)]
struct BackupHeader {
    leadline_backup: u32,
    /// Of the daemon that wrote it.
    version: String,
    taken_at: jiff::Timestamp,
    /// Tells which master key its secrets need, without telling the key.
    key_fingerprint: String,
    /// The same of a key that some of them still need; empty unless the key was being rotated.
    #[serde(default)]
    previous_key_fingerprint: String,
}

impl BackupHeader {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, BackupError> {
        let mut line = Vec::new();
        let mut start = BufReader::with_capacity(1, from.take(HEADER_MAX));
        start.read_until(b'\n', &mut line).await.map_err(|_| BackupError::NoBackup)?;
        let header: Self = serde_json::from_slice(&line).map_err(|_| BackupError::NoBackup)?;
        if header.leadline_backup == FORMAT { Ok(header) } else { Err(BackupError::NoBackup) }
    }

    /// Whether a file holds every key that the secrets need.
    fn check_keys(&self, ring: &KeyRing, path: &Path) -> Result<(), BackupError> {
        let read = |text: &str| hex::decode(text).map_err(|_| BackupError::NoBackup);
        let (sealing, previous) = (read(&self.key_fingerprint)?, read(&self.previous_key_fingerprint)?);
        let is_half_way = !previous.is_empty();
        let lacks = |lacking| BackupError::HalfTheKeys { path: path.to_owned(), lacking };
        match (ring.holds(&sealing), ring.holds(&previous)) {
            (true, false) if is_half_way => Err(lacks("before")),
            (false, true) => Err(lacks("after")),
            (true, _) => Ok(()),
            (false, false) => Err(BackupError::OtherKey(path.to_owned())),
        }
    }
}

/// Writes the private database to a file. A daemon that runs on it goes on meanwhile; the file is of one moment.
pub async fn back_up(config: &Config, file: &Path) -> Result<u64, BackupError> {
    if config.database_url.is_some() {
        return Err(BackupError::NotPrivate);
    }
    embedded::require_cluster(&config.data_dir)?;
    if file == Path::new("-") {
        let failed = |error| BackupError::File(file.to_owned(), error);
        let mut out = standard(io::stdout().as_fd()).map_err(failed)?;
        keep_to_owner(&out).await.map_err(failed)?;
        own_user::become_owner(config)?;
        return write_to(config, &mut out, file).await;
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let failed = |error| BackupError::File(file.to_owned(), error);
    // What has the real name is whole.
    let unfinished = file.with_added_extension("part");
    let mut out = create(&unfinished).await.map_err(failed)?;
    let written = async {
        let written = match own_user::owner(config)? {
            Some(owner) => write_as(&owner.name, config, &out, file).await?,
            None => write_to(config, &mut out, file).await?,
        };
        out.sync_all().await.map_err(failed)?;
        fs::rename(&unfinished, file).map_err(failed)?;
        Ok(written)
    };
    let written = written.await;
    if written.is_err()
        && let Err(error) = fs::remove_file(&unfinished)
    {
        tracing::warn!(event = "backup_not_removed", error = telemetry::causes(&error), file = %unfinished.display(), "an unfinished backup cannot be removed");
    }
    written
}

/// Has another process write the backup, which becomes the owner of the data directory: the database lets nobody else in,
/// and only root may be allowed to give the file its name.
async fn write_as(owner: &str, config: &Config, out: &File, file: &Path) -> Result<u64, BackupError> {
    let failed = |error| BackupError::File(file.to_owned(), error);
    let log = match config.log {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    command.arg("--data-dir").arg(&config.data_dir).args(["--log", log, "--log-level", &config.log_level]);
    let out = out.try_clone().await.map_err(failed)?.into_std().await;
    command.args(["backup", "-"]).stdin(Stdio::null()).stdout(out.try_clone().map_err(failed)?);
    if command.kill_on_drop(true).status().await.map_err(failed)?.success() {
        Ok(out.metadata().map_err(failed)?.len())
    } else {
        Err(BackupError::OfOwner(owner.to_owned()))
    }
}

/// Writes a backup to a file that is open.
async fn write_to(config: &Config, out: &mut File, file: &Path) -> Result<u64, BackupError> {
    // A daemon that runs holds the directory and its server; otherwise we run the server ourselves for so long.
    match DataDir::open(&config.data_dir) {
        Ok(data) => {
            let cluster = Cluster::start(&data).await?;
            let written = write_running(config, out, file).await;
            cluster.stop().await?;
            written
        }
        Err(DataDirError::InUse(_)) => write_running(config, out, file).await,
        Err(error) => Err(error.into()),
    }
}

async fn write_running(config: &Config, out: &mut File, file: &Path) -> Result<u64, BackupError> {
    let source = dump::DumpSource::running(&config.data_dir)?;
    let before = inspect(&source.connect_options()).await?;
    let header = BackupHeader {
        leadline_backup: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: jiff::Timestamp::now(),
        key_fingerprint: hex::encode(before.key_fingerprint.as_deref().unwrap_or_default()),
        previous_key_fingerprint: hex::encode(before.previous_fingerprint.unwrap_or_default()),
    };
    let failed = |error| BackupError::File(file.to_owned(), error);
    let mut line = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    out.write_all(&line).await.map_err(failed)?;
    let written = source.dump(out, BackupProgress::new("written")).await?;
    check_key(&source, before.key_fingerprint.as_deref()).await?;
    Ok(written)
}

/// The first line is only right if the key that seals is still the same.
async fn check_key(source: &dump::DumpSource, before: Option<&[u8]>) -> Result<(), BackupError> {
    let after = inspect(&source.connect_options()).await?.key_fingerprint;
    if after.as_deref() == before { Ok(()) } else { Err(BackupError::Rotated) }
}

/// A backup holds leads: it is its owner's alone. What an earlier one left may be open to others, or theirs.
async fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await
}

/// A file of ours that a shell opened for us is as private as one that we make.
async fn keep_to_owner(out: &File) -> io::Result<()> {
    let there = out.metadata().await?;
    if there.is_file() && there.uid() == user::own_uid() {
        out.set_permissions(fs::Permissions::from_mode(0o600)).await?;
    }
    Ok(())
}

/// What the process was given to read or write.
fn standard(stream: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from_std(std::fs::File::from(stream.try_clone_to_owned()?)))
}

/// Makes the private database from a backup. Until it is whole, no daemon starts on it.
pub async fn restore(config: &Config, file: &Path) -> Result<u64, BackupError> {
    if config.database_url.is_some() {
        return Err(BackupError::NotPrivate);
    }
    let failed = |error| BackupError::File(file.to_owned(), error);
    let mut input = if file == Path::new("-") {
        standard(io::stdin().as_fd()).map_err(failed)?
    } else {
        File::open(file).await.map_err(failed)?
    };
    let header = BackupHeader::read(&mut input).await?;
    // The database is made by who runs on it.
    if let Some(owner) = own_user::owner(config)? {
        own_user::check(config, &owner)?;
        own_user::turn_into(&owner)?;
    } else if let Some(own) = own_user::prepare(config)? {
        own_user::assume(config, &own)?;
    }
    let ring = master_key::load(&config.master_key)?;
    let ring = ring.ok_or_else(|| BackupError::NoKey(config.master_key.clone()))?;
    header.check_keys(&ring, &config.master_key)?;
    let data = DataDir::open(&config.data_dir)?;
    if data.path().join("postgres/data").exists() && !dump::is_broken_off(&data) {
        return Err(BackupError::Occupied(data.path().join("postgres")));
    }
    dump::begin_restore(&data)?;
    let cluster = Cluster::start_for_restore(&data).await?;
    let restored = cluster.restore(&mut input, BackupProgress::new("read")).await;
    cluster.stop().await?;
    let read = restored?;
    dump::end_restore(&data)?;
    Ok(read)
}

/// Reports how far a dump has come.
#[derive(Debug)]
pub(crate) struct BackupProgress {
    verb: &'static str,
    every: Duration,
    reported: tokio::time::Instant,
}

impl BackupProgress {
    fn new(verb: &'static str) -> Self {
        Self { verb, every: PROGRESS_EVERY, reported: tokio::time::Instant::now() }
    }
}

impl dump::DumpWatch for BackupProgress {
    fn passed(&mut self, bytes: u64) {
        if self.reported.elapsed() >= self.every {
            self.reported = tokio::time::Instant::now();
            tracing::info!(event = "backup_progress", mebibytes = bytes >> 20, "{}", self.verb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let path = || PathBuf::from("/data");
        for (error, reported) in [
            (
                BackupError::NotPrivate,
                "this is for the private database: yours behind --database-url is backed up with its own tools",
            ),
            (
                BackupError::Occupied(path()),
                "there is a database in /data already: move /data away, or choose another --data-dir",
            ),
            (BackupError::Exists(path()), "/data is there already: choose another name"),
            (BackupError::File(path(), io::Error::other("broken")), "cannot use /data"),
            (
                BackupError::NoBackup,
                concat!(
                    "this is no backup that leadlined ",
                    env!("CARGO_PKG_VERSION"),
                    " can read: take the one that wrote it"
                ),
            ),
            (
                BackupError::NoKey(path()),
                "the secrets in this backup need their master key: copy it to /data, then restore",
            ),
            (
                BackupError::OtherKey(path()),
                "the secrets in this backup were sealed with another master key than /data: copy the right one there",
            ),
            (
                BackupError::HalfTheKeys { path: path(), lacking: "before" },
                "this backup was written while the master key was rotated: /data must hold the key before the rotation, \
                 too, in a line of its own",
            ),
            (
                BackupError::OfOwner("leadline".to_owned()),
                "nothing was backed up as leadline: the line before says why",
            ),
            (BackupError::Rotated, "the master key was rotated meanwhile: back up again"),
        ] {
            assert_eq!(error.to_string(), reported);
        }
    }

    /// What is logged, for a test to read.
    #[derive(Clone, Default)]
    struct Captured(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The mebibytes that are told of while these bytes pass.
    fn reported(every: Duration, passed: &[u64]) -> Vec<String> {
        use dump::DumpWatch as _;
        use tracing_subscriber::layer::SubscriberExt as _;

        let captured = Captured::default();
        let to = captured.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || to.clone()).with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let mut progress = BackupProgress { every, ..BackupProgress::new("written") };
            passed.iter().for_each(|bytes| progress.passed(*bytes));
        });
        let lines = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let told = lines.lines().filter_map(|line| line.split_once("written event=\"backup_progress\" "));
        told.map(|(_, told)| told.to_owned()).collect()
    }

    #[test]
    fn progress_is_told_as_bytes_pass_and_not_more_often_than_it_is_read() {
        let passed = [64 << 10, 1 << 20, 5 << 30];
        let each = ["mebibytes=0", "mebibytes=1", "mebibytes=5120"];
        assert_eq!(reported(Duration::ZERO, &passed), each);
        assert!(reported(PROGRESS_EVERY, &passed).is_empty());
    }

    #[tokio::test]
    async fn the_first_line_says_what_follows() {
        let good = "{\"leadline_backup\":1,\"version\":\"0.1.0\",\"taken_at\":\"2026-11-28T12:00:00Z\",\
                    \"key_fingerprint\":\"ab\"}\nPGDMP";
        let mut input = good.as_bytes();
        let header = BackupHeader::read(&mut input).await.unwrap();
        assert_eq!((&*header.key_fingerprint, &*header.previous_key_fingerprint), ("ab", ""));
        assert_eq!(input, b"PGDMP");
        for bad in ["", "PGDMP\n", "{}\n", &good.replace("up\":1", "up\":2")] {
            assert!(
                matches!(BackupHeader::read(&mut bad.as_bytes()).await, Err(BackupError::NoBackup)),
                "{bad}"
            );
        }
    }
}
