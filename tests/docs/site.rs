//! The docs are one site: every page has its place in it, and what commands and settings it names there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

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

/// The options of each command, as the page made from the program has them; those of `leadline` itself may stand behind
/// every command.
fn options() -> BTreeMap<String, BTreeSet<String>> {
    let (mut options, mut command) = (BTreeMap::<_, BTreeSet<String>>::new(), String::new());
    for line in text("reference/commands.md").lines() {
        if let Some(heading) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            heading.trim().clone_into(&mut command);
            options.entry(command.clone()).or_default();
        } else if let Some(row) = line.strip_prefix("| `--") {
            let name = row.split([' ', '`', '=']).next().unwrap();
            options.get_mut(&command).unwrap().insert(format!("--{name}"));
        }
    }
    assert!(options.len() > 60 && options["leadline"].contains("--server"), "{options:?}");
    options
}

/// The options that the words of a command line give to the program before them.
fn given<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let is_end = |word: &&&str| matches!(**word, "|" | "||" | "&&" | "&" | ";" | ">" | ">>" | "<");
    let own = words.iter().take_while(|word| !is_end(word));
    let named = own.filter_map(|word| word.strip_prefix("--").map(|_| *word));
    named
        .map(|word| word.split(['=', ')', ';', ',', '\'', '"', '`']).next().unwrap())
        .filter(|word| word.len() > 2)
        .collect()
}

#[test]
fn every_option_that_a_page_gives_a_command_is_one_of_it() {
    let options = options();
    let (mut seen, mut unknown) = (0, Vec::new());
    for (page, text) in pages_and_readme() {
        for line in code(&text).lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "leadline") {
                // The user is called so, too.
                if at > 0 && words[at - 1].eq_ignore_ascii_case("-u") {
                    continue;
                }
                let rest = &words[at + 1..];
                let command = (0..=rest.len().min(2))
                    .rev()
                    .map(|count| {
                        ["leadline"].iter().chain(&rest[..count]).copied().collect::<Vec<_>>().join(" ")
                    })
                    .find(|command| options.contains_key(command))
                    .unwrap();
                for option in given(rest) {
                    seen += 1;
                    let is_one = [&*command, "leadline"].iter().any(|of| options[*of].contains(option));
                    if !is_one && option != "--help" {
                        unknown.push(format!("{page}: {command} has no {option}"));
                    }
                }
            }
        }
    }
    assert!(seen > 80, "only {seen}: the pages are not read right");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// The settings of the daemon: each flag with its name in the file.
fn settings() -> BTreeMap<String, String> {
    let page = text("reference/settings.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `--"));
    let settings = rows.filter_map(|row| {
        let key = row.split("| `").nth(1)?.split('`').next()?;
        Some((format!("--{}", row.split([' ', '`']).next()?), key.to_owned()))
    });
    settings.collect()
}

fn pages_and_readme() -> Vec<(String, String)> {
    let mut all: Vec<_> = pages().into_iter().map(|page| (format!("docs/{page}"), text(&page))).collect();
    all.push(("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap()));
    all
}

/// What stands in a line between back-quotes.
fn inline(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_option_and_setting_that_a_page_names_is_there() {
    // Of benches, which are no part of what is installed, and of programs of others.
    const OTHERS: [&str; 6] = ["--help", "--json", "--rounds", "--rows", "--seconds", "--init"];
    let (options, settings) = (options(), settings());
    assert!(settings.len() > 20 && settings["--keep-leads"] == "keep_leads", "{settings:?}");
    let help = Command::new(leadlined()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let is_option = |option: &str| {
        settings.contains_key(option)
            || help.contains(&format!("{option} "))
            || options.values().any(|of| of.contains(option))
            || OTHERS.contains(&option)
    };
    let mut unknown = Vec::new();
    for (page, text) in pages_and_readme() {
        for code in inline(&text).into_iter().filter(|code| code.starts_with("--")) {
            let option = given(&[code.split_whitespace().next().unwrap()]);
            unknown.extend(option.into_iter().filter(|it| !is_option(it)).map(|it| format!("{page}: {it}")));
        }
        for line in code(&text).lines().filter(|line| line.contains("leadlined ")) {
            let words: Vec<_> = line.split("leadlined ").nth(1).unwrap().split_whitespace().collect();
            let flags = given(&words).into_iter().filter(|flag| !help.contains(&format!("{flag} ")));
            unknown.extend(flags.map(|flag| format!("{page}: leadlined has no {flag}")));
        }
        // The console's settings are its own.
        if page == "docs/console.md" {
            continue;
        }
        let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("toml\n"));
        let lines = blocks.flat_map(str::lines).chain(inline(&text));
        for (key, value) in lines.filter_map(|line| line.split_once(" = ")) {
            let is_name = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_value = value.starts_with(['"', '[', '\'']) || value == "true" || value == "false";
            if is_name && is_value && !settings.values().any(|known| known == key) {
                unknown.push(format!("{page}: leadlined.toml has no {key}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
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

/// The blocks of shell on a page.
fn shell(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(|block| block.lines().filter(|line| !line.trim().is_empty()).collect()).collect()
}

/// The page that is read first, and the script that does what it says in a fresh root and stops the time.
#[test]
fn the_first_lead_takes_ten_commands_which_a_script_runs_in_five_minutes() {
    let page = text("first-lead.md");
    let commands = shell(&page).remove(0);
    assert!(commands.len() <= 10, "{} commands", commands.len());
    for wanted in ["apt-get install", "systemctl enable --now leadlined", "/v1/leads", "attempt list"] {
        assert!(commands.iter().any(|command| command.contains(wanted)), "no command has {wanted}");
    }
    let script = fs::read_to_string(root().join("scripts/install-check")).unwrap();
    for held in ["docs/first-lead.md", "((count <= 10))", "((took < 300))"] {
        assert!(script.contains(held), "scripts/install-check does not hold {held}");
    }
}

/// Nothing is said to be tried that the script leaves out.
#[test]
fn the_attacks_that_the_page_on_security_lists_are_tried() {
    let (page, script) = (text("security.md"), fs::read_to_string(root().join("scripts/attack")).unwrap());
    let tried: Vec<_> =
        script.lines().filter_map(|line| line.strip_prefix("tried \"")?.split('"').next()).collect();
    let list = page.split("\n| Tried | Holds |\n|---|---|\n").nth(1).unwrap();
    let rows = list.lines().map_while(|line| line.strip_prefix("| "));
    let listed: Vec<_> = rows.map(|row| row.split([',', ':', '|']).next().unwrap().trim()).collect();
    assert!(listed.len() > 10, "the page is not read right: {listed:?}");
    for what in listed {
        assert!(tried.iter().any(|other| other.contains(what)), "scripts/attack does not try {what}");
    }
}

/// What the page on growing says of one machine and of several daemons is what was measured last.
#[test]
fn the_page_on_growing_has_the_figures_of_the_page_on_performance() {
    let (measured, page) = (text("performance.md"), text("outgrow.md"));
    let cells = |row: &str| -> Vec<String> {
        let line = measured.lines().find(|line| line.starts_with(&format!("| {row}"))).unwrap();
        line.split(" | ").map(str::to_owned).collect()
    };
    let rates = cells("Deliveries a second, fan-out 1 / 5 / 20");
    let [one, five, _] = rates[3].split(" / ").collect::<Vec<_>>()[..] else { panic!("{rates:?}") };
    assert!(page.contains(&format!("{one} leads a second")), "not {one} at fan-out 1");
    assert!(page.contains(&format!("{five} deliveries a second at five")), "not {five} at fan-out 5");
    let daemons = cells("`daemons`: 1, 2, 4 on one database");
    let [_, two, four] = daemons[2].split(", ").collect::<Vec<_>>()[..] else { panic!("{daemons:?}") };
    assert!(
        page.contains(&format!("| 2 | {two} |")) && page.contains(&format!("| 4 | {four} |")),
        "{two}, {four}"
    );
}
