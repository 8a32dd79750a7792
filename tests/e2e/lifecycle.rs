//! How a daemon starts, ends, is killed, and what it says when it cannot start.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use leadline_fakes::sample_lead;
use leadline_tests::{ChildDaemon, Cli, Daemon, Database, Operator, http, leadlined, post_lead, wait_until};
use serde_json::{Value, json};

/// The one line that a daemon leaves when it cannot start, and its exit code.
fn refusal(args: &[&str]) -> (i32, String) {
    let output = Command::new(leadlined())
        .args(args)
        .env_remove("LEADLINE_DATABASE_URL")
        .env_remove("LEADLINE_DATA_DIR")
        .env("LEADLINE_USER", "root")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("leadlined: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    (output.status.code().unwrap(), errors[0].to_owned())
}

/// The server that runs on a data directory.
fn postmaster(daemon: &ChildDaemon) -> Option<u32> {
    let text = fs::read_to_string(daemon.dir().join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[tokio::test]
async fn four_daemons_start_at_once_on_one_empty_database() {
    let database = Database::empty().await;
    let start = || Daemon::start_on(&database);
    let (a, b, c, d) = tokio::join!(start(), start(), start(), start());
    for daemon in [a, b, c, d] {
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_daemon_with_its_own_database_stops_kills_and_starts_again() {
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let first = postmaster(&daemon).unwrap();
    let dir = daemon.dir().to_str().unwrap().to_owned();
    let (code, error) = refusal(&["--data-dir", &dir, "--intake-listen", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(error.contains("another daemon uses the data directory"), "{error}");

    let key = Operator::new(daemon.control().await).company(7).await;
    let lead = sample_lead(1).to_string();
    let post = async |daemon: &ChildDaemon| post_lead(&daemon.url("/v1/leads"), &key, lead.clone()).await;
    assert_eq!(post(&daemon).await.0, 202);
    daemon.kill().await;
    wait_until("the server ends with its daemon", async || postmaster(&daemon).is_none()).await;
    daemon.restart().await;
    assert_ne!(postmaster(&daemon), Some(first));
    daemon.kill().await;
    // Without waiting: the new daemon meets the old one's server while that still stops.
    daemon.restart().await;
    assert_eq!(post(&daemon).await.1["status"], "duplicate", "what was acknowledged is there");
    assert_eq!(daemon.stop().await, Some(0));
    assert_eq!(postmaster(&daemon), None);
}

#[tokio::test]
async fn a_daemon_tells_how_many_lines_of_its_log_it_lost() {
    let database = Database::create().await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut daemon = ChildDaemon::start_logging_to(full.into(), Some(&database), &[]).await;
    let cli = Cli::new(&daemon.socket());
    wait_until("a line is lost", async || {
        cli.json(&["system", "show"]).await["log_lines_lost"].as_u64() > Some(0)
    })
    .await;
    assert_eq!(cli.json(&["system", "show"]).await["panics"], 0);
    let ready = http().get(daemon.admin_url("/readyz")).send().await.unwrap();
    let ready: Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
    assert!(ready["log_lines_lost"].as_u64().unwrap() > 0, "{ready}");
    assert_eq!((&ready["ready"], &ready["panics"]), (&json!(true), &json!(0)), "{ready}");
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let database = Database::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let (code, error) = refusal(&[
        "--data-dir",
        dir,
        "--database-url",
        database.url(),
        "--admin-listen",
        "off",
        "--intake-listen",
        &port,
    ]);
    assert_eq!(code, 1);
    assert!(error.contains(&port) && error.contains("choose another --intake-listen"), "{error}");
}

#[tokio::test]
async fn what_is_refused_is_refused_before_a_cluster_is_made() {
    let first = Daemon::start().await;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let control = format!("unix:{}", first.socket().display());
    let args = ["--data-dir", dir, "--intake-listen", "127.0.0.1:0", "--control-listen", &control];
    let (code, error) = refusal(&args);
    assert_eq!(code, 1);
    assert!(error.contains("another daemon answers on"), "{error}");
    let key = temp.path().join("master.key");
    fs::write(&key, "no key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let (_, error) = refusal(&["--data-dir", dir, "--intake-listen", "127.0.0.1:0"]);
    assert!(error.contains("is no master key"), "{error}");
    assert!(!temp.path().join("postgres").exists(), "a cluster was made");
    first.stop().await;
}

/// What a daemon sends to a service manager.
async fn heard(manager: &tokio::net::UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = manager.recv(&mut message).await.unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn a_service_manager_hears_how_the_daemon_is_and_hangup_stops_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    // Where the tests run under `nohup`, a daemon would inherit that hang-ups are ignored; what is handled is reset.
    let _hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).unwrap();
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start_in(Some(&database), &[], &env).await;
    wait_until("it says that it is ready", async || heard(&manager).await.contains("READY=1")).await;
    for _ in 0..2 {
        assert!(heard(&manager).await.contains("WATCHDOG=1"));
    }
    daemon.signal("HUP").await;
    wait_until("it says that it stops", async || heard(&manager).await.contains("STOPPING=1")).await;
    assert_eq!(daemon.ended().await, Some(0));
}

/// A start takes as long as a migration of a large table, or as who holds one: it is not given up for that.
#[tokio::test]
async fn a_service_manager_is_asked_to_wait_while_a_daemon_starts() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    // It takes connections, and never says a word.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://ann@{}/leads?sslmode=disable", server.local_addr().unwrap());
    let mut daemon = tokio::process::Command::new(leadlined())
        .args(["--intake-listen=127.0.0.1:0", "--admin-listen=off", "--database-url", &url, "--data-dir"])
        .arg(temp.path().join("data"))
        .env("LEADLINE_USER", "root")
        .env("NOTIFY_SOCKET", &path)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(60), heard(&manager)).await.unwrap();
    assert_eq!(asked.trim(), "EXTEND_TIMEOUT_USEC=60000000");
    daemon.kill().await.unwrap();
}

#[tokio::test]
async fn another_master_key_is_refused_and_the_file_to_copy_is_named() {
    let database = Database::create().await;
    Daemon::start_on(&database).await.stop().await;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let args = [
        "--data-dir",
        dir,
        "--database-url",
        database.url(),
        "--admin-listen",
        "off",
        "--intake-listen",
        "127.0.0.1:0",
    ];
    let key = temp.path().join("master.key");

    let (code, error) = refusal(&args);
    assert_eq!(code, 1);
    assert!(error.contains(&format!("to {}", key.display())), "{error}");
    assert!(!key.exists(), "a key that opens nothing was made");

    for (text, mode, expected) in [
        ("ab".repeat(32), 0o600, "sealed with another master key"),
        ("ab".repeat(32), 0o644, "chmod 600"),
        ("ab".repeat(31), 0o600, "is no master key"),
    ] {
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let (code, error) = refusal(&args);
        assert_eq!(code, 1);
        assert!(error.contains(expected) && error.contains(key.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_is_away_and_bad_settings_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let away = "postgres://ann:hunter2@127.0.0.1:1/leads";
    let (code, error) = refusal(&[
        "--data-dir",
        dir,
        "--admin-listen",
        "off",
        "--intake-listen",
        "127.0.0.1:0",
        "--database-url",
        away,
    ]);
    assert_eq!(code, 1);
    assert!(error.contains("did not answer within 10 s") && !error.contains("hunter2"), "{error}");

    let (code, error) = refusal(&["--data-dir", dir, "--control-listen", "0.0.0.0:9000"]);
    assert_eq!(code, 2);
    assert!(error.contains("give --control-tls-cert and --control-tls-key"), "{error}");
}

#[tokio::test]
async fn ids_go_by_the_clock_of_the_database_that_is_measured() {
    let database = Database::create().await;
    // A server whose clock is an hour before ours: what asks for the time of the clock finds this function first.
    let shift = "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
            $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$;
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
        END $$";
    sqlx::raw_sql(shift).execute(&database.pool().await).await.unwrap();
    // A process of its own, as all daemons of a process go by one clock.
    let mut daemon = ChildDaemon::start(Some(&database), &[]).await;
    let key = Operator::new(daemon.control().await).company(7).await;
    let mut lead = sample_lead(1);
    lead["lead"].as_object_mut().unwrap().remove("uuid");
    let (status, made) = post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
    assert_eq!(status, 202, "{made}");
    let pool = database.pool().await;
    let ids = "SELECT l.id, e.id FROM lead l JOIN event e ON e.lead_id = l.id";
    let (lead, event): (uuid::Uuid, uuid::Uuid) = sqlx::query_as(ids).fetch_one(&pool).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for id in [lead, event] {
        let made_at = Duration::from_millis(ulid::Ulid::from(id).timestamp_ms());
        let ahead = made_at.checked_sub(now).map(|ahead| ahead.as_secs());
        assert!(ahead.is_some_and(|ahead| (3000..=3600).contains(&ahead)), "{ahead:?} s");
    }
    assert_eq!(daemon.stop().await, Some(0));
}
