//! The metrics of this process. Daemons that share a process, as in tests, share them too.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::catalogue;

const KEEP_UP_EVERY: Duration = Duration::from_secs(5);

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("metrics cannot be recorded")]
    Build(#[from] BuildError),
    #[error("an earlier start of the metrics panicked: restart the process")]
    Poisoned,
}

/// The recorder of this process, installed by whoever asks first. Its `render` answers `/metrics`.
pub fn recorder() -> Result<PrometheusHandle, MetricsError> {
    let mut recorder = RECORDER.lock().map_err(|_| MetricsError::Poisoned)?;
    if let Some(handle) = &*recorder {
        return Ok(handle.clone());
    }
    let handle = catalogue::builder()?.install_recorder()?;
    catalogue::describe();
    metrics::gauge!("leadline_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("leadline_start_time_seconds").set(started.as_secs_f64());
    *recorder = Some(handle.clone());
    Ok(handle)
}

/// Empties the buckets of histograms until stopped: without it they grow with every value.
pub async fn keep_up(handle: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(KEEP_UP_EVERY)).await.is_some() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_there_before_anything_is_counted() {
        let text = recorder().unwrap().render();
        for series in [
            "leadline_panics_total ",
            "leadline_mended_total{what=\"ghost\"} ",
            "leadline_attempts_total{outcome=\"delivered\"} ",
            "leadline_intake_refusals_total{status=\"422\"} ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(series)), "{series} is not in {text}");
        }
    }

    #[test]
    fn daemons_of_one_process_share_a_recorder() {
        let (first, second) = (recorder().unwrap(), recorder().unwrap());
        metrics::counter!("shared_test_total").increment(1);
        // Other tests of this process count beside it.
        for handle in [first, second] {
            assert!(handle.render().contains("shared_test_total 1"));
        }
    }
}
