//! What can stand in the way of a private server, each in one line that says what to do.

use std::{io, path::PathBuf};

use super::server::OLDEST;
use crate::postgres::data_dir::DataDirError;

/// The command that installs PostgreSQL's server programs here.
const INSTALL: &str = if cfg!(target_os = "macos") {
    "brew install postgresql@17"
} else {
    "apt-get install postgresql (Fedora: dnf install postgresql-server)"
};

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("no PostgreSQL server programs were found: {INSTALL}, or give --database-url")]
    NoServer,
    #[error("LEADLINE_PG_BIN: no initdb, pg_ctl and postgres in {}: correct it, or unset it", .0.display())]
    NamedServer(PathBuf),
    #[error(
        "the data directory needs PostgreSQL {major}, and the newest here is {newest}: \
         install version {major}, or name its folder in LEADLINE_PG_BIN, or give --database-url"
    )]
    OtherMajor { major: u32, newest: u32 },
    #[error("PostgreSQL {newest} is too old: install {OLDEST} or newer ({INSTALL}), or give --database-url")]
    TooOld { newest: u32 },
    #[error("there is no {name} in {}: install PostgreSQL's client programs of the same version", .folder.display())]
    NoClient { name: &'static str, folder: PathBuf },
    #[error(
        "PostgreSQL does not run as root, and there is no user for it: useradd --system --shell /usr/sbin/nologin \
         leadline, or start the daemon as another user"
    )]
    NoAccount,
    #[error(
        "the private PostgreSQL in {path} belongs to {owner}, and this daemon would run it as {user}: start the daemon \
         as {owner}, or hand it over (chown -R {user} {path})", path = .path.display()
    )]
    Foreign { path: PathBuf, owner: String, user: String },
    #[error(
        "others than root can change the PostgreSQL in {}: install the system's package, or name the folder in \
         LEADLINE_PG_BIN, or give --database-url", .0.display()
    )]
    UntrustedServer(PathBuf),
    #[error("cannot tell which user this is")]
    Account(#[source] io::Error),
    #[error(
        "{user} cannot enter {}, and PostgreSQL does not run as root: choose a --data-dir outside of private \
         directories, such as /var/lib/leadline", .path.display()
    )]
    Closed { path: PathBuf, user: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot use {}", .0.display())]
    Files(PathBuf, #[source] io::Error),
    #[error("the PostgreSQL of an earlier daemon still uses {}: wait until it has stopped", .0.display())]
    OldServer(PathBuf),
    #[error(
        "a restore into {} was broken off: run `leadlined restore` again, or remove that directory", .0.display()
    )]
    HalfRestored(PathBuf),
    #[error(
        "there is no private database in {}: name the data directory (--data-dir), or the database that the daemon uses \
         (--config, --database-url)", .0.display()
    )]
    NoCluster(PathBuf),
    #[error(
        "the daemon on {} runs no private database: name the one that it uses (--config, --database-url)", .0.display()
    )]
    NotRunning(PathBuf),
    #[error("{name}: {why}")]
    Program { name: &'static str, why: String },
    #[error("the private PostgreSQL did not start: {why} (see {})", .log.display())]
    NotStarted { why: String, log: PathBuf },
    #[error("the private PostgreSQL does not answer")]
    Database(#[source] sqlx::Error),
    #[error("the watchdog of the private PostgreSQL failed")]
    Watchdog(#[source] io::Error),
}
