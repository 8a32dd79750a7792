//! The benchmark: how fast the main job is, beside a bare batched INSERT and a bare HTTP POST loop of the same run.
//!
//! `make bench` runs it in release mode. Everything shares this machine's cores, the load generator and the receivers
//! too, so compare ratios, not absolutes.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing better to do than to say where"
)]

mod baseline;
mod cpu;
mod figures;
mod http;
mod leadline;

use std::time::Duration;

use figures::Report;
use leadline::Leadline;

/// How many clients post without a pause.
const CLIENTS: usize = 32;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_u64);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(Duration::from_secs(seconds)));
}

async fn run(time: Duration) {
    let report = Report::new();
    let leadline = Leadline::start().await;
    let receiver = http::Receiver::start().await;

    report.section("Baselines, measured in this run");
    let insert = baseline::batched_insert(&leadline.database_url(), CLIENTS, time / 2).await;
    report.figure("bare batched INSERT, lead-sized rows", insert, "rows/s");
    let post = baseline::post_loop(receiver.address(), CLIENTS, time / 2).await;
    report.figure("bare HTTP POST loop, the same body", post, "posts/s");

    let mut company = 1;
    for fan_out in [1, 5] {
        report.section(&format!("{CLIENTS} closed-loop clients, fan-out {fan_out}"));
        let target = leadline.company(company, fan_out, receiver.address()).await;
        company += 1;
        let before = (leadline.cpu(), receiver.count());
        let run = leadline.flood(&target, CLIENTS, time, &receiver).await;
        let cpu = leadline.cpu() - before.0;
        let deliveries = (receiver.count() - before.1) as f64;
        report.figure("leads accepted", run.leads_per_second(), "leads/s");
        report.figure(
            "deliveries, until the last arrived",
            deliveries / run.drained.as_secs_f64(),
            "deliveries/s",
        );
        report.figure("accept p50", run.latency(0.50), "ms");
        report.figure("accept p99", run.latency(0.99), "ms");
        report.figure("CPU of leadlined per 1000 deliveries", cpu.daemon * 1e6 / deliveries, "ms");
        report.figure("CPU of PostgreSQL per 1000 deliveries", cpu.postgres * 1e6 / deliveries, "ms");
        report.figure("leads/s over bare INSERT rows/s", run.leads_per_second() / insert, "ratio");
        report.figure(
            "deliveries/s over bare POST/s",
            deliveries / run.drained.as_secs_f64() / post,
            "ratio",
        );
        let expected = (run.leads * fan_out) as f64;
        assert!((deliveries - expected).abs() < 0.5, "{deliveries} arrived of {expected}");
    }

    report.section("100 leads/s, fan-out 1");
    let target = leadline.company(company, 1, receiver.address()).await;
    let latency = leadline.trickle(&target, 100.0, time, &receiver).await;
    report.figure("due → arrival p50", latency.due.quantile(0.50), "ms");
    report.figure("due → arrival p99", latency.due.quantile(0.99), "ms");
    report.figure("POST → arrival p50", latency.post.quantile(0.50), "ms");
    report.figure("POST → arrival p99", latency.post.quantile(0.99), "ms");

    report.section("500 leads/s, fan-out 1: the intake alone");
    let latency = leadline.trickle(&target, 500.0, time, &receiver).await;
    report.figure("accept p50", latency.accept.quantile(0.50), "ms");
    report.figure("accept p99", latency.accept.quantile(0.99), "ms");
    report.figure("memory of leadlined", leadline.memory_mib(), "MiB");
    leadline.stop().await;
}
