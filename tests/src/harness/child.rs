//! A daemon as a process of its own: the real executable, which can be killed.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, OnceLock},
};

use leadlined::user::SystemUser;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};
use tonic::transport::Channel;

use super::{
    client,
    database::{self, Database},
    wait::wait_until,
};

/// A running `leadlined` with its data directory, which survives its restarts.
#[derive(Debug)]
pub struct ChildDaemon {
    executable: PathBuf,
    child: Child,
    intake: SocketAddr,
    args: Vec<String>,
    env: Vec<(String, String)>,
    user: Option<SystemUser>,
    dir: TempDir,
    log: Log,
}

/// The lines that a daemon has logged since it was ready.
type Log = Arc<Mutex<Vec<String>>>;

impl ChildDaemon {
    /// A daemon on a test's database, or with a private one if none is given, which its first start makes.
    pub async fn start(database: Option<&Database>, more: &[&str]) -> Self {
        Self::start_in(database, more, &[]).await
    }

    /// A daemon with a private database of its own that was made before: a copy of one that was started once and stopped.
    /// To make one takes longer than all else of a test, so it is for those of the first start.
    pub async fn start_private(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_made(made().await, dir.path()).await;
        Self::start_at(dir, leadlined(), None, more, &[]).await
    }

    /// As [`Self::start`], with these variables in its environment.
    pub async fn start_in(database: Option<&Database>, more: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_of(leadlined(), database, more, env).await
    }

    /// The same of an executable that may be another version's.
    pub async fn start_of(
        executable: &Path,
        database: Option<&Database>,
        more: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        Self::start_at(tempfile::tempdir().unwrap(), executable, database, more, env).await
    }

    /// A daemon that root starts in a directory of this user's, which it becomes, with a private database.
    pub async fn start_becoming(user: &SystemUser, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        // The operator's own file keeps nobody from starting.
        fs::write(dir.path().join("notes.txt"), "root's").unwrap();
        let name = format!("--user={}", user.name);
        let more = [&[&*name], more].concat();
        Self::start_at(dir, leadlined(), None, &more, &[]).await
    }

    /// A daemon that root has this user start, who has no rights, with a private database.
    pub async fn start_as(user: &SystemUser, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        // The user may not come to where it was built.
        let executable = dir.path().join("leadlined");
        fs::copy(leadlined(), &executable).unwrap();
        let args = arguments(dir.path(), None, more);
        Self::launch(dir, executable, args, Vec::new(), Some(user.clone())).await
    }

    async fn start_at(
        dir: TempDir,
        executable: &Path,
        database: Option<&Database>,
        more: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let args = arguments(dir.path(), database, more);
        Self::launch(dir, executable.to_owned(), args, env, None).await
    }

    async fn launch(
        dir: TempDir,
        executable: PathBuf,
        args: Vec<String>,
        env: Vec<(String, String)>,
        user: Option<SystemUser>,
    ) -> Self {
        let log = Log::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let command = command(&executable, &args, &env, user.as_ref());
        let (child, intake) = spawn(command, &executable, &args, any, log.clone()).await;
        Self { executable, child, intake, args, env, user, dir, log }
    }

    /// A daemon whose log goes somewhere else, so that nobody here can read it. It cannot be started again.
    pub async fn start_logging_to(log: Stdio, database: Option<&Database>, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut args = arguments(dir.path(), database, more);
        args.extend(["intake", "admin"].map(|door| format!("--{door}-listen=127.0.0.1:0")));
        let mut child = command(leadlined(), &args, &[], None).stderr(log).spawn().unwrap();
        let address = dir.path().join("intake.addr");
        wait_until("the daemon says where it takes leads in", async || {
            assert_eq!(child.try_wait().unwrap(), None, "leadlined ended before it was ready");
            address.exists()
        })
        .await;
        let intake = fs::read_to_string(address).unwrap().trim().parse().unwrap();
        let executable = leadlined().to_owned();
        Self { executable, child, intake, args, env: Vec::new(), user: None, dir, log: Log::default() }
    }

    /// What it has logged since it was first ready, a line each.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Where it takes leads in; the same after a restart.
    #[must_use]
    pub fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// The URL of a path of its intake.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.intake)
    }

    /// The URL of a path of its admin listener, if it was started with one.
    #[must_use]
    pub fn admin_url(&self, path: &str) -> String {
        let address = fs::read_to_string(self.dir().join("admin.addr")).unwrap();
        format!("http://{}{path}", address.trim())
    }

    /// Its data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// A channel to its control API.
    pub async fn control(&self) -> Channel {
        client::control(&self.socket()).await
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again after it was killed, on the same directory and the same port.
    pub async fn restart(&mut self) {
        let command = command(&self.executable, &self.args, &self.env, self.user.as_ref());
        (self.child, self.intake) =
            spawn(command, &self.executable, &self.args, self.intake, self.log.clone()).await;
    }

    /// The same with more arguments, from now on.
    pub async fn restart_with(&mut self, more: &[&str]) {
        self.args.extend(more.iter().map(ToString::to_string));
        self.restart().await;
    }

    /// Waits until it ends by itself. The answer is its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Asks it to stop and waits until it has. The answer is its exit code. Nothing stood where it does not belong.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM").await;
        let code = self.child.wait().await.unwrap().code();
        let mended: Vec<String> =
            self.log().into_iter().filter(|line| line.contains("queue_mended")).collect();
        assert!(mended.is_empty(), "{mended:?}");
        code
    }

    /// Sends it a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().unwrap().to_string();
        let status = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid]).status();
        assert!(status.await.unwrap().success());
    }
}

impl Drop for ChildDaemon {
    /// Waits for the watchdog of its private server, which needs the directory that is removed next.
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.child.start_kill().unwrap();
        }
        if let Ok(lock) = File::open(self.dir.path().join("server/lock")) {
            lock.lock().unwrap();
        }
    }
}

/// The data directory of a daemon that was started once and stopped, for all tests of this process.
async fn made() -> &'static Path {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();

    MADE.get_or_init(|| async {
        let mut daemon = ChildDaemon::start(None, &[]).await;
        assert_eq!(daemon.stop().await, Some(0));
        // What stands there goes when this process does.
        let kept = database::directory().await.join("made");
        fs::create_dir(&kept).unwrap();
        copy_made(daemon.dir(), &kept).await;
        kept
    })
    .await
}

/// Copies what outlives a daemon: its cluster, whose files are the server's account's, and its key.
async fn copy_made(from: &Path, to: &Path) {
    let made = ["postgres", "master.key"].map(|name| from.join(name));
    let copied = Command::new("cp").arg("-a").args(made).arg(to).status().await.unwrap();
    assert!(copied.success());
}

fn arguments(dir: &Path, database: Option<&Database>, more: &[&str]) -> Vec<String> {
    let mut args = vec![
        format!("--data-dir={}", dir.display()),
        "--allow-egress=127.0.0.0/8".to_owned(),
        "--log=json".to_owned(),
    ];
    if let Some(database) = database {
        args.push(format!("--database-url={}", database.url()));
        args.push(format!("--master-key={}", database.master_key().display()));
    }
    args.extend(more.iter().map(ToString::to_string));
    args
}

/// The executable with these arguments, and no settings of whoever runs the tests, as another user if one is given.
fn command(
    executable: &Path,
    args: &[String],
    env: &[(String, String)],
    user: Option<&SystemUser>,
) -> Command {
    let mut command = Command::new(executable);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
        .args(args)
        .env_remove("LEADLINE_DATABASE_URL")
        .env_remove("LEADLINE_DATA_DIR")
        // A machine may have the user that root becomes, who cannot reach what tests make.
        .env("LEADLINE_USER", "root")
        .envs(env.iter().cloned())
        .kill_on_drop(true);
    command
}

/// Starts the executable and waits for its word that it is ready, which also tells its port.
async fn spawn(
    mut command: Command,
    executable: &Path,
    args: &[String],
    intake: SocketAddr,
    log: Log,
) -> (Child, SocketAddr) {
    command.arg(format!("--intake-listen={intake}"));
    // Versions from before the setting are run beside this one by the benchmark.
    let is_given = args.iter().any(|arg| arg.starts_with("--admin-listen"));
    if !is_given && (executable == leadlined() || takes(executable, "--admin-listen").await) {
        command.arg("--admin-listen=off");
    }
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        eprintln!("{line}");
        let Ok(entry) = serde_json::from_str::<Value>(&line) else { continue };
        if entry["message"] == "ready" {
            let intake = entry["intake"].as_str().unwrap().parse().unwrap();
            // Somebody must go on reading, or the daemon would one day wait for us.
            let rest = async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    eprintln!("{line}");
                    log.lock().unwrap().push(line);
                }
            };
            tokio_util::task::TaskTracker::new().spawn(rest);
            return (child, intake);
        }
    }
    panic!("leadlined ended before it was ready: {:?}", child.wait().await);
}

/// Whether an executable, which may be another version's, knows a setting.
pub async fn takes(executable: &Path, setting: &str) -> bool {
    let help = Command::new(executable).arg("--help").output().await.unwrap();
    String::from_utf8_lossy(&help.stdout).contains(setting)
}

/// The `leadlined` that belongs to these tests.
pub fn leadlined() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| executable("leadlined"))
}

/// The `leadline` that belongs to these tests.
pub fn leadline() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| executable("leadline"))
}

/// Builds what tests start. Whoever sets a scene calls it first, lest a test's own daemon stands still meanwhile.
pub(super) fn executables() {
    leadlined();
    leadline();
}

/// Finds an executable beside the test's own. `cargo test --workspace` has built it, because the tests of its package
/// start it too; after an edit, `cargo test` of this package alone has not, so it is built here if it is older than its
/// sources.
fn executable(name: &str) -> PathBuf {
    let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
    let profile = deps.parent().unwrap();
    let executable = profile.join(name);
    if is_stale(&executable) {
        let mut build = std::process::Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        // A test among them makes cargo choose the features that all tests are built with, so that little is built.
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.args(["build", "--workspace", "--bins", "--test", "arguments"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.arg("--target-dir").arg(profile.parent().unwrap());
        assert!(build.status().unwrap().success(), "{name} does not build");
    }
    executable
}

/// Whether a source that an executable was made of is younger: Cargo writes them beside it.
fn is_stale(executable: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let (Ok(built), Ok(made_of)) = (modified(executable), fs::read_to_string(executable.with_extension("d")))
    else {
        return true;
    };
    // What a source's name contains is written with a backslash; no source of ours has a space in its name, but the
    // folders above it may.
    let made_of = made_of.replace("\\ ", "\0");
    let mut sources =
        made_of.split_whitespace().skip(1).map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.any(|source| modified(&source).is_ok_and(|modified| modified > built))
}
