//! The private PostgreSQL mostly runs as the daemon's user. Whoever has it run programs or open files reaches its own files
//! all the same, and nothing of the daemon's.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Operator, post_lead, wait_until};
use leadlined::{postgres::embedded::SandboxSupport, user};
use serde_json::json;

/// A user without rights on every system that has root.
const PLAIN: &str = "daemon";

fn is_held() -> bool {
    let is_held = SandboxSupport::here().unwrap() == SandboxSupport::Full;
    if !is_held {
        println!("left out: this kernel has no Landlock of Linux 6.2 or newer");
    }
    is_held
}

/// The database's superuser at the private server, who is whoever the daemon runs as.
struct Superuser {
    psql: PathBuf,
    data: PathBuf,
}

impl Superuser {
    fn of(data: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/pg-bin");
        let folder = String::from_utf8(Command::new(script).output().unwrap().stdout).unwrap();
        // What stands there may be a link; its clients stand beside the real one.
        let server = Path::new(folder.trim()).join("postgres").canonicalize().unwrap();
        Self { psql: server.with_file_name("psql"), data: data.to_owned() }
    }

    fn file(&self, name: &str) -> String {
        self.data.join(name).display().to_string()
    }

    /// What a statement answers, or how it failed.
    fn run(&self, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-A", "-t", "-q", "-U", "leadline", "-d", "leadline", "-c", sql, "-h"]);
        psql.arg(self.data.join("postgres")).current_dir("/");
        let us = fs::metadata(&self.data).unwrap();
        if user::is_root() {
            psql.uid(us.uid()).gid(us.gid());
        }
        let output = psql.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// What a program says that the server runs.
    fn program(&self, program: &str) -> Result<String, String> {
        self.run(&format!(
            "CREATE TEMPORARY TABLE said (line text); COPY said FROM PROGRAM '{program}'; TABLE said"
        ))
    }

    fn is_kept_out(&self, daemon: u32) {
        // That it may not is not for want of trying: all this works with what is its own.
        assert_eq!(self.program("echo alive").as_deref(), Ok("alive"));
        let configuration = self.file("server/postgresql.conf");
        let before = fs::read_to_string(&configuration).unwrap();
        assert!(self.program(&format!("head -c 9 {configuration}")).unwrap().starts_with("# Written"));
        let own = self.file("postgres/own");
        assert_eq!(self.run(&format!("COPY (SELECT 1) TO '{own}'")).as_deref(), Ok(""));
        assert_eq!(self.program(&format!("cat {own} && rm {own}")).as_deref(), Ok("1"));

        for name in ["master.key", "intake.addr", "daemon.lock", "server/lock", "server/server.log"] {
            let file = self.file(name);
            assert!(Path::new(&file).exists(), "{file}");
            denied(self.run(&format!("SELECT pg_read_file('{file}')")));
            failed(self.program(&format!("cat {file}")));
            failed(self.program(&format!("truncate -s 0 {file}")));
        }
        for name in ["server/postgresql.conf", "server/pg_hba.conf", "server/new.conf", "new", "master.key"] {
            denied(self.run(&format!("COPY (SELECT 1) TO '{}'", self.file(name))));
        }
        failed(self.program(&format!("rm -f {configuration}")));
        failed(self.program(&format!("ls {}", self.file(""))));
        failed(self.program(&format!("ln -s {} {own}", self.file(""))));
        failed(self.program(&format!("mv {} {}", self.file("postgres"), self.file("elsewhere"))));
        failed(self.program(&format!("cat /proc/{daemon}/environ")));
        assert_eq!(fs::read_to_string(&configuration).unwrap(), before);
    }
}

fn denied(answer: Result<String, String>) {
    let error = answer.unwrap_err();
    assert!(error.contains("Permission denied"), "{error}");
}

/// What a program said of its own stands in the server's log.
fn failed(answer: Result<String, String>) {
    let error = answer.unwrap_err();
    assert!(error.contains("child process exited with exit code"), "{error}");
}

fn postmaster(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

/// Leads arrive before and after all that is tried, at each server that the daemon starts.
async fn tried_at(mut daemon: ChildDaemon) {
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let superuser = Superuser::of(daemon.dir());
    let mut sent = 0;
    let mut arrives = async |daemon: &ChildDaemon| {
        let lead = sample_lead(sent).to_string();
        wait_until("a lead is accepted", async || {
            // An answer may have been lost with the server.
            matches!(post_lead(&daemon.url("/v1/leads"), &key, lead.clone()).await, (200 | 202, _))
        })
        .await;
        sent += 1;
        receiver.wait_for(sent).await;
    };

    arrives(&daemon).await;
    superuser.is_kept_out(daemon.pid().unwrap());
    let killed = postmaster(daemon.dir()).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", &killed.to_string()]).status().unwrap().success());
    wait_until("another server runs", async || {
        postmaster(daemon.dir()).is_some_and(|now| now != killed) && superuser.run("SELECT 1").is_ok()
    })
    .await;
    superuser.is_kept_out(daemon.pid().unwrap());
    arrives(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));
    daemon.restart().await;
    superuser.is_kept_out(daemon.pid().unwrap());
    arrives(&daemon).await;
    assert_eq!(daemon.stop().await, Some(0));
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_daemon_that_gave_root_up_reaches_its_own_files_only() {
    let Some(own) = user::find(PLAIN).unwrap().filter(|_| user::is_root() && is_held()) else { return };
    tried_at(ChildDaemon::start_becoming(&own, &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_plain_users_daemon_reaches_its_own_files_only() {
    if !is_held() {
        return;
    }
    let plain = user::find(PLAIN).unwrap().filter(|_| user::is_root());
    tried_at(match plain {
        Some(plain) => ChildDaemon::start_as(&plain, &[]).await,
        None => ChildDaemon::start(None, &[]).await,
    })
    .await;
}

/// It has a user of its own then, and is kept from what that user may read elsewhere, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_daemon_that_stays_root_reaches_its_own_files_only() {
    if user::is_root() && is_held() {
        tried_at(ChildDaemon::start(None, &[]).await).await;
    }
}
