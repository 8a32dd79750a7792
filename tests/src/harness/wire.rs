//! A wire between a daemon and its database that can be cut: what a daemon sees when its server goes away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::database::Database;

/// A socket that leads to a database, until it is cut.
#[derive(Debug)]
pub struct Wire {
    dir: TempDir,
    server: PathBuf,
    database: Database,
    carrying: JoinSet<()>,
}

impl Wire {
    /// A whole wire to a database.
    #[must_use]
    pub fn to(database: &Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = database.options();
        let server = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let database = database.behind(dir.path());
        let mut wire = Self { dir, server, database, carrying: JoinSet::new() };
        wire.mend();
        wire
    }

    /// The database as it is reached through the wire.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Ends every connection and lets none in.
    pub async fn cut(&mut self) {
        fs::remove_file(self.near_end()).unwrap();
        self.carrying.shutdown().await;
    }

    /// Lets connections in again.
    pub fn mend(&mut self) {
        let listener = UnixListener::bind(self.near_end()).unwrap();
        self.carrying.spawn(carry(listener, self.server.clone()));
    }

    fn near_end(&self) -> PathBuf {
        self.dir.path().join(self.server.file_name().unwrap())
    }
}

async fn carry(listener: UnixListener, server: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        connections.spawn(join(near, server.clone()));
    }
}

async fn join(mut near: UnixStream, server: impl AsRef<Path>) {
    let mut far = UnixStream::connect(server).await.unwrap();
    // However it ends: what was to be said is said to those at the ends.
    drop(copy_bidirectional(&mut near, &mut far).await);
}
