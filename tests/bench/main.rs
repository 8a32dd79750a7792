//! The benchmark: how fast the main job is, beside a bare batched INSERT and a bare HTTP POST loop of the same run.
//!
//! `make bench` runs it in release mode, `make bench COMPARE=REF` beside another version, run about. Everything shares
//! this machine's cores, the load generator and the receivers too, so compare ratios, not absolutes.
//! `make bench-short` runs for a moment and holds what must be true at any speed. `docs/performance.md` names the scenes.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing better to do than to say where"
)]

mod baseline;
mod cpu;
mod figures;
mod http;
mod leadline;
mod leads;
mod load;
mod metrics;
mod scenes;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use figures::Report;
use leadline_tests::leadlined;
use serde_json::{Value, json};

/// What is asked for on the command line.
struct Options {
    is_short: bool,
    /// How long what is measured lasts; each scene has its own idea if this is none.
    seconds: Option<u64>,
    /// How often everything runs: figures are medians.
    rounds: usize,
    /// How much there is of what a scene has much of; each has its own idea if this is none.
    rows: Option<i64>,
    /// How long a snapshot is held.
    hold: Duration,
    /// Where all figures go as JSON.
    json: Option<PathBuf>,
    scenes: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            is_short: false,
            seconds: None,
            rounds: if compared().is_some() { 3 } else { 1 },
            rows: None,
            hold: Duration::from_secs(20),
            json: None,
            scenes: Vec::new(),
        };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            let number = |text: String| text.parse::<u64>().unwrap();
            match &*arg {
                "--short" => (options.is_short, options.seconds) = (true, Some(2)),
                "--seconds" => options.seconds = Some(number(value())),
                "--rounds" => options.rounds = number(value()) as usize,
                "--rows" => options.rows = Some(number(value()) as i64),
                "--hold" => options.hold = Duration::from_secs(number(value())),
                "--json" => options.json = Some(value().into()),
                // What `cargo bench` adds.
                "--bench" => {}
                scene => options.scenes.push(scene.to_owned()),
            }
        }
        if options.scenes.is_empty() {
            let default = if options.is_short { &["load"][..] } else { &["load", "trickle", "variants"] };
            options.scenes.extend(default.iter().map(|scene| (*scene).to_owned()));
        }
        options
    }

    /// How long a load lasts.
    fn time(&self) -> Duration {
        self.time_or(10)
    }

    fn time_or(&self, seconds: u64) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(seconds))
    }
}

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("cores: {}", cores());
    // Before minutes are spent on what cannot be written down.
    if let Some(path) = &options.json
        && let Err(error) = fs::write(path, "")
    {
        eprintln!("cannot write {}: {error}", path.display());
        std::process::exit(2);
    }
    runtime.block_on(async {
        let ours = env::var_os("LEADLINE_BENCH_DAEMON");
        let ours = ours.as_deref().map_or_else(|| leadlined(), Path::new);
        let figures = match compared() {
            Some(theirs) if !options.is_short => compare(ours, &theirs, &options).await,
            _ => repeat(ours, &options).await.json(),
        };
        let json = json(&options, figures);
        println!("\n{json}");
        if let Some(path) = &options.json {
            fs::write(path, json.to_string()).unwrap();
        }
    });
}

/// The executable of another version, which runs about with this one.
fn compared() -> Option<PathBuf> {
    env::var_os("LEADLINE_BENCH_COMPARE").map(PathBuf::from)
}

/// Figures with what they are of: two files can be told apart later.
fn json(options: &Options, figures: Value) -> Value {
    json!({
        "commit": said_by("git", &["rev-parse", "HEAD"]),
        "compared_with": env::var("LEADLINE_BENCH_COMPARE_COMMIT").ok(),
        "date": said_by("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "cores": cores(),
        "scenes": options.scenes,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "figures": figures,
    })
}

/// One line of a command's output; `unknown` where there is no such command, or nothing for it to say.
fn said_by(command: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(command).args(args).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |it| String::from_utf8_lossy(&it.stdout).trim().to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Runs so often, and gives the medians.
async fn repeat(ours: &Path, options: &Options) -> Report {
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        if options.rounds > 1 {
            println!("\n== Round {round} of {}", options.rounds);
        }
        runs.push(run(ours, options, true).await);
    }
    let medians = Report::median_of(&runs);
    if options.rounds > 1 {
        println!("\n== Medians of {} rounds", options.rounds);
        medians.print();
    }
    medians
}

/// Runs about, so that what else the machine does meets both.
async fn compare(ours: &Path, theirs: &Path, options: &Options) -> Value {
    let (mut this, mut that) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        println!("\n== Round {round} of {}, this version", options.rounds);
        this.push(run(ours, options, true).await);
        println!("\n== Round {round} of {}, that version", options.rounds);
        that.push(run(theirs, options, false).await);
    }
    figures::compare(&Report::median_of(&this), &Report::median_of(&that))
}

/// Runs the scenes. Of another version it is not held that it keeps to what must be true of this one.
async fn run(executable: &Path, options: &Options, is_ours: bool) -> Report {
    let mut report = Report::new(is_ours);
    for scene in &options.scenes {
        scenes::play(scene, executable, options, &mut report).await;
    }
    report
}
