//! Leads in bulk: batches over HTTP, and files.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use leadline_proto::v1;
use leadline_tests::{leadline, request_id};
use tokio::{process::Command, task::JoinSet, time::Instant};

use crate::{
    Options, Report, cpu,
    figures::Budget,
    http::Receiver,
    leadline::{CONCURRENCY, Leadline, Target},
    leads::lead,
};

/// What the command and the daemon may have resident for a file of any length, in MiB.
const MEMORY: f64 = 64.0;
/// How many batches are sent side by side.
const BATCHES: usize = 4;

/// A company whose integrations are disabled.
async fn disabled(leadline: &Leadline, integrations: usize) -> Target {
    let receiver = Receiver::start().await;
    let url = |n| format!("http://{}/{n}", receiver.address());
    let urls: Vec<_> = (0..integrations).map(url).collect();
    let target = leadline.company(1, &urls, CONCURRENCY).await;
    for integration in &target.integrations {
        let request =
            v1::DisableIntegrationRequest { request_id: request_id(), integration: integration.clone() };
        leadline.operator().await.integrations().disable_integration(request).await.unwrap();
    }
    target
}

/// That so many leads are there with a delivery for each integration.
async fn all_kept(server: &Leadline, leads: usize, target: &Target) {
    let kept: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM lead), (SELECT count(*) FROM delivery)")
            .fetch_one(&mut server.database().await)
            .await
            .unwrap();
    assert_eq!(kept, (leads as i64, (leads * target.integrations.len()) as i64), "all is kept");
}

/// Batches of leads into one, two and five disabled integrations.
pub(super) async fn batch(executable: &Path, options: &Options, report: &mut Report) {
    let leads = options.rows.unwrap_or(100_000) as usize;
    for integrations in [1, 2, 5] {
        let s = if integrations == 1 { "" } else { "s" };
        report
            .section(&format!("{leads} leads in {BATCHES} batches, {integrations} disabled integration{s}"));
        batch_into(executable, leads, integrations, report).await;
    }
}

async fn batch_into(executable: &Path, leads: usize, integrations: usize, report: &mut Report) {
    let server = Leadline::start(executable).await;
    let target = disabled(&server, integrations).await;
    let url = format!("http://{}/v1/leads/batch", server.intakes()[0]);
    let bodies: Vec<String> = (0..BATCHES)
        .map(|_| {
            (0..leads / BATCHES).fold(String::new(), |mut body, _| {
                body.push_str(&lead(&ulid::Ulid::generate().to_string()));
                body.push('\n');
                body
            })
        })
        .collect();
    let (before, started) = (server.cpu().await, Instant::now());
    let mut tasks = JoinSet::new();
    for body in bodies {
        let request = leadline_tests::http()
            .post(&url)
            .bearer_auth(&target.key)
            .header("content-type", "application/x-ndjson")
            .header("prefer", "return=minimal")
            .body(body);
        tasks.spawn(async move {
            let answer = request.send().await.unwrap().text().await.unwrap();
            // A problem has a number there.
            answer.lines().filter(|line| line.contains("\"status\":\"")).count()
        });
    }
    let accepted: usize = tasks.join_all().await.into_iter().sum();
    let (took, used) = (started.elapsed(), server.cpu().await.since(&before));
    assert_eq!(accepted, leads / BATCHES * BATCHES, "every line is accepted");
    all_kept(&server, accepted, &target).await;
    let rate = accepted as f64 / took.as_secs_f64();
    report.held_to(Budget::AtLeast(10_000.0), "leads accepted", rate, "leads/s");
    report.cpu(&used, (accepted as f64, "leads"), None);
    report.memory(server.memory_mib());
    server.stop().await;
}

/// A file of leads into disabled integrations, by the command that people use.
pub(super) async fn import(executable: &Path, options: &Options, report: &mut Report) {
    let rows = options.rows.unwrap_or(100_000);
    report.section(&format!("a file of {rows} leads imported"));
    let server = Leadline::start(executable).await;
    let target = disabled(&server, 5).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leads.ndjson");
    let mut text = String::new();
    for _ in 0..rows {
        writeln!(text, "{}", lead(&ulid::Ulid::generate().to_string())).unwrap();
    }
    fs::write(&file, text).unwrap();
    let started = Instant::now();
    let mut command = Command::new(leadline());
    command.arg("--server").arg(format!("unix:{}", server.socket().display()));
    command.args(["lead", "import", "--company", &target.company.to_string()]).arg(&file);
    let mut child = command.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap();
    let (pid, mut most) = (child.id().unwrap(), 0.0);
    let status = loop {
        match tokio::time::timeout(Duration::from_millis(20), child.wait()).await {
            Ok(status) => break status.unwrap(),
            Err(_) => most = cpu::peak_mib(pid).unwrap_or(most),
        }
    };
    assert!(status.success(), "the import failed");
    all_kept(&server, rows as usize, &target).await;
    report.figure("rows imported", rows as f64 / started.elapsed().as_secs_f64(), "rows/s");
    let (daemon_most, server_memory) = server.memory_mib();
    report.held_to(Budget::AtMost(MEMORY), "memory of leadline, at most", most, "MiB");
    report.memory((daemon_most, server_memory));
    // An executable for debugging is larger than that by itself.
    if report.is_held && !cfg!(debug_assertions) {
        let is_bounded = most.max(daemon_most) < MEMORY;
        assert!(is_bounded, "{most:.0} MiB of leadline and {daemon_most:.0} of leadlined for {rows} rows");
    }
    server.stop().await;
}
