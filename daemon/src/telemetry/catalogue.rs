//! Every metric of the daemon, each described once: the recorder, the page in the docs and its test go by this table.

use metrics::counter;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use super::log::LOST_CAUSES;

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
    /// What its only label may be, of a counter: each is there from the start, at 0. One that came into being with its
    /// first event would show Prometheus no increase.
    pub values: &'static [&'static str],
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    counter_of(name, labels, &[], help)
}

const fn counter_of(
    name: &'static str,
    labels: &'static [&'static str],
    values: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, values, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, values: &[], help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, values: &[], help }
}

/// All of them, by name.
pub const METRICS: &[Metric] = &[
    histogram("leadline_attempt_seconds", &["outcome"], "How long an attempt took, by whether it delivered"),
    counter_of(
        "leadline_attempts_total",
        &["outcome"],
        &["delivered", "mapping", "blocked", "throttled", "transient", "credentials", "rejected", "unknown"],
        "Attempts, by `delivered` or their failure class",
    ),
    gauge("leadline_build_info", &["version"], "Always 1; the version of this daemon is its label"),
    gauge(
        "leadline_certificate_not_after_seconds",
        &["door"],
        "When the certificate that is shown ends, or the first one between it and its authority, in seconds since 1970; by door: `intake` or `control`",
    ),
    histogram("leadline_claim_rows", &[], "Deliveries that were claimed together"),
    histogram("leadline_claim_seconds", &[], "How long a claim took in the database"),
    gauge("leadline_daemons", &[], "Daemons that share the work, as this one knows them, itself among them"),
    counter("leadline_database_failovers_total", &[], "How often another database server was turned to"),
    gauge(
        "leadline_database_rivals",
        &[],
        "Servers of the database that take writes and should not, beside the one that is followed",
    ),
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
    counter_of(
        "leadline_intake_leads_total",
        &["status"],
        &["accepted", "duplicate", "updated"],
        "Leads that were answered with 2xx, by status: `accepted`, `duplicate` or `updated`",
    ),
    counter_of(
        "leadline_intake_refusals_total",
        &["status"],
        &["400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"],
        "Posted leads that were refused, by HTTP status",
    ),
    histogram("leadline_intake_seconds", &[], "From the head of a posted lead to its answer"),
    counter(
        "leadline_integration_attempts_total",
        &["company", "integration", "outcome"],
        "Attempts by integration, `delivered` or `failed`; integrations beyond the first 500 of a process share the label `other`",
    ),
    gauge("leadline_lanes", &[], "Integrations whose queues this daemon has in memory"),
    counter_of(
        "leadline_log_lines_lost_total",
        &["cause"],
        LOST_CAUSES,
        "Log lines that nobody will read: their reader was too slow, or they could not be written",
    ),
    counter("leadline_log_lines_repeated_total", &[], "Log lines that were left out because they repeat"),
    counter_of(
        "leadline_mended_total",
        &["what"],
        &["stranded", "missing", "ghost", "miscounted"],
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
    counter_of(
        "leadline_replica_reads_total",
        &["outcome"],
        &["replica", "late", "failed"],
        "Lists, by who answered: `replica`, or the primary because the replica was `late` or `failed`",
    ),
    counter_of(
        "leadline_security_total",
        &["what"],
        &[
            "wrong intake key",
            "missing or wrong signature",
            "read with a key that may not read",
            "page of another origin",
            "unknown form",
            "control call without a token",
            "wrong control token",
            "control call by a user who is no operator",
            "control call beyond its role",
            "control call beyond its company",
            "control call for people who are masked",
            "missing or foreign client certificate",
        ],
        "What clients tried that they may not, by what it was",
    ),
    counter("leadline_spans_lost_total", &[], "Spans of traces that the collector did not take"),
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

/// Tells the recorder what each metric means, and has every counter begin at 0 whose labels are known.
pub(super) fn describe() {
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter) {
        if metric.labels.is_empty() {
            counter!(metric.name).increment(0);
        }
        for (label, value) in
            metric.labels.iter().flat_map(|label| metric.values.iter().map(move |it| (*label, *it)))
        {
            counter!(metric.name, label => value).increment(0);
        }
    }
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
    use crate::{domain::outcome::FailureClass, doors::security::Attempted};

    #[test]
    fn a_counter_whose_labels_are_known_has_all_of_them() {
        let values = |name| METRICS.iter().find(|metric| metric.name == name).unwrap().values;
        let classes: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        assert_eq!(values("leadline_attempts_total"), [&["delivered"], &classes[..]].concat());
        let attempted: Vec<_> = Attempted::ALL.iter().map(|what| what.as_str()).collect();
        assert_eq!(values("leadline_security_total"), attempted);
        // Which integrations there are is known later.
        let without =
            METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter && !metric.labels.is_empty());
        let without: Vec<_> = without.filter(|metric| metric.values.is_empty()).map(|it| it.name).collect();
        assert_eq!(without, ["leadline_integration_attempts_total"]);
    }

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
