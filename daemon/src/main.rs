//! `leadlined`: reads its configuration, starts the daemon and stops it when told to.

use std::{fmt, io, process::ExitCode};

use anyhow::{Context as _, anyhow};
use leadlined::{app, config::Config, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(error) => return fail(2, anyhow!(error)),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error),
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start_logging(config.log, &config.log_level).map_err(|error| anyhow!(error))?;
    // One provider for everybody, before anybody guesses one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err(anyhow!("another TLS provider was installed first"));
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let lived = runtime.block_on(live(config));
    // Whatever still runs was given up on: dropping the runtime would wait for it.
    runtime.shutdown_background();
    lived
}

/// The whole life of the process. A second signal ends it at once, whatever it does.
async fn live(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let mut daemon = tokio::select! {
        daemon = app::start(config) => daemon?,
        name = signals.next() => return Err(anyhow!("{name} came before the daemon was ready")),
    };
    let failure = tokio::select! {
        failure = daemon.ended() => Some(failure),
        name = signals.next() => {
            tracing::info!("{name}: stopping; once more ends it at once");
            None
        }
    };
    let stopped = tokio::select! {
        stopped = daemon.stop() => stopped,
        name = signals.next() => Err(anyhow!("{name} came again before everything had stopped")),
    };
    failure.map_or(stopped, Err)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Tells why in one line, from the outermost cause to the innermost.
fn fail(code: u8, error: anyhow::Error) -> ExitCode {
    eprintln!("leadlined: {}", Chain(&error));
    ExitCode::from(code)
}

/// An error and its causes in one line, each told once: some libraries repeat the cause in their own words.
struct Chain<'a>(&'a anyhow::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = String::new();
        for cause in self.0.chain().map(ToString::to_string) {
            if !told.contains(&cause) {
                let colon = if told.is_empty() { "" } else { ": " };
                told = format!("{told}{colon}{cause}");
            }
        }
        f.write_str(&told.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
