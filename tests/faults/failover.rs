//! Two servers of one's own with streaming replication: the primary is killed under load, vanishes, or lives on, and the
//! standby is promoted. And a pooler between, which is refused by name. `make failover`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Operator, figure, http, leadlined, left_out, post_lead, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::time::Instant;

mod line;
mod load;

use self::{
    line::Line,
    load::{Load, RATE_OVER},
};

/// How long it may take after the promotion until all is as before, in seconds.
const BACK_WITHIN: f64 = 5.0;
/// From which share of the rate before on it counts as full: the machine has other things to do, too.
const FULL_RATE: f64 = 0.8;

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

fn programs() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/pg-bin");
    let found = Command::new(script).output().unwrap();
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}

/// Runs a program as an account that PostgreSQL takes. True if it did its work.
fn run(program: &Path, args: &[&str]) -> bool {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(args).current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A port that was free a moment ago: these servers take no socket that is open already.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A server of one's own.
pub(crate) struct Server {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
}

impl Server {
    fn pg(name: &str, args: &[&str]) {
        assert!(run(&programs().join(name), args), "{name} {args:?}");
    }

    fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    fn start(&self) {
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -k {}", self.port, self.path());
        let log = format!("{}/log", self.path());
        Self::pg("pg_ctl", &["start", "-s", "-w", "-D", self.path(), "-l", &log, "-o", &options]);
    }

    pub(crate) fn primary(dir: &Path) -> Self {
        let server = Self { dir: dir.join("primary"), port: free_port() };
        let path = server.path().to_owned();
        Self::pg("initdb", &["-A", "trust", "-U", "leadline", "-E", "UTF8", "--no-locale", "-D", &path]);
        server.start();
        server
    }

    /// A standby that follows this one, and that each commit waits for.
    async fn standby(&self, dir: &Path) -> Self {
        let standby = Self { dir: dir.join("standby"), port: free_port() };
        // A copy of a server that stands still needs no program for backups, which not every package brings.
        Self::pg("pg_ctl", &["stop", "-s", "-w", "-m", "fast", "-D", self.path()]);
        assert!(run(Path::new("cp"), &["-a", self.path(), standby.path()]));
        let from = format!("host=127.0.0.1 port={} user=leadline application_name=standby", self.port);
        let mut settings =
            fs::OpenOptions::new().append(true).open(standby.dir.join("postgresql.auto.conf")).unwrap();
        writeln!(settings, "primary_conninfo = '{from}'").unwrap();
        fs::write(standby.dir.join("standby.signal"), "").unwrap();
        self.start();
        standby.start();
        self.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'").await;
        self.ask("SELECT pg_reload_conf()").await;
        wait_until("commits wait for the standby", async || {
            self.ask("SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'").await == "1"
        })
        .await;
        standby
    }

    pub(crate) async fn ask(&self, sql: &str) -> String {
        let options = PgConnectOptions::new().host("127.0.0.1").port(self.port).username("leadline");
        let mut connection = options.database("postgres").connect().await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
        rows.first().and_then(|row| sqlx::Row::try_get::<String, _>(row, 0).ok()).unwrap_or_default()
    }

    /// The process that starts all others.
    fn postmaster(&self) -> String {
        let file = fs::read_to_string(self.dir.join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }

    /// All of its processes at once, without a word.
    fn kill(&self) {
        let postmaster = self.postmaster();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        // One of the children may have ended on its own.
        let mut kill = Command::new("kill");
        kill.arg("-KILL").arg(postmaster).args(children.lines()).stderr(Stdio::null()).status().unwrap();
    }

    /// Starts one that was killed, once nothing is left of it, not even for whoever reaps it.
    async fn start_again(&self) {
        let killed = Path::new("/proc").join(self.postmaster());
        wait_until("the killed server is gone", async || !killed.exists()).await;
        self.start();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(&programs().join("pg_ctl"), &["stop", "-s", "-m", "immediate", "-D", self.path()]);
    }
}

pub(crate) fn workplace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    if is_root() {
        assert!(Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success());
    }
    dir
}

/// A daemon on two servers of which the second one is a standby, and what comes of leads that are posted to it.
struct Scene {
    daemon: ChildDaemon,
    receiver: Receiver,
    load: Load,
    url: String,
}

impl Scene {
    /// Leads flow to the first of these ports.
    async fn start(ports: [u16; 2]) -> Self {
        let url = format!(
            "--database-url=postgres://leadline@127.0.0.1:{},127.0.0.1:{}/postgres",
            ports[0], ports[1]
        );
        let daemon = ChildDaemon::start(None, &[&url, "--admin-listen=127.0.0.1:0"]).await;
        let operator = Operator::new(daemon.control().await);
        let receiver = Receiver::start(Behaviour::Good).await.unwrap();
        let key = operator.company(7).await;
        operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
        let load = Load::start(&daemon.url("/v1/leads"), &key);
        wait_until("leads flow", async || load.count() > 200 && load.age() > RATE_OVER * 3).await;
        Self { daemon, receiver, load, url }
    }

    /// Promotes a standby, and prints how long it takes until leads are accepted and pushed as fast as before the
    /// primary was lost, at this moment.
    async fn promote(&mut self, case: &str, standby: &Server, lost_at: Instant) {
        let before = self.load.rate_before(lost_at);
        Server::pg("pg_ctl", &["promote", "-s", "-w", "-D", standby.path()]);
        let promoted = Instant::now();
        let pushed = self.receiver.count();
        let seconds = |at: Instant| at.duration_since(promoted).as_secs_f64();
        let mut pushed_again = None;
        let mut full_rate = None;
        wait_until("leads are accepted as before, and pushed", async || {
            if pushed_again.is_none() && self.receiver.count() > pushed + 100 {
                pushed_again = Some(Instant::now());
            }
            full_rate = full_rate.or_else(|| self.load.first_second_of(before * FULL_RATE, promoted));
            full_rate.is_some() && pushed_again.is_some()
        })
        .await;
        println!(
            "{case}: {before:.0} leads a second before, {:.0} after",
            self.load.rate_before(Instant::now())
        );
        let first = self.load.first_after(promoted).unwrap();
        figure(case, "seconds from promotion to accepted leads", seconds(first), BACK_WITHIN);
        figure(case, "seconds from promotion to the full rate", seconds(full_rate.unwrap()), BACK_WITHIN);
        figure(
            case,
            "seconds from promotion to a hundred pushes",
            seconds(pushed_again.unwrap()),
            BACK_WITHIN,
        );
    }

    /// Every lead that was accepted arrives, and the daemon ends well.
    async fn end(mut self, case: &str) {
        let accepted = self.load.stop().await;
        let arrived = || -> BTreeSet<String> {
            let body = |request: &leadline_fakes::Request| {
                serde_json::from_slice::<serde_json::Value>(&request.body).ok()?["lead"]["uuid"]
                    .as_str()
                    .map(str::to_uppercase)
            };
            self.receiver.requests().iter().filter_map(body).collect()
        };
        wait_until("every accepted lead arrives", async || accepted.is_subset(&arrived())).await;
        let lost = accepted.difference(&arrived()).count();
        figure(case, "accepted leads lost", lost as f64, 0.0);
        assert_eq!(self.daemon.stop().await, Some(0));
        self.receiver.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_under_load_loses_nothing_and_the_promoted_one_is_found() {
    let _machine = crate::alone().await;
    let dir = workplace();
    let primary = Server::primary(dir.path());
    let standby = primary.standby(dir.path()).await;
    let mut scene = Scene::start([standby.port, primary.port]).await;
    primary.kill();
    scene.promote("a primary is killed", &standby, Instant::now()).await;
    scene.end("a primary is killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_machine_vanishes_without_a_word_is_left_by_all_who_wait_for_it() {
    let _machine = crate::alone().await;
    let dir = workplace();
    let primary = Server::primary(dir.path());
    let standby = primary.standby(dir.path()).await;
    let line = Line::to(primary.port).await;
    let mut scene = Scene::start([line.port(), standby.port]).await;
    // With another daemon beside it, it also listens and tells all the time.
    let key = format!("--master-key={}", scene.daemon.dir().join("master.key").display());
    let mut other = ChildDaemon::start(None, &[&scene.url, &key]).await;
    wait_until("they know each other", async || metric(&scene.daemon, "leadline_daemons ").await == 2).await;
    line.vanish();
    let lost_at = Instant::now();
    wait_until("leads are refused", async || scene.load.refused_since(lost_at) > 0).await;
    primary.kill();
    scene.promote("a primary vanishes", &standby, lost_at).await;
    assert_eq!(metric(&scene.daemon, "leadline_database_failovers_total ").await, 1);
    scene.end("a primary vanishes").await;
    assert_eq!(other.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_take_writes_the_promoted_one_is_followed_and_the_old_one_never_again() {
    let _machine = crate::alone().await;
    let dir = workplace();
    let primary = Server::primary(dir.path());
    let standby = primary.standby(dir.path()).await;
    let scene = Scene::start([primary.port, standby.port]).await;
    let [first, second] = [primary.port, standby.port].map(|port| format!("127.0.0.1:{port}"));
    let told = doctor(&scene.daemon, &[&scene.url]);
    assert!(told.contains(&format!("ok    server          {second} follows, and can take")), "{told}");
    // Nobody waits for a standby that stops to be one; the old primary lives on.
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''").await;
    primary.ask("SELECT pg_reload_conf()").await;
    Server::pg("pg_ctl", &["promote", "-s", "-w", "-D", standby.path()]);
    wait_until("the promoted one is followed", async || {
        metric(&scene.daemon, "leadline_database_failovers_total ").await == 1
    })
    .await;
    let logged = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        scene.daemon.log().iter().any(|line| line.contains(&event))
    };
    wait_until("the other is named", async || logged("several_servers_take_writes")).await;
    assert_eq!(metric(&scene.daemon, "leadline_database_rivals ").await, 1);
    let told = doctor(&scene.daemon, &[&scene.url]);
    assert!(told.contains(&format!("look  servers         {first} and {second} follow no other")), "{told}");
    let leads = async |server: &Server| server.ask("SELECT count(*)::text FROM lead").await;
    let left_with = leads(&primary).await;

    standby.kill();
    wait_until("the old one is not taken instead", async || logged("server_left_behind")).await;
    standby.start_again().await;
    let started = Instant::now();
    wait_until("leads are accepted again", async || scene.load.first_after(started).is_some()).await;
    assert_eq!(leads(&primary).await, left_with, "nothing is written where it would be lost");
    scene.load.stop().await;
    let mut daemon = scene.daemon;
    assert_eq!(daemon.stop().await, Some(0));
    scene.receiver.stop().await;
}

/// What the doctor says beside a daemon of the servers that it is told of.
fn doctor(daemon: &ChildDaemon, urls: &[&str]) -> String {
    let mut doctor = Command::new(leadlined());
    doctor.arg("--data-dir").arg(daemon.dir()).arg("doctor").args(urls).env("LEADLINE_USER", "root");
    String::from_utf8(doctor.output().unwrap().stdout).unwrap()
}

/// What a series stands at; its name ends with a space, or with its labels and one.
async fn metric(daemon: &ChildDaemon, series: &str) -> u64 {
    let metrics = http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |value| value.parse().unwrap())
}

/// How many lists were read so.
async fn reads(daemon: &ChildDaemon, outcome: &str) -> u64 {
    metric(daemon, &format!("leadline_replica_reads_total{{outcome=\"{outcome}\"}} ")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_from_a_replica_and_nobody_misses_what_they_have_just_done() {
    let _machine = crate::shared().await;
    let dir = workplace();
    let primary = Server::primary(dir.path());
    let standby = primary.standby(dir.path()).await;
    // Commits wait for nobody from here on, so that the replica may lag behind.
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''").await;
    primary.ask("SELECT pg_reload_conf()").await;
    let url = |name: &str, server: &Server| {
        format!("--{name}=postgres://leadline@127.0.0.1:{}/postgres", server.port)
    };
    let args =
        [url("database-url", &primary), url("read-url", &standby), "--admin-listen=127.0.0.1:0".to_owned()];
    let mut daemon = ChildDaemon::start(None, &args.each_ref().map(String::as_str)).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let mut posted = 0;
    let mut post_and_list = async || {
        posted += 1;
        let lead = sample_lead(posted).to_string();
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
        let request = leadline_proto::v1::ListLeadsRequest { company: "7".into(), ..Default::default() };
        let listed = operator.leads().list_leads(request).await.unwrap().into_inner().leads.len();
        assert_eq!(listed, posted, "the lead that was just taken in is in the list");
    };
    for _ in 0..20 {
        post_and_list().await;
    }
    let read = reads(&daemon, "replica").await;
    figure(
        "lists with a replica",
        "of 20 lists, those that the primary had to answer",
        20.0 - read as f64,
        10.0,
    );

    standby.ask("SELECT pg_wal_replay_pause()").await;
    post_and_list().await;
    assert!(reads(&daemon, "late").await > 0, "the primary answers for a replica that lags");
    let told = doctor(&daemon, &[&args[0], &args[1]]);
    assert!(told.contains("ok    replica         127.0.0.1 follows a primary, and answers lists"), "{told}");
    standby.ask("SELECT pg_wal_replay_resume()").await;
    drop(standby);
    post_and_list().await;
    assert!(reads(&daemon, "failed").await > 0, "the primary answers for a replica that is away");
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_by_name() {
    let _machine = crate::shared().await;
    let pooler = Path::new("/usr/sbin/pgbouncer");
    if !pooler.exists() {
        return left_out("LEADLINE_POOLER_REQUIRED", "pgbouncer, which Debian packages");
    }
    let dir = workplace();
    let primary = Server::primary(dir.path());
    let port = free_port();
    let config = dir.path().join("pgbouncer.ini");
    for ignored in ["", "ignore_startup_parameters = options,extra_float_digits\n"] {
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             pool_mode = transaction\nauth_type = any\nadmin_users = leadline\nunix_socket_dir =\nlogfile = {}/pooler.log\n\
             pidfile = {}/pooler.pid\n{ignored}",
            primary.port,
            dir.path().display(),
            dir.path().display(),
        );
        let text = text.replace("* = host", "* = user=leadline host");
        fs::write(&config, text).unwrap();
        assert!(run(pooler, &["-d", config.to_str().unwrap()]));
        let pid = dir.path().join("pooler.pid");
        wait_until("the pooler runs", async || pid.exists()).await;
        let data = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let mut daemon = tokio::process::Command::new(leadlined());
        daemon
            .arg(format!("--database-url=postgres://leadline@127.0.0.1:{port}/postgres"))
            .arg(format!("--data-dir={}", data.path().display()))
            .args(["--intake-listen=127.0.0.1:0", "--admin-listen=off"])
            .env("LEADLINE_USER", "root")
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), daemon.output()).await.unwrap().unwrap();
        let case = "a pooler in transaction mode";
        figure(case, "seconds until it is refused by name", started.elapsed().as_secs_f64(), 60.0);
        let refused = "as a pooler between it and the daemon would not: name PostgreSQL itself";
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(refused), "{told}");
        let report = String::from_utf8(daemon.arg("doctor").output().await.unwrap().stdout).unwrap();
        assert!(report.contains("FAIL  database ") && report.contains(refused), "{report}");
        let running = fs::read_to_string(&pid).unwrap();
        Command::new("kill").args(["-KILL", running.trim()]).status().unwrap();
        fs::remove_file(&pid).unwrap();
    }
}
