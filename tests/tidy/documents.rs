//! Documents lead somewhere, and the docs of items say something.

use std::{collections::BTreeSet, fs, path::Path};

use super::{check, files, is_name, root};

/// What the headings of a page are linked by.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    // What stands in blocks of code is no heading.
    let prose = text.split("\n```").step_by(2);
    let lines = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
    lines.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// As both forges and mdBook make it of a heading's text.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn a_heading_is_linked_by_its_words() {
    assert_eq!(anchor(" Who may do what: `ann`?"), "who-may-do-what-ann");
    let page = root().join("docs/security.md");
    assert!(headings(&page).contains("what-is-tried") && !headings(&page).contains("what"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in files("", ".md") {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', ' ']).next().unwrap();
            let file = target.split('#').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let place = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            let is_there = match target.split_once('#') {
                Some((_, heading)) => headings(&place).contains(heading),
                None => place.exists(),
            };
            if !is_there {
                findings.push(format!("{path}: {target}"));
            }
        }
    }
    check("links that lead nowhere", &findings);
}

/// Folders whose parts the map names one by one. Of `control` it says that each service has a file.
const MAPPED: [&str; 7] = [
    "daemon/src",
    "daemon/domain/src",
    "daemon/src/store",
    "daemon/src/store/queue",
    "daemon/src/dispatch",
    "daemon/src/push",
    "daemon/src/intake",
];

#[test]
fn the_map_names_each_part() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    // Every other piece between backticks is quoted.
    let quoted = map.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = quoted.flat_map(|text| text.split(|c: char| !is_name(c))).collect();
    let mut findings = Vec::new();
    for folder in MAPPED {
        for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let part = name.trim_end_matches(".rs");
            let is_code = name.ends_with(".rs") || entry.path().is_dir();
            if is_code && !["lib", "mod", "tests"].contains(&part) && !named.contains(part) {
                findings.push(format!("{folder}/{name}"));
            }
        }
    }
    check("the map in ARCHITECTURE.md names each part", &findings);
}

/// A doc that repeats a name costs a line and teaches nobody anything: it says shape, units or errors, or is left out.
#[test]
fn a_doc_says_more_than_the_name_below_it() {
    let mut findings = Vec::new();
    for (path, text) in ["daemon", "tests", "tui"].iter().flat_map(|folder| files(folder, ".rs")) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(doc) = line.trim_start().strip_prefix("/// ") else { continue };
            let is_whole = at == 0 || !lines[at - 1].trim_start().starts_with("///");
            let item = lines[at + 1..].iter().find(|line| !line.trim_start().starts_with("#["));
            if is_whole && item.is_some_and(|item| repeats(doc, item)) {
                findings.push(format!("{path}:{}: {doc}", at + 1));
            }
        }
    }
    check("a doc says more than the name below it", &findings);
    assert!(repeats("A delivery.", "pub(crate) struct Delivery<'a> {"));
    assert!(repeats("Draws it.", "    pub fn draw(&self, view: View<'_>) -> bool {"));
    assert!(!repeats("A delivery as JSON.", "pub(crate) struct Delivery {"));
    assert!(!repeats("The company", "        company: String,"), "the help of an argument");
    assert!(!repeats("A lead's lines,", "    /// each cut to what fits."));
}

/// Whether three words or fewer say of an item what its name says.
fn repeats(doc: &str, item: &str) -> bool {
    const KINDS: [&str; 8] = ["const", "enum", "fn", "mod", "static", "struct", "trait", "type"];
    const EMPTY: [&str; 5] = ["a", "an", "it", "of", "the"];
    let item = item.trim_start();
    let item = item.strip_prefix("pub(").and_then(|rest| Some(rest.split_once(") ")?.1)).unwrap_or(item);
    let head = item.split(|c: char| !is_name(c) && c != ' ').next().unwrap_or_default();
    let Some([kind, name]) = head.split_whitespace().collect::<Vec<_>>().last_chunk::<2>().copied() else {
        return false;
    };
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() || c == '_' {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    let stem = |word: &str| word.trim_matches(['.', '`']).trim_end_matches('s').to_lowercase();
    let named: Vec<String> = spaced.split_whitespace().map(stem).collect();
    let says = |word: &String| !EMPTY.contains(&&**word);
    let said: Vec<String> = doc.split_whitespace().map(stem).filter(says).collect();
    KINDS.contains(&kind)
        && doc.split_whitespace().count() <= 3
        && !said.is_empty()
        && said.iter().all(|word| named.contains(word))
}
