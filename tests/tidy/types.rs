//! Types say what words and numbers would leave open.

use super::{check, files, product};

/// The daemon's own code, without its connectors, whose configuration has rules of its own.
fn daemon() -> impl Iterator<Item = (String, String)> {
    let all = ["daemon/src", "daemon/domain/src"].into_iter().flat_map(|folder| files(folder, ".rs"));
    all.filter(|(path, _)| !path.contains("/tests"))
}

/// Fails where a line of code says this.
fn none_says(rule: &str, is_wrong: impl Fn(&str, &str) -> bool) {
    let wrong = |(path, text): (String, String)| {
        let lines = product(&text).filter(|line| is_wrong(&path, line));
        lines.map(|line| format!("{path}: {}", line.trim())).collect::<Vec<_>>()
    };
    check(rule, &daemon().flat_map(wrong).collect::<Vec<_>>());
}

/// An error that is text cannot be told from another, and a signature that has one says nothing.
#[test]
fn errors_are_types() {
    none_says("an enum or a struct says why, not a String", |_, line| fails_with_text(line));
    assert!(fails_with_text("fn a() -> Result<Vec<String>, String> {"));
    assert!(!fails_with_text("fn b() -> Result<HashMap<i64, String>, Error> {"));
}

/// Whether a `Result` of a line has a `String` for its error.
fn fails_with_text(line: &str) -> bool {
    line.match_indices("Result<").any(|(at, start)| {
        let (inside, mut depth) = (&line[at + start.len()..], 0);
        let end = inside.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth < 0
        });
        end.is_some_and(|end| inside[..end].ends_with(", String"))
    })
}

/// A time without a unit is taken for another: moments are `Moment` or `jiff::Timestamp`, spans `Duration`.
#[test]
fn times_are_types() {
    let names =
        ["now", "at", "due_at", "started_at", "created_at", "claimed_at", "watermark", "until", "micros"];
    none_says("a time is a Moment, a Timestamp or a Duration", |path, line| {
        let is_named = |name: &&str| {
            let field = format!("{name}: i64");
            line.match_indices(&field).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
        };
        path.starts_with("daemon/src") && names.iter().any(is_named)
    });
}

/// A lane is one thing: its two ids are not handed on side by side as a pair.
#[test]
fn lanes_are_named_whole() {
    none_says("a LaneId, not a pair of ids", |_, line| line.contains("(CompanyId, IntegrationId)"));
}
