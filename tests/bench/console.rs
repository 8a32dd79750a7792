//! How the console feels, in figures: measured from outside, through a pty, in front of a real daemon.
//!
//! `make bench-console` builds console and daemon in release mode and runs it. Each value stands beside the goal and beside
//! the gate, which a shared machine must still pass; a missed gate makes the exit code 1.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing better to do than to say where"
)]

mod flood;

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use flood::Flood;
use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{ChildDaemon, Database, Operator, Pty, leadline, post_lead};
use serde_json::json;
use sqlx::Executor as _;
use tokio::time::{sleep, timeout};

const SIZE: (u16, u16) = (120, 36);
const LARGE: (u16, u16) = (200, 60);
const INTEGRATIONS: usize = 500;
/// Of each integration.
const ATTEMPTS: usize = 50;
const CHANGES_A_SECOND: u64 = 1000;
/// An hour of a hundred changes a second, and how many a second of them come here.
const HOUR: (u64, u64) = (360_000, 20_000);
const STARTS: usize = 20;
/// That are refused, so that there are failures and people to be found.
const LEADS: usize = 40;
/// The lists in which keys are pressed: what opens each from the overview, and what is seen then.
const LISTS: [(&str, &[(&str, &str)]); 4] = [
    ("overview again", &[]),
    ("integration", &[("/hook-000\r", "1 of "), ("\r", "Attempts 50")]),
    ("failures", &[("2", "no delta")]),
    ("leads", &[("3", "Find a lead"), ("guest", "guest39@"), ("\x1b", "guest39@")]),
];
/// How long the hand rests that looks at each row.
const LOOKS: Duration = Duration::from_millis(200);
const LOOKED_AT: usize = 60;
/// What a key may paint in a list.
const BYTES_A_KEY: (f64, f64) = (400.0, 400.0);
/// The same of a hand that rests on a cause: another one is another advice, other places and other leads, and all of
/// these are there to be read. What is the same in both is not painted.
const BYTES_A_CAUSE: (f64, f64) = (400.0, 1500.0);
const KEYS: usize = 300;
const IDLE: Duration = Duration::from_secs(30);
const REDRAWS: usize = 50;
/// How a frame begins.
const FRAME: &[u8] = b"\x1b[?2026h";

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
    println!(
        "cores: {cores}, {}x{}, {INTEGRATIONS} integrations with {ATTEMPTS} attempts each, {CHANGES_A_SECOND} changes \
         a second\n",
        SIZE.0, SIZE.1
    );
    println!("{:<44} {:>9} {:>9} {:>9}", "", "value", "goal", "gate");
    let mut report = Report::default();
    let absent = "unix:/nonexistent/control.sock";
    let starts = starts(absent, |shown| shown.frame_end(0)).await;
    report.figure("exec to first frame, no daemon, p50", quantile(&starts, 0.5), (30.0, 30.0), "ms");
    report.figure("exec to first frame, no daemon, worst", quantile(&starts, 1.0), (30.0, 100.0), "ms");
    before_a_daemon(&mut report).await;
    in_a_flood(&mut report).await;
    ExitCode::from(u8::from(report.missed))
}

/// Everything that a real daemon is needed for.
async fn before_a_daemon(report: &mut Report) {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &["--log-level=error,leadlined::app=info"]).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    for n in 0..INTEGRATIONS {
        operator.webhook(7, &format!("hook-{n:03}"), "https://example.com/", json!({})).await;
    }
    tried(&database).await;
    let server = format!("unix:{}", daemon.socket().display());
    let data = starts(&server, |shown| shown.has("hook-000").then(|| shown.raw().len())).await;
    report.figure("exec to first data, p50", quantile(&data, 0.5), (100.0, 300.0), "ms");

    let mut console = Pty::start(leadline(), &["--server", &server], SIZE);
    console.wait_for_all(&["LIVE", "hook-000"]).await;
    let (latencies, bytes) = keys(&mut console).await;
    report.figure("key to bytes, p50", quantile(&latencies, 0.5), (1.0, 5.0), "ms");
    report.figure("key to bytes, p99", quantile(&latencies, 0.99), (16.0, 50.0), "ms");
    report.figure("bytes for a key, overview", bytes, (400.0, 400.0), "bytes");
    idle(report, &console, "").await;
    resident(report, console.pid());
    in_lists(report, &daemon, &operator, &server).await;
    for (key, seen, name) in
        [("2", "no delta", ", failures"), ("5", "[5 Activity", ", activity"), ("6", "[6 System", ", system")]
    {
        let mut console = Pty::start(leadline(), &["--server", &server], SIZE);
        console.wait_for_all(&["LIVE", "hook-000"]).await;
        console.press(key);
        console.wait_for_all(&[seen]).await;
        // It asks more often for a while behind its start.
        sleep(IDLE).await;
        idle(report, &console, name).await;
    }

    // A screen of its own, so that what measures need not follow a change of size.
    let mut large = Pty::start(leadline(), &["--server", &server], LARGE);
    large.wait_for_all(&["LIVE", "hook-000"]).await;
    let redraws = redraws(&mut large).await;
    report.figure("all of 200x60 anew, key to last byte, p50", quantile(&redraws, 0.5), (2.0, 8.0), "ms");
    drop(large);

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
}

/// What a key costs in the other lists, and in all of them on a large terminal.
async fn in_lists(report: &mut Report, daemon: &ChildDaemon, operator: &Operator, server: &str) {
    let receivers = refused(daemon, operator).await;
    for (size, place) in [(SIZE, ""), (LARGE, " of 200x60")] {
        for (name, walk) in LISTS {
            let mut console = Pty::start(leadline(), &["--server", server], size);
            console.wait_for_all(&["LIVE", "hook-000"]).await;
            for (keys, seen) in walk {
                // A dialog that has just opened takes no key, and a line that is typed goes on being typed.
                console.answer(keys).await;
                console.wait_for_all(&[seen]).await;
            }
            let (_, bytes) = keys(&mut console).await;
            report.figure(&format!("bytes for a key, {name}{place}"), bytes, BYTES_A_KEY, "bytes");
            let bytes = lone_keys(&mut console).await;
            let most = if name == "failures" { BYTES_A_CAUSE } else { BYTES_A_KEY };
            report.figure(&format!("bytes for a lone key, {name}{place}"), bytes, most, "bytes");
            if name != "failures" {
                let bytes = keys_down(&mut console).await;
                report.figure(&format!("bytes for a key down, {name}{place}"), bytes, BYTES_A_KEY, "bytes");
            }
        }
    }
    for receiver in receivers {
        receiver.stop().await;
    }
}

/// Leads of a company of their own that some targets refuse, each in its own words.
async fn refused(daemon: &ChildDaemon, operator: &Operator) -> Vec<Receiver> {
    let key = operator.company(8).await;
    let mut receivers = Vec::new();
    for word in ["alpha", "beta", "gamma", "delta"] {
        let receiver = Receiver::start(Behaviour::RefuseAll(422, format!("no {word}"))).await.unwrap();
        operator.webhook(8, &format!("refuses-{word}"), &receiver.url("/"), json!({})).await;
        receivers.push(receiver);
    }
    for n in 0..LEADS {
        let mut lead = sample_lead(n);
        lead["lead"]["email"] = json!(format!("guest{n}@example.com"));
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
    }
    for receiver in &receivers {
        timeout(Duration::from_secs(60), receiver.wait_for(LEADS)).await.unwrap();
    }
    receivers
}

/// Attempts that every integration has behind it.
async fn tried(database: &Database) {
    let sql = format!(
        "INSERT INTO attempt (company_id, integration_id, id, event, number, trigger, delivered, status_code, started_at,
             duration_ms, method, url, request_headers, response_headers, response_body, response_bytes, config_version)
         SELECT company_id, id, gen_random_uuid(), 'webhook.test', 1, 'test', true, 200, now() - k * interval '1 s', 12,
             'POST', 'https://example.com/', '[]', '[]', 'ok', 2, 1
         FROM integration CROSS JOIN generate_series(1, {ATTEMPTS}) k"
    );
    let pool = database.pool().await;
    pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    pool.close().await;
}

/// What a thousand changes a second do to keys, frames and memory.
async fn in_a_flood(report: &mut Report) {
    let flood = Flood::start(INTEGRATIONS as u64, CHANGES_A_SECOND);
    let mut console = Pty::start(leadline(), &["--server", &flood.server], SIZE);
    console.wait_for_all(&["LIVE", "hook-000"]).await;
    let (frames, began) = (frames(&console), Instant::now());
    let (latencies, _) = keys(&mut console).await;
    let a_second = (self::frames(&console) - frames) as f64 / began.elapsed().as_secs_f64();
    report.figure("key to bytes in a flood, p99", quantile(&latencies, 0.99), (33.0, 100.0), "ms");
    report.figure("frames a second in a flood", a_second, (60.0, 65.0), "");
    let rate = flood.sent() as f64 / began.elapsed().as_secs_f64();
    println!("{:<44} {rate:>9.0}", "changes a second that it was");
    drop((console, flood));

    let (changes, rate) = HOUR;
    let flood = Flood::start(INTEGRATIONS as u64, rate);
    let mut console = Pty::start(leadline(), &["--server", &flood.server], SIZE);
    console.wait_for_all(&["LIVE", "hook-000"]).await;
    let mut early = None;
    while flood.sent() < changes {
        sleep(Duration::from_millis(100)).await;
        if flood.sent() > changes / 4 {
            early.get_or_insert_with(|| memory(console.pid()));
        }
    }
    let late = memory(console.pid());
    report.figure("memory after an hour of changes", late, (25.0, 40.0), "MiB");
    let growth = late - early.unwrap_or(late);
    report.figure("growth in its last three quarters", growth, (1.0, 5.0), "MiB");
}

/// How many frames a console has drawn.
fn frames(console: &Pty) -> usize {
    console.shown().raw().windows(FRAME.len()).filter(|window| *window == FRAME).count()
}

/// How long it takes to draw everything anew.
async fn redraws(console: &mut Pty) -> Vec<f64> {
    let mut taken = Vec::with_capacity(REDRAWS);
    for _ in 0..REDRAWS {
        sleep(Duration::from_millis(20)).await;
        let from = console.shown().raw().len();
        let pressed = Instant::now();
        console.press("\x0c");
        let mut end = None;
        console
            .wait_for("a frame", |shown| {
                end = shown.frame_end(from);
                end.is_some()
            })
            .await;
        taken.push(millis(console.shown().arrival(end.unwrap() - 1).unwrap() - pressed));
    }
    sorted(taken)
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

/// Moves down from the first row, past what the window shows of the list: the mean length of the frames.
async fn keys_down(console: &mut Pty) -> f64 {
    sleep(LOOKS).await;
    let before = console.shown().raw().len();
    for _ in 0..LEADS - 2 {
        sleep(Duration::from_millis(20)).await;
        let from = console.shown().raw().len();
        console.press("j");
        console.wait_for("a frame", |shown| shown.frame_end(from).is_some()).await;
    }
    (console.shown().raw().len() - before) as f64 / (LEADS - 2) as f64
}

/// Moves through the list as somebody does who looks at each row: the mean length of all that a key has painted when the
/// next one comes, answers of the daemon among it.
async fn lone_keys(console: &mut Pty) -> f64 {
    // What the last key of others led to is not counted.
    sleep(LOOKS).await;
    let before = console.shown().raw().len();
    for n in 0..LOOKED_AT {
        let from = console.shown().raw().len();
        console.press(if n % 6 < 3 { "j" } else { "k" });
        console.wait_for("a frame", |shown| shown.frame_end(from).is_some()).await;
        sleep(LOOKS).await;
    }
    (console.shown().raw().len() - before) as f64 / LOOKED_AT as f64
}

/// What a console costs that nobody touches and to which nothing happens.
async fn idle(report: &mut Report, console: &Pty, screen: &str) {
    let (pid, written) = (console.pid(), console.shown().raw().len());
    let before = (cpu_ticks(pid), switches(pid));
    sleep(IDLE).await;
    let bytes = console.shown().raw().len() - written;
    let ticks = cpu_ticks(pid) - before.0;
    let share = ticks as f64 / clock_ticks() / IDLE.as_secs_f64() * 100.0;
    let bytes = bytes as f64 * 10.0 / IDLE.as_secs_f64();
    report.figure(&format!("bytes in 10 s, idle{screen}"), bytes, (0.0, 200.0), "bytes");
    report.figure(&format!("CPU while idle{screen}"), share, (0.1, 0.1), "% of one");
    let switches = (switches(pid) - before.1) as f64 * 60.0 / IDLE.as_secs_f64();
    report.figure(&format!("wake-ups a minute while idle{screen}"), switches, (60.0, 60.0), "");
}

fn resident(report: &mut Report, pid: u32) {
    report.figure("memory", memory(pid), (25.0, 40.0), "MiB");
}

/// What of a process is in memory, in MiB.
fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    field(&status, "VmRSS:") as f64 / 1024.0
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
