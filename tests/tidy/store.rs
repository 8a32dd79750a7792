//! Every statement of the store is tried by itself, against a real server.

use std::collections::{BTreeMap, BTreeSet};

use leadlined::domain::delivery::{Reason, State};

use super::{check, files, is_name, product};

/// What runs until it is stopped, waits for the database to go away, or needs a second server: tried by tests of the
/// whole.
const WHOLE: [&str; 6] = ["keep", "tend", "watch_database", "follow_clock", "unless_away", "for_lists"];

/// A public function of the store: where it stands, whose it is (nobody's for a free one), and its name.
struct StoreFunction {
    path: String,
    owner: Option<String>,
    name: String,
}

fn store_functions() -> Vec<StoreFunction> {
    let mut functions = Vec::new();
    for (path, text) in files("daemon/src/store", ".rs") {
        let mut owner = None;
        for line in product(&text) {
            if line.starts_with("impl") {
                // `impl<'a> Trait for Store {` and `impl Command {`.
                let of = line.trim_end_matches([' ', '{']).rsplit(' ').next().unwrap_or_default();
                owner = Some(of.chars().take_while(|c| is_name(*c)).collect());
            } else if line.starts_with('}') {
                owner = None;
            }
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name = rest.split(|c: char| !is_name(c)).next().unwrap_or_default().to_owned();
            functions.push(StoreFunction { path: path.clone(), owner: owner.clone(), name });
        }
    }
    functions
}

/// What stands before a call of a function. Twins are told apart by whom they are asked of.
fn starts(function: &StoreFunction, is_twin: bool) -> Vec<String> {
    match &function.owner {
        Some(owner) if is_twin => vec![format!("{}.", owner.to_lowercase())],
        Some(_) => vec![".".to_owned(), "::".to_owned()],
        None if is_twin => vec!["::".to_owned(), " ".to_owned()],
        None => [".", "::", " ", "(", "!"].map(str::to_owned).to_vec(),
    }
}

#[test]
fn every_function_of_the_store_has_a_test_beside_it() {
    // Calls in chains that are broken into lines are still of what they begin with.
    let tests: String = files("daemon/tests/store", ".rs")
        .into_iter()
        .flat_map(|(_, text)| text.lines().map(|line| format!("{line}\n")).collect::<Vec<_>>())
        .fold(String::new(), |text, line| match line.trim_start().strip_prefix('.') {
            Some(call) => format!("{}.{call}", text.trim_end()),
            None => text + &line,
        });
    let functions = store_functions();
    let mut untried = Vec::new();
    for function in &functions {
        let is_twin = functions.iter().filter(|other| other.name == function.name).count() > 1;
        // A call, and not a word that is written alike.
        let is_called = |start: &String| {
            ["(", "::<"].iter().any(|end| tests.contains(&format!("{start}{}{end}", function.name)))
        };
        if !WHOLE.contains(&&*function.name) && !starts(function, is_twin).iter().any(is_called) {
            let owner = function.owner.as_deref().unwrap_or("nobody");
            untried.push(format!("{}: {} of {owner}", function.path, function.name));
        }
    }
    check("a public function of the store is called by a test in daemon/tests/store", &untried);
    let twin = |owner: Option<&str>| StoreFunction {
        path: String::new(),
        owner: owner.map(str::to_owned),
        name: "finish".to_owned(),
    };
    assert_eq!(starts(&twin(Some("Command")), true), ["command."]);
    assert_eq!(starts(&twin(None), true), ["::", " "]);
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
const WRITERS: [(&str, &[&str]); 13] = [
    ("queue", &["claim", "daemon", "delivery", "due", "integration_stat", "sweep", "undelivered", "wake"]),
    ("company", &["company", "form", "intake_key", "key_use", "refusal", "signed_request"]),
    ("delivery", &["attempt", "attempt_rest", "vendor_id"]),
    ("failure", &["cause", "cause_count", "cause_trend"]),
    ("flow", &["flow", "flow_target"]),
    ("integration", &["integration", "probe", "signing_secret"]),
    ("job", &["job"]),
    ("key_rotation", &["installation"]),
    ("lead", &["erasure", "event", "lead", "lead_person", "lead_recent", "saved_lead"]),
    ("notice", &["notice", "notice_told"]),
    ("operator", &["audit", "reading", "request"]),
    ("token", &["token"]),
    // A day's partition of `attempt`.
    ("delivery/partitions.rs", &["{name}"]),
];

/// The statements that write to a table of another owner too, below `daemon/src`, each with the reason why it is one.
const AT_ONCE: [(&str, &[&str], &str); 5] = [
    (
        "store/queue/enqueue.sql",
        &["event", "lead", "lead_recent"],
        "a flush of new leads is one round trip, and all of it or nothing",
    ),
    (
        "store/queue/finish.sql",
        &["attempt", "integration"],
        "a flush of ended pushes is one round trip: attempts, what they move, and the pauses that targets asked for",
    ),
    (
        "store/integration/finish_probe.sql",
        &["attempt"],
        "a probe is its attempt from then on, and is that once, whoever else ends it",
    ),
    ("store/sealed.rs", &["{table}"], "whatever is sealed is sealed anew, in the one place that seals"),
    ("postgres/setup.rs", &["installation"], "which key seals is asked before there is a store"),
];

/// The functions of the schema that write, each with the reason why a statement of the store cannot do it.
const BY_SCHEMA: [(&str, &[&str], &str); 5] = [
    ("count_causes_added", &["cause_count"], COUNTED),
    ("count_causes_changed", &["cause_count"], COUNTED),
    ("count_causes_gone", &["cause_count"], COUNTED),
    (
        "forget_waits",
        &["delivery", "due"],
        "whatever lifts a lane's pause lifts what waits for it, and that is done in five places: a trigger calls it",
    ),
    (
        "leave_job",
        &["job"],
        "what a delivery came to is kept before it changes, whoever changes it: it is a trigger",
    ),
];

/// Why the counts of causes are kept by triggers.
const COUNTED: &str =
    "each statement that writes `undelivered` counts what it changed, once, whoever sends it";

/// The functions that migrations make, the last of each name, with their bodies.
fn functions() -> BTreeMap<String, String> {
    let mut functions = BTreeMap::new();
    for (_, text) in files("migrations", ".sql") {
        for (at, start) in text.match_indices(" FUNCTION ") {
            let is_made = ["CREATE", "CREATE OR REPLACE"].iter().any(|make| text[..at].ends_with(make));
            let rest = &text[at + start.len()..];
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            // A body is quoted by `$$`, stands between BEGIN ATOMIC and END, or is what one expression returns.
            let body = match (rest.find("$$"), rest.find("BEGIN ATOMIC"), rest.find(';')) {
                (Some(open), _, Some(end)) if open < end => rest[open..].split("$$").nth(1),
                (_, Some(open), Some(end)) if open < end => rest[open..].split("\nEND;").next(),
                (_, _, Some(end)) => Some(&rest[..end]),
                _ => None,
            };
            if is_made {
                functions.insert(name, body.expect("a function has a body").to_owned());
            }
        }
    }
    functions
}

/// A function of the schema writes wherever it is called, and is found by nobody who reads the store.
#[test]
fn each_function_of_the_schema_that_writes_has_a_reason() {
    let mut found = BTreeMap::new();
    for (name, body) in functions() {
        let tables: BTreeSet<String> = written(&body).into_iter().map(str::to_owned).collect();
        if !tables.is_empty() {
            found.insert(name, tables);
        }
    }
    let listed = BY_SCHEMA.iter().map(|(name, tables, _)| {
        ((*name).to_owned(), tables.iter().map(|table| (*table).to_owned()).collect::<BTreeSet<_>>())
    });
    assert_eq!(
        found,
        listed.collect(),
        "what the migrations' functions write, and BY_SCHEMA in tests/tidy/store.rs"
    );
}

/// The words that SQL says of a reason: what stands in quotes behind its columns, on the same line.
fn reason_words(sql: &str) -> Vec<&str> {
    let behind = sql.lines().filter_map(|line| Some(line.split_once("reason_")?.1));
    // Every other piece between quotes is quoted.
    let quoted = behind.flat_map(|rest| rest.split('\'').skip(1).step_by(2));
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    quoted.filter(is_word).collect()
}

/// A code that is misspelt matches nothing, and what it marks is read as one of a newer daemon.
#[test]
fn each_reason_that_a_statement_names_is_one() {
    // What a reason's detail is made of.
    const DETAIL: [&str; 5] = ["was", "reason", "code", "detail", "died_at"];
    let (mut named, mut findings) = (BTreeSet::new(), Vec::new());
    let sources = files("daemon/src/store", ".rs").into_iter().chain(files("daemon/src/store", ".sql"));
    let sources = sources.map(|(path, text)| (path, product(&text).collect::<Vec<_>>().join("\n")));
    for (path, text) in sources.chain(functions()) {
        for word in reason_words(&text) {
            if Reason::CODES.contains(&word) {
                named.insert(word.to_owned());
            } else if !DETAIL.contains(&word) && State::parse(word).is_none() {
                findings.push(format!("{path}: {word}"));
            }
        }
    }
    check("a reason that a statement names is one of Reason::CODES", &findings);
    for code in ["erased", "flow_fails", "replaced", "skipped_by_operator", "superseded", "waits_for"] {
        assert!(named.contains(code), "{code} is found in {named:?}");
    }
    assert_eq!(
        reason_words("SET state = 'dead', reason_code = CASE WHEN a = 'b' THEN 'c' END,\n x = 'd'"),
        ["b", "c"]
    );
}

#[test]
fn each_table_is_written_in_one_place() {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    let sources = files("daemon/src", ".rs").into_iter().chain(files("daemon/src", ".sql"));
    for (path, text) in sources {
        let file = path.strip_prefix("daemon/src/").unwrap_or(&path);
        let home = |writer: &str| {
            let rest = file.strip_prefix("store/").and_then(|file| file.strip_prefix(writer));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
        };
        for table in written(&product(&text).collect::<Vec<_>>().join(" ")) {
            let is_owner = WRITERS.iter().any(|(writer, own)| home(writer) && own.contains(&table));
            let excuse =
                AT_ONCE.iter().find(|(excused, tables, _)| *excused == file && tables.contains(&table));
            if let Some((excused, ..)) = excuse {
                used.insert((*excused, table.to_owned()));
            } else if !is_owner {
                findings.push(format!("{path} writes {table}"));
            }
        }
    }
    let excused =
        AT_ONCE.iter().flat_map(|(file, tables, _)| tables.iter().map(move |table| (*file, *table)));
    let idle = excused.filter(|(file, table)| !used.contains(&(*file, (*table).to_owned())));
    findings.extend(idle.map(|(file, table)| format!("{file} does not write {table}: take it off the list")));
    check("each table is written in one place (WRITERS in tests/tidy/store.rs)", &findings);
    assert_eq!(written("WITH a AS (DELETE  FROM due USING b)"), ["due"]);
    assert_eq!(
        written("INSERT INTO delivery_rest(id) SELECT due FROM x FOR NO KEY UPDATE"),
        ["delivery_rest"]
    );
    assert_eq!(
        written("ON CONFLICT DO UPDATE SET a = 1; SELECT 1 FOR UPDATE OF n; \"UPDATE {t} SET"),
        ["{t}"]
    );
}

/// A table that nobody is said to write is written anywhere.
#[test]
fn each_table_of_the_schema_has_a_writer() {
    let mut made = BTreeSet::new();
    for (_, text) in files("migrations", ".sql") {
        for (at, create) in text.match_indices("CREATE TABLE ") {
            let name = text[at + create.len()..].split(|c: char| !is_name(c)).next();
            made.insert(name.unwrap_or_default().to_owned());
        }
    }
    let listed = WRITERS.iter().flat_map(|(_, tables)| tables.iter().map(|table| (*table).to_owned()));
    let listed: Vec<String> = listed.filter(|table| !table.starts_with('{')).collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a table has one writer");
    assert_eq!(made, once, "the tables of the migrations, and those of WRITERS");
}

/// The tables that statements in this text change, however they are broken into lines. A name that is put together while
/// it runs stands as it does in the source.
fn written(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut tables = Vec::new();
    for words in words.windows(3) {
        let ends = |word: &str, verb: &str| word.trim_start_matches(['(', '"']) == verb;
        let table = if ends(words[0], "UPDATE") {
            words[1]
        } else if ends(words[0], "INSERT") && words[1] == "INTO"
            || ends(words[0], "DELETE") && words[1] == "FROM"
        {
            words[2]
        } else {
            continue;
        };
        let end = table.find(|c: char| !is_name(c) && !matches!(c, '{' | '}')).unwrap_or(table.len());
        // `FOR UPDATE SKIP LOCKED` and `DO UPDATE SET` name none.
        if table[..end].starts_with(|c: char| c.is_ascii_lowercase() || c == '{') {
            tables.push(&table[..end]);
        }
    }
    tables
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
