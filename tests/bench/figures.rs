//! How figures are printed and compared, and quantiles.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{cpu::Used, load::Latency};

/// The figures of one daemon: by what was done, then by name, with a unit. Prints each as it is measured.
#[derive(Default)]
pub(crate) struct Report {
    section: String,
    figures: Vec<(String, String, f64, &'static str)>,
}

impl Report {
    pub(crate) fn section(&mut self, title: &str) {
        println!("\n{title}");
        title.clone_into(&mut self.section);
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        let digits = match value.abs() {
            value if value >= 100.0 => 0,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        println!("  {name:<42} {value:>10.digits$} {unit}");
        self.figures.push((self.section.clone(), name.to_owned(), value, unit));
    }

    /// All figures.
    pub(crate) fn json(&self) -> Value {
        let rows = self.figures.iter().map(|(section, name, value, unit)| {
            json!({ "section": section, "name": name, "value": value, "unit": unit })
        });
        Value::from_iter(rows)
    }
}

/// Prints the medians of two daemons' runs side by side, and the first over the second. Gives the same as JSON.
pub(crate) fn compare(ours: &[Report], theirs: &[Report]) -> Value {
    println!("\n{:<34} {:<42} {:>10} {:>10} {:>7}", "median of the runs", "", "this", "that", "ratio");
    let theirs = medians(theirs);
    let rows = medians(ours).into_iter().map(|((section, name), ours)| {
        let theirs = theirs.get(&(section.clone(), name.clone())).copied();
        if let Some(theirs) = theirs {
            println!("{section:<34} {name:<42} {ours:>10.3} {theirs:>10.3} {:>7.2}", ours / theirs);
        }
        json!({ "section": section, "name": name, "this": ours, "that": theirs })
    });
    Value::from_iter(rows)
}

fn medians(reports: &[Report]) -> BTreeMap<(String, String), f64> {
    let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for (section, name, value, _) in reports.iter().flat_map(|report| &report.figures) {
        values.entry((section.clone(), name.clone())).or_default().push(*value);
    }
    values.into_iter().map(|(key, values)| (key, Sample::new(values).quantile(0.5))).collect()
}

/// Milliseconds, sorted when asked.
#[derive(Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn new(values: Vec<f64>) -> Self {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let index = ((self.0.len() as f64 - 1.0) * q).round().max(0.0) as usize;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// What many scenes measure.
impl Report {
    /// CPU for each thousand deliveries.
    pub(crate) fn cpu(&mut self, used: &Used, deliveries: f64) {
        let per = 1000.0 / deliveries;
        self.figure("CPU per 1000 deliveries", (used.daemon + used.postgres()) * per, "s");
        self.figure("  of leadlined", used.daemon * per, "s");
        self.figure("  of PostgreSQL", used.postgres() * per, "s");
        for (role, seconds) in &used.roles {
            self.figure(&format!("    {role}"), seconds * per, "s");
        }
    }

    pub(crate) fn latency(&mut self, latency: &Latency) {
        for (name, sample) in [
            ("accept", &latency.accept),
            ("due → arrival", &latency.due),
            ("answered → received", &latency.answered),
            ("POST → arrival", &latency.post),
        ] {
            self.figure(&format!("{name} p50"), sample.quantile(0.50), "ms");
            self.figure(&format!("{name} p99"), sample.quantile(0.99), "ms");
        }
    }
}
