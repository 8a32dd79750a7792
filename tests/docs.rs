//! The documents say what is so: the table of what Leadline replaces is whole, the tests that are named exist, and what
//! is made from the code is as the code is.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{
    collections::BTreeSet,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

#[path = "docs/api.rs"]
mod api;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/left_out.rs"]
mod left_out;
#[path = "docs/privacy.rs"]
mod privacy;
#[path = "docs/site.rs"]
mod site;
#[path = "docs/watch.rs"]
mod watch;

/// A behaviour that no test shows yet.
const GAP: &str = "—";

/// One seed's section: how many lines the seed has, and what the section says of them.
struct Section<'a> {
    title: &'a str,
    lines: usize,
    rows: Vec<Row<'a>>,
    /// The lines that describe no behaviour.
    silent: Vec<RangeInclusive<usize>>,
}

struct Row<'a> {
    lines: RangeInclusive<usize>,
    cells: Vec<&'a str>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Holds a page equal to what it is made from; with `LEADLINE_WRITE_DOCS=1` it is written anew.
fn page_is(path: &str, made: &str) {
    let file = root().join(path);
    if std::env::var_os("LEADLINE_WRITE_DOCS").is_some() {
        fs::write(&file, made).unwrap();
    }
    let page = fs::read_to_string(&file).unwrap_or_default();
    assert!(page == made, "{path} is not what it is made from: make docs-pages writes it anew");
}

fn page() -> String {
    fs::read_to_string(root().join("tests/replaces.md")).unwrap()
}

/// `7` or `12–67`.
fn range(text: &str) -> RangeInclusive<usize> {
    let (first, last) = text.trim().split_once('–').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("no line number: {text:?}"));
    number(first)..=number(last)
}

/// `## Seed 000 (69 lines): …`, its table, and its `No behaviour: 1–6, 8.`
fn section(text: &str) -> Section<'_> {
    let title = text.lines().next().unwrap();
    let lines = title.split_once('(').unwrap().1.split_once(" lines)").unwrap().0.parse().unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")).map(row).skip(1);
    let silent =
        text.lines().find_map(|line| line.strip_prefix("No behaviour: ")?.strip_suffix('.')).unwrap();
    Section { title, lines, rows: rows.flatten().collect(), silent: silent.split(',').map(range).collect() }
}

/// The heading of a table is none.
fn row(line: &str) -> Option<Row<'_>> {
    let cells: Vec<_> = line.split(" | ").collect();
    (cells[0] != "Line").then(|| Row { lines: range(cells[0]), cells })
}

/// The tests that a cell names, as (file, function).
fn tests_in(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`').filter_map(|part| part.split_once("::")).collect()
}

/// The text of a file that is named. A path that does not start at the root starts in `tests/`.
fn named(file: &str) -> Option<String> {
    let places = [root(), root().join("tests")];
    places.iter().find_map(|place| fs::read_to_string(place.join(file)).ok())
}

/// Whether a file has a test of this name that is run.
fn is_test(file: &str, function: &str) -> bool {
    let Some(text) = named(file) else { return false };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let head = format!("fn {function}(");
    let places = (0..lines.len()).filter(|at| lines[*at].trim_start_matches("async ").starts_with(&head));
    let is_attribute = |line: &&&str| !line.is_empty() && !line.ends_with('}');
    places.into_iter().any(|at| {
        let above: Vec<_> = lines[..at].iter().rev().take_while(is_attribute).collect();
        above.iter().any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
            && !above.iter().any(|line| line.starts_with("#[ignore"))
    })
}

#[test]
fn every_promise_is_shown_by_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() > 20, "the table is not read right");
    for row in rows {
        let tests = tests_in(row);
        assert!(!tests.is_empty(), "no test shows: {row}");
        for (file, function) in tests {
            assert!(is_test(file, function), "docs/promises.md names {file}::{function}, which is no test");
        }
    }
}

#[test]
fn every_finding_of_a_review_has_a_test() {
    let page = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let id = line.strip_prefix("| ")?.split(' ').next()?;
        let number = id
            .strip_prefix(['V', 'S', 'Q', 'D', 'C', 'R'])
            .is_some_and(|number| number.parse::<u8>().is_ok());
        number.then_some((id.to_owned(), line))
    });
    let rows: Vec<_> = rows.collect();
    let named: BTreeSet<_> = rows.iter().map(|(id, _)| id.clone()).collect();
    // Of what leaves for vendors, of security, of the queue, of what comes in, of the console, and of what may break.
    let sections = [('V', 26), ('S', 14), ('Q', 5), ('D', 14), ('C', 11), ('R', 12)];
    let all = sections.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    assert_eq!(named, all.collect::<BTreeSet<_>>());
    for (id, row) in rows {
        let tests = tests_in(row);
        assert!(!tests.is_empty(), "no test shows {id}");
        for (file, function) in tests {
            assert!(is_test(file, function), "{id}: {file}::{function} is no test");
        }
    }
}

fn sections(page: &str) -> Vec<Section<'_>> {
    page.split("\n## Seed ").skip(1).map(section).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let named: BTreeSet<_> = sections(&page)
        .iter()
        .flat_map(|section| &section.rows)
        .flat_map(|row| tests_in(row.cells[3]))
        .collect();
    assert!(named.len() > 50, "the table is not read right: {named:?}");
    let lost: Vec<_> = named.into_iter().filter(|(file, function)| !is_test(file, function)).collect();
    assert!(lost.is_empty(), "tests/replaces.md names tests that are not there:\n{lost:#?}");
}

#[test]
fn every_behaviour_is_shown_by_a_test() {
    let page = page();
    let mut gaps = Vec::new();
    for section in sections(&page) {
        for row in &section.rows {
            assert_eq!(row.cells.len(), 4, "{}: {:?}", section.title, row.cells);
            if row.cells[3].contains(GAP) || tests_in(row.cells[3]).is_empty() {
                gaps.push(format!("seed {} line {:?}: {}", &section.title[..3], row.lines, row.cells[1]));
            }
        }
    }
    assert!(gaps.is_empty(), "no test shows:\n  {}", gaps.join("\n  "));
}

#[test]
fn every_line_of_a_seed_has_its_place() {
    let page = page();
    let sections = sections(&page);
    assert_eq!(sections.len(), 5);
    for section in &sections {
        let reported: BTreeSet<_> = section.rows.iter().flat_map(|row| row.lines.clone()).collect();
        let silent: BTreeSet<_> = section.silent.iter().cloned().flatten().collect();
        let both: Vec<_> = reported.intersection(&silent).collect();
        assert!(both.is_empty(), "{}: told, and said to tell nothing: {both:?}", section.title);
        let all: Vec<_> = reported.union(&silent).copied().collect();
        assert_eq!(all, (1..=section.lines).collect::<Vec<_>>(), "{}", section.title);
        assert!(
            section.rows.is_sorted_by_key(|row| (*row.lines.start(), *row.lines.end())),
            "{}",
            section.title
        );
    }
}
