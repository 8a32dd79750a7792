//! A daemon in this process: fast to start, and a panic in it is a panic of the test's.

use std::{net::SocketAddr, path::Path};

use leadlined::{
    app::{self, Running},
    config::Config,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use super::{client, database::Database, mended};

/// Every connection starts a process of the server that plans each statement anew: most of what a short test costs.
const CONNECTIONS_MAX: u32 = 5;

/// A running daemon with its data directory.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    database: Database,
    _dir: TempDir,
}

impl Daemon {
    /// A daemon on a database of its own.
    pub async fn start() -> Self {
        Self::start_on(&Database::create().await).await
    }

    /// A daemon on a database that others may use too.
    pub async fn start_on(database: &Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// A daemon whose configuration is changed first.
    pub async fn start_with(database: &Database, change: impl FnOnce(&mut Config)) -> Self {
        mended::watch();
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(database, dir.path());
        change(&mut config);
        Self { running: app::start(config).await.unwrap(), database: database.clone(), _dir: dir }
    }

    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where it takes leads in.
    #[must_use]
    pub fn intake(&self) -> SocketAddr {
        self.running.intake
    }

    /// The URL of a path of its intake.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.intake())
    }

    /// The URL of a path that operators' machines ask for.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.admin.unwrap())
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.running.control
    }

    /// Where its control API is over the network.
    #[must_use]
    pub fn control_remote(&self) -> SocketAddr {
        self.running.control_remote.unwrap()
    }

    /// A channel to its control API.
    pub async fn control(&self) -> Channel {
        client::control(self.socket()).await
    }

    /// Stops it gracefully. A part that failed or panicked fails the test.
    pub async fn stop(self) {
        self.running.stop().await.unwrap();
    }
}

/// The configuration of a test's daemon: any port, and receivers on this machine may be pushed to.
pub(super) fn config(database: &Database, dir: &Path) -> Config {
    let mut config = Config::in_dir(dir);
    config.database_url = Some(database.url().to_owned().into());
    config.master_key = database.master_key().clone();
    config.connections_max = CONNECTIONS_MAX;
    config.intake_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.allow_egress = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    config
}
