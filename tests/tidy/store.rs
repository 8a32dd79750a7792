//! Every statement of the store is tried by itself, against a real server.

use super::{check, files, is_name, product};

/// What runs until it is stopped, waits for the database to go away, or needs a second server: tried by tests of the
/// whole.
const WHOLE: [&str; 6] = ["keep", "tend", "watch_database", "follow_clock", "unless_away", "for_lists"];

#[test]
fn every_function_of_the_store_has_a_test_beside_it() {
    let tests: String = files("daemon/tests/store", ".rs").into_iter().map(|(_, text)| text).collect();
    // A call, and not a word that is written alike: of something, unless it is nobody's.
    let is_tried = |name: &str, is_free: bool| {
        let starts = if is_free { &[".", "::", " ", "(", "!"][..] } else { &[".", "::"] };
        let is_called =
            |start: &str| ["(", "::<"].iter().any(|end| tests.contains(&format!("{start}{name}{end}")));
        starts.iter().any(|start| is_called(start))
    };
    let mut untried = Vec::new();
    for (path, text) in files("daemon/src/store", ".rs") {
        for line in product(&text) {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name = rest.split(|c: char| !is_name(c)).next().unwrap_or_default();
            if !WHOLE.contains(&name) && !is_tried(name, line.starts_with("pub")) {
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

/// Who writes what, below `daemon/src/store`. Whoever else wants a table written asks there. A delivery's life is the
/// queue's, and so is the health of lanes, which a finish sums up.
const WRITERS: [(&str, &[&str]); 9] = [
    ("queue", &["claim", "daemon", "delivery", "due", "integration_stat", "undelivered", "wake"]),
    ("company", &["company", "form", "intake_key", "key_use", "signed_request"]),
    ("delivery", &["attempt_rest"]),
    ("failure", &["cause", "cause_count"]),
    ("flow", &["flow", "flow_target"]),
    ("integration", &["probe", "signing_secret"]),
    ("lead", &["erasure", "lead_person", "saved_lead"]),
    ("operator", &["request"]),
    ("token", &["token"]),
];

#[test]
fn each_table_is_written_in_one_place() {
    let mut findings = Vec::new();
    let sources = files("daemon/src", ".rs").into_iter().chain(files("daemon/src", ".sql"));
    for (path, text) in sources {
        let home = |writer: &str| {
            let rest = path.strip_prefix("daemon/src/store/").and_then(|path| path.strip_prefix(writer));
            rest.is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        let code: String = product(&text).collect::<Vec<_>>().join(" ");
        let foreign = WRITERS.iter().filter(|(writer, _)| !home(writer)).flat_map(|(_, tables)| *tables);
        let written = foreign.filter(|table| writes(&code, table));
        findings.extend(written.map(|table| format!("{path} writes {table}")));
    }
    check("each table is written in one place (WRITERS in tests/tidy/store.rs)", &findings);
    assert!(writes("WITH a AS (DELETE  FROM due USING b)", "due"));
    assert!(!writes("INSERT INTO delivery_rest SELECT due FROM x", "delivery"));
}

/// Whether a statement in this text changes a table, however it is broken into lines.
fn writes(text: &str, table: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_table = |word: &str| word.strip_prefix(table).is_some_and(|rest| !rest.starts_with(is_name));
    words.windows(3).any(|words| {
        let ends = |word: &str, verb: &str| word.trim_start_matches(['(', '"']) == verb;
        ends(words[0], "UPDATE") && is_table(words[1])
            || ends(words[0], "INSERT") && words[1] == "INTO" && is_table(words[2])
            || ends(words[0], "DELETE") && words[1] == "FROM" && is_table(words[2])
    })
}

/// So many lines of a statement are a screen.
const STATEMENT_MAX: usize = 30;

#[test]
fn a_statement_that_is_longer_than_a_screen_is_a_file() {
    let mut findings = Vec::new();
    for (path, text) in files("daemon/src/store", ".rs") {
        for (at, call) in text.match_indices("sqlx::query") {
            let rest = &text[at + call.len()..];
            let opening = rest.find('"').unwrap_or(rest.len());
            let (before, quoted) = rest.split_at(opening);
            let end = if before.ends_with("r#") { "\"#" } else { "\"" };
            let statement = quoted.get(1..).and_then(|quoted| quoted.split(end).next()).unwrap_or_default();
            if statement.lines().count() > STATEMENT_MAX {
                findings.push(format!("{path}:{}", text[..at].lines().count() + 1));
            }
        }
    }
    check("a statement longer than a screen is a .sql file beside its function", &findings);
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
