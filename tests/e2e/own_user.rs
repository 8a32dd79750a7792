//! A daemon that root starts gives root up: what is left of it then, that everything goes on, and that nothing is handed
//! over by the way.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Operator, leadlined, left_out, wait_until};
use leadlined::user::{self, SystemUser};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    access::Authority,
    leads::verify,
    maintenance::{assert_sealed_off, assert_unreadable, directory},
};

/// A user without rights on every system that has root, beside the one that others run as.
const OWN: &str = "daemon";
const PATIENCE: Duration = Duration::from_secs(30);

fn own_user() -> Option<SystemUser> {
    let found = user::find(OWN).unwrap().filter(|_| user::is_root());
    if found.is_none() {
        left_out(
            "LEADLINE_ROOT_REQUIRED",
            &format!("root, who alone becomes another user, and one called {OWN}"),
        );
    }
    found
}

/// `leadlined` on a data directory, run by root.
fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(leadlined());
    command.env_remove("LEADLINE_DATABASE_URL").env_remove("LEADLINE_DATA_DIR").env_remove("LEADLINE_USER");
    command.env_remove("PGUSER").arg("--data-dir").arg(dir);
    command.args(["--intake-listen=127.0.0.1:0", "--admin-listen=off"]).args(args);
    command
}

fn succeed(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = command(dir, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The last line of what went wrong.
fn refusal(dir: &Path, args: &[&str]) -> String {
    let Output { status, stderr, .. } = command(dir, args).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{args:?}: {text}");
    text.lines().last().unwrap().strip_prefix("leadlined: ").unwrap().to_owned()
}

/// Every thread of a process is this user's, with that user's groups and no rights beyond, now or by what it starts.
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
        assert_eq!(of("NoNewPrivs:"), ["1"]);
        count += 1;
    }
    assert!(count > 0);
    assert_sealed_off(pid);
}

fn postmaster(dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(dir.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

/// All that stands in a directory: whose it is, who may do what with it, and since when.
fn listed(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        // What a server that runs needs for a moment only may be gone.
        let Ok(it) = fs::symlink_metadata(&path) else { continue };
        if it.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
        all.insert(path, (it.uid(), it.mode(), it.ctime(), it.ctime_nsec()));
    }
    all
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

/// An address of loopback that no other test has, with a port that only root may open.
fn privileged() -> String {
    let [.., b, c, d] = std::process::id().to_be_bytes();
    format!("127.{}.{c}.{d}:81", b | 0x80)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_root_starts_becomes_its_own_user_and_does_everything_as_before() {
    let Some(own) = own_user() else { return };
    // Only root reads it.
    let (authority, renewed) = (Authority::new(), Authority::new());
    let pair = authority.certify("intake", "localhost");
    let tls = [format!("--tls-cert={}", pair.cert.display()), format!("--tls-key={}", pair.key.display())];
    let admin = format!("--admin-listen={}", privileged());
    let mut daemon = ChildDaemon::start_becoming(&own, &[&tls[0], &tls[1], &admin]).await;
    let dir = daemon.dir().to_owned();
    let pid = daemon.pid().unwrap();
    assert_owned(pid, &own);
    assert_owned(postmaster(&dir).unwrap(), &own);
    assert_unreadable(pid);
    let notes = dir.join("notes.txt");
    let foreign = listed(&dir).into_iter().find(|(path, (uid, ..))| *uid != own.uid && *path != notes);
    assert_eq!(foreign, None, "root wrote nothing");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = client.get(daemon.admin_url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);

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

/// What root does beside a daemon it does as the daemon's user, whose directory it is; what it writes for root is root's.
fn commands(dir: &Path, tls: &[String; 2]) {
    let report = String::from_utf8(succeed(dir, &[&tls[0], &tls[1], "doctor"])).unwrap();
    assert!(report.contains(", with TLS\n") && report.contains("ok    certificates "), "{report}");
    assert!(report.contains("ok    user            root, and the daemon that runs is daemon\n"), "{report}");
    // A folder of root's alone, and a file that a shell opens.
    let folder = tempfile::tempdir().unwrap();
    let [named, opened] = ["named.backup", "opened.backup"].map(|name| folder.path().join(name));
    succeed(dir, &["backup", named.to_str().unwrap()]);
    let out = fs::File::create(&opened).unwrap();
    out.set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    assert!(command(dir, &["backup", "-"]).stdout(out).status().unwrap().success());
    for file in [named, opened] {
        let written = fs::metadata(&file).unwrap();
        assert_eq!((written.uid(), written.mode() & 0o777), (0, 0o600), "{}", file.display());
        assert!(fs::read(&file).unwrap().starts_with(b"{\"leadline_backup\":1"), "{}", file.display());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let key = fs::read_to_string(dir.join("master.key")).unwrap();
    succeed(dir, &["master-key", "rotate"]);
    assert_ne!(fs::read_to_string(dir.join("master.key")).unwrap(), key);
    let user = fs::metadata(dir).unwrap().uid();
    assert_eq!(fs::metadata(dir.join("master.key")).unwrap().uid(), user);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_roots_is_refused_with_the_command_and_stays_as_it_is() {
    let Some(own) = own_user() else { return };
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let dir = daemon.dir().to_owned();
    Operator::new(daemon.control().await).company(7).await;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().unwrap())).unwrap();
    assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "it was told to stay root: {status}");
    let user = format!("--user={OWN}");
    let refused = refusal(&dir, &[&user]);
    assert!(refused.starts_with("another daemon uses the data directory"), "{refused}");
    let meanwhile = ["check", "doctor"].map(|command| looked_at(&dir, &user, command));
    assert_eq!(daemon.stop().await, Some(0));

    let (before, shown) = (listed(&dir), dir.display());
    let parts = ["daemon.lock", "control.sock", "master.key", "postgres", "server"]
        .map(|part| format!("{shown}/{part}"))
        .join(" ");
    let belongs = format!("{shown} belongs to root, and the daemon becomes {OWN}: ");
    let mend = "hand it over (chown ";
    let told = format!(
        "{belongs}{mend}{OWN}: {shown} && chown -R {OWN}: {parts}), or start the daemon with --user root"
    );
    for said in meanwhile {
        let stop_first = format!("{belongs}stop the daemon that runs, then {mend}");
        assert!(said.contains(&stop_first), "{said}");
    }
    assert_eq!(refusal(&dir, &[&user]), told);
    assert_eq!(refusal(&dir, &[&user, "config", "check"]), told);
    let report = command(&dir, &[&user, "doctor"]).output().unwrap();
    assert_eq!(report.status.code(), Some(1));
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains(&format!("FAIL  user            {told}\n")), "{report}");
    assert_eq!(listed(&dir), before, "nothing has changed");

    daemon.restart().await;
    assert_eq!(daemon.stop().await, Some(0), "root goes on as before");
    let hand_over = told.split(['(', ')']).nth(1).unwrap();
    assert!(Command::new("/bin/sh").args(["-c", hand_over]).status().unwrap().success());
    assert_eq!(
        String::from_utf8(succeed(&dir, &[&user, "config", "check"])).unwrap(),
        "the configuration is right\n"
    );
    let report = String::from_utf8(succeed(&dir, &[&user, "doctor"])).unwrap();
    let becomes = format!("ok    user            root, and a daemon that it starts becomes {OWN}\n");
    assert!(report.contains(&becomes), "{report}");

    daemon.restart_with(&[&user]).await;
    assert_owned(daemon.pid().unwrap(), &own);
    let operator = Operator::new(daemon.control().await);
    let request = v1::ListCompaniesRequest::default();
    let companies = operator.companies().list_companies(request).await.unwrap().into_inner().companies;
    assert_eq!(companies.len(), 1, "what it kept is there");
    assert_eq!(daemon.stop().await, Some(0));
    restored(&dir, &own);
}

/// What root is told of a start.
fn looked_at(dir: &Path, user: &str, what: &str) -> String {
    let args = match what {
        "check" => [user, "config", "check"].to_vec(),
        command => [user, command].to_vec(),
    };
    let Output { status, stdout, stderr } = command(dir, &args).output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

/// A daemon of which nobody says who it is to be goes on as root where root ran it, and says what to do about that.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_root_has_run_so_far_starts_as_root_and_says_what_to_do() {
    if own_user().is_none() {
        return;
    }
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let dir = daemon.dir().to_owned();
    Operator::new(daemon.control().await).company(7).await;
    assert_eq!(daemon.stop().await, Some(0));
    // Nobody names the user; an empty name is none.
    daemon.restart_with(&["--user="]).await;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().unwrap())).unwrap();
    assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "{status}");
    let shown = dir.display();
    let mend = format!("hand it over (chown leadline: {shown} && chown -R leadline: {shown}/daemon.lock ");
    let check = String::from_utf8(succeed(&dir, &["config", "check"])).unwrap();
    let report = String::from_utf8(succeed(&dir, &["doctor"])).unwrap();
    assert_eq!(daemon.stop().await, Some(0));
    // A start that ends at its certificate.
    let output = command(&dir, &["--tls-cert=/nowhere", "--tls-key=/nowhere"]).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("root_kept"), "{log}");
    for told in [log, check, report] {
        assert!(told.contains("stop the daemon") && told.contains(&mend), "{told}");
        assert!(told.contains("or say --user root"), "{told}");
    }

    // One of another user's is that user's to start.
    let other = user::find("bin").unwrap().unwrap();
    let theirs = directory();
    chown(theirs.path(), Some(other.uid), None).unwrap();
    let check = String::from_utf8(succeed(theirs.path(), &["config", "check"])).unwrap();
    assert!(check.ends_with("it is right for bin: root must say --user bin\n"), "{check}");
    for args in [&[][..], &["--user=root"], &["--user=root", "config", "check"]] {
        let refused = refusal(theirs.path(), args);
        assert!(refused.contains("belongs to bin: start the daemon as bin"), "{args:?}: {refused}");
    }
    let said = looked_at(theirs.path(), "--user=root", "doctor");
    assert!(said.contains("FAIL  user "), "{said}");
}

/// A backup that root restores is the daemon's user's, in a directory that is made for it.
fn restored(dir: &Path, own: &SystemUser) {
    let user = format!("--user={OWN}");
    // The folder of the file is root's alone, and so is the one in which the other directory is made.
    let (home, folder) = (directory(), tempfile::tempdir().unwrap());
    let (file, other) = (folder.path().join("leads.backup"), home.path().join("data"));
    let shown = file.to_str().unwrap();
    succeed(dir, &["backup", shown]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let key = home.path().join("master.key");
    fs::copy(dir.join("master.key"), &key).unwrap();
    chown(&key, Some(own.uid), None).unwrap();
    let key = format!("--master-key={}", key.display());
    succeed(&other, &[&user, &key, "restore", shown]);
    let foreign = listed(&other).into_iter().find(|(_, (uid, ..))| *uid != own.uid);
    assert_eq!(foreign, None);
    assert_eq!(fs::metadata(&other).unwrap().mode() & 0o777, 0o711);
    assert!(succeed(&other, &["backup", "-"]).starts_with(b"{\"leadline_backup\":1"));
}

#[test]
fn a_start_that_fails_makes_no_directory() {
    let Some(_) = own_user() else { return };
    let home = directory();
    let data = home.path().join("data");
    let user = format!("--user={OWN}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--intake-listen={}", taken.local_addr().unwrap());
    let mut start = Command::new(leadlined());
    start.arg("--data-dir").arg(&data).args([&user, &listen]).args(["--admin-listen=off", "--log=json"]);
    let output = start.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot take leads in at"), "{text}");
    assert!(!data.exists());
    if user::find("leadline").unwrap().is_none() {
        let told = "root starts a new installation, and there is no user that it could become: make one (useradd --system \
                    --shell /usr/sbin/nologin leadline), or name one with --user; --user root stays root";
        for args in [&[][..], &["config", "check"]] {
            assert_eq!(refusal(&data, args), told);
        }
    }
    for (name, told) in [
        (
            "nobody",
            "--user nobody: other programs run as that user, too: name one that is Leadline's alone, or root",
        ),
        (
            "no-such-user",
            "--user no-such-user: there is no such user: make it (useradd --system --shell /usr/sbin/nologin \
             no-such-user), or name another",
        ),
    ] {
        let user = format!("--user={name}");
        assert_eq!(refusal(&data, &[&user]), told);
        assert_eq!(refusal(&data, &[&user, "config", "check"]), told);
    }
    assert!(!data.exists());
}

/// To a server of one's own the daemon says that it is its own user, and not root, where the URL names nobody.
#[tokio::test]
async fn a_server_of_ones_own_is_told_of_the_daemons_user() {
    let Some(own) = own_user() else { return };
    let dir = directory();
    chown(dir.path(), Some(own.uid), Some(own.gid)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--database-url=postgres://{}/leads", listener.local_addr().unwrap());
    let user = format!("--user={OWN}");
    for args in [&[&*user, &*url][..], &[&user, &url, "doctor"]] {
        let mut command = tokio::process::Command::from(command(dir.path(), args));
        let running =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let said = timeout(PATIENCE, introduction(&listener)).await.expect("nobody asked the server");
        assert!(said.contains("user\0daemon\0"), "{args:?}: {said:?}");
        let ended = running.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(1));
        let told = [ended.stdout, ended.stderr].concat();
        assert!(String::from_utf8(told).unwrap().contains("refused the connection"), "{args:?}");
    }
}

/// What the next client of a server says of itself, which is then refused.
async fn introduction(listener: &tokio::net::TcpListener) -> String {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut said = [0; 8];
    client.read_exact(&mut said).await.unwrap();
    // It asks for TLS first.
    if said[4..] == [4, 210, 22, 47] {
        client.write_all(b"N").await.unwrap();
        client.read_exact(&mut said).await.unwrap();
    }
    let length = u32::from_be_bytes([said[0], said[1], said[2], said[3]]);
    let mut rest = vec![0; usize::try_from(length).unwrap() - said.len()];
    client.read_exact(&mut rest).await.unwrap();
    let fields = b"SFATAL\0VFATAL\0C28000\0Mno\0\0";
    let mut refusal = vec![b'E'];
    refusal.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    refusal.extend(fields);
    client.write_all(&refusal).await.unwrap();
    String::from_utf8_lossy(&rest).into_owned()
}
