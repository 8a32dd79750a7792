//! What only the inside shows: an orphan, and that a copy of its directory is not taken for it. The rest of a cluster's
//! life is in `daemon/tests/embedded.rs`, because starting servers takes seconds.

use super::*;

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
    assert!(copied.is_err(), "another cluster's server was taken for ours");
    let second = Cluster::start(&data).await.unwrap();
    assert_eq!(postmaster(temp.path()), Some(pid));
    second.stop().await.unwrap();
    assert_eq!(postmaster(temp.path()), None);
}
