//! How the console feels, in figures: measured from outside, through a pty, in front of a real daemon.
//!
//! `make bench-console` runs it in release mode. Each value stands beside the goal and beside the gate, which a shared
//! machine must still pass; a missed gate makes the exit code 1.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing better to do than to say where"
)]

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use leadline_tests::{ChildDaemon, Database, Operator, Pty, leadline};
use serde_json::json;
use tokio::time::sleep;

const SIZE: (u16, u16) = (120, 36);
const INTEGRATIONS: usize = 50;
const STARTS: usize = 20;
const KEYS: usize = 300;
const IDLE: Duration = Duration::from_secs(10);

/// Prints figures as they are measured, and remembers whether one missed its gate.
#[derive(Default)]
struct Report {
    missed: bool,
}

impl Report {
    fn figure(&mut self, name: &str, value: f64, (goal, gate): (f64, f64), unit: &str) {
        let verdict = match value {
            value if value <= goal => "good",
            value if value <= gate => "passes",
            _ => "MISSED",
        };
        self.missed |= value > gate;
        println!("{name:<44} {value:>9.2} {goal:>9} {gate:>9} {unit:<9} {verdict}");
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("cores: {cores}, {}x{}, {INTEGRATIONS} integrations\n", SIZE.0, SIZE.1);
    println!("{:<44} {:>9} {:>9} {:>9}", "", "value", "goal", "gate");
    let mut report = Report::default();
    let absent = "unix:/nonexistent/control.sock";
    let starts = starts(absent, |shown| shown.frame_end(0)).await;
    report.figure("exec to first frame, no daemon, p50", quantile(&starts, 0.5), (30.0, 100.0), "ms");
    report.figure("exec to first frame, no daemon, worst", quantile(&starts, 1.0), (30.0, 100.0), "ms");

    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &["--log-level=error,leadlined::app=info"]).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    for n in 0..INTEGRATIONS {
        operator.webhook(7, &format!("hook-{n:02}"), "https://example.com/", json!({})).await;
    }
    let server = format!("unix:{}", daemon.socket().display());
    let data = self::starts(&server, |shown| shown.has("hook-00").then(|| shown.raw().len())).await;
    report.figure("exec to first data, p50", quantile(&data, 0.5), (100.0, 300.0), "ms");

    let mut console = Pty::start(leadline(), &["--server", &server], SIZE);
    console.wait_for_all(&["LIVE", "hook-00"]).await;
    let (latencies, bytes) = keys(&mut console).await;
    report.figure("key to bytes, p50", quantile(&latencies, 0.5), (1.0, 5.0), "ms");
    report.figure("key to bytes, p99", quantile(&latencies, 0.99), (16.0, 50.0), "ms");
    report.figure("bytes for a key, mean", bytes, (400.0, 1500.0), "bytes");
    idle(&mut report, &console).await;
    resident(&mut report, console.pid());

    daemon.kill().await;
    console.wait_for_all(&["LOST"]).await;
    daemon.restart().await;
    let listens = Instant::now();
    console.wait_for_all(&["LIVE"]).await;
    report.figure("daemon listens to live again", millis(listens.elapsed()), (1000.0, 3000.0), "ms");

    daemon.signal("STOP").await;
    let pressed = Instant::now();
    console.press("q");
    assert!(console.end().await.success());
    report.figure("quit to prompt, the daemon stopped", millis(pressed.elapsed()), (50.0, 250.0), "ms");
    daemon.signal("CONT").await;
    ExitCode::from(u8::from(report.missed))
}

/// How long starts take until what is wanted has been written: `found` tells where that ends.
async fn starts(server: &str, found: impl Fn(&leadline_tests::Shown) -> Option<usize>) -> Vec<f64> {
    let mut taken = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut console = Pty::start(leadline(), &["--server", server], SIZE);
        let mut end = None;
        console
            .wait_for("the first frame of interest", |shown| {
                end = found(shown);
                end.is_some()
            })
            .await;
        let arrival = console.shown().arrival(end.unwrap() - 1).unwrap();
        taken.push(millis(arrival - started));
    }
    sorted(taken)
}

/// Moves through the list; how long each key took to the first byte of its frame, and the mean length of the frames.
async fn keys(console: &mut Pty) -> (Vec<f64>, f64) {
    let mut taken = Vec::with_capacity(KEYS);
    let before = console.shown().raw().len();
    for n in 0..KEYS {
        // A hand is slower than a frame, so a key does not wait for the one before.
        sleep(Duration::from_millis(20)).await;
        let from = console.shown().raw().len();
        let pressed = Instant::now();
        console.press(if n % 2 == 0 { "j" } else { "k" });
        console.wait_for("a frame", |shown| shown.frame_end(from).is_some()).await;
        taken.push(millis(console.shown().arrival(from).unwrap() - pressed));
    }
    let bytes = console.shown().raw().len() - before;
    (sorted(taken), bytes as f64 / KEYS as f64)
}

/// What a console costs that nobody touches and to which nothing happens.
async fn idle(report: &mut Report, console: &Pty) {
    let (pid, written) = (console.pid(), console.shown().raw().len());
    let before = (cpu_ticks(pid), switches(pid));
    sleep(IDLE).await;
    let bytes = console.shown().raw().len() - written;
    let ticks = cpu_ticks(pid) - before.0;
    let share = ticks as f64 / clock_ticks() / IDLE.as_secs_f64() * 100.0;
    report.figure("bytes while idle, 10 s", bytes as f64, (0.0, 200.0), "bytes");
    report.figure("CPU while idle", share, (0.1, 0.5), "% of one");
    let switches = (switches(pid) - before.1) as f64 * 30.0 / IDLE.as_secs_f64();
    report.figure("voluntary context switches in 30 s, idle", switches, (30.0, 120.0), "");
}

fn resident(report: &mut Report, pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = field(&status, "VmRSS:");
    report.figure("memory", kib as f64 / 1024.0, (25.0, 40.0), "MiB");
}

/// The processor time of a process in clock ticks.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Clock ticks in a second: Linux tells user space 100 on every machine.
const fn clock_ticks() -> f64 {
    100.0
}

/// How often the threads of a process went to sleep by themselves.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).unwrap();
    tasks.map(|task| field(&status(task.unwrap()), "voluntary_ctxt_switches:")).sum()
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() as f64 - 1.0) * q).round() as usize]
}
