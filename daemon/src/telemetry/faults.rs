//! Faults of this process since it started: counted here for whoever asks the daemon, and as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);
static LOG_LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// What went wrong since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCounts {
    pub panics: u64,
    /// Log lines that were dropped because their reader was too slow, or that could not be written.
    pub log_lines_lost: u64,
}

/// The counts so far.
#[must_use]
pub fn fault_counts() -> FaultCounts {
    FaultCounts {
        panics: PANICS.load(Ordering::Relaxed),
        log_lines_lost: LOG_LINES_LOST.load(Ordering::Relaxed),
    }
}

pub(super) fn count_panic() {
    PANICS.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("leadline_panics_total").increment(1);
}

pub(super) fn count_lost_line(cause: &'static str) {
    LOG_LINES_LOST.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("leadline_log_lines_lost_total", "cause" => cause).increment(1);
}
