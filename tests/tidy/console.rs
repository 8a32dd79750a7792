//! What a new screen and a new column of the console cost: a screen its folder and one line, a column six files.

use std::{collections::BTreeSet, fs};

use leadlined::domain::{cause, outcome::FailureClass};

use super::{check, files, is_name, product, root};

const SCREENS: &str = "tui/src/console/screens";
/// What screens share; all else below is a folder, one for each.
const SHARED: [&str; 2] = ["mod.rs", "pages.rs"];
/// Who opens screens beside the screens themselves: what keys and the palette ask for.
const OPENS: [&str; 2] = ["tui/src/console/app/jumps.rs", "tui/src/console/app/keys.rs"];
/// In how many files a column may be named: where it is described, its JSON, what it is converted from, and its lists.
const FILES_MAX: usize = 6;

/// Whether a text names this as a whole word.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + name.len()..].starts_with(is_name))
}

/// The files of the console and the commands, without their tests.
fn sources() -> Vec<(String, String)> {
    let found = files("tui/src", ".rs").into_iter().filter(|(path, _)| !path.contains("tests"));
    found.map(|(path, text)| (path, product(&text).collect::<Vec<_>>().join("\n"))).collect()
}

#[test]
fn a_screen_costs_its_folder_and_one_line() {
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(root().join(SCREENS)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            folders.insert(name);
        } else {
            assert!(SHARED.contains(&&*name), "{SCREENS}/{name}: a screen is a folder");
        }
    }
    assert!(folders.len() > 8, "{folders:?}");
    let list = fs::read_to_string(root().join(SCREENS).join("mod.rs")).unwrap();
    let (mut findings, sources) = (Vec::new(), sources());
    for folder in &folders {
        let lines = list.lines().filter(|line| *line == format!("pub mod {folder};")).count();
        let roots = list.lines().filter(|line| line.contains(&format!("|| Box::new({folder}::"))).count();
        if lines != 1 || roots > 1 {
            findings.push(format!("{SCREENS}/mod.rs: {folder} stands in {lines} lines and {roots} of ROOTS"));
        }
        let mut letters = folder.chars();
        let first = letters.next().unwrap().to_ascii_uppercase();
        let screen = format!("{first}{}Screen", letters.as_str());
        let own = format!("{SCREENS}/{folder}/");
        let is_there = sources.iter().any(|(path, text)| {
            path.starts_with(&own) && text.contains(&format!("impl Screen for {screen}"))
        });
        if !is_there {
            findings.push(format!("{own} holds no {screen}"));
        }
        let elsewhere = sources.iter().filter(|(path, text)| {
            !path.starts_with(SCREENS) && !OPENS.contains(&path.as_str()) && names(text, &screen)
        });
        findings.extend(elsewhere.map(|(path, _)| format!("{path} knows {screen}")));
    }
    check(
        "a screen is its folder, a line of mod.rs and perhaps one of ROOTS; only OPENS open one",
        &findings,
    );
}

#[test]
fn a_column_costs_six_files_at_most() {
    let columns = fs::read_to_string(root().join("tui/src/columns.rs")).unwrap();
    let (mut of, mut count, mut findings) = ("", 0, Vec::new());
    let sources = sources();
    for line in columns.lines() {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|name| name.strip_suffix(" {")) {
            of = name;
        }
        let Some((name, _)) = line.strip_prefix("    pub const ").and_then(|it| it.split_once(": Column"))
        else {
            continue;
        };
        count += 1;
        let column = format!("{of}::{name}");
        let users: Vec<_> =
            sources.iter().filter(|(_, text)| names(text, &column)).map(|(path, _)| path.as_str()).collect();
        if users.is_empty() || users.len() >= FILES_MAX {
            findings.push(format!("{column} is named in {} files: {}", users.len() + 1, users.join(", ")));
        }
    }
    assert!(count > 50, "columns.rs is not read right: {count} columns");
    check("a column is described once, and named in six files at most", &findings);
}

/// A column of the overview is to change as few sheets as possible: those in which integrations are listed.
#[test]
fn the_overviews_columns_stand_in_the_sheets_that_list_integrations() {
    const LISTS: [&str; 5] = ["company", "overview", "overview_list", "overview_lost", "profiles"];
    let sheets = files("tui/src/console/app/snapshots", ".snap");
    let name = |path: &str| path.trim_end_matches(".snap").rsplit("__").next().unwrap().to_owned();
    let listed = sheets.iter().filter(|(_, text)| text.contains("LAST ERROR")).map(|(path, _)| name(path));
    assert_eq!(listed.collect::<BTreeSet<_>>(), BTreeSet::from(LISTS.map(str::to_owned)));
}

/// What the README shows is what a daemon says: of each class of the sample data its advice, and the acts that fit.
#[test]
fn the_sample_data_advises_as_a_daemon_does() {
    let text = fs::read_to_string(root().join("tui/src/console/fixtures/causes.rs")).unwrap();
    // A literal goes on behind a backslash, whatever its line is indented by.
    let text: String = text.split("\\\n").map(str::trim_start).collect();
    for class in [FailureClass::Rejected, FailureClass::Credentials, FailureClass::Transient] {
        let acts: Vec<String> =
            cause::actions(class).iter().map(|action| format!("Remedy::{action:?}")).collect();
        let after = text.split(cause::advice(class)).nth(1).unwrap_or_else(|| panic!("{class:?}"));
        let after = after.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = format!("\", &[{}],", acts.join(", "));
        assert!(after.starts_with(&expected), "{class:?}: {}", &after[..120]);
    }
}
