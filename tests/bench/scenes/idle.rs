//! What a daemon costs that has nothing to do.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use crate::{Options, Report, cpu::Used, figures::Budget, http::Receiver, leadline::Leadline};

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
    let before = leadline.cpu().await;
    // What somebody does each half minute, and what autovacuum does each minute, is to be in it more than once.
    let time = options.time_or(120);
    sleep(time).await;
    rested(&leadline.cpu().await.since(&before), time.as_secs_f64(), report);
    report.memory(leadline.memory_mib());
    leadline.stop().await;
}

fn rested(used: &Used, seconds: f64, report: &mut Report) {
    let percent = |taken: f64| taken / seconds * 100.0;
    report.held_to(Budget::AtMost(0.2), "CPU", percent(used.all().seconds), "% of one");
    report.figure("  of leadlined", percent(used.daemon.seconds), "% of one");
    report.figure("  of PostgreSQL", percent(used.postgres().seconds), "% of one");
    for (role, taken) in used.roles.iter().filter(|(_, taken)| taken.seconds > 0.0) {
        report.figure(&format!("    {role}"), percent(taken.seconds), "% of one");
    }
    report.held_to(Budget::AtMost(10.0), "wake-ups", used.all().wakeups / seconds, "a second");
    report.figure("  of leadlined, wake-ups", used.daemon.wakeups / seconds, "a second");
    report.figure("  of PostgreSQL, wake-ups", used.postgres().wakeups / seconds, "a second");
    for (role, taken) in used.roles.iter().filter(|(_, taken)| taken.wakeups > 0.0) {
        report.figure(&format!("    {role}, wake-ups"), taken.wakeups / seconds, "a second");
    }
}
