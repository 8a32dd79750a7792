//! The main job: leads in, pushes out, as fast as it goes and at a steady rate.

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::gates::Counted;
use crate::{
    Options, Report, baseline,
    figures::Budget,
    http::Receiver,
    leadline::{CONCURRENCY, Leadline, Target},
    load,
};

/// How many clients post without a pause.
pub(super) const CLIENTS: usize = 32;
/// The size of a lead as forms send it.
pub(super) const SMALL: usize = 1000;
const LARGE: usize = 20_000;

/// Closed-loop clients at fan-out 1, 5 and 20, beside the floor of the same run.
pub(super) async fn flood(executable: &Path, options: &Options, report: &mut Report) {
    let leadline = Leadline::start(executable).await;
    let receiver = Receiver::start().await;
    report.section("Floor, measured in this run");
    let insert = baseline::batched_insert(&leadline.database_url(), CLIENTS, options.time() / 4).await;
    report.figure("bare batched INSERT, lead-sized rows", insert, "rows/s");
    let post = baseline::post_loop(receiver.address(), CLIENTS, options.time() / 4).await;
    report.figure("bare HTTP POST loop, the same body", post, "posts/s");
    for (company, (fan_out, rate, cpu)) in
        (1..).zip([(1, 5000.0, 0.20), (5, 8000.0, 0.12), (20, 9000.0, 0.10)])
    {
        report.section(&format!("{CLIENTS} closed-loop clients, fan-out {fan_out}"));
        let urls: Vec<_> = (0..fan_out).map(|n| format!("http://{}/{n}", receiver.address())).collect();
        let target = leadline.company(company, &urls, CONCURRENCY).await;
        let goals = Some((rate, cpu));
        let run = Run { leadline: &leadline, receiver: &receiver, target, bytes: SMALL, goals };
        let measured = run.measure(options, report).await;
        report.figure("leads/s over bare INSERT rows/s", measured.leads / insert, "ratio");
        report.figure("deliveries/s over bare POST/s", measured.deliveries / post, "ratio");
    }
    leadline.stop().await;
}

/// Large bodies, receivers behind TLS, receivers on many hosts: fan-out 5.
pub(super) async fn variants(executable: &Path, options: &Options, report: &mut Report) {
    let dir = tempfile::tempdir().unwrap();
    let (trusted, tls) = certificate();
    let file = dir.path().join("trusted.pem");
    fs::write(&file, trusted).unwrap();
    let env = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let leadline = Leadline::start_in(executable, &env).await;
    let mut small = None;
    for (company, (name, bytes, hosts, tls)) in (1..).zip([
        ("bodies of 1 kB", SMALL, 1, None),
        ("bodies of 20 kB", LARGE, 1, None),
        ("receivers on 5 hosts", SMALL, 5, None),
        ("receivers behind TLS", SMALL, 1, Some(tls)),
    ]) {
        report.section(&format!("{CLIENTS} closed-loop clients, fan-out 5, {name}"));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let receiver = Receiver::start_on(hosts, tls).await;
        let hosts = receiver.hosts().iter().cycle();
        let urls: Vec<_> = (0..5).zip(hosts).map(|(n, host)| format!("{scheme}://{host}/{n}")).collect();
        let target = leadline.company(company, &urls, CONCURRENCY).await;
        let run = Run { leadline: &leadline, receiver: &receiver, target, bytes, goals: None };
        let cpu = run.measure(options, report).await.cpu;
        small.get_or_insert(cpu);
        if bytes == LARGE {
            let ratio = cpu / small.unwrap_or(cpu);
            report.held_to(Budget::AtMost(2.0), "CPU over that of bodies of 1 kB", ratio, "ratio");
        }
        if scheme == "https" {
            report.figure("whole TLS handshakes", receiver.handshakes() as f64, "");
        }
    }
    leadline.stop().await;
}

/// A certificate of 127.0.0.1, as text and at work.
fn certificate() -> (String, TlsAcceptor) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// One flood and what is measured of it.
struct Run<'a> {
    leadline: &'a Leadline,
    receiver: &'a Receiver,
    target: Target,
    bytes: usize,
    /// Deliveries a second at least, and seconds of CPU for a thousand at most.
    goals: Option<(f64, f64)>,
}

/// Leads and deliveries a second, and seconds of CPU for a thousand deliveries.
struct Measured {
    leads: f64,
    deliveries: f64,
    cpu: f64,
}

impl Run<'_> {
    async fn measure(&self, options: &Options, report: &mut Report) -> Measured {
        let Self { leadline, receiver, target, bytes, goals } = self;
        let fan_out = target.integrations.len();
        leadline.wait_until_indexed().await;
        // From here on.
        receiver.arrived();
        receiver.connections_most();
        let (cpu, arrived, opened) = (leadline.cpu().await, receiver.count(), receiver.connections());
        let (metrics, written) = (leadline.metrics().await, leadline.written().await);
        let run = load::flood(leadline, target, CLIENTS, *bytes, options.time()).await;
        leadline.wait_until_indexed().await;
        let used = leadline.cpu().await.since(&cpu);
        let expected = run.leads * fan_out;
        let after = leadline.written_since(&written, expected).await;
        let metrics = (&metrics, &leadline.metrics().await);
        let deliveries = (receiver.count() - arrived) as f64;
        let counted = Counted::new(fan_out, deliveries, run.drained, metrics, (&written, &after));
        let (opened, most_opened) = (receiver.connections() - opened, receiver.connections_most());
        let rate = deliveries / run.drained.as_secs_f64();
        report.figure("leads accepted", run.leads_per_second(), "leads/s");
        let (rate_goal, cpu_goal) = goals.unzip();
        report.held_to(
            rate_goal.map(Budget::AtLeast),
            "deliveries, until the last arrived",
            rate,
            "deliveries/s",
        );
        report.figure("accept p50", run.latency(0.50), "ms");
        report.figure("accept p99", run.latency(0.99), "ms");
        report.cpu(&used, (deliveries, "deliveries"), cpu_goal);
        let wal = counted.wal_each();
        report.held_to(goals.map(|_| Budget::AtMost(1200.0)), "WAL per delivery", wal, "bytes");
        counted.report(report);
        report.figure("connections that the receiver saw", opened as f64, "");
        report.figure("  of one integration, at most", most_opened as f64, "");
        report.memory(leadline.memory_mib());
        // What must be true at any speed.
        report.each_once(expected, receiver.arrived());
        if report.is_held {
            let limit = CONCURRENCY as usize;
            assert!(most_opened <= limit, "{most_opened} connections where {limit} pushes may be in flight");
            if options.is_short {
                counted.hold();
            }
        }
        let cpu = used.all().seconds * 1000.0 / deliveries;
        Measured { leads: run.leads_per_second(), deliveries: rate, cpu }
    }
}

/// A steady 20, 100 and 1000 leads a second, fan-out 1.
pub(super) async fn trickle(executable: &Path, options: &Options, report: &mut Report) {
    let leadline = Leadline::start(executable).await;
    let receiver = Receiver::start().await;
    let urls = [format!("http://{}/", receiver.address())];
    let target = leadline.company(1, &urls, CONCURRENCY).await;
    load::trickle(&leadline, &target, 100.0, options.time() / 10, &receiver).await;
    for (rate, latencies, cpu) in
        [(20.0, None, None), (100.0, Some((2.0, 5.0)), Some(2.0)), (1000.0, None, None)]
    {
        report.section(&format!("{rate} leads/s, fan-out 1"));
        leadline.wait_until_indexed().await;
        let (before, written) = (leadline.cpu().await, leadline.written().await);
        let latency = load::trickle(&leadline, &target, rate, options.time(), &receiver).await;
        let used = leadline.cpu().await.since(&before);
        let after = leadline.written_since(&written, latency.leads).await;
        let leads = latency.leads as f64;
        report.latency(&latency, latencies);
        report.cpu(&used, (leads, "deliveries"), cpu);
        let transactions = after.transactions - written.transactions;
        report.figure("transactions per 1000 deliveries", transactions / leads * 1e3, "");
    }
    leadline.stop().await;
}
