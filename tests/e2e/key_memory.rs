//! The master key in the memory of a daemon that works: once, and nowhere as the text of its file.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Operator, left_out, post_lead, wait_until};
use memchr::memmem;
use serde_json::json;

use crate::{key_rotation, leads::verify};

/// So much of a process's memory is read at once.
const PIECE: usize = 1 << 20;

/// How often a key stands in the memory of a process: its bytes, and their text.
fn copies(pid: u32, key: &str) -> (usize, usize) {
    copies_in(pid, key, |_| true)
}

/// The same in those parts of the memory that are meant.
fn copies_in(pid: u32, key: &str, is_meant: impl Fn(&Range<u64>) -> bool) -> (usize, usize) {
    let memory = memory(pid).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let raw = hex::decode(key).unwrap();
    let (mut bytes, mut texts, mut piece) = (0, 0, vec![0; PIECE + key.len() - 1]);
    let may_hold_it = |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"));
    for line in maps.lines().filter(may_hold_it) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        if !is_meant(&(from..to)) {
            continue;
        }
        // What stands across two pieces is in neither: they overlap by one byte less than the text is long.
        for at in (from..to).step_by(PIECE) {
            let length = usize::try_from(to - at).unwrap().min(piece.len());
            // What the kernel keeps for itself, or what is gone by now, cannot be read.
            let Ok(read) = memory.read_at(&mut piece[..length], at) else { continue };
            bytes += count(&piece[..read], &raw);
            texts += count(&piece[..read], key.as_bytes());
        }
    }
    (bytes, texts)
}

/// How often something begins in a piece, its overlap aside.
fn count(piece: &[u8], wanted: &[u8]) -> usize {
    memmem::find_iter(piece, wanted).take_while(|at| *at < PIECE).count()
}

fn memory(pid: u32) -> io::Result<File> {
    File::open(format!("/proc/{pid}/mem"))
}

fn key_of(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("master.key")).unwrap();
    assert_eq!(text.lines().count(), 1);
    text.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_in_memory_once_and_an_old_one_not_at_all() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    if let Err(error) = memory(daemon.pid().unwrap()) {
        left_out(
            "LEADLINE_ROOT_REQUIRED",
            &format!("root, who alone may look into the memory of a daemon: {error}"),
        );
        assert_eq!(daemon.stop().await, Some(0));
        return;
    }
    let dir = daemon.dir().to_owned();
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let made = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let (secret, hook) = (made.signing_secret, made.integration.unwrap().id);
    let mut pushed = 0;
    let mut work = async |daemon: &ChildDaemon, leads: usize| {
        for _ in 0..leads {
            let lead = sample_lead(pushed).to_string();
            assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
            pushed += 1;
        }
        receiver.wait_for(pushed).await.iter().for_each(|push| verify(push, &secret));
        wait_until("what came of it is written", async || operator.finished(&hook).await.len() == pushed)
            .await;
    };
    // It has made the key itself.
    let first = key_of(&dir);
    let held = hex::decode(&first).unwrap();
    let places = [first.as_ptr(), held.as_ptr()].map(|place| place.addr() as u64);
    let own = copies_in(std::process::id(), &first, |range| places.iter().any(|place| range.contains(place)));
    drop(held);
    assert!(own.0 > 0 && own.1 > 0, "else this would show nothing, as we hold both: {own:?}");
    work(&daemon, 5).await;
    assert_eq!(copies(daemon.pid().unwrap(), &first), (1, 0), "of the key that it made");

    // It reads the next key beside the old one, and forgets that.
    let data_dir = format!("--data-dir={}", dir.display());
    key_rotation::succeed(&[&data_dir]).await;
    let second = key_of(&dir);
    assert_ne!(first, second);
    work(&daemon, 5).await;
    wait_until("the old key is forgotten", async || copies(daemon.pid().unwrap(), &first).0 == 0).await;
    assert_eq!(copies(daemon.pid().unwrap(), &first), (0, 0), "of the key before the rotation");
    assert_eq!(copies(daemon.pid().unwrap(), &second), (1, 0), "of the key after it");

    assert_eq!(daemon.stop().await, Some(0));
    daemon.restart().await;
    assert_eq!(copies(daemon.pid().unwrap(), &second), (1, 0), "of the key that it found");
    assert_eq!(daemon.stop().await, Some(0));
    receiver.stop().await;
}
