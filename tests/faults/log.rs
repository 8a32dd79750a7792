//! A log that cannot be written: the daemon goes on as if nothing were wrong.

use std::{fs::File, io, process::Stdio};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Database, Operator, figure, http, post_lead, wait_until};
use serde_json::json;
use tokio::time::Instant;

/// What is posted in each case, to a receiver that refuses it: each refusal is a line of the log.
const LEADS: usize = 30;

/// Posts leads to a daemon with this log, and holds all of them to be dead and reported soon.
async fn works_with(case: &str, log: Stdio, is_lost: bool) {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start_logging_to(log, Some(&database), &["--log-level=trace"]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(400, "no".to_owned())).await.unwrap();
    let id = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.integration.unwrap().id;
    let started = Instant::now();
    let mut refused = 0;
    for n in 0..LEADS {
        let (status, _) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        refused += u32::from(status != 202);
    }
    figure(case, "posts refused", refused.into(), 0.0);
    wait_until("every push has ended", async || {
        let deliveries = operator.deliveries_of(&id).await;
        deliveries.len() == LEADS && deliveries.iter().all(|delivery| delivery.state().word() == "dead")
    })
    .await;
    figure(case, "seconds until every push has ended", started.elapsed().as_secs_f64(), 30.0);
    let ready = http().get(daemon.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    if is_lost {
        check_lost(&daemon).await;
    }
    let stopping = Instant::now();
    assert_eq!(daemon.stop().await, Some(0));
    figure(case, "seconds until it has stopped", stopping.elapsed().as_secs_f64(), 10.0);
    receiver.stop().await;
}

/// What cannot be written is counted.
async fn check_lost(daemon: &ChildDaemon) {
    let metrics = http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
    let is_counted = metrics.lines().any(|line| line.starts_with("leadline_log_lines_lost_total{"));
    assert!(is_counted, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_on_a_full_file_system() {
    let _machine = crate::shared().await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    works_with("log on a full file system", full.into(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_of_the_log_is_gone() {
    let _machine = crate::shared().await;
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    works_with("log into a closed pipe", writer.into(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_the_log() {
    let _machine = crate::shared().await;
    let (reader, writer) = io::pipe().unwrap();
    // The pipe takes 64 KiB, and then some lines wait for it; more than that would be lost.
    works_with("log into a pipe that nobody reads", writer.into(), false).await;
    drop(reader);
}
