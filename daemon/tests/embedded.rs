//! The private server for real: these need PostgreSQL's programs, and no other server.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{
    env, fs, io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

#[expect(unreachable_pub, reason = "the other tests take it from the harness")]
#[path = "../../tests/src/harness/wait.rs"]
mod wait;

#[expect(unreachable_pub, reason = "the other tests take it from the harness")]
#[path = "../../tests/src/harness/left_out.rs"]
mod left_out;

use leadlined::postgres::{
    data_dir::DataDir,
    embedded::{Cluster, dump::begin_restore},
};
use left_out::left_out;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};
use wait::wait_until;

async fn connect(cluster: &Cluster) -> PgConnection {
    cluster.connect_options(cluster.database()).connect().await.unwrap()
}

async fn answer(cluster: &Cluster, sql: &'static str) -> String {
    sqlx::query(sql).fetch_one(&mut connect(cluster).await).await.unwrap().get(0)
}

fn is_running(pid: u32) -> bool {
    // Empty for a process that has ended and was not yet waited for.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn postmaster(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[tokio::test]
async fn a_cluster_is_made_stopped_and_found_again() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    let cluster = Cluster::start(&data).await.unwrap();
    assert_eq!(answer(&cluster, "SHOW listen_addresses").await, "");
    assert_eq!(answer(&cluster, "SHOW fsync").await, "on");
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 'still here' AS word")
        .execute(&mut connect(&cluster).await)
        .await
        .unwrap();
    let pid = postmaster(temp.path()).unwrap();
    cluster.stop().await.unwrap();
    assert!(!is_running(pid));
    assert_eq!(postmaster(temp.path()), None);

    let cluster = Cluster::start(&data).await.unwrap();
    assert_eq!(answer(&cluster, "SELECT word FROM kept").await, "still here");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_unfinished_cluster_is_made_anew_and_a_stale_pid_file_is_no_hindrance() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
    let home = temp.path().join("postgres");
    fs::rename(home.join("data"), home.join("data.new")).unwrap();
    fs::remove_file(home.join("data.new/global/pg_control")).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
    // The number of a process that is no server and is not the server user's.
    let stale = format!("1\n{}\n0\n5432\n{}\n", temp.path().display(), temp.path().display());
    let cluster = temp.path().join("postgres/data");
    fs::write(cluster.join("postmaster.pid"), stale).unwrap();
    let owner = fs::metadata(&cluster).unwrap();
    chown(cluster.join("postmaster.pid"), Some(owner.uid()), Some(owner.gid())).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_a_short_socket() {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let data = DataDir::open(&temp.path().join("d'é ".repeat(30))).unwrap();
    let cluster = Cluster::start(&data).await.unwrap();
    assert_eq!(answer(&cluster, "SELECT 'alive'").await, "alive");
    let socket_dir = cluster.connect_options("postgres").get_socket().unwrap().clone();
    assert!(!socket_dir.starts_with(data.path()) && socket_dir.exists());
    cluster.stop().await.unwrap();
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn an_ephemeral_cluster_takes_its_directory_with_it() {
    let cluster = Cluster::ephemeral(&std::env::temp_dir()).await.unwrap();
    let directory = cluster.directory().to_owned();
    assert!(directory.exists());
    cluster.stop().await.unwrap();
    assert!(!directory.exists());
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test]
async fn owns_a_cluster_until_it_is_killed() {
    let Some(directory) = env::var_os("LEADLINE_TEST_OWNS_CLUSTER") else { return };
    let data = DataDir::open(directory.as_ref()).unwrap();
    let _cluster = Cluster::start(&data).await.unwrap();
    fs::write(data.path().join("owned"), "").unwrap();
    // The pipe ends with a parent that failed, so that nothing is left behind.
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

fn spawn_owner(directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "owns_a_cluster_until_it_is_killed"])
        .env("LEADLINE_TEST_OWNS_CLUSTER", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_server_ends_with_its_killed_owner_and_the_next_owner_waits_for_that() {
    let temp = tempfile::tempdir().unwrap();
    let mut owner = spawn_owner(temp.path());
    wait_until("the owner has its cluster", async || {
        assert!(owner.try_wait().unwrap().is_none(), "the owner ended by itself");
        temp.path().join("owned").exists()
    })
    .await;
    let pid = postmaster(temp.path()).unwrap();
    let refused = DataDir::open(temp.path()).unwrap_err();
    assert!(refused.to_string().starts_with("another daemon uses"), "{refused}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    let next = Cluster::start(&data).await.unwrap();
    assert!(!is_running(pid));
    assert_ne!(postmaster(temp.path()), Some(pid));
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_waited_for() {
    for _ in 0..3 {
        let temp = tempfile::tempdir().unwrap();
        let mut owner = spawn_owner(temp.path());
        wait_until("the cluster is being made", async || {
            assert!(owner.try_wait().unwrap().is_none(), "the owner ended by itself");
            temp.path().join("postgres/data.new").exists()
        })
        .await;
        owner.kill().unwrap();
        owner.wait().unwrap();
        let data = DataDir::open(temp.path()).unwrap();
        Cluster::start(&data).await.unwrap().stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_killed_or_told_to_stop_is_started_again() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::open(temp.path()).unwrap();
    let cluster = Cluster::start(&data).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let kill = async {
        for signal in ["KILL", "TERM", "INT"] {
            // Somebody is connected, for whom a server that is told to stop would wait.
            let _connected = connect(&cluster).await;
            let pid = postmaster(temp.path()).unwrap();
            assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
            wait_until("another server answers", async || {
                postmaster(temp.path()).is_some_and(|now| now != pid)
                    && cluster.connect_options("leadline").connect().await.is_ok()
            })
            .await;
        }
        stop.cancel();
    };
    // A killed server stands in the way of the next until the system has cleared it away, which may take a busy one long.
    let supervisor = cluster.supervisor().giving_up_after(Duration::from_secs(120));
    let (kept, ()) = tokio::join!(supervisor.keep_running(stop.clone()), kill);
    kept.unwrap();

    // Without its files it cannot be.
    let pid = postmaster(temp.path()).unwrap();
    fs::rename(temp.path().join("postgres/data"), temp.path().join("postgres/gone")).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().unwrap().success());
    let supervisor = cluster.supervisor().giving_up_after(Duration::from_millis(300));
    let error = supervisor.keep_running(tokio_util::sync::CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("the private PostgreSQL did not start: "), "{error}");
}

/// As an operator moves it to another disk. The sandbox knows where it went.
#[tokio::test]
async fn a_log_of_writes_that_stands_elsewhere_is_used() {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let data = DataDir::open(&temp.path().join("data")).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
    let (wal, disk) = (data.path().join("postgres/data/pg_wal"), temp.path().join("disk"));
    fs::rename(&wal, &disk).unwrap();
    symlink(&disk, &wal).unwrap();
    let cluster = Cluster::start(&data).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 'written' AS word; CHECKPOINT; SELECT pg_switch_wal()")
        .execute(&mut connect(&cluster).await)
        .await
        .unwrap();
    assert_eq!(answer(&cluster, "SELECT word FROM kept").await, "written");
    cluster.stop().await.unwrap();
}

/// As root, the server runs under an account with fewer rights, whose directory must not be a way to root's files.
#[tokio::test]
async fn links_in_the_servers_directory_lead_nowhere_and_its_account_may_not_connect() {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let data = DataDir::open(&temp.path().join("data")).unwrap();
    Cluster::start(&data).await.unwrap().stop().await.unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, "root's").unwrap();
    let before = fs::metadata(&victim).unwrap();
    let home = data.path().join("postgres");
    for name in ["server.log", "server.log.1", "watchdog.lock", "data/postgresql.conf", "data/pg_hba.conf"] {
        let link = home.join(name);
        if link.exists() {
            fs::remove_file(&link).unwrap();
        }
        symlink(&victim, &link).unwrap();
    }
    let is_untouched = || {
        let after = fs::metadata(&victim).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "root's");
        assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
    };
    // In the place of what root reads there, a link has the start refused.
    let version = fs::read(home.join("data/PG_VERSION")).unwrap();
    for name in ["data/PG_VERSION", "data/postmaster.pid"] {
        let link = home.join(name);
        if link.exists() {
            fs::remove_file(&link).unwrap();
        }
        symlink(&victim, &link).unwrap();
        assert!(Cluster::start(&data).await.is_err(), "{name}");
        is_untouched();
        fs::remove_file(&link).unwrap();
        fs::write(home.join("data/PG_VERSION"), &version).unwrap();
        fs::set_permissions(home.join("data/PG_VERSION"), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let cluster = Cluster::start(&data).await.unwrap();
    is_untouched();

    let (account, us) = (fs::metadata(&home).unwrap(), before.uid());
    if account.uid() != us {
        let socket_dir = cluster.connect_options("leadline").get_socket().unwrap().clone();
        let mut psql = Command::new("psql");
        psql.args(["-U", "leadline", "-d", "leadline", "-c", "SELECT 1", "-h"]).arg(socket_dir);
        psql.uid(account.uid()).gid(account.gid()).current_dir("/");
        match psql.output() {
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(error.contains("Peer authentication failed"), "{error}");
            }
            Err(error) => left_out("LEADLINE_PG_CLIENTS_REQUIRED", &format!("psql: {error}")),
        }
    }
    cluster.stop().await.unwrap();
    // A restore removes what stands in the place of the cluster, and nothing behind it, also where nothing is behind it.
    let there = home.join("data");
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&victim, elsewhere.join("victim")).unwrap();
    fs::rename(&there, home.join("aside")).unwrap();
    for behind in [&elsewhere, &temp.path().join("nowhere")] {
        symlink(behind, &there).unwrap();
        begin_restore(&data).unwrap();
        assert!(fs::symlink_metadata(&there).is_err(), "the link to {} is gone", behind.display());
        assert_eq!(fs::read_to_string(elsewhere.join("victim")).unwrap(), "root's");
    }
}
