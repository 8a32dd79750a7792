//! Documents lead somewhere.

use std::{collections::BTreeSet, fs, path::Path};

use super::{check, files, root};

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
