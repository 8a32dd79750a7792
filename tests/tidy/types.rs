//! Types say what words and numbers would leave open.

use std::collections::BTreeMap;

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
    let mut findings = Vec::new();
    let folders = ["daemon", "proto", "tui"];
    for (path, text) in folders.iter().flat_map(|folder| files(folder, ".rs")) {
        if !path.contains("tests") && fails_with_text(&product(&text).collect::<String>()) {
            findings.push(path);
        }
    }
    check("an enum or a struct says why, not a String", &findings);
    assert!(fails_with_text("fn a() -> Result<Vec<String>, String> {"));
    assert!(fails_with_text("fn a() -> Result<    Vec<String>,    String,> {"));
    assert!(fails_with_text("fn a() -> Result<Self, Vec<String>> {"));
    assert!(!fails_with_text("fn b() -> Result<HashMap<i64, String>, Error> {"));
}

/// As `%error` or as `dyn Error` a line in JSON would not say why.
#[test]
fn the_log_says_an_error_with_its_causes() {
    none_says("an error of the log is telemetry::causes(&error)", |_, line| {
        line.contains("%error,") || line.contains("?error,") || line.contains(" as &dyn ")
    });
}

/// What is made before a time is found by its id in six statements: they ask for one function's id of that time.
#[test]
fn an_id_of_a_time_is_made_in_one_place() {
    none_says("an id of a time is domain::ids::least_id_at", |path, line| {
        path != "daemon/domain/src/ids.rs" && line.contains("Ulid::from_parts(")
    });
}

/// The nouns of `leadline`'s commands.
const NOUNS: [&str; 14] = [
    "activity",
    "attempt",
    "audit",
    "company",
    "delivery",
    "failure",
    "flow",
    "form",
    "intake-key",
    "integration",
    "job",
    "lead",
    "system",
    "token",
];

/// The API has other clients than the command line: the daemon gives a reason, or what can be done (`domain/why.rs`), and
/// `tui/src/cli/hint.rs` the command.
#[test]
fn the_daemon_names_no_command_of_the_command_line() {
    let names_one = |line: &str| {
        let quoted =
            ["`leadline ", "with leadline "].into_iter().flat_map(|before| line.split(before).skip(1));
        quoted.filter_map(|rest| rest.split([' ', '`']).next()).any(|noun| NOUNS.contains(&noun))
            || names_a_flag(line)
    };
    assert!(names_one("\"nothing fails: `leadline failure list` shows what does\""));
    assert!(names_one("\"name the origin with form update --allow-origin\""));
    assert!(!names_one("\"choose another with --data-dir\""));
    none_says("a reason, and the command in tui/src/cli/hint.rs", |_, line| names_one(line));
}

/// Whether a text names a flag of a command as somebody would type it: `form update --allow-origin`.
fn names_a_flag(line: &str) -> bool {
    line.match_indices(" --").any(|(at, _)| {
        let mut before = line[..at].rsplit(|c: char| c != '-' && !c.is_alphanumeric());
        let (word, noun) = (before.next().unwrap_or_default(), before.next().unwrap_or_default());
        NOUNS.contains(&noun) && !word.is_empty()
    })
}

/// Whether a `Result` of a text has a `String` for its error, or several.
fn fails_with_text(line: &str) -> bool {
    line.match_indices("Result<").any(|(at, start)| {
        let (inside, mut depth) = (&line[at + start.len()..], 0);
        let end = inside.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth < 0
        });
        let inside = end.map(|end| inside[..end].trim_end().trim_end_matches(',').trim_end());
        let error = inside
            .and_then(|inside| ["Vec<String>", "String"].iter().find_map(|text| inside.strip_suffix(text)));
        error.is_some_and(|before| before.trim_end().ends_with(','))
    })
}

/// A time without a unit is taken for another: moments are `Moment` or `jiff::Timestamp`, spans `Duration`.
#[test]
fn times_are_types() {
    let names = [
        "now",
        "at",
        "due_at",
        "started_at",
        "created_at",
        "claimed_at",
        "expires_at",
        "watermark",
        "until",
        "since",
        "timestamp",
        "now_unix",
    ];
    let says_one = |line: &str| {
        names.iter().any(|name| {
            [format!("{name}: i64"), format!("{name}: Option<i64>")].iter().any(|field| {
                let is_whole = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric());
                line.match_indices(field.as_str()).any(|(at, _)| is_whole(at))
            })
        })
    };
    assert!(says_one("fn failure(response: &Response, _now: i64) -> Failure {"));
    assert!(says_one("    pub expires_at: Option<i64>,"));
    assert!(!says_one("    format: i64,"));
    let sources = daemon().chain(files("daemon/connectors/src", ".rs"));
    let findings: Vec<_> = sources
        .flat_map(|(path, text)| {
            let lines = product(&text).filter(|line| says_one(line));
            lines.map(|line| format!("{path}: {}", line.trim())).collect::<Vec<_>>()
        })
        .collect();
    check("a time is a Moment, a Timestamp or a Duration", &findings);
}

/// A lane is one thing: its two ids are not handed on side by side as a pair.
#[test]
fn lanes_are_named_whole() {
    none_says("a LaneId, not a pair of ids", |_, line| line.contains("(CompanyId, IntegrationId)"));
}

/// What may be called alike in two modules, because it is the same in both.
const SHARED_NAMES: [&str; 1] = ["Listeners"];

/// One name means one thing, so that who looks a type up finds it. What a connector keeps in its own folder may be
/// called as its siblings are.
#[test]
fn a_type_of_the_daemon_has_a_name_of_its_own() {
    let vendors: Vec<_> = files("daemon/connectors/src", "mod.rs")
        .into_iter()
        .map(|(path, _)| path.trim_end_matches("mod.rs").to_owned())
        .collect();
    let all = daemon().chain(files("daemon/connectors/src", ".rs"));
    named_once(all.filter(|(path, _)| !vendors.iter().any(|vendor| path.starts_with(vendor))));
    assert_eq!(type_name("pub(in crate::store) struct Row<'a> {"), Some("Row"));
}

/// The same of the console and the commands. What both show of a thing is called as the thing: `console/data` has it for
/// screens, `cli/output_types` as JSON.
#[test]
fn a_type_of_console_and_commands_has_a_name_of_its_own() {
    named_once(
        files("tui", ".rs").into_iter().filter(|(path, _)| !path.starts_with("tui/src/cli/output_types")),
    );
    named_once(files("tui", ".rs").into_iter().filter(|(path, _)| !path.starts_with("tui/src/console/data")));
}

/// Fails where two of these files begin a type of the same name.
fn named_once(all: impl Iterator<Item = (String, String)>) {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in all.filter(|(path, _)| !path.contains("tests")) {
        for name in product(&text).filter_map(type_name) {
            places.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    places.retain(|name, places| places.len() > 1 && !SHARED_NAMES.contains(&&**name));
    let twice: Vec<_> =
        places.iter().map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    check("a type's name means one thing", &twice);
}

/// The name of the type that a line begins, if it begins one outside of everything else.
fn type_name(line: &str) -> Option<&str> {
    let line =
        line.strip_prefix("pub").map_or(line, |rest| rest.split_once(") ").map_or(rest, |(_, rest)| rest));
    let kinds = ["struct ", "enum ", "trait ", "type "];
    let name = kinds.iter().find_map(|kind| line.trim_start().strip_prefix(kind))?;
    (!line.starts_with("  ")).then(|| name.split(|c: char| !c.is_alphanumeric() && c != '_').next())?
}

/// Words that stood for several things, each with what is said instead: no type is called so again.
const REPLACED: [(&str, &str); 28] = [
    ("Again", "Reaccepted"),
    ("Alone", "PersonLock"),
    ("Asked", "Request, or what is asked for"),
    ("Door", "Endpoint"),
    ("Duty", "PushRequest"),
    ("End", "Completed, or what ends"),
    ("Ended", "Completed, or what ends"),
    ("Errand", "Task"),
    ("Heard", "StepResult"),
    ("Item", "Completed, or what it is an item of"),
    ("Ledger", "IntakeStore"),
    ("Life", "DaemonLease"),
    ("Look", "Scan, Probe or Inspector"),
    ("Meant", "Selection"),
    ("Missed", "Gap"),
    ("Moved", "MoveOutcome"),
    ("Open", "what is opened"),
    ("Opened", "KeyMatch, OpenAccount"),
    ("Outlook", "Estimate"),
    ("Patient", "WriteTimeout"),
    ("Ready", "PreparedIntegration, or Compiled in a connector: what `compile` makes"),
    ("Retrial", "RetryOptions"),
    ("Shelf", "IntegrationCache"),
    ("Standing", "DeliveryFacts, LaneStatus, or the case of a test"),
    ("Steward", "Scheduler"),
    ("Talk", "Conversation, SmtpSession"),
    ("Teller", "Notifier"),
    ("Tried", "AttemptResult"),
];

#[test]
fn words_that_were_replaced_do_not_come_back_as_types() {
    let folders = ["daemon", "tests", "tui"];
    let mut findings = Vec::new();
    for (path, text) in folders.into_iter().flat_map(|folder| files(folder, ".rs")) {
        for name in text.lines().filter_map(type_name) {
            if let Some((_, instead)) = REPLACED.iter().find(|(word, _)| *word == name) {
                findings.push(format!("{path}: {name}; say {instead}"));
            }
        }
    }
    check("one word for one thing (REPLACED in tests/tidy/types.rs)", &findings);
}

/// Verbs that stood for whatever is said to anybody: no function of the daemon is called so alone, as its caller could not
/// tell who hears of it.
const VERBS: [(&str, &str); 2] = [
    ("tell", "publish, report or notify"),
    ("told", "what the answer is: a line, a detail, a value to keep"),
];

#[test]
fn verbs_that_were_replaced_do_not_come_back_as_functions() {
    let mut findings = Vec::new();
    for (path, text) in daemon() {
        for line in product(&text) {
            let named = VERBS.iter().find(|(verb, _)| line.contains(&format!("fn {verb}(")));
            findings.extend(named.map(|(verb, instead)| format!("{path}: {verb}; say {instead}")));
        }
    }
    check("a function says what it does (VERBS in tests/tidy/types.rs)", &findings);
}
