//! A private PostgreSQL that is killed, told to stop, or frozen under its daemon.

use std::{fs, path::Path, process::Command, time::Duration};

use futures::future::join_all;
use leadline_fakes::sample_lead;
use leadline_proto::v1;
use leadline_tests::{Cast, ChildDaemon, figure, http, post_lead, wait_until};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::Instant;

/// How long a post may take to be refused, in seconds.
const REFUSED_WITHIN: f64 = 2.0;
/// So many posts come in the moment in which the server stops.
const FIRST_POSTS: usize = 16;

fn postmaster(dir: &Path) -> u32 {
    let text = fs::read_to_string(dir.join("postgres/data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

/// The server's processes: the postmaster last, so that nothing new is started while they are signalled.
fn processes(dir: &Path) -> Vec<u32> {
    let postmaster = postmaster(dir);
    let mut found = vec![postmaster];
    for entry in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.and_then(|parent| parent.trim().parse().ok()) == Some(postmaster) {
            found.push(pid);
        }
    }
    found
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    // Some of them may have ended meanwhile.
    Command::new("kill").args(["-s", name]).args(pids).status().unwrap();
}

struct Scene {
    daemon: ChildDaemon,
    cast: Cast,
    posted: usize,
    /// How many that were refused had perhaps reached a server that answered no more: it may commit them yet.
    perhaps: usize,
}

impl Scene {
    async fn start() -> Self {
        let daemon = ChildDaemon::start_private(&[]).await;
        let cast = leadline_tests::Scene::set().cast(daemon.control().await).await;
        Self { daemon, cast, posted: 0, perhaps: 0 }
    }

    /// Posts the next lead. Only one that was accepted is followed by another.
    async fn post(&mut self) -> (u16, Duration) {
        let (status, took) = self.post_lead(self.posted).await;
        self.posted += usize::from(status == 202);
        (status, took)
    }

    async fn post_lead(&self, n: usize) -> (u16, Duration) {
        let started = Instant::now();
        let url = self.daemon.url("/v1/leads");
        let (status, _) = post_lead(&url, &self.cast.key, sample_lead(n).to_string()).await;
        (status, started.elapsed())
    }

    async fn ready(&self) -> (u16, Duration) {
        let asked = Instant::now();
        let answer = http().get(self.daemon.url("/readyz")).send().await.unwrap();
        (answer.status().as_u16(), asked.elapsed())
    }

    /// Waits until leads are accepted again. The answer is how long that took.
    async fn recovered(&mut self) -> f64 {
        let started = Instant::now();
        while self.post().await.0 != 202 {
            assert!(started.elapsed() < Duration::from_secs(60), "no lead is accepted any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed().as_secs_f64()
    }

    /// Every lead that was accepted is delivered, and the daemon ends well.
    async fn end(mut self) {
        let Self { cast: Cast { operator, integration, .. }, posted, perhaps, .. } = &self;
        // A connection that the fault broke may still be met.
        let filter = v1::DeliveryFilter { integration: integration.clone(), ..Default::default() };
        let request = v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
        wait_until("every accepted lead is delivered", async || {
            let Ok(listed) = operator.deliveries().list_deliveries(request.clone()).await else {
                return false;
            };
            let deliveries = listed.into_inner().deliveries;
            (*posted..=posted + perhaps).contains(&deliveries.len())
                && deliveries.iter().all(|delivery| delivery.state().word() == "delivered")
        })
        .await;
        assert_eq!(self.daemon.stop().await, Some(0));
        self.cast.receiver.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_or_told_to_stop() {
    let _machine = crate::shared().await;
    let mut scene = Scene::start().await;
    assert_eq!(scene.post().await.0, 202);
    // By SIGINT it is gone at once, or seen while it stops.
    for (name, word) in [("KILL", "is gone"), ("TERM", "was told to stop"), ("INT", "starting it again")] {
        let (before, said) = (postmaster(scene.daemon.dir()), scene.daemon.log().len());
        signal(name, &[before]);
        // Those who are connected are served until the daemon has seen it.
        let dir = scene.daemon.dir().to_owned();
        wait_until("another server runs", async || {
            fs::read_to_string(dir.join("postgres/data/postmaster.pid"))
                .is_ok_and(|text| text.lines().next() != Some(&before.to_string()))
        })
        .await;
        let case = format!("the server gets SIG{name}");
        figure(&case, "seconds until leads are accepted again", scene.recovered().await, 15.0);
        let is_said = scene.daemon.log()[said..].iter().any(|line| line.contains(word));
        assert!(is_said, "the log says of SIG{name} that the server {word}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_and_cannot_start_again() {
    let _machine = crate::shared().await;
    let mut scene = Scene::start().await;
    assert_eq!(scene.post().await.0, 202);
    let (server, home) = (postmaster(scene.daemon.dir()), scene.daemon.dir().join("postgres"));
    fs::rename(home.join("data"), home.join("gone")).unwrap();
    signal("KILL", &[server]);
    let killed = Instant::now();
    // Half a minute of trying, the last try, and a stop that waits for what is under way.
    let code = scene.daemon.ended().await;
    assert_eq!(code, Some(1), "a service manager must see it");
    figure(
        "the server cannot start again",
        "seconds until the daemon exits",
        killed.elapsed().as_secs_f64(),
        120.0,
    );
    assert!(scene.daemon.log().iter().any(|line| line.contains("private PostgreSQL")), "the log says why");
    scene.cast.receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_frozen() {
    let _machine = crate::shared().await;
    let case = "the server is frozen";
    let mut scene = Scene::start().await;
    assert_eq!(scene.post().await.0, 202);
    let frozen = processes(scene.daemon.dir());
    signal("STOP", &frozen);
    // At the same time, and at once: a moment later the daemon knows, and refuses what comes unseen.
    let (ready, posts) = tokio::join!(scene.ready(), join_all((1..=FIRST_POSTS).map(|n| scene.post_lead(n))));
    assert_eq!(ready.0, 503);
    figure(case, "seconds until /readyz says so", ready.1.as_secs_f64(), REFUSED_WITHIN);
    assert!(posts.iter().all(|(status, _)| *status == 503), "{posts:?}");
    scene.perhaps = FIRST_POSTS;
    let slowest = posts.iter().map(|(_, took)| *took).max().unwrap();
    figure(case, "seconds until the first posts are refused", slowest.as_secs_f64(), REFUSED_WITHIN);
    let (mut slowest, mut lines) = (Duration::ZERO, scene.daemon.log().len());
    let frozen_since = Instant::now();
    while frozen_since.elapsed() < Duration::from_secs(5) {
        let (status, took) = scene.post().await;
        assert_eq!(status, 503);
        slowest = slowest.max(took);
    }
    figure(case, "seconds until a post is refused", slowest.as_secs_f64(), REFUSED_WITHIN);
    lines = scene.daemon.log().len() - lines;
    figure(case, "log lines a second", lines as f64 / frozen_since.elapsed().as_secs_f64(), 2.0);
    signal("CONT", &frozen);
    figure(case, "seconds until leads are accepted again", scene.recovered().await, 10.0);
    scene.end().await;
}

async fn connect(dir: &Path, database: &str) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().socket(dir.join("postgres")).username("leadline");
    options.database(database).connect().await.unwrap()
}

/// Lets every new transaction write or not, and ends those who are connected, as a fail-over does.
async fn let_write(dir: &Path, may_write: bool) {
    let mut connection = connect(dir, "postgres").await;
    let word = if may_write { "off" } else { "on" };
    let sql = format!("ALTER DATABASE leadline SET default_transaction_read_only = {word}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'leadline'")
        .execute(&mut connection)
        .await
        .unwrap();
}

/// Lets whoever adds a lead hear what a server says that cannot extend a file.
async fn let_grow(dir: &Path, may_grow: bool) {
    let sql = if may_grow {
        "DROP FUNCTION full_disk CASCADE"
    } else {
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
         END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON lead EXECUTE FUNCTION full_disk()"
    };
    sqlx::raw_sql(sql).execute(&mut connect(dir, "leadline").await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_takes_no_writes() {
    let _machine = crate::shared().await;
    let mut scene = Scene::start().await;
    assert_eq!(scene.post().await.0, 202);
    for case in ["the database is read-only", "the database's disk is full"] {
        let set = async |scene: &Scene, is_well| match case {
            "the database is read-only" => let_write(scene.daemon.dir(), is_well).await,
            _ => let_grow(scene.daemon.dir(), is_well).await,
        };
        set(&scene, false).await;
        let (lines, since) = (scene.daemon.log().len(), Instant::now());
        let mut posts = 0;
        while since.elapsed() < Duration::from_secs(10) {
            assert_eq!(scene.post().await.0, 503);
            posts += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lines = scene.daemon.log().len() - lines;
        println!("{posts} posts were refused");
        figure(case, "log lines a second", lines as f64 / since.elapsed().as_secs_f64(), 2.0);
        set(&scene, true).await;
        figure(case, "seconds until leads are accepted again", scene.recovered().await, 10.0);
    }
    scene.end().await;
}
