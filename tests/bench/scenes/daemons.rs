//! Several daemons on one database: nothing twice, nothing lost, limits kept, and no slower than one.

use std::{path::Path, time::Duration};

use super::load::{CLIENTS, SMALL};
use crate::{
    Options, Report,
    figures::Budget,
    http::Receiver,
    leadline::{CONCURRENCY, Leadline},
    load,
};

/// What the slow lane may have in flight.
const LIMIT: usize = 4;
/// A company is pushed by one daemon: of so many, each of four gets some.
const COMPANIES: usize = 8;

pub(super) async fn share(executable: &Path, options: &Options, report: &mut Report) {
    let mut alone = 0.0;
    for count in [1, 2, 4] {
        report.section(&format!("{count} daemons on one database, fan-out 5"));
        let mut leadline = Leadline::start(executable).await;
        while leadline.intakes().len() < count {
            leadline.join(executable).await;
        }
        // Whoever beats, every two seconds, hears who else lives.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let receiver = Receiver::start().await;
        let urls: Vec<_> = (0..5).map(|n| format!("http://{}/{n}", receiver.address())).collect();
        let mut targets = Vec::new();
        for id in 1..=COMPANIES {
            targets.push(leadline.company(id as i64, &urls, CONCURRENCY).await);
        }
        // A few leads beside the crowd for the lane with a limit: it takes its time.
        let limited =
            leadline.company(99, &[format!("http://{}/slow", receiver.address())], LIMIT as u32).await;
        let before = leadline.cpu().await;
        let crowd = targets
            .iter()
            .map(|target| load::flood(&leadline, target, CLIENTS / COMPANIES, SMALL, options.time()));
        let (runs, few) = tokio::join!(
            futures::future::join_all(crowd),
            load::flood(&leadline, &limited, 1, SMALL, options.time() / 10),
        );
        let used = leadline.cpu().await.since(&before);
        let expected = runs.iter().map(|run| run.leads).sum::<usize>() * 5 + few.leads;
        let drained = runs.iter().map(|run| run.drained).max().unwrap_or_default();
        let rate = expected as f64 / drained.as_secs_f64();
        report.figure("deliveries", rate, "deliveries/s");
        report.cpu(&used, (expected as f64, "deliveries"), None);
        if count == 1 {
            alone = rate;
        }
        report.held_to(Budget::AtLeast(1.0), "over one daemon's", rate / alone, "ratio");
        report.each_once(expected, receiver.arrived());
        let most = receiver.slow_most();
        report.figure("most in flight of 4 that are allowed", most as f64, "");
        assert!(!report.is_held || most <= LIMIT, "{most} pushes at once where {LIMIT} are allowed");
        leadline.stop().await;
    }
}
