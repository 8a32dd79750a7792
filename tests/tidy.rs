//! The house rules that the compiler does not hold: who may import whom, how long a file may be, what it opens with.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "tidy/connectors.rs"]
mod connectors;
#[path = "tidy/console.rs"]
mod console;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/proto.rs"]
mod proto;
#[path = "tidy/store.rs"]
mod store;
#[path = "tidy/supply.rs"]
mod supply;
#[path = "tidy/types.rs"]
mod types;

/// Code lines that a file may have, tests aside.
const LINES_MAX: usize = 500;
/// From here on a file is a candidate for a split, and must say why it is not.
const LINES_LONG: usize = 400;
/// The long files, each with the reason why it is better in one piece.
const LONG_FILES: [(&str, &str); 0] = [];

/// What a folder may use: parts of its own crate, and those of the watched crates that are its business.
struct Rule {
    folder: &'static str,
    parts: &'static [&'static str],
    crates: &'static [&'static str],
}

const fn rule(folder: &'static str, parts: &'static [&'static str], crates: &'static [&'static str]) -> Rule {
    Rule { folder, parts, crates }
}

/// The daemon's parts meet only in the store. `app`, `main` and `config` see all; all may use telemetry.
const DAEMON: [Rule; 12] = [
    rule("shares", &[], &["tokio"]),
    rule("compute", &["domain", "shares"], &["tokio"]),
    rule("user", &[], &[]),
    rule("secrets", &["user"], &[]),
    rule("postgres", &["secrets", "user"], &["rustls", "sqlx", "tokio"]),
    rule("store", &["domain", "postgres", "secrets", "shares"], &["sqlx", "tokio", "jiff_sqlx"]),
    rule(
        "push",
        &["domain", "connectors"],
        &[
            "hickory_resolver",
            "lettre",
            "rustls",
            "rustls_platform_verifier",
            "socket2",
            "tokio",
            "tokio_rustls",
        ],
    ),
    rule("doors", &[], &["rustls", "tokio", "tokio_rustls"]),
    rule(
        "intake",
        &["compute", "domain", "doors", "shares", "store"],
        &["axum", "tower", "tower_http", "tokio"],
    ),
    rule("dispatch", &["compute", "domain", "connectors", "store", "push"], &["tokio"]),
    rule(
        "control",
        &["compute", "connectors", "domain", "doors", "shares", "store"],
        &["tonic", "tower", "tokio", "leadline_proto", "prost"],
    ),
    rule("telemetry", &["config", "domain"], &["tokio"]),
];

/// What the console's parts must not know: nothing but its connection and its loop knows the wire or the runtime, what
/// is reported knows no screen, and the client draws nothing.
const TUI: [(&str, &[&str]); 6] = [
    ("console/app", &["tonic", "tokio", "leadline_proto"]),
    ("console/data", &["ratatui", "crossterm", "tonic", "tokio", "leadline_proto"]),
    ("console/dialogs", &["tonic", "tokio", "leadline_proto"]),
    ("console/screens", &["crossterm", "tonic", "tokio", "leadline_proto"]),
    ("console/widgets", &["tonic", "tokio", "leadline_proto"]),
    ("console/net", &["ratatui", "crossterm"]),
];

/// Pure code is given time, files and surroundings as arguments.
const IMPURE: [&str; 7] = [
    "Timestamp::now",
    "SystemTime::now",
    "Instant::now",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
];

/// The crates that do I/O, draw, or speak a protocol: each is somebody's business, and nobody else's.
const WATCHED: [&str; 21] = [
    "axum",
    "crossterm",
    "hickory_resolver",
    "jiff_sqlx",
    "leadline",
    "leadline_fakes",
    "leadline_proto",
    "leadlined",
    "lettre",
    "prost",
    "ratatui",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "socket2",
    "sqlx",
    "tokio",
    "tokio_rustls",
    "tonic",
    "tower",
    "tower_http",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below a folder whose name ends so, as (path from the root, text).
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            // `.ci` is ours, the other hidden folders are git's and sqlx's.
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                // What is not text has no rules.
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push((relative, text));
                }
            }
        }
    }
    found.sort();
    found
}

/// The code of a file without comments and without the tests at its end.
fn product(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "mod tests {")
        .filter(|line| *line != "#[cfg(test)]" && !line.trim_start().starts_with("//"))
}

/// Fails with all findings at once.
fn check(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}

/// The names that are used as the head of a path, `name::`. What opens a text, as the target of a log does, is none.
fn heads(line: &str) -> Vec<&str> {
    let mut heads = Vec::new();
    for (end, _) in line.match_indices("::") {
        let before = &line[..end];
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        if !before[..start].ends_with("::") && !before[..start].ends_with('"') {
            heads.push(&before[start..]);
        }
    }
    heads
}

/// The parts of its own crate that a source names: `crate::part`, alone or in a braced list, whatever its lines.
fn parts_used(text: &str) -> BTreeSet<String> {
    let code: String = product(text).collect::<Vec<_>>().join(" ");
    let mut used = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let items = rest.strip_prefix('{').map_or_else(|| vec![rest], top_level_items);
        for item in items {
            let word = item.trim_start();
            let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
            used.insert(word[..end].to_owned());
        }
    }
    used.remove("");
    used
}

/// What stands between the commas of a braced list whose opening brace is left out.
fn top_level_items(list: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            '}' => {
                items.push(&list[start..at]);
                break;
            }
            _ => {}
        }
    }
    items
}

/// The sources of a part, be it a folder, a file or both.
fn sources(part: &str) -> Vec<(String, String)> {
    let file = format!("{part}.rs");
    let text = fs::read_to_string(root().join(&file)).ok();
    files(part, ".rs").into_iter().chain(text.map(|text| (file, text))).collect()
}

/// The watched crates that a source names; a part of the own crate may be named like one.
fn crates_used<'a>(text: &'a str, parts: &BTreeSet<String>) -> BTreeSet<&'a str> {
    product(text).flat_map(heads).filter(|head| WATCHED.contains(head) && !parts.contains(*head)).collect()
}

#[test]
fn the_daemons_parts_import_only_what_is_theirs() {
    let mut findings = Vec::new();
    for rule in &DAEMON {
        for (path, text) in sources(&format!("daemon/src/{}", rule.folder)) {
            let parts = parts_used(&text);
            for part in &parts {
                if part != rule.folder && part != "telemetry" && !rule.parts.contains(&part.as_str()) {
                    findings.push(format!("{path}: crate::{part}"));
                }
            }
            let foreign = crates_used(&text, &parts).into_iter().filter(|name| !rule.crates.contains(name));
            findings.extend(foreign.map(|name| format!("{path}: {name}")));
        }
    }
    check("the daemon's import rules (ARCHITECTURE.md)", &findings);
}

#[test]
fn the_consoles_parts_do_not_know_each_others_crates() {
    let mut findings = Vec::new();
    for (part, forbidden) in TUI {
        for (path, text) in sources(&format!("tui/src/{part}")) {
            let known =
                crates_used(&text, &parts_used(&text)).into_iter().filter(|name| forbidden.contains(name));
            findings.extend(known.map(|name| format!("{path}: {name}")));
        }
    }
    check("the console's import rules (ARCHITECTURE.md)", &findings);
}

/// Whether a name goes on with this.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn whether_a_lane_may_push_is_asked_of_one_function() {
    let mut findings = Vec::new();
    for (path, text) in files("daemon/src", ".rs").into_iter().chain(files("daemon/src", ".sql")) {
        let own = [
            "NOT i.awaits_cut_over",
            "paused_at IS NULL",
            "throttled_until > now()",
            "throttled_until <= now()",
        ];
        if own.iter().any(|condition| text.contains(condition)) {
            findings.push(path);
        }
    }
    check(
        "lane_is_open, lane_may_push and throttle_ahead say whether a lane may push, not conditions of one's own",
        &findings,
    );
}

#[test]
fn pure_code_is_given_time_and_surroundings() {
    let mut findings = Vec::new();
    for part in [
        "daemon/domain/src",
        "daemon/connectors/src",
        "tui/src/console/app",
        "tui/src/console/data",
        "tui/src/console/dialogs",
        "tui/src/console/screens",
        "tui/src/console/widgets",
    ] {
        for (path, text) in sources(part) {
            let used = IMPURE.iter().filter(|name| product(&text).any(|line| line.contains(*name)));
            findings.extend(used.map(|name| format!("{path}: {name}")));
        }
    }
    check("pure code", &findings);
}

/// `scripts/sqlx` compiles the daemon's library alone: a checked query elsewhere would be missing in `.sqlx`.
#[test]
fn checked_queries_stand_in_the_daemons_library() {
    let mut findings = Vec::new();
    for (path, text) in ["daemon", "tui", "tests", "proto"].iter().flat_map(|folder| files(folder, ".rs")) {
        let is_at_home = path.starts_with("daemon/src/store/") || path.starts_with("daemon/src/postgres/");
        let holds =
            ["query!(", "query_as!(", "query_scalar!(", "query_file"].map(|end| format!("sqlx::{end}"));
        if !is_at_home && holds.iter().any(|call| text.contains(call.as_str())) {
            findings.push(path);
        }
    }
    check("checked queries outside the store", &findings);
}

#[test]
fn daemon_and_console_do_not_depend_on_each_other() {
    for (package, forbidden) in [
        ("daemon", &["leadline", "leadline-client", "leadline-fakes"][..]),
        ("tui", &["leadlined", "leadline-tests"]),
    ] {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for name in forbidden {
            assert!(!dependencies.contains_key(*name), "{package} depends on {name}");
        }
    }
}

/// What is pure is a crate, and a crate can use only what it names: none of ours but the domain, and none that does I/O.
#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for (folder, ours) in [("daemon/domain", &[][..]), ("daemon/connectors", &["leadline-domain"][..])] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        for name in manifest["dependencies"].as_table().unwrap().keys() {
            let is_ours = name.starts_with("leadline");
            assert!(!is_ours || ours.contains(&name.as_str()), "{folder} depends on {name}");
            assert!(!WATCHED.contains(&name.replace('-', "_").as_str()), "{folder} depends on {name}");
        }
    }
}

#[test]
fn imports_are_seen_in_every_shape() {
    for (text, expected) in [
        ("use crate::store::Store;", vec!["store"]),
        ("use crate::{domain::ids::{A, B}, store};", vec!["domain", "store"]),
        ("use crate::{\n    domain::{\n        ids,\n    },\n    push,\n};", vec!["domain", "push"]),
        ("let x = crate::push::call(crate::config::X);", vec!["config", "push"]),
        ("// crate::store\n#[cfg(test)]\nmod tests {\nuse crate::store;", vec![]),
    ] {
        assert_eq!(parts_used(text), expected.into_iter().map(str::to_owned).collect(), "{text}");
    }
    assert_eq!(heads("warn!(target: \"leadline::a\", \"{}\", sqlx::b)"), ["sqlx"]);
    assert_eq!(heads("let a: http::Method = std::str::from(tokio::x)"), ["http", "std", "tokio"]);
}

#[test]
fn files_open_with_what_they_are_for_and_stay_short() {
    let mut findings = Vec::new();
    for (path, text) in ["proto", "daemon", "tui", "tests"].iter().flat_map(|folder| files(folder, ".rs")) {
        if !text.starts_with("//! ") {
            findings.push(format!("{path}: open it with `//! what it is for`"));
        }
        let lines = product(&text).filter(|line| !line.trim().is_empty()).count();
        let excused = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > LINES_MAX || (lines > LINES_LONG && !excused) {
            findings.push(format!("{path}: {lines} lines of code; split it below {LINES_LONG}"));
        }
        if excused && lines <= LINES_LONG {
            findings.push(format!("{path}: short again; take it off the list"));
        }
    }
    check("files are short and say what they are for", &findings);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together, so that this file does not find itself.
    let homes = [["/ho", "me/"], ["/Us", "ers/"], ["/ro", "ot/"]].map(|halves| halves.concat());
    let mut findings = Vec::new();
    for (path, text) in files("", "").iter().filter(|(path, _)| path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            // Homebrew on Linux lives in a home of its own.
            let line = line.replace(&format!("{}linuxbrew", homes[0]), "");
            if homes.iter().any(|home| line.contains(home.as_str())) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check("no paths of one machine", &findings);
}

#[test]
fn every_dependency_is_used() {
    let mut findings = Vec::new();
    for (manifest, text) in
        ["proto", "daemon", "tui", "tests"].iter().flat_map(|folder| files(folder, "Cargo.toml"))
    {
        let folder = manifest.strip_suffix("/Cargo.toml").unwrap();
        // A crate within the folder of another has its own manifest.
        let nested = |path: &str| {
            ["tests/fakes", "daemon/domain", "daemon/connectors", "tui/client"]
                .iter()
                .any(|inner| *inner != folder && path.starts_with(inner))
        };
        let sources: Vec<_> = files(folder, ".rs").into_iter().filter(|(path, _)| !nested(path)).collect();
        let manifest_of: toml::Table = text.parse().unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest_of.get(table).and_then(toml::Value::as_table) else { continue };
            for name in dependencies.keys() {
                let name = name.replace('-', "_");
                let used = |text: &str| {
                    text.match_indices(&name).any(|(at, _)| {
                        let word = |c: char| c.is_alphanumeric() || c == '_';
                        !text[..at].ends_with(word) && text[at + name.len()..].starts_with("::")
                            || text[..at].ends_with("use ") && !text[at + name.len()..].starts_with(word)
                    })
                };
                if !sources.iter().any(|(_, text)| used(text)) && !is_used_by_generated_code(folder, &name) {
                    findings.push(format!("{manifest}: {name} in [{table}]"));
                }
            }
        }
    }
    check("dependencies that nobody uses", &findings);
}

/// The generated control API and sqlx's macros (`sqlx.toml`) name what no source of ours does.
fn is_used_by_generated_code(folder: &str, name: &str) -> bool {
    [("proto", "prost"), ("proto", "prost_types"), ("proto", "tonic_prost"), ("daemon", "jiff_sqlx")]
        .contains(&(folder, name))
}
