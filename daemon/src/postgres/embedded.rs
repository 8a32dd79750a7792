//! A private PostgreSQL in the data directory, for when no database URL is given: nothing to set up, no port, no
//! password, and gone with the daemon however the daemon ends.

use std::{
    env, fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

mod account;
pub mod dump;
mod error;
mod launch;
mod layout;
mod moved;
mod sandbox;
mod server;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;
mod watchdog;

use self::{
    launch::{Launch, initialize, wait_for_old_server},
    layout::Layout,
    server::Server,
    watchdog::{Afterwards, Watchdog},
};
use crate::{
    postgres::data_dir::{DataDir, private_temp_dir},
    telemetry,
};

pub use self::{error::EmbeddedError, sandbox::SandboxSupport, supervisor::Supervisor};

/// The superuser of the private cluster, and the database that the daemon uses.
const NAME: &str = "leadline";
/// `sockaddr_un` takes 104 bytes on macOS and 108 on Linux, the closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 100;
const RETRY_GAP: Duration = Duration::from_millis(100);

/// A running private server. Dropping it stops the server too, without waiting.
#[derive(Debug)]
pub struct Cluster {
    launch: Launch,
    watchdog: Watchdog,
}

impl Cluster {
    /// Starts the cluster of a data directory, made at the first start.
    pub async fn start(data: &DataDir) -> Result<Self, EmbeddedError> {
        let layout = Layout::prepare(data)?;
        if layout.restore_note().exists() {
            return Err(EmbeddedError::HalfRestored(layout.home));
        }
        if layout.account.is_shared() {
            tracing::warn!(
                event = "postgres_account_shared",
                "the private PostgreSQL runs as postgres, and so may other programs, which could then read all leads: \
                 make an account for it alone (useradd --system --shell /usr/sbin/nologin leadline)"
            );
        }
        warn_without_sandbox();
        Self::launch(layout, None).await
    }

    /// The same for one that is about to be filled.
    pub async fn start_for_restore(data: &DataDir) -> Result<Self, EmbeddedError> {
        Self::launch(Layout::prepare(data)?, None).await
    }

    /// Starts a cluster in a new directory below another one, that goes with it: for tests.
    pub async fn ephemeral(parent: &Path) -> Result<Self, EmbeddedError> {
        let path =
            private_temp_dir(parent).map_err(|error| EmbeddedError::Files(parent.to_owned(), error))?;
        let start = async {
            let data = DataDir::open(&path)?;
            Self::launch(Layout::prepare(&data)?, Some(&path)).await
        };
        let started = start.await;
        // The watchdog removes it too, but it may not have come to that.
        if started.is_err()
            && path.exists()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(event = "temporary_directory_not_removed", error = telemetry::causes(&error), path = %path.display(), "cannot remove a temporary directory");
        }
        started
    }

    async fn launch(layout: Layout, throw_away: Option<&Path>) -> Result<Self, EmbeddedError> {
        let lock = wait_for_old_server(&layout).await?;
        let server = Server::find(layout.major()?, &layout.account)?;
        initialize(&layout, &server, &lock).await?;
        layout.rotate_log()?;
        let (socket_dir, is_made) = socket_dir(&layout)?;
        let mut launch = Launch { layout, server, socket_dir };
        let afterwards = match throw_away {
            Some(directory) => Afterwards::RemoveAll(directory),
            None if is_made => Afterwards::RemoveSocketDir(&launch.socket_dir),
            None => Afterwards::Keep,
        };
        // The watchdog comes first, so that there is no moment in which nobody would stop the server.
        let log = launch.layout.open_log()?;
        let watchdog = Watchdog::start(&launch, afterwards, lock, log)?;
        launch.start().await?;
        Ok(Self { launch, watchdog })
    }

    /// What keeps its server running.
    #[must_use]
    pub fn supervisor(&self) -> Supervisor {
        Supervisor::new(self.launch.clone())
    }

    /// How to connect to one of its databases.
    #[must_use]
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        options(&self.launch.socket_dir, database)
    }

    /// The same for other programs.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host: String =
            url::form_urlencoded::byte_serialize(self.launch.socket_dir.as_os_str().as_bytes()).collect();
        // Libpq reads a plus as itself.
        format!("postgres:///{database}?host={}&user={NAME}", host.replace('+', "%20"))
    }

    /// Its own database, there from the start.
    #[must_use]
    pub fn database(&self) -> &'static str {
        NAME
    }

    /// The data directory that it stands in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.launch.layout.directory
    }

    /// Stops the server and waits until it is gone.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.watchdog.stop().await
    }
}

/// Refuses a data directory in which no cluster was made. Only a daemon makes one: a command that was not told of the
/// database that the daemon uses would work on an empty one.
pub fn require_cluster(directory: &Path) -> Result<(), EmbeddedError> {
    let data = directory.join("postgres/data");
    match fs::metadata(&data) {
        Ok(there) if there.is_dir() => Ok(()),
        // Whoever may not look there is told so, and not that there is nothing.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EmbeddedError::Files(data, error)),
        _ => Err(EmbeddedError::NoCluster(directory.to_owned())),
    }
}

/// The version of the programs that a data directory's cluster runs or would run with.
pub fn find_programs(directory: &Path) -> Result<u32, EmbeddedError> {
    let layout = Layout::of(directory.to_owned())?;
    Ok(Server::find(layout.major()?, &layout.account)?.major)
}

fn options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(settings::PORT)
        .username(NAME)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Says so where nothing but its account keeps the server from the daemon's files.
fn warn_without_sandbox() {
    if let Some(why) = lacks_sandbox(SandboxSupport::here()) {
        tracing::warn!(
            event = "postgres_not_sandboxed",
            why,
            "nothing but its user keeps the private PostgreSQL from the daemon's files"
        );
    }
}

/// Why there is no sandbox; none if there is one.
fn lacks_sandbox(here: io::Result<SandboxSupport>) -> Option<String> {
    match here {
        Ok(SandboxSupport::Missing) => {
            Some("the kernel has no Landlock, or does not let it be used".to_owned())
        }
        Ok(SandboxSupport::Full | SandboxSupport::Partial) => None,
        Err(error) => Some(telemetry::causes(&error)),
    }
}

/// Where the socket goes, and whether that is a temporary directory made for it: paths of sockets must be short.
fn socket_dir(layout: &Layout) -> Result<(PathBuf, bool), EmbeddedError> {
    let fits = |directory: &Path| socket(directory).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
    if fits(&layout.home) {
        return Ok((layout.home.clone(), false));
    }
    let make = |parent: &Path| {
        let path = private_temp_dir(parent)?;
        layout.account.own(&path)?;
        Ok(path)
    };
    let [temp, short] = temp_dirs();
    let temp = if fits(&temp.join("leadline-00000000")) { temp } else { short };
    make(&temp).map(|path| (path, true)).map_err(|error| EmbeddedError::Files(temp, error))
}

/// Whether a directory for a socket stands where they are made.
fn is_made_for_sockets(directory: &Path) -> bool {
    directory.parent().is_some_and(|parent| temp_dirs().iter().any(|temp| temp == parent))
}

/// Where directories for sockets are made: the second where paths in the first are too long.
fn temp_dirs() -> [PathBuf; 2] {
    [env::temp_dir(), "/tmp".into()]
}

fn socket(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{}", settings::PORT))
}
