//! The daemons under load: real child processes with a cluster of their own, driven over their own interfaces.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use leadline_tests::{ChildDaemon, Operator, takes};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    sync::{Mutex, MutexGuard, OnceCell},
    time::{Instant, sleep},
};

use super::{
    cpu::{self, Cpu},
    metrics::Metrics,
};

/// What each integration may have in flight, so that the lane is not what limits a single one.
pub(crate) const CONCURRENCY: u32 = 64;
/// A queue that does not become shorter for so long has lost something.
const STUCK: Duration = Duration::from_secs(60);

/// A daemon with a private cluster, and others beside it on the same database.
pub(crate) struct Leadline {
    daemons: Vec<ChildDaemon>,
    /// What the server is asked with between two looks. It stays open: what a connection used that has ended would be
    /// counted as the server's own.
    asking: OnceCell<Mutex<PgConnection>>,
    /// How often it was asked, a transaction each.
    asked: AtomicU64,
}

/// Where leads of one company go in.
pub(crate) struct Target {
    pub(crate) company: i64,
    pub(crate) key: String,
    /// The ids of its integrations.
    pub(crate) integrations: Vec<String>,
}

/// What PostgreSQL has written.
pub(crate) struct Written {
    pub(crate) at: Instant,
    pub(crate) wal: f64,
    /// Without those in which the benchmark asked.
    pub(crate) transactions: f64,
    pub(crate) rows: Rows,
}

/// Rows that came, went and changed so far.
#[derive(sqlx::FromRow)]
pub(crate) struct Rows {
    /// Deliveries made.
    pub(crate) made: i64,
    /// Due rows that were claimed or given up.
    claimed: i64,
    attempts: i64,
    pub(crate) updates: i64,
    /// Updates of deliveries that touched no index.
    pub(crate) in_place: i64,
}

impl Leadline {
    pub(crate) async fn start(executable: &Path) -> Self {
        Self::start_in(executable, &[]).await
    }

    /// The same with these variables in its environment.
    pub(crate) async fn start_in(executable: &Path, env: &[(&str, &str)]) -> Self {
        let mut args = vec!["--log-level=warn,leadlined=info"];
        if takes(executable, "--admin-listen").await {
            args.push("--admin-listen=127.0.0.1:0");
        }
        let daemons = vec![ChildDaemon::start_of(executable, None, &args, env).await];
        Self { daemons, asking: OnceCell::new(), asked: AtomicU64::new(0) }
    }

    /// One more daemon on the same database.
    pub(crate) async fn join(&mut self, executable: &Path) {
        let url = format!("--database-url={}", self.database_url());
        let key = format!("--master-key={}", self.daemons[0].dir().join("master.key").display());
        let args = ["--log-level=warn,leadlined=info", &url, &key];
        self.daemons.push(ChildDaemon::start_of(executable, None, &args, &[]).await);
    }

    pub(crate) async fn stop(mut self) {
        // The last one is that whose cluster the others use.
        while let Some(mut daemon) = self.daemons.pop() {
            assert_eq!(daemon.stop().await, Some(0));
        }
    }

    pub(crate) fn intakes(&self) -> Vec<SocketAddr> {
        self.daemons.iter().map(ChildDaemon::intake).collect()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.daemons[0].socket()
    }

    pub(crate) async fn operator(&self) -> Operator {
        Operator::new(self.channel().await)
    }

    /// The daemon's own database, found as an operator would: its socket's directory stands in the server's pid file.
    pub(crate) fn database_url(&self) -> String {
        let pid_file = fs::read_to_string(self.cluster().join("postmaster.pid")).unwrap();
        let socket_dir = pid_file.lines().nth(4).unwrap();
        format!("postgres:///leadline?host={socket_dir}&user=leadline&application_name=bench")
    }

    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database_url()).await.unwrap()
    }

    /// For one statement.
    async fn asking(&self) -> MutexGuard<'_, PgConnection> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.asking.get_or_init(async || Mutex::new(self.database().await)).await.lock().await
    }

    /// A channel to the control API of the first daemon.
    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        self.daemons[0].control().await
    }

    /// Starts the first daemon anew, and lets its server log the plans of statements that take longer.
    pub(crate) async fn explain(&mut self, slow: &str) {
        let settings = [
            "session_preload_libraries = auto_explain".to_owned(),
            format!("auto_explain.log_min_duration = '{slow}'"),
            "auto_explain.log_analyze = on".to_owned(),
            "auto_explain.log_nested_statements = on".to_owned(),
        ];
        let mut database = self.database().await;
        // The library must be there before what it is told is taken for a setting.
        sqlx::raw_sql("LOAD 'auto_explain'").execute(&mut database).await.unwrap();
        for setting in settings {
            let sql = format!("ALTER DATABASE leadline SET {setting}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
        }
        self.asking.take();
        self.daemons[0].kill().await;
        self.daemons[0].restart().await;
    }

    /// What its server has logged.
    pub(crate) fn server_log(&self) -> String {
        let log = self.daemons[0].dir().join("server/server.log");
        fs::read_to_string(&log).unwrap_or_else(|error| format!("{}: {error}", log.display()))
    }

    /// What PostgreSQL has written so far.
    pub(crate) async fn written(&self) -> Written {
        // A connection counts for itself, and tells so once a second.
        let tell = sqlx::query("SELECT pg_stat_force_next_flush()");
        tell.execute(&mut *self.asking().await).await.unwrap();
        let asked = self.asked.load(Ordering::Relaxed) as f64;
        let (wal, transactions): (f64, f64) = sqlx::query_as(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, xact_commit::float8
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut *self.asking().await)
        .await
        .unwrap();
        Written { at: Instant::now(), wal, transactions: transactions - asked, rows: self.rows().await }
    }

    /// The same once everything of so many deliveries since then is counted: a connection that has nothing more to do
    /// tells what it did up to ten seconds later.
    pub(crate) async fn written_since(&self, before: &Written, deliveries: usize) -> Written {
        let (expected, since) = (deliveries as i64, Instant::now());
        // The log is known at once, and the waiting writes its own.
        let wal = self.written().await.wal;
        loop {
            let rows = self.rows().await;
            let (made, claimed) = (rows.made - before.rows.made, rows.claimed - before.rows.claimed);
            let attempts = rows.attempts - before.rows.attempts;
            if made.min(claimed).min(attempts) >= expected {
                return Written { wal, ..self.written().await };
            }
            assert!(
                since.elapsed() < STUCK,
                "of {expected} deliveries the server counted {made} made, {claimed} claimed and {attempts} attempts"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn rows(&self) -> Rows {
        sqlx::query_as(
            "SELECT sum(n_tup_ins) FILTER (WHERE relname = 'delivery')::bigint AS made,
                 sum(n_tup_del) FILTER (WHERE relname = 'due')::bigint AS claimed,
                 sum(n_tup_ins) FILTER (WHERE relname LIKE 'attempt%')::bigint AS attempts,
                 sum(n_tup_upd) FILTER (WHERE relname = 'delivery')::bigint AS updates,
                 sum(n_tup_hot_upd) FILTER (WHERE relname = 'delivery')::bigint AS in_place
             FROM pg_stat_user_tables",
        )
        .fetch_one(&mut *self.asking().await)
        .await
        .unwrap()
    }

    pub(crate) async fn cpu(&self) -> Cpu {
        Cpu::now(&self.pids(), &self.cluster(), &mut *self.asking().await).await
    }

    /// What the first daemon had resident at most so far, and what its server has, in MiB.
    pub(crate) fn memory_mib(&self) -> (f64, f64) {
        (cpu::peak_mib(self.pids()[0]).unwrap(), cpu::server_mib(&self.cluster()))
    }

    /// What the first daemon has counted so far; nothing of a version without such a page.
    pub(crate) async fn metrics(&self) -> Metrics {
        if !self.daemons[0].dir().join("admin.addr").exists() {
            return Metrics::default();
        }
        let answer = leadline_tests::http().get(self.daemons[0].admin_url("/metrics")).send().await.unwrap();
        Metrics::parse(&answer.text().await.unwrap())
    }

    fn pids(&self) -> Vec<u32> {
        self.daemons.iter().map(|daemon| daemon.pid().unwrap()).collect()
    }

    fn cluster(&self) -> PathBuf {
        self.daemons[0].dir().join("postgres/data")
    }

    /// A company whose integrations push to these addresses.
    pub(crate) async fn company(&self, id: i64, urls: &[String], concurrency: u32) -> Target {
        let operator = self.operator().await;
        let key = operator.company(id).await;
        let mut integrations = Vec::new();
        for (n, url) in urls.iter().enumerate() {
            let more = json!({ "concurrency": concurrency });
            let created = operator.webhook(id, &format!("receiver {n}"), url, more).await;
            integrations.push(created.integration.unwrap().id);
        }
        Target { company: id, key, integrations }
    }

    /// Waits until the queue is empty, as long as it becomes shorter.
    pub(crate) async fn wait_until_drained(&self) {
        let (mut least, mut since) = (i64::MAX, Instant::now());
        loop {
            let asked = Instant::now();
            let open: i64 =
                sqlx::query_scalar("SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM claim)")
                    .fetch_one(&mut *self.asking().await)
                    .await
                    .unwrap();
            if open == 0 {
                return;
            }
            if open < least {
                (least, since) = (open, Instant::now());
            }
            assert!(since.elapsed() < STUCK, "{open} deliveries are stuck in the queue");
            // Beside a held snapshot an answer reads all that was ever due: asking is to cost next to nothing.
            sleep(Duration::from_millis(20).max(10 * asked.elapsed())).await;
        }
    }

    /// Waits until the people of all leads are in the index for searches, so that what this writes belongs to the load
    /// that it is of.
    pub(crate) async fn wait_until_indexed(&self) {
        // Versions to compare with may have no such table.
        let is_known: bool = sqlx::query_scalar("SELECT to_regclass('lead_recent') IS NOT NULL")
            .fetch_one(&mut *self.asking().await)
            .await
            .unwrap();
        let waits = "SELECT EXISTS (SELECT FROM lead_recent)";
        loop {
            let asked = Instant::now();
            if !is_known
                || !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *self.asking().await).await.unwrap()
            {
                return;
            }
            sleep(Duration::from_millis(100).max(10 * asked.elapsed())).await;
        }
    }

    /// When the deliveries of a company's leads came to be due, in milliseconds since 1970: those after a time.
    pub(crate) async fn due_times(&self, company: i64, since: f64) -> HashMap<String, f64> {
        let times: Vec<(String, f64)> = sqlx::query_as(
            "SELECT l.uuid, extract(epoch FROM d.created_at)::float8 * 1000
             FROM delivery d JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
             WHERE d.company_id = $1 AND d.created_at > 'epoch'::timestamptz + $2 * interval '1 millisecond'",
        )
        .bind(company)
        .bind(since)
        .fetch_all(&mut *self.asking().await)
        .await
        .unwrap();
        times.into_iter().collect()
    }
}
