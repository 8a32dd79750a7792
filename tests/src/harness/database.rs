//! One private cluster for all tests of a process, and a database of its own for each.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use leadlined::{
    postgres::{embedded::Cluster, setup},
    secrets::master_key,
    store::ensure_partitions,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "migrated";

/// What the tests of a process share. It is never dropped: its watchdog removes it when the process ends.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

struct Shared {
    cluster: Cluster,
    /// One key for all daemons, so that several may share a database.
    master_key: PathBuf,
}

impl Shared {
    async fn start() -> Self {
        let cluster = Cluster::ephemeral().await.unwrap();
        create(&cluster, TEMPLATE, "template1").await;
        let pool = setup::connect(&cluster.connect_options(TEMPLATE)).await.unwrap();
        ensure_partitions(&pool).await.unwrap();
        // A database that somebody is connected to cannot be a template.
        pool.close().await;
        let master_key = cluster.directory().join("tests.key");
        master_key::create(&master_key).unwrap();
        Self { cluster, master_key }
    }
}

/// A database with the whole schema and nothing in it.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    url: String,
    options: PgConnectOptions,
    master_key: PathBuf,
}

impl Database {
    /// A fresh one with the schema.
    pub async fn create() -> Self {
        Self::copy_of(TEMPLATE).await
    }

    /// A fresh one with nothing at all.
    pub async fn empty() -> Self {
        Self::copy_of("template1").await
    }

    async fn copy_of(template: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);

        let shared = SHARED.get_or_init(Shared::start).await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        create(&shared.cluster, &name, template).await;
        Self {
            url: shared.cluster.url(&name),
            options: shared.cluster.connect_options(&name),
            master_key: shared.master_key.clone(),
            name,
        }
    }

    /// The same one, behind a server socket in another directory.
    pub(super) fn behind(&self, dir: &Path) -> Self {
        let url =
            format!("postgres:///{}?host={}&user={}", self.name, dir.display(), self.options.get_username());
        Self { url, options: self.options.clone().socket(dir), ..self.clone() }
    }

    /// Everything that operators and senders can change, as one text: equal texts mean that nothing changed.
    pub async fn contents(&self) -> String {
        const TABLES: [&str; 20] = [
            "company",
            "intake_key",
            "integration",
            "flow",
            "flow_target",
            "notice",
            "vendor_id",
            "signing_secret",
            "integration_stat",
            "lead",
            "person",
            "saved_lead",
            "event",
            "delivery",
            "undelivered",
            "attempt",
            "probe",
            "job",
            "request",
            "audit",
        ];
        let mut connection = self.options.connect().await.unwrap();
        let mut contents = String::new();
        for table in TABLES {
            let sql =
                format!("SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM {table} t");
            let rows: String =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
            contents.extend([table, ": ", &rows, "\n"]);
        }
        contents
    }

    /// Its name in the shared cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, for a daemon.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to connect to it.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The master key file that its daemons use.
    #[must_use]
    pub fn master_key(&self) -> &PathBuf {
        &self.master_key
    }

    /// A pool to look into it with. Connections belong to the test's runtime, so each test opens its own.
    pub async fn pool(&self) -> PgPool {
        PgPool::connect_with(self.options.clone()).await.unwrap()
    }
}

async fn create(cluster: &Cluster, name: &str, template: &str) {
    let mut connection = cluster.connect_options("postgres").connect().await.unwrap();
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}
