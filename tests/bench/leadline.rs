//! The daemon under load: a real child process with its own cluster, driven over its own interfaces.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use leadline_tests::{ChildDaemon, Operator};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::{task::JoinSet, time::sleep};

use super::{
    baseline::lead,
    cpu::{self, Cpu},
    figures::Sample,
    http::{Client, Receiver},
};

/// What each integration may have in flight, so that the lane is not what limits a single one.
pub(crate) const CONCURRENCY: u32 = 64;

/// A daemon in release mode.
pub(crate) struct Leadline {
    child: ChildDaemon,
}

/// Where leads of one company go in.
pub(crate) struct Target {
    key: String,
}

/// What PostgreSQL has written.
pub(crate) struct Written {
    pub(crate) wal: f64,
    pub(crate) transactions: f64,
}

/// What a flood came to.
pub(crate) struct Flood {
    pub(crate) leads: usize,
    pub(crate) drained: Duration,
    accepted_in: Duration,
    latency: Sample,
}

impl Flood {
    pub(crate) fn leads_per_second(&self) -> f64 {
        self.leads as f64 / self.accepted_in.as_secs_f64()
    }

    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.latency.quantile(quantile)
    }
}

/// Milliseconds of a trickle.
pub(crate) struct Latency {
    pub(crate) accept: Sample,
    pub(crate) post: Sample,
    pub(crate) due: Sample,
    /// From the answer to the sender to the arrival: below nothing where the push was faster.
    pub(crate) answered: Sample,
    pub(crate) leads: usize,
}

impl Leadline {
    pub(crate) async fn start(executable: &Path) -> Self {
        let quiet = ["--log-level=warn,leadlined=info"];
        Self { child: ChildDaemon::start_of(executable, None, &quiet, &[]).await }
    }

    pub(crate) async fn stop(mut self) {
        assert_eq!(self.child.stop().await, Some(0));
    }

    /// The daemon's own database, found as an operator would: its socket's directory stands in the server's pid file.
    pub(crate) fn database_url(&self) -> String {
        let pid_file = fs::read_to_string(self.cluster().join("postmaster.pid")).unwrap();
        let socket_dir = pid_file.lines().nth(4).unwrap();
        format!("postgres:///leadline?host={socket_dir}&user=leadline")
    }

    /// Bytes of WAL and transactions so far.
    pub(crate) async fn written(&self) -> Written {
        let mut connection = PgConnection::connect(&self.database_url()).await.unwrap();
        let (wal, transactions) = sqlx::query_as(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, xact_commit::float8
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        Written { wal, transactions }
    }

    pub(crate) fn cpu(&self) -> Cpu {
        cpu::usage(self.pid(), &self.cluster())
    }

    pub(crate) fn memory_mib(&self) -> f64 {
        cpu::memory_mib(self.pid())
    }

    fn pid(&self) -> u32 {
        self.child.pid().unwrap()
    }

    fn cluster(&self) -> PathBuf {
        self.child.dir().join("postgres/data")
    }

    /// A company with so many integrations, all at the receiver.
    pub(crate) async fn company(&self, id: i64, fan_out: usize, receiver: SocketAddr) -> Target {
        let operator = Operator::new(self.child.control().await);
        let key = operator.company(id).await;
        for n in 0..fan_out {
            let url = format!("http://{receiver}/{n}");
            operator.webhook(id, &format!("receiver {n}"), &url, json!({"concurrency": CONCURRENCY})).await;
        }
        Target { key }
    }

    /// Posts new leads from closed-loop clients, then waits until all arrived.
    pub(crate) async fn flood(
        &self,
        target: &Target,
        clients: usize,
        time: Duration,
        receiver: &Receiver,
    ) -> Flood {
        let before = receiver.count();
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (address, key) = (self.child.intake(), target.key.clone());
            tasks.spawn(async move {
                let mut client = Client::connect(address, "/v1/leads", &key).await;
                let mut latencies = Vec::new();
                while started.elapsed() < time {
                    let body = lead(&ulid::Ulid::generate().to_string());
                    let posted = Instant::now();
                    assert_eq!(client.post(&body).await, 202);
                    latencies.push(posted.elapsed().as_secs_f64() * 1e3);
                }
                latencies
            });
        }
        let latencies: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
        let accepted_in = started.elapsed();
        self.wait_until_drained().await;
        let drained = started.elapsed();
        assert!(receiver.count() > before, "nothing arrived");
        Flood { leads: latencies.len(), drained, accepted_in, latency: Sample::new(latencies) }
    }

    async fn wait_until_drained(&self) {
        let mut connection = PgConnection::connect(&self.database_url()).await.unwrap();
        loop {
            let open: i64 =
                sqlx::query_scalar("SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM claim)")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
            if open == 0 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts at a steady rate, and compares each lead's times.
    pub(crate) async fn trickle(
        &self,
        target: &Target,
        rate: f64,
        time: Duration,
        receiver: &Receiver,
    ) -> Latency {
        receiver.note();
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        // One client in so many sends every so often, so that a slow answer delays nobody else's lead.
        let clients = 50_u32;
        for n in 0..clients {
            let (address, key) = (self.child.intake(), target.key.clone());
            let every = Duration::from_secs_f64(f64::from(clients) / rate);
            tasks.spawn(async move {
                let mut client = Client::connect(address, "/v1/leads", &key).await;
                let mut next = started + every * n / clients;
                let mut posts = Vec::new();
                while next - started < time {
                    tokio::time::sleep_until(next.into()).await;
                    let uuid = ulid::Ulid::generate().to_string();
                    let body = lead(&uuid);
                    let posted = Instant::now();
                    assert_eq!(client.post(&body).await, 202);
                    posts.push((uuid, posted, posted.elapsed()));
                    next += every;
                }
                posts
            });
        }
        let posts: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        self.wait_until_drained().await;
        let arrivals = receiver.noted();
        let due = self.due_times().await;
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let answered = posts.iter().map(|(uuid, posted, took)| {
            let arrived = arrivals[uuid].at;
            millis(arrived.saturating_duration_since(*posted)) - millis(*took)
        });
        let answered = Sample::new(answered.collect());
        let post = posts.iter().map(|(uuid, posted, _)| millis(arrivals[uuid].at - *posted)).collect();
        let due = due.into_iter().filter_map(|(uuid, due)| {
            let arrived = arrivals.get(&uuid)?.wall.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(arrived.as_secs_f64() * 1e3 - due)
        });
        Latency {
            accept: Sample::new(posts.iter().map(|(_, _, took)| millis(*took)).collect()),
            post: Sample::new(post),
            due: Sample::new(due.collect()),
            answered,
            leads: posts.len(),
        }
    }

    /// When each lead's delivery came to be due, in milliseconds since 1970.
    async fn due_times(&self) -> Vec<(String, f64)> {
        let mut connection = PgConnection::connect(&self.database_url()).await.unwrap();
        sqlx::query_as(
            "SELECT l.uuid, extract(epoch FROM d.created_at)::float8 * 1000
             FROM delivery d JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    }
}
