//! One private cluster for all tests of a process, and a database of its own for each.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use leadlined::postgres::embedded::Cluster;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    process::Command,
    sync::{Mutex, OnceCell},
};

use super::{child::executables, left_out::left_out, server, wait::wait_until};

/// The tables that are no contents, because their rows come, change and go by themselves, or with what is only read.
const NO_CONTENTS: [&str; 10] = [
    // The daemons that live, what they work on, and what they tell each other.
    "daemon",
    "claim",
    "wake",
    // Somebody looks or is turned away.
    "key_use",
    "reading",
    "refusal",
    // Who a lead is moves from one to the other; the view `person` has it wherever it stands.
    "lead_recent",
    "lead_person",
    // What a daemon makes a note of and clears up behind acts that are told elsewhere.
    "erasure",
    "notice_told",
];

/// All tables, those that are parts of others aside.
const TABLES: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1";

/// What the tests of a process share. It is never dropped: its watchdog removes it when the process ends.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

struct Shared {
    cluster: Cluster,
    /// One key for all daemons, so that several may share a database.
    master_key: PathBuf,
}

impl Shared {
    async fn start() -> Self {
        tokio::task::spawn_blocking(executables).await.unwrap();
        let (cluster, master_key) = server::start().await;
        Self { cluster, master_key }
    }
}

/// The directory of the shared server, which goes with this process.
pub(super) async fn directory() -> PathBuf {
    SHARED.get_or_init(Shared::start).await.cluster.directory().to_owned()
}

/// A database with the whole schema and nothing in it.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    url: String,
    options: PgConnectOptions,
    master_key: PathBuf,
    /// What its contents are read with, once they were.
    reader: Arc<Mutex<Option<PgConnection>>>,
}

impl Database {
    /// A fresh one with the schema.
    pub async fn create() -> Self {
        Self::copy_of(server::TEMPLATE).await
    }

    /// A fresh one with nothing at all.
    pub async fn empty() -> Self {
        Self::copy_of("template1").await
    }

    /// A fresh one with all that this one has, which nobody may be connected to.
    pub async fn copy(&self) -> Self {
        Self::copy_of(&self.name).await
    }

    async fn copy_of(template: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);

        let shared = SHARED.get_or_init(Shared::start).await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server::create(&shared.cluster, &name, template).await;
        Self {
            url: shared.cluster.url(&name),
            options: shared.cluster.connect_options(&name),
            master_key: shared.master_key.clone(),
            reader: Arc::default(),
            name,
        }
    }

    /// The same one, behind a server socket in another directory.
    pub(super) fn behind(&self, dir: &Path) -> Self {
        let url =
            format!("postgres:///{}?host={}&user={}", self.name, dir.display(), self.options.get_username());
        Self { url, options: self.options.clone().socket(dir), reader: Arc::default(), ..self.clone() }
    }

    /// Waits until nothing is left of what the daemon does by itself behind a flush: causes are named.
    pub async fn settled(&self) {
        let mut kept = self.reader.lock().await;
        let reader = self.reader(&mut kept).await;
        wait_until("nothing is left to be done behind the flushes", async || {
            let settled =
                "SELECT NOT EXISTS (SELECT FROM undelivered WHERE state = 'dead' AND cause_id IS NULL)";
            sqlx::query_scalar(settled).fetch_one(&mut *reader).await.unwrap()
        })
        .await;
    }

    async fn reader<'a>(&self, kept: &'a mut Option<PgConnection>) -> &'a mut PgConnection {
        match kept.take() {
            Some(open) => kept.insert(open),
            None => kept.insert(self.options.connect().await.unwrap()),
        }
    }

    /// Everything that operators and senders can change, a line for each table that counts its rows and hashes them: equal
    /// texts mean that nothing changed. The rows themselves would be carried here by the megabyte.
    pub async fn contents(&self) -> String {
        self.settled().await;
        let mut kept = self.reader.lock().await;
        let reader = self.reader(&mut kept).await;
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *reader).await.unwrap();
        let counted = tables.iter().map(String::as_str).filter(|table| !NO_CONTENTS.contains(table));
        let lines = counted.chain(["person"]).map(|table| {
            format!("(SELECT concat_ws(' ', '{table}:', count(*), sum(hashtextextended(t::text, 0))) FROM \"{table}\" t)")
        });
        let sql = format!("SELECT ARRAY[{}]", lines.collect::<Vec<_>>().join(", "));
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *reader).await.unwrap();
        lines.into_iter().fold(String::new(), |contents, line| contents + &line + "\n")
    }

    /// Every row of every table as text.
    pub async fn rows(&self) -> String {
        let mut kept = self.reader.lock().await;
        let reader = self.reader(&mut kept).await;
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *reader).await.unwrap();
        let mut rows = String::new();
        for table in tables {
            let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" t");
            let of_table: String =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *reader).await.unwrap();
            rows.push_str(&of_table);
        }
        rows
    }

    /// The same, and what `pg_dump` makes of it, where there is one.
    pub async fn dump(&self) -> String {
        let mut dump = self.rows().await;
        match Command::new("pg_dump").args(["--data-only", "--dbname", &self.url]).output().await {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                dump.push_str(&String::from_utf8_lossy(&output.stdout));
            }
            Err(error) => left_out("LEADLINE_PG_CLIENTS_REQUIRED", &format!("pg_dump: {error}")),
        }
        dump
    }

    /// What the server has logged, for every database of this process.
    #[must_use]
    pub fn server_log(&self) -> String {
        let shared = SHARED.get().expect("it made this database");
        fs::read_to_string(shared.cluster.directory().join("server/server.log")).unwrap()
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
        PgPool::connect_lazy_with(self.options.clone())
    }
}
