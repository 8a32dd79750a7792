//! The benchmark: how fast the main job is, beside a bare batched INSERT and a bare HTTP POST loop of the same run.
//!
//! `make bench` runs it in release mode, `make bench COMPARE=REF` beside another version, run about. Everything shares
//! this machine's cores, the load generator and the receivers too, so compare ratios, not absolutes.
//! `make bench-short` runs for a moment and holds what must be true at any speed.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing better to do than to say where"
)]

mod baseline;
mod cpu;
mod figures;
mod http;
mod leadline;

use std::{env, path::Path, time::Duration};

use figures::Report;
use leadline::{CONCURRENCY, Leadline};
use leadline_tests::leadlined;

/// How many clients post without a pause.
const CLIENTS: usize = 32;
/// How many integrations a lead goes to.
const FAN_OUTS: [usize; 3] = [1, 5, 20];
/// How often each version runs where two are compared.
const ROUNDS: usize = 3;

fn main() {
    let is_short = env::args().any(|arg| arg == "--short");
    let default = if is_short { 2 } else { 10 };
    let seconds = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("cores: {}", std::thread::available_parallelism().map_or(0, usize::from));
    runtime.block_on(async {
        let time = Duration::from_secs(seconds);
        let ours = env::var_os("LEADLINE_BENCH_DAEMON");
        let ours = ours.as_deref().map_or_else(|| leadlined(), Path::new);
        match env::var_os("LEADLINE_BENCH_COMPARE") {
            Some(theirs) if !is_short => compare(ours, Path::new(&theirs), time).await,
            _ => println!("\n{}", run(ours, time).await.json()),
        }
    });
}

/// Runs about, so that what else the machine does meets both.
async fn compare(ours: &Path, theirs: &Path, time: Duration) {
    let (mut this, mut that) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        println!("\n== Round {round} of {ROUNDS}, this version");
        this.push(run(ours, time).await);
        println!("\n== Round {round} of {ROUNDS}, that version");
        that.push(run(theirs, time).await);
    }
    figures::compare(&this, &that);
}

async fn run(executable: &Path, time: Duration) -> Report {
    let mut report = Report::default();
    let leadline = Leadline::start(executable).await;
    let receiver = http::Receiver::start().await;

    report.section("Floor, measured in this run");
    let insert = baseline::batched_insert(&leadline.database_url(), CLIENTS, time / 2).await;
    report.figure("bare batched INSERT, lead-sized rows", insert, "rows/s");
    let post = baseline::post_loop(receiver.address(), CLIENTS, time / 2).await;
    report.figure("bare HTTP POST loop, the same body", post, "posts/s");

    for (company, fan_out) in (1..).zip(FAN_OUTS) {
        report.section(&format!("{CLIENTS} closed-loop clients, fan-out {fan_out}"));
        flood(&mut report, &leadline, &receiver, company, fan_out, time, (insert, post)).await;
    }
    let target = leadline.company(10, 1, receiver.address()).await;
    for rate in [20.0, 100.0, 500.0] {
        report.section(&format!("{rate} leads/s, fan-out 1"));
        let before = leadline.cpu();
        let latency = leadline.trickle(&target, rate, time, &receiver).await;
        let cpu = leadline.cpu() - before;
        let leads = latency.leads as f64;
        report.figure("accept p50", latency.accept.quantile(0.50), "ms");
        report.figure("accept p99", latency.accept.quantile(0.99), "ms");
        report.figure("due → arrival p50", latency.due.quantile(0.50), "ms");
        report.figure("due → arrival p99", latency.due.quantile(0.99), "ms");
        report.figure("answered → received p50", latency.answered.quantile(0.50), "ms");
        report.figure("answered → received p99", latency.answered.quantile(0.99), "ms");
        report.figure("POST → arrival p50", latency.post.quantile(0.50), "ms");
        report.figure("POST → arrival p99", latency.post.quantile(0.99), "ms");
        report.figure("CPU of leadlined per 1000 deliveries", cpu.daemon * 1e6 / leads, "ms");
        report.figure("CPU of PostgreSQL per 1000 deliveries", cpu.postgres * 1e6 / leads, "ms");
    }
    report.figure("memory of leadlined", leadline.memory_mib(), "MiB");
    leadline.stop().await;
    report
}

async fn flood(
    report: &mut Report,
    leadline: &Leadline,
    receiver: &http::Receiver,
    company: i64,
    fan_out: usize,
    time: Duration,
    (insert, post): (f64, f64),
) {
    let target = leadline.company(company, fan_out, receiver.address()).await;
    let (cpu, arrived, opened) = (leadline.cpu(), receiver.count(), receiver.connections());
    let written = leadline.written().await;
    let run = leadline.flood(&target, CLIENTS, time, receiver).await;
    let (cpu, after) = (leadline.cpu() - cpu, leadline.written().await);
    let deliveries = (receiver.count() - arrived) as f64;
    let opened = receiver.connections() - opened;
    let rate = deliveries / run.drained.as_secs_f64();
    let transactions = (after.transactions - written.transactions) / deliveries;
    report.figure("leads accepted", run.leads_per_second(), "leads/s");
    report.figure("deliveries, until the last arrived", rate, "deliveries/s");
    report.figure("accept p50", run.latency(0.50), "ms");
    report.figure("accept p99", run.latency(0.99), "ms");
    report.figure("CPU of leadlined per 1000 deliveries", cpu.daemon * 1e6 / deliveries, "ms");
    report.figure("CPU of PostgreSQL per 1000 deliveries", cpu.postgres * 1e6 / deliveries, "ms");
    report.figure("WAL per delivery", (after.wal - written.wal) / deliveries, "bytes");
    report.figure("transactions per 1000 deliveries", transactions * 1e3, "");
    report.figure("connections that the receiver saw", opened as f64, "");
    report.figure("leads/s over bare INSERT rows/s", run.leads_per_second() / insert, "ratio");
    report.figure("deliveries/s over bare POST/s", rate / post, "ratio");
    // What must be true at any speed.
    let expected = (run.leads * fan_out) as f64;
    assert!((deliveries - expected).abs() < 0.5, "{deliveries} arrived of {expected}");
    let concurrency = fan_out * CONCURRENCY as usize;
    assert!(opened <= concurrency, "{opened} connections for {concurrency} pushes at once");
    assert!(transactions < 3.0, "{transactions} transactions for each delivery: nothing is batched");
}
