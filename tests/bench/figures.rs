//! How figures are printed and compared, and quantiles.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{cpu::Used, http::Arrived, load::Latency};

/// What a figure should be. A time never fails a run: machines differ.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Budget {
    /// By which part a value misses it; nothing if it is kept.
    fn missed_by(self, value: f64) -> f64 {
        let missed = match self {
            Self::AtMost(most) => value / most - 1.0,
            Self::AtLeast(least) => 1.0 - value / least,
        };
        missed.max(0.0)
    }

    const fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }
}

/// What was measured of a scene.
struct Figure {
    section: String,
    name: String,
    value: f64,
    unit: &'static str,
    budget: Option<Budget>,
}

impl Figure {
    fn print(&self) {
        let Self { name, value, unit, budget, .. } = self;
        let digits = match value.abs() {
            value if value >= 100.0 => 0,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        let kept = budget.map_or_else(String::new, |budget| match budget.missed_by(*value) {
            0.0 => format!("   budget {} kept", budget.value()),
            missed => format!("   budget {} missed by {:.0} %", budget.value(), missed * 100.0),
        });
        println!("  {name:<42} {value:>10.digits$} {unit}{kept}");
    }
}

/// The figures of one daemon in the order in which they were taken. Prints each as it is measured.
#[derive(Default)]
pub(crate) struct Report {
    /// Whether it is held that what must be true is true: of another version it is told at most.
    pub(crate) is_held: bool,
    section: String,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(is_held: bool) -> Self {
        Self { is_held, ..Self::default() }
    }

    pub(crate) fn section(&mut self, title: &str) {
        println!("\n{title}");
        title.clone_into(&mut self.section);
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        self.held_to(None, name, value, unit);
    }

    /// A figure that may have a budget.
    pub(crate) fn held_to(
        &mut self,
        budget: impl Into<Option<Budget>>,
        name: &str,
        value: f64,
        unit: &'static str,
    ) {
        let budget = budget.into();
        let (section, name) = (self.section.clone(), name.to_owned());
        let figure = Figure { section, name, value, unit, budget };
        figure.print();
        self.figures.push(figure);
    }

    /// All figures.
    pub(crate) fn json(&self) -> Value {
        let rows = self.figures.iter().map(|it| {
            let budget = it.budget.map(Budget::value);
            json!({ "section": it.section, "name": it.name, "value": it.value, "unit": it.unit, "budget": budget })
        });
        Value::from_iter(rows)
    }

    /// The medians of several runs, in the order of the first.
    pub(crate) fn median_of(runs: &[Self]) -> Self {
        let mut values: HashMap<(&str, &str), Vec<f64>> = HashMap::new();
        let mut order = Vec::new();
        for figure in runs.iter().flat_map(|run| &run.figures) {
            let of = values.entry((&figure.section, &figure.name)).or_default();
            if of.is_empty() {
                order.push(figure);
            }
            of.push(figure.value);
        }
        let figures = order.into_iter().map(|it| Figure {
            section: it.section.clone(),
            name: it.name.clone(),
            value: Sample::new(values.remove(&(&*it.section, &*it.name)).unwrap_or_default()).median(),
            ..*it
        });
        Self { figures: figures.collect(), ..Self::default() }
    }

    /// Prints all of it once more.
    pub(crate) fn print(&self) {
        let mut section = "";
        for figure in &self.figures {
            if figure.section != section {
                section = &figure.section;
                println!("\n{section}");
            }
            figure.print();
        }
    }
}

/// Prints two daemons' medians side by side, and the first over the second. Gives the same as JSON.
pub(crate) fn compare(ours: &Report, theirs: &Report) -> Value {
    println!("\n{:<34} {:<42} {:>10} {:>10} {:>7}", "median of the runs", "", "this", "that", "ratio");
    let rows = ours.figures.iter().map(|Figure { section, name, value: this, .. }| {
        let is_same = |it: &&Figure| it.section == *section && it.name == *name;
        let that = theirs.figures.iter().find(is_same).map(|it| it.value);
        if let Some(that) = that {
            println!("{section:<34} {name:<42} {this:>10.3} {that:>10.3} {:>7.2}", this / that);
        }
        json!({ "section": section, "name": name, "this": this, "that": that })
    });
    Value::from_iter(rows)
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

    /// The one in the middle, or what lies between the two there.
    fn median(&self) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = |index: usize| self.0.get(index).copied().unwrap_or(f64::NAN);
        at(last / 2).midpoint(at(last.div_ceil(2)))
    }

    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let index = ((self.0.len() as f64 - 1.0) * q).round().max(0.0) as usize;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// What many scenes measure.
impl Report {
    /// CPU for each thousand of what there were so many of, held to so many seconds if that is a goal. Roles that are not seen in the third
    /// place are left out.
    pub(crate) fn cpu(&mut self, used: &Used, (count, what): (f64, &str), budget: Option<f64>) {
        let per = 1000.0 / count;
        let budget = budget.map(Budget::AtMost);
        self.held_to(budget, &format!("CPU per 1000 {what}"), used.all().seconds * per, "s");
        self.figure("  of leadlined", used.daemon.seconds * per, "s");
        self.figure("  of PostgreSQL", used.postgres().seconds * per, "s");
        for (role, taken) in &used.roles {
            if taken.seconds * per >= 0.0005 {
                self.figure(&format!("    {role}"), taken.seconds * per, "s");
            }
        }
    }

    /// Memory: what the daemon had at most so far, and what its server has.
    pub(crate) fn memory(&mut self, (daemon, server): (f64, f64)) {
        self.figure("memory of leadlined, at most", daemon, "MiB");
        self.figure("memory of PostgreSQL, what is shared once", server, "MiB");
    }

    /// That of so many deliveries each arrived once. A delivery may be pushed twice where a target's answer comes late or
    /// a daemon dies: none of what is counted here does.
    pub(crate) fn each_once(&mut self, expected: usize, arrived: Arrived) {
        self.figure("lost", expected.saturating_sub(arrived.different) as f64, "");
        self.figure("pushed twice", arrived.again as f64, "");
        if self.is_held {
            assert_eq!(arrived, Arrived { different: expected, again: 0 }, "each delivery arrives once");
        }
    }

    /// Latencies; `budgets` are those of due → arrival, p50 and p99.
    pub(crate) fn latency(&mut self, latency: &Latency, budgets: Option<(f64, f64)>) {
        for (name, sample, budgets) in [
            ("accept", &latency.accept, None),
            ("due → arrival", &latency.due, budgets),
            ("answered → received", &latency.answered, None),
            ("POST → arrival", &latency.post, None),
            ("planned → arrival", &latency.planned, None),
        ] {
            let (p50, p99) = budgets.map(|(p50, p99)| (Budget::AtMost(p50), Budget::AtMost(p99))).unzip();
            self.held_to(p50, &format!("{name} p50"), sample.quantile(0.50), "ms");
            self.held_to(p99, &format!("{name} p99"), sample.quantile(0.99), "ms");
        }
        self.each_once(latency.leads, latency.arrived);
    }
}
