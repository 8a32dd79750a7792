//! Every statement of the store is tried by itself, against a real server.

use super::{check, files, product};

/// What runs until it is stopped, waits for the database to go away, or needs a second server: tried by tests of the
/// whole.
const WHOLE: [&str; 5] = ["tend", "watch_database", "follow_clock", "unless_away", "for_lists"];

#[test]
fn every_function_of_the_store_has_a_test_beside_it() {
    let tests: String = files("daemon/tests/store", ".rs").into_iter().map(|(_, text)| text).collect();
    let is_tried = |name: &str| {
        let calls = tests.match_indices(name);
        calls.into_iter().any(|(at, _)| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            !tests[..at].ends_with(is_part) && !tests[at + name.len()..].starts_with(is_part)
        })
    };
    let mut untried = Vec::new();
    for (path, text) in files("daemon/src/store", ".rs") {
        for line in product(&text) {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            if !WHOLE.contains(&name) && !is_tried(name) {
                untried.push(format!("{path}: {name}"));
            }
        }
    }
    check("a public function of the store is called by a test in daemon/tests/store", &untried);
}

/// How much of the store's code its tests are at least, both without blank lines and comments. Those of the queue as a
/// whole are among them.
const TESTS_MIN: f64 = 0.5;

#[test]
fn the_tests_of_the_store_are_at_least_half_of_its_code() {
    let is_code = |line: &&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("--")
    };
    let (mut code, mut tests) = (0, 0);
    for ending in [".rs", ".sql"] {
        for (_, text) in files("daemon/src/store", ending) {
            let own = product(&text).filter(is_code).count();
            code += own;
            tests += text.lines().filter(is_code).count() - own;
        }
    }
    for (_, text) in files("daemon/tests/store", ".rs") {
        tests += text.lines().filter(is_code).count();
    }
    let ratio = tests as f64 / code as f64;
    println!("{tests} lines of tests for {code} lines of the store: {ratio:.2}");
    assert!(
        ratio >= TESTS_MIN,
        "{tests} lines of tests for {code} lines of the store are {ratio:.2} of them"
    );
}

/// A later version may widen any table while this one still writes to it. Partitions have the columns of their table.
#[test]
fn every_insert_names_its_columns() {
    let mut findings = Vec::new();
    for (path, text) in [".rs", ".sql"].iter().flat_map(|ending| files("daemon/src/store", ending)) {
        for (at, _) in text.match_indices("INSERT INTO ") {
            let rest = &text[at + "INSERT INTO ".len()..];
            let table = rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
            let next = rest[table.len()..].split_whitespace().next().unwrap_or_default();
            let is_named = next.starts_with('(') || next == "AS";
            if !is_named && !matches!(table, "attempt" | "{name}") {
                findings.push(format!("{path}: {table}"));
            }
        }
    }
    check("INSERT INTO names its columns", &findings);
}
