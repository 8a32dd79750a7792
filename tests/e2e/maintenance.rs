//! What keeps a daemon well: `leadlined backup`, `restore`, `doctor` and `config check`.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Output, Stdio},
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Database, Operator, control, leadlined, left_out, post_lead, wait_until};
use leadlined::{app, config::Config, postgres::embedded::SandboxSupport};
use serde_json::json;
use tempfile::TempDir;

use crate::leads::verify;

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(leadlined());
    command.arg("--data-dir").arg(dir).args(args);
    command.env_remove("LEADLINE_DATABASE_URL").env_remove("LEADLINE_DATA_DIR").env("LEADLINE_USER", "root");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

fn succeed(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The last line of what went wrong.
fn refusal(dir: &Path, args: &[&str]) -> String {
    refused(&run(dir, args))
}

fn refused(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines().last().unwrap().strip_prefix("leadlined: ").unwrap().to_owned()
}

pub(crate) fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    // As root the server runs as another user, who must pass through.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_daemon_is_restored_with_its_key_alone() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let secret = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.signing_secret;
    let lead = sample_lead(1);
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
    let uuid = lead["lead"]["uuid"].as_str().unwrap().to_owned();
    let request = || v1::GetLeadRequest { uuid: uuid.clone(), company: String::new() };
    wait_until("the lead is delivered", async || {
        operator.leads().get_lead(request()).await.unwrap().into_inner().lead.unwrap().state()
            == v1::LeadState::Complete
    })
    .await;

    let files = directory();
    let file = files.path().join("leads.backup");
    let (shown, file) = (file.display(), file.to_str().unwrap());
    succeed(daemon.dir(), &["backup", file]);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        refusal(daemon.dir(), &["backup", file]),
        format!("{shown} is there already: choose another name")
    );
    assert_eq!(daemon.stop().await, Some(0));
    // One that does not run is backed up too.
    let second = files.path().join("second.backup");
    succeed(daemon.dir(), &["backup", second.to_str().unwrap()]);

    let home = directory();
    let dir = home.path().join("data");
    let master_key = dir.join("master.key");
    let error = refusal(&dir, &["restore", file]);
    assert!(error.starts_with("the secrets in this backup need their master key: copy it to "), "{error}");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(&master_key, "ab".repeat(32)).unwrap();
    fs::set_permissions(&master_key, fs::Permissions::from_mode(0o600)).unwrap();
    let error = refusal(&dir, &["restore", file]);
    assert!(
        error.starts_with("the secrets in this backup were sealed with another master key than "),
        "{error}"
    );
    fs::copy(daemon.dir().join("master.key"), &master_key).unwrap();

    // A file that ends too early leaves nothing that a daemon would take for whole.
    let whole = fs::read(file).unwrap();
    let torn = files.path().join("torn.backup");
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let error = refusal(&dir, &["restore", torn.to_str().unwrap()]);
    assert!(error.starts_with("pg_restore: "), "{error}");
    let error = refusal(&dir, &["--intake-listen", "127.0.0.1:0"]);
    assert!(error.contains("run `leadlined restore` again"), "{error}");

    succeed(&dir, &["restore", file]);
    let error = refusal(&dir, &["restore", file]);
    assert!(error.starts_with("there is a database in "), "{error}");
    let mut config = Config::in_dir(&dir);
    config.intake_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.allow_egress = vec!["127.0.0.0/8".parse().unwrap()];
    let running = app::start(config).await.unwrap();
    let operator = Operator::new(control(&running.control).await);
    let restored = operator.leads().get_lead(request()).await.unwrap().into_inner().lead.unwrap();
    assert_eq!(restored.state(), v1::LeadState::Complete);
    let url = format!("http://{}/v1/leads", running.intake);
    let (status, answer) = post_lead(&url, &key, lead.to_string()).await;
    assert_eq!((status, answer["status"].as_str()), (202, Some("duplicate")));
    // It goes on: what is new is taken in, pushed, and signed with the secret that was sealed before.
    let next = sample_lead(2);
    assert_eq!(post_lead(&url, &key, next.to_string()).await.0, 202);
    let pushed = receiver.wait_for(2).await;
    let uuid = next["lead"]["uuid"].as_str().unwrap();
    assert!(String::from_utf8_lossy(&pushed[1].body).contains(uuid));
    verify(&pushed[1], &secret);
    running.stop().await.unwrap();
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_for_which_there_is_no_room_says_so() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(daemon.dir(), &["backup", "-"]).stdout(full).output().unwrap();
    assert_eq!(
        refused(&output),
        "pg_dump: what it writes cannot be kept: No space left on device (os error 28)"
    );
    assert_eq!(daemon.stop().await, Some(0));
}

/// What the docs say of a server of one's own: `pg_dump` while daemons run, and the key beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_ones_own_server_and_the_key_are_a_backup() {
    let (database, restored) = (Database::create().await, Database::empty().await);
    let mut daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let created = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let (secret, id) = (created.signing_secret, created.integration.unwrap().id);
    let leads = [1, 2].map(|n| sample_lead(n).to_string());
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, leads[0].clone()).await.0, 202);
    wait_until("the lead is delivered", async || operator.finished(&id).await.len() == 1).await;
    let files = directory();
    let file = files.path().join("leads.dump");
    let file = file.to_str().unwrap();
    let program = |name: &str, args: &[&str]| match Command::new(name).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            left_out("LEADLINE_PG_CLIENTS_REQUIRED", &format!("{name}: {error}"));
            false
        }
    };
    let is_dumped = program("pg_dump", &["--format=custom", "--file", file, "--dbname", database.url()])
        && program("pg_restore", &["--no-owner", "--dbname", restored.url(), file]);
    assert_eq!(daemon.stop().await, Some(0));
    if !is_dumped {
        return;
    }
    let refused = refusal(directory().path(), &["--database-url", restored.url(), "--admin-listen=off"]);
    assert!(refused.contains("master key"), "{refused}");
    let mut next = ChildDaemon::start(Some(&restored), &[]).await;
    let url = next.url("/v1/leads");
    assert_eq!(post_lead(&url, &key, leads[0].clone()).await.1["status"], "duplicate");
    assert_eq!(post_lead(&url, &key, leads[1].clone()).await.1["status"], "accepted");
    verify(&receiver.wait_for(2).await[1], &secret);
    assert_eq!(next.stop().await, Some(0));
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_well_and_what_to_do() {
    let empty = directory();
    let report = succeed(empty.path(), &["doctor", "--intake-listen", "127.0.0.1:0"]);
    for line in ["look  daemon          it does not run", "ok    master key      the first start makes it"] {
        assert!(report.contains(line), "{report}");
    }
    assert!(!empty.path().join("postgres").exists(), "it changes nothing");

    let mut daemon = ChildDaemon::start(None, &[]).await;
    // Its own, not those of whoever asks.
    let of_daemon = format!("--pid={}", daemon.pid().unwrap());
    assert!(Command::new("prlimit").args([&of_daemon, "--nofile=3000:"]).status().unwrap().success());
    let report = succeed(daemon.dir(), &["doctor"]);
    for line in [
        "ok    daemon          it takes leads in at 127.0.0.1:",
        "ok    database        PostgreSQL ",
        "ok    schema          it is up to date",
        "ok    master key      ",
        "look  open files      3000: raise it to 65536",
    ] {
        assert!(report.contains(line), "{report}");
    }
    if SandboxSupport::here().unwrap() == SandboxSupport::Full {
        let held = "ok    sandbox         the private PostgreSQL reaches its own files only\n";
        assert!(report.contains(held), "{report}");
    }
    let other = another_key();
    let output =
        run(daemon.dir(), &["doctor", "--master-key", other.path().join("master.key").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("FAIL  master key") && report.contains("is not the one"), "{report}");
    assert_eq!(daemon.stop().await, Some(0));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let args = [
        "doctor",
        "--intake-listen=127.0.0.1:0",
        &format!("--admin-listen={place}"),
        &format!("--otlp-endpoint=http://{place}"),
    ];
    let output = run(empty.path(), &args);
    assert_eq!(output.status.code(), Some(1), "what is asked for must be free");
    let report = String::from_utf8(output.stdout).unwrap();
    for line in [
        format!("FAIL  admin           {place}: "),
        format!("ok    collector       http://{place} takes connections"),
    ] {
        assert!(report.contains(&line), "{report}");
    }
    drop(taken);
    let report = succeed(empty.path(), &["doctor", "--intake-listen=127.0.0.1:0", args[3]]);
    assert!(report.contains("look  collector       ") && report.contains("traces are lost"), "{report}");

    let nowhere = "postgres://ann:hunter2@127.0.0.1:1/leads";
    let away = ["doctor", "--database-url", nowhere, "--read-url", nowhere];
    let output = run(empty.path(), &away);
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("FAIL  database") && !report.contains("hunter2"), "{report}");
    assert!(report.contains("look  replica         127.0.0.1"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_less_than_the_daemon_hears_what_to_give() {
    let (database, folder) = (Database::create().await, directory());
    let file = folder.path().join("leadlined.toml");
    fs::write(&file, "sweep_age = '3d'\n").unwrap();
    let (named, shown) = (format!("--config={}", file.display()), file.display());
    let mut daemon = ChildDaemon::start(Some(&database), &[&named]).await;
    let settings = format!(
        "look  settings        the daemon that runs reads {shown}, and this does not: give --config {shown}\n"
    );
    let report = String::from_utf8(run(daemon.dir(), &["doctor"]).stdout).unwrap();
    let lacks = "FAIL  database        there is no private database in ";
    assert!(report.contains(&settings) && report.contains(lacks), "{report}");
    let report = String::from_utf8(run(daemon.dir(), &["doctor", &named]).stdout).unwrap();
    assert!(!report.contains(&settings), "{report}");

    // As after the move to a server of one's own.
    fs::create_dir_all(daemon.dir().join("postgres/data")).unwrap();
    let backup = folder.path().join("leads.backup");
    assert_eq!(
        refusal(daemon.dir(), &["backup", backup.to_str().unwrap()]),
        format!(
            "the daemon on {} runs no private database: name the one that it uses (--config, --database-url)",
            daemon.dir().canonicalize().unwrap().display()
        )
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the backup");
    let unused = format!(
        "look  data directory  {} is a database that the daemon does not use: move it away",
        daemon.dir().join("postgres").display()
    );
    let told = |args: &[&str]| String::from_utf8(run(daemon.dir(), args).stdout).unwrap();
    assert!(told(&["doctor", "--database-url", database.url()]).contains(&unused));
    assert!(!told(&["doctor"]).contains(&unused));
    assert_eq!(daemon.stop().await, Some(0));
}

fn another_key() -> TempDir {
    let dir = directory();
    let path = dir.path().join("master.key");
    fs::write(&path, "ab".repeat(32)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let dir = directory();
    let file = dir.path().join("leadlined.toml");
    fs::write(&file, "sweep_age = '3d'\n").unwrap();
    let args = ["config", "check", "--config", file.to_str().unwrap()];
    assert_eq!(succeed(dir.path(), &args), "the configuration is right\n");
    fs::write(&file, "sweep_age = '3 days'\n").unwrap();
    assert_eq!(run(dir.path(), &args).status.code(), Some(2));
}

/// A user without rights on every system that has root.
const NOBODY: u32 = 65534;

/// What `/proc/PID/limits` says of core files: none, and none may be allowed again.
pub(crate) fn writes_no_core_file(pid: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    core.split_whitespace().skip(4).take(2).eq(["0", "0"])
}

/// A process leaves no core file, whatever becomes of it.
pub(crate) fn assert_sealed_off(pid: u32) {
    assert!(writes_no_core_file(pid), "{}", fs::read_to_string(format!("/proc/{pid}/limits")).unwrap());
}

/// Its files below `/proc` are root's, which is how the kernel shows a process that is not dumpable: its own user may
/// not read its memory.
pub(crate) fn assert_unreadable(pid: u32) {
    for file in ["mem", "environ", "auxv"] {
        assert_eq!(fs::metadata(format!("/proc/{pid}/{file}")).unwrap().uid(), 0, "{file}");
    }
}

/// The daemon that runs, whose PostgreSQL holds leads and writes no core file either.
#[tokio::test]
async fn a_daemon_that_runs_leaves_no_core_file_and_neither_does_its_postgres() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let pid = daemon.pid().unwrap();
    let server = fs::read_to_string(daemon.dir().join("postgres/data/postmaster.pid")).unwrap();
    let server = server.lines().next().unwrap().parse().unwrap();
    for process in [pid, server] {
        assert_sealed_off(process);
    }
    // These files are root's in any case where the daemon is.
    assert_unreadable(pid);
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn nobody_looks_into_the_memory_of_a_daemon() {
    let dir = directory();
    let mut command = Command::new(leadlined());
    // It waits for its input, as long as it is wanted.
    command.arg("--data-dir").arg(dir.path()).args(["restore", "-"]).stdin(Stdio::piped());
    if fs::metadata(dir.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("left out, because another user may not run what was built here: {error}");
            return;
        }
        child => child.unwrap(),
    };
    let own = Path::new("/proc").join(child.id().to_string());
    wait_until("its files below /proc are root's, so that its own user may not read them", async || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        fs::read_to_string(own.join("cmdline")).unwrap().contains("restore")
            && fs::metadata(own.join("mem")).unwrap().uid() == 0
    })
    .await;
    wait_until("it writes no core file", async || writes_no_core_file(child.id())).await;
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_master_key_may_be_a_credential_of_systemd() {
    let credentials = another_key();
    let key = credentials.path().join("master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
    let dir = directory();
    let report = |in_unit: bool| {
        let mut command = Command::new(leadlined());
        command.args(["doctor", "--intake-listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
        command
            .arg("--master-key")
            .arg(&key)
            .env_remove("LEADLINE_DATABASE_URL")
            .env("LEADLINE_USER", "root");
        if in_unit {
            command.env("CREDENTIALS_DIRECTORY", credentials.path());
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let shown = key.display();
    assert!(
        report(true).contains(&format!("ok    master key      {shown}: keep a copy")),
        "{}",
        report(true)
    );
    assert!(report(false).contains(&format!("FAIL  master key      others may read the master key {shown}")));
}

#[test]
fn the_unit_may_do_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/leadlined.service");
    let text = fs::read_to_string(&unit).unwrap();
    // The last one lets it give its control socket to a group: without it none starts that has --control-group.
    for line in ["Type=notify", "WatchdogSec=30", "SystemCallFilter=chown fchownat"] {
        assert!(text.lines().any(|said| said == line), "the unit does not say {line}");
    }
    if let Some(output) = analyzed(&["security", "--offline=yes", "--threshold=15", "--no-pager"], &unit) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    // Each line of it means something to systemd. What it starts is not installed here, but there is one like it.
    let dir = directory();
    let copy = dir.path().join("leadlined.service");
    let program = leadlined().display().to_string();
    fs::write(&copy, text.replace("/usr/bin/leadlined", &program)).unwrap();
    if let Some(output) = analyzed(&["verify", "--man=no"], &copy) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("leadlined.service"), "{told}");
    }
}

/// What systemd's own tool says of a unit; nothing where there is none that looks at files.
fn analyzed(args: &[&str], unit: &Path) -> Option<Output> {
    let lacks = match Command::new("systemd-analyze").args(args).arg(unit).output() {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("--offline") => {
            "a systemd-analyze that is new enough".to_owned()
        }
        Ok(output) => return Some(output),
        Err(error) => format!("systemd-analyze: {error}"),
    };
    left_out("LEADLINE_SYSTEMD_REQUIRED", &lacks);
    None
}
