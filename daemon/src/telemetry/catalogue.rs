//! Every metric of the daemon, each described once: the recorder, the page in the docs and its test go by this table.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// What kind of series a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, with the buckets of its unit.
    Histogram,
}

/// A metric as the docs and Prometheus describe it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help }
}

/// All of them, by name.
pub const METRICS: &[Metric] = &[
    histogram("leadline_attempt_seconds", &["outcome"], "How long an attempt took, by whether it delivered"),
    counter("leadline_attempts_total", &["outcome"], "Attempts, by `delivered` or their failure class"),
    gauge("leadline_build_info", &["version"], "Always 1; the version of this daemon is its label"),
    histogram("leadline_claim_rows", &[], "Deliveries that were claimed together"),
    histogram("leadline_claim_seconds", &[], "How long a claim took in the database"),
    gauge("leadline_daemons", &[], "Daemons that share the work, as this one knows them, itself among them"),
    counter("leadline_database_failovers_total", &[], "How often another database server was turned to"),
    gauge("leadline_database_size_bytes", &[], "Size of the database on its disk"),
    gauge("leadline_database_up", &[], "1 while the database answers, else 0"),
    gauge(
        "leadline_deliveries",
        &["state"],
        "Undelivered deliveries of the whole database: `due`, `later`, `running`, `held` or `dead`; each daemon reports the same",
    ),
    histogram("leadline_finish_flush_attempts", &[], "Attempts that were written together"),
    counter("leadline_intake_connections_refused_total", &[], "Connections for which there was no place"),
    histogram("leadline_intake_flush_leads", &[], "Leads that were committed together"),
    histogram("leadline_intake_flush_seconds", &[], "How long a commit of leads took in the database"),
    counter(
        "leadline_intake_leads_total",
        &["status"],
        "Leads that were answered with 2xx, by status: `accepted`, `duplicate` or `updated`",
    ),
    counter("leadline_intake_refusals_total", &["status"], "Posted leads that were refused, by HTTP status"),
    histogram("leadline_intake_seconds", &[], "From the head of a posted lead to its answer"),
    counter(
        "leadline_integration_attempts_total",
        &["company", "integration", "outcome"],
        "Attempts by integration, `delivered` or `failed`; integrations beyond the first 500 of a process share the label `other`",
    ),
    gauge("leadline_lanes", &[], "Integrations whose queues this daemon has in memory"),
    counter(
        "leadline_log_lines_lost_total",
        &["cause"],
        "Log lines that nobody will read: their reader was too slow, or they could not be written",
    ),
    counter("leadline_log_lines_repeated_total", &[], "Log lines that were left out because they repeat"),
    counter(
        "leadline_mended_total",
        &["what"],
        "Rows of the queue that were not as they should be, and were mended",
    ),
    gauge("leadline_oldest_due_seconds", &[], "How long the delivery that is due longest has been due"),
    gauge(
        "leadline_oldest_undelivered_seconds",
        &[],
        "Age of the oldest undelivered delivery, held and dead included",
    ),
    counter("leadline_panics_total", &[], "Panics, each of which is a fault in the daemon"),
    gauge("leadline_pushes_in_flight", &[], "Pushes that this daemon is carrying out"),
    counter(
        "leadline_replica_reads_total",
        &["outcome"],
        "Lists, by who answered: `replica`, or the primary because the replica was `late` or `failed`",
    ),
    counter("leadline_security_total", &["what"], "What clients tried that they may not, by what it was"),
    gauge("leadline_start_time_seconds", &[], "When this process started, in seconds since 1970"),
    counter("leadline_unreadable_total", &[], "Deliveries that wait for a daemon that can read them"),
];

/// In seconds: from a flush on an idle machine to a push that timed out.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Of what is done together.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// The recorder's settings: without buckets it would compute quantiles, which cannot be added up over daemons.
pub(super) fn builder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        let buckets = if metric.name.ends_with("_seconds") { SECONDS } else { COUNTS };
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
    }
    Ok(builder)
}

/// Tells the recorder what each metric means.
pub(super) fn describe() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The page of the docs.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Made from the daemon's own table (`daemon/src/telemetry/catalogue.rs`) and held equal to it by a test.\n\
         They are fetched from `/metrics` at `--admin-listen`, in the text format of Prometheus. \
         What to alarm on: [watch](../watch.md).\n\n\
         | Metric | Kind | Labels | Means |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        page.push_str(&format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_by_the_conventions_of_prometheus() {
        assert!(METRICS.is_sorted_by_key(|metric| metric.name));
        for Metric { name, kind, .. } in METRICS {
            assert!(name.starts_with("leadline_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(!name.ends_with("_ms") && !name.contains("millis"), "{name}: seconds are the base unit");
        }
    }
}
