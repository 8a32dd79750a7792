//! An upgrade while leads flow: a daemon of the next version brings the schema up to date beside one that goes on pushing.
//! `make upgrade-check` builds that version, whose migration changes every table that a push meets. By default one executable
//! stands for both: the tables are widened as the next version does it.

use std::{
    collections::BTreeSet,
    env,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Database, Operator, figure, leadlined, post_lead, wait_until};
use leadlined::postgres::setup;
use serde_json::{Value, json};
use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::{sync::RwLock, task::JoinSet, time::Instant};

/// How long a sender may wait for an answer while tables are changed, in seconds; and how long where no time is measured.
const WAIT_MAX: f64 = 1.0;
const HANG: f64 = 30.0;
/// The version of the schema that comes next.
const NEXT: i64 = 9999;
const SENDERS: usize = 4;

/// Posts to either daemon as long as it is there, and keeps what was accepted and how long the longest answer took.
#[derive(Clone, Default)]
struct Load {
    /// Read by each post on its way: a daemon is taken off, as off a balancer, before it stops, and who had chosen it has its
    /// answer by then. What comes to a closed door is the sender's to send again.
    urls: Arc<RwLock<Vec<String>>>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
    longest: Arc<Mutex<Duration>>,
    next: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    async fn send(self, key: String) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let urls = self.urls.read().await;
            let began = Instant::now();
            let url = &urls[number % urls.len()];
            let (status, answer) = post_lead(url, &key, sample_lead(number).to_string()).await;
            drop(urls);
            let mut longest = self.longest.lock().unwrap();
            *longest = began.elapsed().max(*longest);
            assert_eq!(status, 202, "{answer}");
            self.accepted.lock().unwrap().insert(answer["lead"].as_str().unwrap().to_uppercase());
        }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    async fn flows_on(&self, what: &str) {
        let before = self.count();
        wait_until(what, async || self.count() > before + 200).await;
    }
}

fn arrived(receiver: &Receiver) -> BTreeSet<String> {
    let uuid = |request: &leadline_fakes::Request| {
        let event: Value = serde_json::from_slice(&request.body).ok()?;
        Some(event["lead"]["uuid"].as_str()?.to_uppercase())
    };
    receiver.requests().iter().filter_map(uuid).collect()
}

/// Upgrades under load to what `next` starts, once the schema is as the next version has it. Answers the database.
async fn upgrade(next: impl AsyncFnOnce(&Database) -> ChildDaemon, wait_max: f64) -> Database {
    let database = Database::create().await;
    let mut old = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(old.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let load = Load::default();
    load.urls.write().await.push(old.url("/v1/leads"));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(load.clone().send(key.clone()));
    }
    load.flows_on("leads flow").await;

    let mut new = next(&database).await;
    load.flows_on("the old one goes on over the migration").await;
    load.urls.write().await.push(new.url("/v1/leads"));
    load.flows_on("both take leads in").await;
    load.urls.write().await.remove(0);
    assert_eq!(old.stop().await, Some(0));
    load.flows_on("the new one alone").await;
    load.is_over.store(true, Ordering::Relaxed);
    while let Some(sent) = senders.join_next().await {
        sent.unwrap();
    }
    let accepted = load.accepted.lock().unwrap().clone();
    wait_until("every accepted lead arrives", async || accepted.is_subset(&arrived(&receiver))).await;
    let lost = accepted.difference(&arrived(&receiver)).count();
    let longest = load.longest.lock().unwrap().as_secs_f64();
    figure("a rolling upgrade", "accepted leads lost", lost as f64, 0.0);
    figure("a rolling upgrade", "seconds until the slowest answer", longest, wait_max);
    let failed = |log: Vec<String>| {
        log.into_iter().filter(|line| line.contains("_failed\"") || line.contains("ERROR"))
    };
    assert_eq!(
        failed(old.log()).chain(failed(new.log())).collect::<Vec<_>>(),
        [""; 0],
        "what neither can do any more"
    );
    assert_eq!(new.stop().await, Some(0));
    receiver.stop().await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_while_tables_are_widened_and_shares_the_work_with_another() {
    let _machine = crate::alone().await;
    let next = async |database: &Database| {
        let sql = include_str!("../fixtures/next_version.sql").into_sql_str();
        let next = Migration::new(NEXT, "next".into(), MigrationType::Simple, sql, false);
        let migrations = setup::MIGRATIONS.iter().cloned().chain([next]).collect();
        let migrations = Migrator::with_migrations(migrations);
        setup::migrate_with(&migrations, database.options()).await.unwrap();
        // Or this executable would not start on it.
        sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
            .bind(NEXT)
            .execute(&database.pool().await)
            .await
            .unwrap();
        ChildDaemon::start(Some(database), &[]).await
    };
    upgrade(next, HANG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_share_the_work_over_a_migration_and_lose_nothing() {
    let _machine = crate::alone().await;
    let Some(next) = env::var_os("LEADLINE_NEXT").map(PathBuf::from) else {
        eprintln!("left out: this needs a leadlined of a later version: make upgrade-check builds one");
        return;
    };
    // It brings the schema up to date before it is ready.
    let next = async |database: &Database| ChildDaemon::start_of(&next, Some(database), &[], &[]).await;
    let database = upgrade(next, WAIT_MAX).await;
    let data = tempfile::tempdir().unwrap();
    let again = tokio::process::Command::new(leadlined())
        .arg(format!("--database-url={}", database.url()))
        .arg(format!("--master-key={}", database.master_key().display()))
        .arg(format!("--data-dir={}", data.path().display()))
        .args(["--intake-listen=127.0.0.1:0", "--admin-listen=off"])
        .output()
        .await
        .unwrap();
    assert_eq!(again.status.code(), Some(1), "an old one does not start on a newer schema");
}
