//! How figures are printed and compared, and quantiles.

use std::collections::BTreeMap;

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
        let digits = if value.abs() >= 100.0 { 0 } else { 2 };
        println!("  {name:<42} {value:>10.digits$} {unit}");
        self.figures.push((self.section.clone(), name.to_owned(), value, unit));
    }

    /// All figures as one line of JSON.
    pub(crate) fn json(&self) -> String {
        let rows = self.figures.iter().map(|(section, name, value, unit)| {
            serde_json::json!({ "section": section, "name": name, "value": value, "unit": unit })
        });
        serde_json::Value::from_iter(rows).to_string()
    }
}

/// Prints the medians of two daemons' runs side by side, and the first over the second.
pub(crate) fn compare(ours: &[Report], theirs: &[Report]) {
    println!("\n{:<34} {:<42} {:>10} {:>10} {:>7}", "median of the runs", "", "this", "that", "ratio");
    let theirs = medians(theirs);
    for ((section, name), ours) in medians(ours) {
        let Some(theirs) = theirs.get(&(section.clone(), name.clone())) else { continue };
        println!("{section:<34} {name:<42} {ours:>10.2} {theirs:>10.2} {:>7.2}", ours / theirs);
    }
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
