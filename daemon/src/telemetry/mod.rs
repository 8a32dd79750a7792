//! What the daemon says about itself: log lines on stderr, and metrics to be fetched.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

mod metrics;

pub use self::metrics::{MetricsError, keep_up, recorder};
use crate::config::LogFormat;

/// What is logged unless told otherwise; sqlx passes on every notice of the database.
pub(crate) const DEFAULT_FILTER: &str = "info,sqlx=warn";

/// Starts logging. Only the executable does this; a test decides for itself.
pub fn start_logging(
    format: LogFormat,
    filter: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
}

/// Checks a filter before it is used.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    match EnvFilter::try_new(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{error}: write a level such as info, or leadlined=debug,sqlx=info")),
    }
}
