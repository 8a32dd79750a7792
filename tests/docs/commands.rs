//! The README's table of commands names every noun and verb there is, and no other.

use std::{collections::BTreeMap, collections::BTreeSet, fs};

use super::root;

type Nouns = BTreeMap<String, BTreeSet<String>>;

/// The nouns and verbs of the page that is held equal to the program's own definitions.
fn defined() -> Nouns {
    let page = fs::read_to_string(root().join("docs/reference/commands.md")).unwrap();
    let mut nouns = Nouns::new();
    for line in page.lines() {
        if let Some(noun) = line.strip_prefix("## leadline ") {
            nouns.entry(noun.to_owned()).or_default();
        } else if let Some((noun, verb)) =
            line.strip_prefix("### leadline ").and_then(|both| both.split_once(' '))
        {
            nouns.entry(noun.to_owned()).or_default().insert(verb.to_owned());
        }
    }
    nouns
}

/// The words in code of a cell.
fn in_code(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).filter(|word| !word.starts_with('-')).map(str::to_owned)
}

/// The nouns and verbs of the README's table.
fn told() -> Nouns {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split("\n## Commands\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut nouns = Nouns::new();
    for row in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (named, verbs) = row.split_once(" | ").unwrap();
        for noun in in_code(&format!("`{named}")) {
            let is_new = nouns.insert(noun.clone(), in_code(verbs).collect()).is_none();
            assert!(is_new, "{noun} stands twice in the table");
        }
    }
    nouns
}

#[test]
fn the_readme_names_every_noun_and_verb() {
    let (told, defined) = (told(), defined());
    assert!(defined.len() > 15 && defined["lead"].len() > 5, "the page of commands is not read right");
    assert_eq!(told, defined, "the README's table of commands, and what commands there are");
}
