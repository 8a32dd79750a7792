//! What a daemon counts itself: its `/metrics`, of which two looks say what happened between them.

use std::collections::HashMap;

/// Every series of one look, by its name with its labels.
#[derive(Default)]
pub(crate) struct Metrics(HashMap<String, f64>);

/// Batches of one kind between two looks.
#[derive(Clone, Copy)]
pub(crate) struct Batches {
    pub(crate) count: f64,
    /// How many rows were in all of them.
    rows: f64,
}

impl Batches {
    pub(crate) fn mean(self) -> f64 {
        self.rows / self.count
    }
}

impl Metrics {
    /// Reads the text format of Prometheus.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    fn since(&self, earlier: &Self, name: &str) -> f64 {
        let at = |metrics: &Self| metrics.0.get(name).copied().unwrap_or_default();
        at(self) - at(earlier)
    }

    /// What a histogram of batches has counted since the earlier look.
    pub(crate) fn batches(&self, earlier: &Self, name: &str) -> Batches {
        let since = |part| self.since(earlier, &format!("{name}_{part}"));
        Batches { count: since("count"), rows: since("sum") }
    }

    /// What 99 of a hundred values of a histogram were at most since the earlier look: the bound of the bucket that the
    /// hundredth is counted in.
    pub(crate) fn p99(&self, earlier: &Self, name: &str) -> f64 {
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for series in self.0.keys() {
            let bound = series.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("\"}"));
            if let Some(bound) = bound.and_then(|bound| bound.parse().ok()) {
                buckets.push((bound, self.since(earlier, series)));
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        assert!(all > 0.0, "{name} counted nothing");
        buckets.iter().find(|(_, count)| *count >= 0.99 * all).map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}
