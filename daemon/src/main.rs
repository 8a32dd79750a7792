//! `leadlined`: reads its configuration, starts the daemon and stops it when told to.

use std::{
    fmt, fs,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use leadlined::{
    app::{self, backup, doctor, doors, own_user, rotate},
    cli::{self, Act, ConfigAct, MasterKeyAct},
    config::Config,
    secrets::memory,
    service, telemetry, user,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    // Before the first secret is read.
    let sealed_off = memory::seal_off();
    if let Err(error) = user::gain_nothing() {
        return fail(
            1,
            anyhow!(error).context("the system does not let this process keep to the rights that it has"),
        );
    }
    let (act, config) = match cli::from_process() {
        Ok(read) => read,
        Err(error) => return fail(2, anyhow!(error)),
    };
    match run(act, config, sealed_off) {
        Ok(code) => code,
        Err(error) => fail(1, error),
    }
}

fn run(act: Option<Act>, config: Config, sealed_off: io::Result<()>) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    match &act {
        Some(Act::Config(ConfigAct::Check)) => {
            doors::check(&config)?;
            let note = own_user::check_start(&config)?;
            writeln!(out, "the configuration is right")?;
            if let Some(note) = note {
                writeln!(out, "{note}")?;
            }
        }
        Some(Act::Completions { shell }) => cli::print_completions(*shell, &mut out),
        Some(Act::Man { directory }) => cli::write_manual(directory)?,
        _ => return work(act, config, sealed_off),
    }
    Ok(ExitCode::SUCCESS)
}

/// What needs a runtime and a log.
fn work(act: Option<Act>, config: Config, sealed_off: io::Result<()>) -> anyhow::Result<ExitCode> {
    let _log = telemetry::start_logging(config.log, &config.log_level)?;
    if let Err(error) = sealed_off {
        tracing::warn!(
            event = "core_files_possible",
            error = telemetry::causes(&error),
            "a crash may write secrets to a core file: set the limit of core files to 0 (`ulimit -c 0`, `LimitCORE=0`)"
        );
    }
    // A server of one's own knows its clients otherwise, and the key file may be root's to write.
    if matches!(act, Some(Act::MasterKey(_))) && config.database_url.is_none() {
        own_user::become_owner(&config)?;
    }
    // One provider for everybody, before anybody guesses one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err(anyhow!("another TLS provider was installed first"));
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let done = runtime.block_on(async {
        match act {
            Some(Act::Doctor) => {
                let report = doctor::examine(&config).await;
                write!(io::stdout(), "{report}")?;
                return Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Some(Act::Backup { file }) => {
                let bytes = backup::back_up(&config, &file).await?;
                tracing::info!(event = "backup_done", bytes, file = %file.display(), "backed up; keep a copy of the master key elsewhere");
            }
            Some(Act::Restore { file }) => {
                let bytes = backup::restore(&config, &file).await?;
                tracing::info!(event = "restore_done", bytes, "restored: start the daemon");
            }
            Some(Act::MasterKey(MasterKeyAct::Rotate)) => {
                let values = rotate::rotate(&config).await?;
                let file = config.master_key.display();
                tracing::info!(event = "master_key_rotated", values, %file, "sealed anew; copy the new key to where you keep the old one");
            }
            _ => live(config).await?,
        }
        Ok(ExitCode::SUCCESS)
    });
    // Whatever still runs was given up on: dropping the runtime would wait for it.
    runtime.shutdown_background();
    done
}

/// The whole life of the process. A second signal ends it at once, whatever it does.
async fn live(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let mut daemon = tokio::select! {
        daemon = service::wait_for_start(app::start(config)) => daemon?,
        name = signals.next() => return Err(anyhow!("{name} came before the daemon was ready")),
    };
    service::ready();
    let failure = tokio::select! {
        failure = daemon.ended() => {
            tracing::error!(event = "daemon_failed", "stopping, because {failure:#}");
            Some(failure)
        }
        name = signals.next() => {
            tracing::info!(event = "signal_received", "{name}: stopping; once more ends it at once");
            None
        }
        () = service::stay_alive() => None,
    };
    service::stopping();
    let stopped = tokio::select! {
        stopped = daemon.stop() => stopped,
        name = signals.next() => Err(anyhow!("{name} came again before everything had stopped")),
    };
    failure.map_or(stopped, Err)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal is gone. None if whoever started the daemon wants it to outlive the terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
        })
    }

    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Whether this process was started with SIGHUP ignored. Only Linux tells; elsewhere it is taken for not ignored.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Tells why in one line, from the outermost cause to the innermost.
fn fail(code: u8, error: anyhow::Error) -> ExitCode {
    telemetry::last_word(format!("leadlined: {}", Chain(&error)));
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
