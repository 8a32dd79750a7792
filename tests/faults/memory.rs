//! What senders may make the daemon hold: no more than its places and bytes allow, and nothing once they have gone.

use std::{fs, time::Duration};

use leadline_fakes::sample_lead;
use leadline_tests::{ChildDaemon, Operator, figure, http};
use tokio::{task::JoinSet, time::sleep};

/// How many senders come at once, and how often each.
const SENDERS: usize = 128;
const ROUNDS: usize = 4;
/// What a body may have at most.
const BODY: usize = 256 * 1024;
/// How long the allocator may take to give back what nobody uses.
const LOOKS: usize = 120;

/// The status of a post; none if the connection was closed on a sender that was refused and went on writing.
async fn post(url: &str, key: &str, body: String) -> Option<u16> {
    let request = http().post(url).bearer_auth(key).header("content-type", "application/json").body(body);
    Some(request.send().await.ok()?.status().as_u16())
}

/// A line of what the kernel says of a process, in MiB.
fn memory(daemon: &ChildDaemon, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().unwrap())).unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line)?.strip_suffix("kB")).unwrap();
    found.trim_matches([':', ' ', '\t']).parse::<f64>().unwrap() / 1024.0
}

/// A lead of about as many bytes as a body may have: of more numbers than a lead may have, or of as many and long texts.
fn large(n: usize, has_too_many: bool) -> String {
    let mut lead = sample_lead(n);
    if has_too_many {
        let rest = BODY - lead.to_string().len() - 100;
        lead["lead"]["x"] = vec![0; rest / 2].into();
        return lead.to_string();
    }
    lead["lead"]["x"] = vec![0; 9_000].into();
    for text in ["a", "b", "c"] {
        lead["lead"][text] = "t".repeat(60_000).into();
    }
    lead.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_take_bounded_memory_and_give_it_back() {
    let _machine = crate::shared().await;
    let case = "128 senders of bodies of 256 KiB";
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(1).await;
    let url = daemon.url("/v1/leads");
    for n in 0..20 {
        assert_eq!(post(&url, &key, large(n, false)).await, Some(202));
    }
    let before = memory(&daemon, "VmRSS");
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (url, key) = (url.clone(), key.clone());
        senders.spawn(async move {
            let mut taken = 0;
            for round in 0..ROUNDS {
                let n = 1000 + sender * ROUNDS + round;
                // Its company's share of the bytes may be in use.
                let expected: &[u16] = if round % 2 == 0 { &[400, 503] } else { &[202, 503] };
                if let Some(status) = post(&url, &key, large(n, round % 2 == 0)).await {
                    assert!(expected.contains(&status), "{status}");
                    taken += usize::from(status == 202);
                }
            }
            taken
        });
    }
    let mut taken = 0;
    while let Some(sender) = senders.join_next().await {
        taken += sender.unwrap();
    }
    assert!(taken > 0, "no sender had a place");
    figure(case, "MiB at the most, beyond what it had", memory(&daemon, "VmHWM") - before, 128.0);
    let mut after = memory(&daemon, "VmRSS");
    for _ in 0..LOOKS {
        if after - before <= 64.0 {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        after = memory(&daemon, "VmRSS");
    }
    figure(case, "MiB that are left afterwards, beyond what it had", after - before, 64.0);
    daemon.kill().await;
}
