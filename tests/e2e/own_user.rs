//! A daemon that root starts gives root up: what is left of it then, and that everything goes on.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Output},
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Operator, leadlined, wait_until};
use leadlined::user::{self, SystemUser};
use serde_json::json;

use crate::{access::Authority, leads::verify};

/// A user without rights on every system that has root, beside the one that others run as.
const OWN: &str = "daemon";

fn own_user() -> Option<SystemUser> {
    let found = user::find(OWN).unwrap().filter(|_| user::is_root());
    if found.is_none() {
        println!("left out: only root can become another user, and one of this machine");
    }
    found
}

/// Runs `leadlined` on a data directory, as root.
fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(leadlined());
    command.env_remove("LEADLINE_DATABASE_URL").env_remove("LEADLINE_DATA_DIR").env_remove("LEADLINE_USER");
    command.arg("--data-dir").arg(dir).args(["--intake-listen=127.0.0.1:0", "--admin-listen=off"]);
    command.args(args).output().unwrap()
}

fn succeed(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn refusal(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
}

/// Every thread of a process is this user's, with that user's groups and no rights beyond.
fn assert_owned(pid: u32, own: &SystemUser) {
    let groups = Command::new("id").args(["-G", &own.name]).output().unwrap().stdout;
    let expected = String::from_utf8(groups).unwrap();
    let expected: Vec<_> = expected.split_whitespace().collect();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let mut count = 0;
    for thread in threads {
        // A thread may have ended meanwhile.
        let Ok(status) = fs::read_to_string(thread.join("status")) else { continue };
        let of = |name: &str| -> Vec<&str> {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap().split_whitespace().collect()
        };
        assert_eq!(of("Uid:"), [own.uid.to_string().as_str(); 4]);
        assert_eq!(of("Gid:"), [own.gid.to_string().as_str(); 4]);
        assert_eq!(of("Groups:"), expected);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(of(set), ["0000000000000000"], "{set}");
        }
        count += 1;
    }
    assert!(count > 0);
}

fn postmaster(dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(dir.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

/// Who posts leads over TLS, and trusts one authority.
struct Sender {
    url: String,
    key: String,
    sent: usize,
}

impl Sender {
    /// Whether a lead was taken in.
    async fn post(&mut self, authority: &Authority) -> bool {
        let ca = reqwest::Certificate::from_pem(&fs::read(authority.file()).unwrap()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
        let post = client.post(&self.url).bearer_auth(&self.key).header("content-type", "application/json");
        match post.body(sample_lead(self.sent).to_string()).send().await {
            Ok(answer) if answer.status() == 202 => {
                self.sent += 1;
                true
            }
            _ => false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_root_starts_becomes_its_own_user_and_does_everything_as_before() {
    let Some(own) = own_user() else { return };
    // Only root reads it.
    let (authority, renewed) = (Authority::new(), Authority::new());
    let pair = authority.certify("intake", "localhost");
    let tls = [format!("--tls-cert={}", pair.cert.display()), format!("--tls-key={}", pair.key.display())];
    let user = format!("--user={OWN}");
    let mut daemon = ChildDaemon::start(None, &[&user, &tls[0], &tls[1]]).await;
    let dir = daemon.dir().to_owned();
    let pid = daemon.pid().unwrap();
    assert_owned(pid, &own);
    assert_owned(postmaster(&dir).unwrap(), &own);
    let memory = fs::metadata(format!("/proc/{pid}/mem")).unwrap();
    assert_eq!(memory.uid(), 0, "nobody looks into its memory, not even its own user");
    for file in ["", "master.key", "control.sock", "daemon.lock", "server", "postgres"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().uid(), own.uid, "{file:?}");
    }

    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let secret = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.signing_secret;
    let url = format!("https://localhost:{}/v1/leads", daemon.intake().port());
    let mut sender = Sender { url, key, sent: 0 };
    assert!(sender.post(&authority).await);
    verify(&receiver.wait_for(1).await[0], &secret);

    let killed = postmaster(&dir).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", &killed.to_string()]).status().unwrap().success());
    wait_until("another server runs", async || postmaster(&dir).is_some_and(|now| now != killed)).await;
    certificate(&daemon, &mut sender, [&authority, &renewed], &own).await;
    assert_owned(postmaster(&dir).unwrap(), &own);

    commands(&dir, &tls);
    assert!(sender.post(&renewed).await);
    let pushed = receiver.wait_for(sender.sent).await;
    pushed.iter().for_each(|push| verify(push, &secret));
    assert_eq!(daemon.stop().await, Some(0));
    // The directory is its user's by now.
    daemon.restart().await;
    assert_owned(daemon.pid().unwrap(), &own);
    assert_eq!(daemon.stop().await, Some(0));
    receiver.stop().await;
}

/// A certificate that only root may read stays, which is said; one that the user may read is taken.
async fn certificate(
    daemon: &ChildDaemon,
    sender: &mut Sender,
    [first, renewed]: [&Authority; 2],
    own: &SystemUser,
) {
    wait_until("it is said that the certificate cannot be read", async || {
        daemon.log().iter().any(|line| line.contains("certificate_unreadable"))
    })
    .await;
    wait_until("leads are taken in", async || sender.post(first).await).await;
    let new = renewed.certify("intake", "localhost");
    let place = first.file().parent().unwrap().to_owned();
    // The key first: until the certificate follows, the two are no pair.
    for (from, name) in [(&new.key, "intake.key"), (&new.cert, "intake.pem")] {
        let to = place.join(name);
        fs::copy(from, &to).unwrap();
        chown(&to, Some(own.uid), Some(own.gid)).unwrap();
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o711)).unwrap();
    wait_until("the renewed certificate is shown", async || sender.post(renewed).await).await;
    assert!(daemon.log().iter().any(|line| line.contains("certificate_renewed")));
}

/// What root does beside a daemon it does as the daemon's user, whose directory it is.
fn commands(dir: &Path, tls: &[String; 2]) {
    let report = String::from_utf8(succeed(dir, &[&tls[0], &tls[1], "doctor"])).unwrap();
    assert!(report.contains(", with TLS\n"), "{report}");
    assert!(report.contains(&format!("ok    user            {OWN}\n")), "{report}");
    assert!(succeed(dir, &["backup", "-"]).starts_with(b"{\"leadline_backup\":1"));
    let key = fs::read_to_string(dir.join("master.key")).unwrap();
    succeed(dir, &["master-key", "rotate"]);
    assert_ne!(fs::read_to_string(dir.join("master.key")).unwrap(), key);
    let user = fs::metadata(dir).unwrap().uid();
    assert_eq!(fs::metadata(dir.join("master.key")).unwrap().uid(), user);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_left_as_root_is_handed_over_and_a_backup_restored_by_root_is_its_users() {
    let Some(own) = own_user() else { return };
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let dir = daemon.dir().to_owned();
    Operator::new(daemon.control().await).company(7).await;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().unwrap())).unwrap();
    assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "it was told to stay root: {status}");
    let user = format!("--user={OWN}");
    let refused = refusal(&dir, &[&user]);
    assert!(refused.contains("another daemon uses the data directory"), "{refused}");
    assert_eq!(daemon.stop().await, Some(0));

    let cluster = dir.join("postgres");
    let before = user::name(fs::metadata(&cluster).unwrap().uid());
    let refused = refusal(&dir, &[&user]);
    let told = format!("belongs to {before}, and this daemon would run it as {OWN}");
    let hand_over = format!("hand it over (chown -R {OWN} {})", cluster.display());
    assert!(refused.contains(&told) && refused.contains(&hand_over), "{refused}");
    assert_eq!(fs::metadata(dir.join("master.key")).unwrap().uid(), own.uid);
    let chown = ["-R", OWN, cluster.to_str().unwrap()];
    assert!(Command::new("chown").args(chown).status().unwrap().success());
    let written = succeed(&dir, &["backup", "-"]);

    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let (file, other) = (home.path().join("leads.backup"), home.path().join("data"));
    fs::write(&file, &written).unwrap();
    fs::create_dir(&other).unwrap();
    fs::copy(dir.join("master.key"), other.join("master.key")).unwrap();
    succeed(&other, &[&user, "restore", file.to_str().unwrap()]);
    for file in ["", "master.key", "server", "postgres", "postgres/data"] {
        assert_eq!(fs::metadata(other.join(file)).unwrap().uid(), own.uid, "{file:?}");
    }
    assert_eq!(succeed(&other, &["backup", "-"])[..10], written[..10]);

    let nobody = refusal(home.path(), &["--user=nobody"]);
    assert!(nobody.contains("other programs run as that user, too"), "{nobody}");
}
