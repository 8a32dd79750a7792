//! What only the inside shows: an orphan, and that a copy of its directory is not taken for it. The rest of a cluster's
//! life is in `daemon/tests/embedded.rs`, because starting servers takes seconds.

use super::{launch::open_database, *};

fn postmaster(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[tokio::test]
async fn an_orphan_is_taken_over_and_watched_again() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    let mut first = Cluster::start(&data).await.unwrap();
    let pid = postmaster(temp.path()).unwrap();
    first.watchdog.kill();
    drop(first);
    let copied = open_database(&temp.path().join("postgres"), Path::new("/elsewhere/postgres/data")).await;
    let reported = copied.expect_err("another cluster's server was taken for ours").to_string();
    let served = data.path().join("postgres/data");
    assert!(reported.ends_with(&format!("the server of {} answers", served.display())), "{reported}");
    let second = Cluster::start(&data).await.unwrap();
    assert_eq!(postmaster(temp.path()), Some(pid));
    second.stop().await.unwrap();
    assert_eq!(postmaster(temp.path()), None);
}

/// As a daemon with another TMPDIR leaves it. In our sandbox it could not be started again.
#[tokio::test]
async fn an_orphan_whose_socket_stands_elsewhere_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
    let layout = Layout::prepare(&data).unwrap();
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    layout.account.own(&elsewhere).unwrap();
    let server = Server::find(layout.major().unwrap(), &layout.account).unwrap();
    let mut start = layout.account.command(&server.program("pg_ctl"));
    start.args(["start", "-s", "-w", "-D"]).arg(&layout.data);
    start.args(["-o", &layout.configure(&elsewhere).unwrap()]);
    start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(start.status().unwrap().success());
    let orphan = postmaster(temp.path()).unwrap();
    open_database(&elsewhere, &layout.data).await.unwrap();
    let cluster = Cluster::start(&data).await.unwrap();
    let ours = postmaster(temp.path()).unwrap();
    assert_ne!(ours, orphan);
    open_database(&layout.home, &layout.data).await.unwrap();
    cluster.stop().await.unwrap();
    assert_eq!(postmaster(temp.path()), None);
}

#[test]
fn what_a_server_without_a_sandbox_lacks_is_said() {
    let missing = "the kernel has no Landlock, or does not let it be used";
    assert_eq!(lacks_sandbox(Ok(SandboxSupport::Missing)).as_deref(), Some(missing));
    assert_eq!(lacks_sandbox(Err(io::Error::other("broken"))).as_deref(), Some("broken"));
    for support in [SandboxSupport::Full, SandboxSupport::Partial] {
        assert_eq!(lacks_sandbox(Ok(support)), None);
    }
}

#[test]
fn a_version_that_is_no_number_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let layout = Layout::of(temp.path().to_owned()).unwrap();
    assert_eq!(layout.major().unwrap(), None);
    fs::create_dir_all(&layout.data).unwrap();
    fs::write(layout.data.join("PG_VERSION"), "new\n").unwrap();
    let Err(EmbeddedError::Files(path, why)) = layout.major() else { panic!("it was read") };
    assert_eq!(path, layout.data.join("PG_VERSION"));
    assert_eq!(why.to_string(), "it does not hold a version's number");
}

#[test]
fn a_database_that_cannot_be_looked_at_is_not_said_to_be_missing() {
    let temp = tempfile::tempdir().unwrap();
    let found = require_cluster(temp.path());
    assert!(matches!(found, Err(EmbeddedError::NoCluster(_))), "{found:?}");
    // Root may look everywhere, but a link that leads to itself leads nobody anywhere.
    let home = temp.path().join("postgres");
    std::os::unix::fs::symlink(&home, &home).unwrap();
    let found = require_cluster(temp.path());
    assert!(matches!(found, Err(EmbeddedError::Files(..))), "{found:?}");
    fs::remove_file(&home).unwrap();
    fs::create_dir_all(home.join("data")).unwrap();
    require_cluster(temp.path()).unwrap();
}

#[test]
fn each_trouble_says_what_to_do() {
    let (path, broken) = (|| PathBuf::from("/data"), || io::Error::other("broken"));
    let install = if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        "apt-get install postgresql (Fedora: dnf install postgresql-server)"
    };
    for (error, reported) in [
        (
            EmbeddedError::NoServer,
            &*format!("no PostgreSQL server programs were found: {install}, or give --database-url"),
        ),
        (
            EmbeddedError::NamedServer(path()),
            "LEADLINE_PG_BIN: no initdb, pg_ctl and postgres in /data: correct it, or unset it",
        ),
        (
            EmbeddedError::OtherMajor { major: 17, newest: 16 },
            "the data directory needs PostgreSQL 17, and the newest here is 16: install version 17, or name its \
             folder in LEADLINE_PG_BIN, or give --database-url",
        ),
        (
            EmbeddedError::TooOld { newest: 14 },
            &*format!("PostgreSQL 14 is too old: install 15 or newer ({install}), or give --database-url"),
        ),
        (
            EmbeddedError::NoClient { name: "pg_dump", folder: path() },
            "there is no pg_dump in /data: install PostgreSQL's client programs of the same version",
        ),
        (
            EmbeddedError::NoAccount,
            "PostgreSQL does not run as root, and there is no user for it: useradd --system --shell /usr/sbin/nologin \
             leadline, or start the daemon as another user",
        ),
        (
            EmbeddedError::Foreign { path: path(), owner: "ann".to_owned(), user: "leadline".to_owned() },
            "the private PostgreSQL in /data belongs to ann, and this daemon would run it as leadline: start the daemon \
             as ann, or hand it over (chown -R leadline /data)",
        ),
        (
            EmbeddedError::UntrustedServer(path()),
            "others than root can change the PostgreSQL in /data: install the system's package, or name the folder in \
             LEADLINE_PG_BIN, or give --database-url",
        ),
        (EmbeddedError::Account(broken()), "cannot tell which user this is"),
        (
            EmbeddedError::Closed { path: path(), user: "postgres".to_owned() },
            "postgres cannot enter /data, and PostgreSQL does not run as root: choose a --data-dir outside of private \
             directories, such as /var/lib/leadline",
        ),
    ] {
        assert_eq!(error.to_string(), reported);
    }
}

#[test]
fn each_trouble_of_a_data_directory_says_what_to_do() {
    let (path, broken) = (|| PathBuf::from("/data"), || io::Error::other("broken"));
    for (error, reported) in [
        (
            EmbeddedError::OldServer(path()),
            "the PostgreSQL of an earlier daemon still uses /data: wait until it has stopped",
        ),
        (
            EmbeddedError::HalfRestored(path()),
            "a restore into /data was broken off: run `leadlined restore` again, or remove that directory",
        ),
        (
            EmbeddedError::NoCluster(path()),
            "there is no private database in /data: name the data directory (--data-dir), or the database that the \
             daemon uses (--config, --database-url)",
        ),
        (
            EmbeddedError::NotRunning(path()),
            "the daemon on /data runs no private database: name the one that it uses (--config, --database-url)",
        ),
        (
            EmbeddedError::NotStarted { why: "no room".to_owned(), log: path() },
            "the private PostgreSQL did not start: no room (see /data)",
        ),
        (EmbeddedError::Database(sqlx::Error::PoolClosed), "the private PostgreSQL does not answer"),
        (EmbeddedError::Watchdog(broken()), "the watchdog of the private PostgreSQL failed"),
    ] {
        assert_eq!(error.to_string(), reported);
    }
}
