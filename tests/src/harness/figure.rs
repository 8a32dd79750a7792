//! Figures of a fault suite: each is held to its limit and printed as one line of JSON, so that a regression shows.

use std::env;

use serde_json::json;

/// With it, times are held to their limits, on a machine that does nothing else: `make faults`.
const HELD: &str = "LEADLINE_TIMES_HELD";
/// So many times its limit a time may be on a machine that does anything.
const SLACK: f64 = 10.0;

/// The same for a time, or a ratio of times. A busy machine decides no test: there it must be right but for a power of ten.
pub fn timing(case: &str, name: &str, value: f64, limit: f64) {
    figure(case, name, value, if env::var_os(HELD).is_some() { limit } else { limit * SLACK });
}

/// Prints a figure of a case, and fails the case if it is above its limit.
pub fn figure(case: &str, name: &str, value: f64, limit: f64) {
    let pass = value <= limit;
    let rounded = (value * 1000.0).round() / 1000.0;
    println!("{}", json!({ "case": case, "figure": name, "value": rounded, "limit": limit, "pass": pass }));
    assert!(pass, "{case}: {name} is {rounded}, at most {limit} is right");
}
