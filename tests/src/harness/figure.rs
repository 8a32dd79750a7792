//! Figures of a fault suite: each is held to its limit and printed as one line of JSON, so that a regression shows.

use serde_json::json;

/// Prints a figure of a case, and fails the case if it is above its limit.
pub fn figure(case: &str, name: &str, value: f64, limit: f64) {
    let pass = value <= limit;
    let rounded = (value * 1000.0).round() / 1000.0;
    println!("{}", json!({ "case": case, "figure": name, "value": rounded, "limit": limit, "pass": pass }));
    assert!(pass, "{case}: {name} is {rounded}, at most {limit} is right");
}

/// Prints a figure that this machine cannot be held to, with its limit and why.
pub fn deviation(case: &str, name: &str, value: f64, limit: f64, why: &str) {
    let rounded = (value * 1000.0).round() / 1000.0;
    println!(
        "{}",
        json!({ "case": case, "figure": name, "value": rounded, "limit": limit, "pass": value <= limit, "not_held": why })
    );
}
