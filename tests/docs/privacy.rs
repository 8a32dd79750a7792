//! The page for the data protection officer says of every table that may hold something of a person what that is.

use std::{collections::BTreeSet, fs};

use super::root;

/// Tables of what operators set up, of times, counts and ids alone.
const OF_NOBODY: [&str; 21] = [
    "cause_count",
    "cause_trend",
    "claim",
    "company",
    "daemon",
    "due",
    "erasure",
    "flow",
    "flow_target",
    "form",
    "installation",
    "intake_key",
    "integration",
    "key_use",
    "notice_told",
    "probe",
    "signed_request",
    "signing_secret",
    "sweep",
    "token",
    "wake",
];

/// The tables that the migrations make.
fn tables() -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for migration in fs::read_dir(root().join("migrations")).unwrap() {
        let text = fs::read_to_string(migration.unwrap().path()).unwrap();
        let made = text.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split(' ').next());
        tables.extend(made.map(str::to_owned));
    }
    tables
}

#[test]
fn every_table_that_may_hold_something_of_a_person_stands_on_the_page() {
    let page = fs::read_to_string(root().join("docs/privacy.md")).unwrap();
    let list = page.split("\n## ").find(|part| part.starts_with("What is kept")).unwrap();
    let places = list.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1));
    let named: BTreeSet<&str> = places.flat_map(|place| place.split('`').skip(1).step_by(2)).collect();
    let tables = tables();
    assert!(tables.len() > 35 && named.contains("event"), "not read right: {tables:?}, {named:?}");
    let is_told = |table: &str| named.contains(table) || OF_NOBODY.contains(&table);
    let missing: Vec<_> = tables.iter().filter(|table| !is_told(table)).collect();
    assert!(missing.is_empty(), "docs/privacy.md says nothing of what is kept in {missing:?}");
    let wrong: Vec<_> =
        OF_NOBODY.iter().filter(|table| named.contains(**table) || !tables.contains(**table)).collect();
    assert!(wrong.is_empty(), "on the page, or no table: {wrong:?}");
}
