//! What a daemon costs that has nothing to do.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use crate::{Options, Report, figures::Budget, http::Receiver, leadline::Leadline};

const COMPANIES: i64 = 25;
const INTEGRATIONS: usize = 20;

/// 500 integrations, each of which has pushed once.
pub(super) async fn rest(executable: &Path, options: &Options, report: &mut Report) {
    report.section(&format!("{} integrations, nothing to do", COMPANIES * INTEGRATIONS as i64));
    let leadline = Leadline::start(executable).await;
    let receiver = Receiver::start().await;
    let mut expected = 0;
    for company in 1..=COMPANIES {
        let url = |n| format!("http://{}/{company}/{n}", receiver.address());
        let urls: Vec<_> = (0..INTEGRATIONS).map(url).collect();
        let target = leadline.company(company, &urls, 4).await;
        let run = crate::load::flood(&leadline, &target, 1, 1000, Duration::from_millis(1)).await;
        expected += run.leads * INTEGRATIONS;
    }
    report.each_once(expected, receiver.arrived());
    // Connections that nobody uses are closed, and the server has written what it does later.
    sleep(Duration::from_secs(if options.is_short { 1 } else { 45 })).await;
    let (before, woken) = (leadline.cpu().await, leadline.wakeups());
    let time = options.time.max(Duration::from_secs(10)) * 3;
    sleep(time).await;
    let (used, (daemon, server)) = (leadline.cpu().await.since(&before), leadline.wakeups());
    let seconds = time.as_secs_f64();
    let (cpu, server_cpu) = (used.daemon / seconds * 100.0, used.postgres() / seconds * 100.0);
    report.held_to(Budget::AtMost(0.2), "CPU", cpu + server_cpu, "% of one");
    report.figure("  of leadlined", cpu, "% of one");
    report.figure("  of PostgreSQL", server_cpu, "% of one");
    let (daemon, server) = ((daemon - woken.0) as f64 / seconds, (server - woken.1) as f64 / seconds);
    report.held_to(Budget::AtMost(10.0), "wake-ups", daemon + server, "a second");
    report.figure("  of leadlined", daemon, "a second");
    report.figure("  of PostgreSQL", server, "a second");
    report.figure("memory of leadlined", leadline.memory_mib(), "MiB");
    leadline.stop().await;
}
