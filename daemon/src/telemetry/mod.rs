//! What the daemon says about itself: log lines on stderr, metrics to be fetched, and traces for a collector.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    error::Error,
    io::{self, IsTerminal as _, Write as _},
    panic::{self, PanicHookInfo},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

pub mod catalogue;
mod faults;
mod integrations;
mod log;
mod metrics;
mod repeats;
mod traces;

pub(crate) use self::integrations::count_attempt;
pub use self::{
    faults::{FaultCounts, fault_counts},
    log::LogGuard,
    metrics::{MetricsError, keep_up, recorder},
    traces::{TraceSettings, TraceSpan, Traces},
};
use self::{log::LogLines, repeats::Repeats};
use crate::config::LogFormat;

/// What is logged unless told otherwise; sqlx passes on every notice of the database.
pub(crate) const DEFAULT_FILTER: &str = "info,sqlx=warn";
/// How long the last word of a process may take if nobody reads it.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("--log-level cannot be read")]
    Filter(#[from] ParseError),
    #[error("the thread that writes the log cannot be started")]
    Thread(#[from] io::Error),
    #[error("something else logs already")]
    Taken(#[from] TryInitError),
}

/// Under which is logged what somebody tries who should not.
pub const SECURITY: &str = "leadline::security";

/// Starts logging, until the guard is dropped. Only the executable does this; a test decides for itself.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<LogGuard, LogError> {
    let repeats = Repeats::default();
    let lines = LogLines::start(io::stderr(), repeats.clone())?;
    let layer = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(lines.clone());
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(filter)?);
    match format {
        LogFormat::Text => registry.with(layer).with(repeats).try_init()?,
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).with(repeats).try_init()?,
    }
    panic::set_hook(Box::new(log_panic));
    Ok(LogGuard(lines))
}

/// A panic is a line of the log: written straight to stderr it would wait for whoever reads that.
fn log_panic(panicked: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    faults::count_panic();
    tracing::error!(
        event = "panicked",
        at = panicked.location().map(ToString::to_string),
        backtrace,
        "panicked: {}",
        panicked.payload_as_str().unwrap_or("for a reason that is no text")
    );
}

/// An error with its causes, on one line: the formats of `tracing` would leave them out of JSON.
pub fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors say their cause themselves.
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

/// Writes the last word of a process to stderr, without waiting long for whoever reads it.
pub fn last_word(line: String) {
    let (done, written) = sync_channel(1);
    let write = move || {
        // There is nobody left to tell that it could not be written.
        drop(done.try_send(writeln!(io::stderr(), "{line}")));
    };
    if thread::Builder::new().spawn(write).is_ok() {
        drop(written.recv_timeout(LAST_WORD_PATIENCE));
    }
}

/// Why a filter of log lines is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}: write a level such as info, or leadlined=debug,sqlx=info")]
pub(crate) struct FilterError(ParseError);

/// Checks a filter before it is used.
pub(crate) fn check_filter(filter: &str) -> Result<(), FilterError> {
    EnvFilter::try_new(filter).map(drop).map_err(FilterError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted() {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            log_panic(panicked);
            usual(panicked);
        }));
        let before = fault_counts().panics;
        assert!(panic::catch_unwind(|| panic!("to be counted")).is_err());
        // Other tests of this process may panic beside it, as they should.
        assert!(fault_counts().panics > before);
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file cannot be read{}", .1)]
        struct Unreadable(#[source] io::Error, &'static str);

        let cause = || io::Error::other("the disk\nis gone");
        assert_eq!(causes(&cause()), "the disk is gone");
        assert_eq!(causes(&Unreadable(cause(), "")), "the file cannot be read: the disk is gone");
        let said = Unreadable(io::Error::other("gone"), ": gone");
        assert_eq!(causes(&said), "the file cannot be read: gone", "it is not said twice");
    }
}
