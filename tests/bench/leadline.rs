//! The daemons under load: real child processes with a cluster of their own, driven over their own interfaces.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use leadline_tests::{ChildDaemon, Operator, takes};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    sync::{Mutex, MutexGuard, OnceCell},
    time::{Instant, sleep},
};

use super::cpu::{self, Cpu};

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
}

/// Where leads of one company go in.
pub(crate) struct Target {
    pub(crate) company: i64,
    pub(crate) key: String,
    /// The ids of its integrations.
    pub(crate) integrations: Vec<String>,
}

/// How many claims there were so far, by the bounds of the metric's buckets in seconds.
pub(crate) struct Claims(Vec<(f64, f64)>);

impl Claims {
    /// How long 99 of a hundred claims took at most since the earlier look, in milliseconds: the bound of the bucket
    /// that the hundredth is counted in.
    pub(crate) fn p99_since(&self, earlier: &Self) -> f64 {
        let before =
            |bound: f64| earlier.0.iter().find(|(at, _)| *at == bound).map_or(0.0, |(_, count)| *count);
        let since: Vec<_> = self.0.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect();
        let all = since.iter().map(|(_, count)| *count).fold(0.0, f64::max);
        assert!(all > 0.0, "no claim was measured");
        let bound = since.iter().find(|(_, count)| *count >= 0.99 * all).map(|(bound, _)| *bound);
        bound.unwrap() * 1e3
    }
}

/// What PostgreSQL has written.
pub(crate) struct Written {
    pub(crate) wal: f64,
    pub(crate) transactions: f64,
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
        Self { daemons, asking: OnceCell::new() }
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

    async fn asking(&self) -> MutexGuard<'_, PgConnection> {
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

    /// Bytes of WAL and transactions so far.
    pub(crate) async fn written(&self) -> Written {
        let (wal, transactions) = sqlx::query_as(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, xact_commit::float8
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut *self.asking().await)
        .await
        .unwrap();
        Written { wal, transactions }
    }

    pub(crate) async fn cpu(&self) -> Cpu {
        Cpu::now(&self.pids(), &self.cluster(), &mut *self.asking().await).await
    }

    /// How often the threads of daemons and cluster have woken so far.
    pub(crate) fn wakeups(&self) -> (u64, u64) {
        cpu::wakeups(&self.pids(), &self.cluster())
    }

    /// Resident memory of the first daemon.
    pub(crate) fn memory_mib(&self) -> f64 {
        cpu::memory_mib(self.pids()[0]).unwrap()
    }

    /// How many claims there were, by how long they took at most.
    pub(crate) async fn claims(&self) -> Claims {
        let metrics = leadline_tests::http().get(self.daemons[0].admin_url("/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let buckets = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix("leadline_claim_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
        });
        Claims(buckets.collect())
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
        let mut asking = self.asking().await;
        // Versions to compare with may have no such table.
        let is_known: bool = sqlx::query_scalar("SELECT to_regclass('lead_recent') IS NOT NULL")
            .fetch_one(&mut *asking)
            .await
            .unwrap();
        let waits = "SELECT EXISTS (SELECT FROM lead_recent)";
        loop {
            let asked = Instant::now();
            if !is_known || !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *asking).await.unwrap() {
                return;
            }
            sleep(Duration::from_millis(100).max(10 * asked.elapsed())).await;
        }
    }

    /// When the deliveries of a company's leads came to be due, in milliseconds since 1970: those after a time.
    pub(crate) async fn due_times(&self, company: i64, since: f64) -> Vec<(String, f64)> {
        sqlx::query_as(
            "SELECT l.uuid, extract(epoch FROM d.created_at)::float8 * 1000
             FROM delivery d JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
             WHERE d.company_id = $1 AND d.created_at > 'epoch'::timestamptz + $2 * interval '1 millisecond'",
        )
        .bind(company)
        .bind(since)
        .fetch_all(&mut *self.asking().await)
        .await
        .unwrap()
    }
}
