//! How figures are printed, and quantiles.

/// Prints aligned lines, figure by figure, as they are measured.
pub(crate) struct Report;

impl Report {
    pub(crate) fn new() -> Self {
        println!("cores: {}", std::thread::available_parallelism().map_or(0, usize::from));
        Self
    }

    pub(crate) fn section(&self, title: &str) {
        println!("\n{title}");
    }

    pub(crate) fn figure(&self, name: &str, value: f64, unit: &str) {
        let digits = if value >= 100.0 { 0 } else { 2 };
        println!("  {name:<42} {value:>10.digits$} {unit}");
    }
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
