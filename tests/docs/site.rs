//! The docs are one site: every page has its place in it, and what commands and settings it names there are.

use std::{collections::BTreeSet, fs, process::Command};

use leadline_tests::{leadline, leadlined};

use super::{page_is, root};

/// The pages below `docs/`, by their paths in it.
fn pages() -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join("docs").join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(format!("{path}/"));
            } else if path.ends_with(".md") && path != "SUMMARY.md" {
                pages.insert(path);
            }
        }
    }
    pages
}

fn text(page: &str) -> String {
    fs::read_to_string(root().join("docs").join(page)).unwrap()
}

#[test]
fn every_page_stands_in_the_summary() {
    let summary = text("SUMMARY.md");
    let named: BTreeSet<String> = summary
        .match_indices("](")
        .map(|(at, _)| summary[at + 2..].split(')').next().unwrap().to_owned())
        .filter(|target| target.ends_with(".md") && !target.starts_with("../"))
        .collect();
    // `make book` lists the page of each connector below `connectors`.
    assert!(summary.contains("](connectors)"), "the connectors have no place in the summary");
    let own: BTreeSet<String> = pages().into_iter().filter(|page| !page.starts_with("connectors/")).collect();
    assert_eq!(named, own);
}

#[test]
fn the_page_of_settings_is_made_from_the_daemons_own() {
    page_is("docs/reference/settings.md", &leadlined::cli::settings_page());
}

/// What the code of a page says: its blocks of a shell, and what stands in a line between back-quotes.
fn code(page: &str) -> String {
    let mut code = String::new();
    for (at, block) in page.split("```").enumerate() {
        if at % 2 == 0 {
            code.extend(block.split('`').skip(1).step_by(2).map(|inline| format!("{inline}\n")));
        } else if let Some(shell) = block.strip_prefix("sh\n").or(block.strip_prefix("bash\n")) {
            code.push_str(&shell.replace("\\\n", " "));
        }
    }
    code
}

#[test]
fn every_command_that_a_page_names_is_there() {
    let mut commands = BTreeSet::new();
    for page in pages() {
        for line in code(&text(&page)).lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            for (at, word) in words.iter().enumerate().filter(|(_, word)| **word == "leadline") {
                let is_word = |word: &&&str| {
                    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
                };
                let named: Vec<_> = words[at + 1..].iter().take(2).take_while(is_word).copied().collect();
                // One word may be the name of the program in a sentence's code, or a file.
                if !named.is_empty() && named[0] != "leadlined" {
                    commands.insert((word.to_string(), named.join(" "), page.clone()));
                }
            }
        }
    }
    assert!(commands.len() > 30, "the pages are not read right: {commands:?}");
    let known: BTreeSet<_> = commands.iter().map(|(_, command, _)| command).collect();
    for command in known {
        let mut words: Vec<_> = command.split(' ').collect();
        let is_there = |words: &[&str]| {
            let ran = Command::new(leadline()).args(words).arg("--help").output().unwrap();
            ran.status.success()
        };
        // The second word may be an argument of the first.
        let found = is_there(&words) || words.pop().is_some() && !words.is_empty() && is_there(&words);
        let pages: Vec<_> = commands.iter().filter(|(_, one, _)| one == command).map(|one| &one.2).collect();
        assert!(found, "{pages:?}: there is no leadline {command}");
    }
}

#[test]
fn every_setting_that_a_page_names_is_there() {
    let help = Command::new(leadlined()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for page in pages() {
        for line in code(&text(&page)).lines().filter(|line| line.contains("leadlined ")) {
            let flags = line.split("leadlined ").nth(1).unwrap().split_whitespace();
            for flag in flags.take_while(|word| *word != "|").filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(help.contains(&format!("{flag} ")), "docs/{page}: leadlined has no {flag}");
            }
        }
    }
}

#[test]
fn every_connectors_page_says_where_its_facts_are_from_and_which_are_unverified() {
    let mut lacking = Vec::new();
    for page in pages().into_iter().filter(|page| page.starts_with("connectors/")) {
        let page_text = text(&page);
        let Some((_, from)) = page_text.split_once("\n## Where this is from\n") else {
            lacking.push(format!("{page} has no section Where this is from"));
            continue;
        };
        let is_dated = ["2026-", "November 2026"].iter().any(|date| from.contains(date));
        let says = from.lines().any(|line| line.starts_with("Unverified: "));
        if !is_dated || !says {
            lacking.push(format!(
                "{page} lacks the date of its sources, or a line that begins with Unverified:"
            ));
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}
