//! A private PostgreSQL in the data directory, for when no database URL is given: nothing to set up, no port, no
//! password, and gone with the daemon however the daemon ends.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{Instant, sleep, timeout};

mod account;
mod error;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod watchdog;

use self::{account::Account, server::Server, watchdog::Watchdog};
use crate::postgres::data_dir::{DataDir, let_through, lock_file, private_temp_dir};

pub use self::error::EmbeddedError;

/// The superuser of the private cluster, and the database that the daemon uses.
const NAME: &str = "leadline";
/// `sockaddr_un` takes 104 bytes on macOS and 108 on Linux, the closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 100;
/// How long an old server may take to stop before we give up on the directory.
const OLD_SERVER_PATIENCE: Duration = Duration::from_secs(70);
/// How long a stale `postmaster.pid` or shared memory of a killed server may stand in the way.
const STALE_PATIENCE: Duration = Duration::from_secs(10);
const RETRY_GAP: Duration = Duration::from_millis(100);

/// A running private server. Dropping it stops the server too, without waiting.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    socket_dir: PathBuf,
    watchdog: Watchdog,
}

impl Cluster {
    /// Starts the cluster of a data directory, made at the first start.
    pub async fn start(data: &DataDir) -> Result<Self, EmbeddedError> {
        Place::of(data, Account::find()?)?.start(None).await
    }

    /// Starts a cluster in a directory that goes with it: for tests and demonstrations.
    pub async fn ephemeral() -> Result<Self, EmbeddedError> {
        let account = Account::find()?;
        let temp = env::temp_dir();
        let path = private_temp_dir(&temp).map_err(|error| EmbeddedError::Files(temp, error))?;
        let start = async {
            // The watchdog removes it, so it belongs to the watchdog's user from the start.
            account.own(&path).map_err(|error| EmbeddedError::Files(path.clone(), error))?;
            let data = DataDir::open(&path)?;
            Place::of(&data, account)?.start(Some(&path)).await
        };
        let started = start.await;
        // The watchdog removes it too, but it may not have come to that.
        if started.is_err()
            && path.exists()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "cannot remove a temporary directory");
        }
        started
    }

    /// How to connect to one of its databases.
    #[must_use]
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        options(&self.socket_dir, database)
    }

    /// The same for other programs.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host: String =
            url::form_urlencoded::byte_serialize(self.socket_dir.as_os_str().as_bytes()).collect();
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
        &self.directory
    }

    /// Stops the server and waits until it is gone.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.watchdog.stop().await
    }
}

fn options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(settings::PORT)
        .username(NAME)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Where a cluster stands: a directory that is the server user's alone, inside the data directory.
struct Place {
    account: Account,
    directory: PathBuf,
    root: PathBuf,
    data: PathBuf,
    log: PathBuf,
}

impl Place {
    /// Makes the directory, and makes sure that the server's user can reach it.
    fn of(data: &DataDir, account: Account) -> Result<Self, EmbeddedError> {
        let root = data.path().join("postgres");
        let prepare = || -> io::Result<()> {
            if account.is_lesser() {
                let_through(data.path())?;
            }
            match DirBuilder::new().mode(0o700).create(&root) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => account.own(&root)?,
            }
            Ok(())
        };
        prepare().map_err(|error| EmbeddedError::Files(root.clone(), error))?;
        let enter = account
            .command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\" 2>/dev/null", "sh"])
            .arg(&root)
            .status();
        match enter {
            Ok(status) if status.success() => {}
            Ok(_) => return Err(EmbeddedError::Closed { path: root, user: account.name() }),
            Err(error) => return Err(EmbeddedError::Account(error)),
        }
        Ok(Self {
            account,
            directory: data.path().to_owned(),
            data: root.join("data"),
            log: root.join("server.log"),
            root,
        })
    }

    async fn start(self, remove: Option<&Path>) -> Result<Cluster, EmbeddedError> {
        let lock = self.wait_for_old_server().await?;
        let server = Server::find(self.major()?)?;
        self.initialize(&server).await?;
        self.rotate_log().map_err(|error| EmbeddedError::Files(self.log.clone(), error))?;
        let (socket_dir, made) = self.socket_dir()?;
        let remove = remove.or(made.then_some(socket_dir.as_path()));
        // The watchdog comes first, so that there is no moment in which nobody would stop the server.
        let watchdog =
            Watchdog::start(&self.account, &server.program("pg_ctl"), &self.data, remove, lock, &self.log)?;
        let socket_dir = self.run(&server, socket_dir).await?;
        Ok(Cluster { directory: self.directory, socket_dir, watchdog })
    }

    /// Locks the cluster against the watchdog of a daemon that died a moment ago and whose server is still stopping.
    async fn wait_for_old_server(&self) -> Result<File, EmbeddedError> {
        let path = self.root.join("watchdog.lock");
        let lock = lock_file(&path).map_err(|error| EmbeddedError::Files(path, error))?;
        let deadline = Instant::now() + OLD_SERVER_PATIENCE;
        while let Err(error) = lock.try_lock() {
            if let fs::TryLockError::Error(error) = error {
                return Err(EmbeddedError::Files(self.root.clone(), error));
            }
            if Instant::now() > deadline {
                return Err(EmbeddedError::OldServer(self.root.clone()));
            }
            sleep(RETRY_GAP).await;
        }
        Ok(lock)
    }

    /// The version that the cluster was made by; none if there is no cluster yet.
    fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.data.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => Err(EmbeddedError::Files(
                    path,
                    io::Error::other(format!("it holds {text:?}, not a version")),
                )),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EmbeddedError::Files(path, error)),
        }
    }

    /// Makes the cluster under another name first: what has the real name is whole, even after a crash right here.
    async fn initialize(&self, server: &Server) -> Result<(), EmbeddedError> {
        if self.data.exists() {
            return Ok(());
        }
        let unfinished = self.root.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .map_err(|error| EmbeddedError::Files(unfinished.clone(), error))?;
        }
        let mut initdb = self.account.command(&server.program("initdb"));
        initdb
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--data-checksums",
                "--username",
                NAME,
                "-D",
            ])
            .arg(&unfinished);
        run("initdb", initdb).await?;
        let publish = || {
            fs::rename(&unfinished, &self.data)?;
            File::open(&self.root)?.sync_all()
        };
        publish().map_err(|error| EmbeddedError::Files(self.data.clone(), error))
    }

    /// Starts a log of its own for each life of the server and keeps the one before, so that logs stay bounded.
    fn rotate_log(&self) -> io::Result<()> {
        if self.log.exists() {
            fs::rename(&self.log, self.root.join("server.log.1"))?;
        }
        File::create_new(&self.log)?;
        self.account.own(&self.log)
    }

    /// Where the socket goes, and whether that is a temporary directory made for it: paths of sockets must be short.
    fn socket_dir(&self) -> Result<(PathBuf, bool), EmbeddedError> {
        let fits = |directory: &Path| socket(directory).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
        if fits(&self.root) {
            return Ok((self.root.clone(), false));
        }
        let make = |parent: &Path| {
            let path = private_temp_dir(parent)?;
            self.account.own(&path)?;
            Ok(path)
        };
        let temp = env::temp_dir();
        let temp = if fits(&temp.join("leadline-00000000")) { temp } else { PathBuf::from("/tmp") };
        make(&temp).map(|path| (path, true)).map_err(|error| EmbeddedError::Files(temp, error))
    }

    /// Starts the server, or takes over one that an earlier daemon left behind. The answer is where its socket is.
    async fn run(&self, server: &Server, socket_dir: PathBuf) -> Result<PathBuf, EmbeddedError> {
        self.configure(&socket_dir)?;
        let deadline = Instant::now() + STALE_PATIENCE;
        loop {
            if let Some(orphan) = self.orphans_socket_dir()
                && open_database(&orphan, &self.data).await.is_ok()
            {
                tracing::info!("took over the PostgreSQL that an earlier daemon left running");
                return Ok(orphan);
            }
            let mut start = self.account.command(&server.program("pg_ctl"));
            // Recovery after a crash may take long, and giving up on it would only make it start again.
            start.args(["start", "-s", "-w", "-t", "300", "-D"]).arg(&self.data).arg("-l").arg(&self.log);
            let error = match run("pg_ctl start", start).await {
                Ok(()) => match open_database(&socket_dir, &self.data).await {
                    Ok(()) => return Ok(socket_dir),
                    Err(error) => return Err(EmbeddedError::Database(error)),
                },
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(EmbeddedError::NotStarted {
                    why: self.last_words(&error),
                    log: self.log.clone(),
                });
            }
            sleep(RETRY_GAP).await;
        }
    }

    fn configure(&self, socket_dir: &Path) -> Result<(), EmbeddedError> {
        let path = self.data.join("postgresql.conf");
        let write = || {
            fs::write(&path, settings::render(socket_dir))?;
            self.account.own(&path)
        };
        write().map_err(|error| EmbeddedError::Files(path.clone(), error))
    }

    /// The socket directory that a server noted in its pid file, which may be stale.
    fn orphans_socket_dir(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let directory = PathBuf::from(text.lines().nth(4)?);
        socket(&directory).exists().then_some(directory)
    }

    /// Why the server did not start: its own words where it had any.
    fn last_words(&self, error: &EmbeddedError) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let fatal = log
            .lines()
            .rev()
            .find_map(|line| line.split_once("FATAL:").map(|(_, why)| why.trim().to_owned()));
        fatal.unwrap_or_else(|| error.to_string())
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join(format!(".s.PGSQL.{}", settings::PORT))
}

/// Makes sure that the server answers, serves this cluster and has our database. A copied directory holds the pid file
/// of the cluster that it was copied from, and working on that one would mix up two installations.
async fn open_database(socket_dir: &Path, data: &Path) -> Result<(), sqlx::Error> {
    let open = async {
        let mut connection: PgConnection = options(socket_dir, "postgres").connect().await?;
        let served: String =
            sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut connection).await?;
        if Path::new(&served) != data {
            return Err(sqlx::Error::Protocol(format!("the server of {served} answers")));
        }
        let known = sqlx::query("SELECT FROM pg_database WHERE datname = $1")
            .bind(NAME)
            .fetch_optional(&mut connection)
            .await?;
        if known.is_none() {
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {NAME}"))).execute(&mut connection).await?;
        }
        connection.close().await
    };
    timeout(STALE_PATIENCE, open).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Runs one of PostgreSQL's programs to its end.
async fn run(name: &'static str, command: Command) -> Result<(), EmbeddedError> {
    let output = tokio::process::Command::from(command).output().await;
    let output = output.map_err(|error| EmbeddedError::Program { name, why: error.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    // What follows the error is only cleaning up.
    let line = text.lines().find(|line| line.contains("error:") || line.contains("FATAL:"));
    let line = line.or_else(|| text.lines().rfind(|line| !line.trim().is_empty()));
    let why = line.map_or_else(|| format!("it ended with {}", output.status), |line| line.trim().to_owned());
    Err(EmbeddedError::Program { name, why })
}
