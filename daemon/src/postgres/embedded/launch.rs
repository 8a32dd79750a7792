//! Makes a cluster and starts its server.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    EmbeddedError, NAME, RETRY_GAP, is_made_for_sockets, layout::Layout, options, sandbox::Sandbox,
    server::Server, socket,
};
use crate::telemetry;

/// How long an old server may take to stop before we give up on the directory.
const OLD_SERVER_PATIENCE: Duration = Duration::from_secs(70);
/// How long a stale `postmaster.pid` or shared memory of a killed server may stand in the way.
pub(super) const STALE_PATIENCE: Duration = Duration::from_secs(10);

/// `$1` initdb, `$2` the cluster. It is made under another name: what has the real name is whole, even after a crash
/// right here. Run by the server's account, whose directory it is.
const INITIALIZE: &str = r#"
set -e
rm -rf -- "$2.new"
"$1" --auth=peer --encoding=UTF8 --no-locale --data-checksums --username=leadline -D "$2.new" >/dev/null
mv -- "$2.new" "$2"
"#;

/// Everything that starting a server again needs.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) layout: Layout,
    pub(super) server: Server,
    /// Where the socket is or will be.
    pub(super) socket_dir: PathBuf,
}

impl Launch {
    /// Starts the server, or takes over one that an earlier daemon left behind. One whose socket stands where ours would
    /// not, as its daemon had another directory for temporary files, could not be started again: it is replaced.
    pub(super) async fn start(&mut self) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + STALE_PATIENCE;
        loop {
            if let Some(noted) = self.layout.noted()
                && socket(&noted.socket_dir).exists()
                && open_database(&noted.socket_dir, &self.layout.data).await.is_ok()
            {
                if noted.socket_dir == self.layout.home || is_made_for_sockets(&noted.socket_dir) {
                    tracing::info!(
                        event = "postgres_taken_over",
                        "took over the PostgreSQL that an earlier daemon left running"
                    );
                    self.socket_dir = noted.socket_dir;
                    return Ok(());
                }
                tracing::info!(
                    event = "postgres_replaced",
                    "stopping the PostgreSQL that an earlier daemon left running with its socket elsewhere"
                );
                // It may have ended by itself, or take its time: whether it is gone, a start tells.
                if let Err(error) = self.stop_server().await {
                    tracing::warn!(
                        event = "postgres_not_replaced",
                        error = telemetry::causes(&error),
                        "the PostgreSQL that an earlier daemon left running has not stopped yet"
                    );
                }
            }
            match self.start_once().await {
                Err(EmbeddedError::NotStarted { .. }) if Instant::now() < deadline => sleep(RETRY_GAP).await,
                started => return started,
            }
        }
    }

    /// What the server's programs may touch.
    pub(super) fn sandbox(&self) -> Sandbox {
        Sandbox::new(&self.layout, &self.server, &self.socket_dir)
    }

    /// Stops a server of whoever started it, without waiting for who is connected.
    pub(super) async fn stop_server(&self) -> Result<(), EmbeddedError> {
        let mut stop = self.layout.account.command(&self.server.program("pg_ctl"));
        stop.args(["stop", "-s", "-w", "-t", "30", "-m", "fast", "-D"]).arg(&self.layout.data);
        run("pg_ctl stop", stop, &self.sandbox()).await
    }

    /// Starts the server and waits until it answers.
    pub(super) async fn start_once(&self) -> Result<(), EmbeddedError> {
        let options = self.layout.configure(&self.socket_dir)?;
        let log = self.layout.open_log()?;
        let mut start = self.layout.account.command(&self.server.program("pg_ctl"));
        // Recovery after a crash may take long, and giving up on it would only make it start again.
        start.args(["start", "-s", "-w", "-t", "300", "-D"]).arg(&self.layout.data).args(["-o", &options]);
        let files = |error| EmbeddedError::Files(self.layout.log(), error);
        // The server keeps what it is handed here as its log.
        start.stdout(log.try_clone().map_err(files)?).stderr(log);
        let mut start = tokio::process::Command::from(start);
        start.kill_on_drop(true);
        let status = async { self.sandbox().spawn(start)?.wait().await }.await;
        let status = status
            .map_err(|error| EmbeddedError::Program { name: "pg_ctl start", why: error.to_string() })?;
        if !status.success() {
            let why = self.layout.last_words().unwrap_or_else(|| format!("pg_ctl ended with {status}"));
            return Err(EmbeddedError::NotStarted { why, log: self.layout.log() });
        }
        open_database(&self.socket_dir, &self.layout.data).await.map_err(EmbeddedError::Database)
    }
}

/// Locks the cluster against whatever a daemon that died a moment ago has left working on it: a watchdog whose server is
/// still stopping, or an `initdb`.
pub(super) async fn wait_for_old_server(layout: &Layout) -> Result<File, EmbeddedError> {
    let lock = layout.lock()?;
    let deadline = Instant::now() + OLD_SERVER_PATIENCE;
    while let Err(error) = lock.try_lock() {
        if let fs::TryLockError::Error(error) = error {
            return Err(EmbeddedError::Files(layout.home.clone(), error));
        }
        if Instant::now() > deadline {
            return Err(EmbeddedError::OldServer(layout.home.clone()));
        }
        sleep(RETRY_GAP).await;
    }
    Ok(lock)
}

/// Makes the cluster unless there is one. The lock goes along, so that it is held even after this process was killed, for
/// as long as the cluster is being made.
pub(super) async fn initialize(layout: &Layout, server: &Server, lock: &File) -> Result<(), EmbeddedError> {
    if layout.data.exists() {
        return Ok(());
    }
    let files = |error| EmbeddedError::Files(layout.home.clone(), error);
    let mut initdb = layout.account.command(Path::new("/bin/sh"));
    initdb.args(["-c", INITIALIZE, "leadline-initdb"]).arg(server.program("initdb")).arg(&layout.data);
    initdb.stdin(Stdio::from(lock.try_clone().map_err(files)?));
    run("initdb", initdb, &Sandbox::new(layout, server, &layout.home)).await?;
    File::open(&layout.home).and_then(|home| home.sync_all()).map_err(files)
}

/// Makes sure that the server answers, serves this cluster and has our database. A copied directory holds the pid file
/// of the cluster that it was copied from, and working on that one would mix up two installations.
pub(super) async fn open_database(socket_dir: &Path, data: &Path) -> Result<(), sqlx::Error> {
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
pub(super) async fn run(
    name: &'static str,
    mut command: Command,
    sandbox: &Sandbox,
) -> Result<(), EmbeddedError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = async { sandbox.spawn(command.into())?.wait_with_output().await }.await;
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
