//! A test that is left out unless a setting is there shows nothing by itself: some command that is told of sets it.

use std::{collections::BTreeSet, fs};

use super::{named, page, root, tests_in};

/// A function of a file, from its name to its end.
fn body<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    let from = text.find(&format!("fn {function}("))?;
    let line = text[..from].rfind('\n').map_or(0, |at| at + 1);
    let indent = text[line..].len() - text[line..].trim_start().len();
    let end = format!("\n{}}}\n", &text[line..line + indent]);
    Some(&text[from..from + text[from..].find(&end)?])
}

/// The settings that a function of a file reads, and without which it is left out.
fn wanted(text: &str, function: &str) -> BTreeSet<String> {
    let is_conditional = |body: &&str| body.contains("left out") || body.contains("left_out(");
    let Some(body) = body(text, function).filter(is_conditional) else {
        return BTreeSet::new();
    };
    let reads = body.split("env::var").skip(1).filter_map(|read| {
        let name = read.trim_start_matches("_os").strip_prefix('(')?.split(')').next()?;
        let constant = || text.split_once(&format!("const {name}: &str = "))?.1.split(';').next();
        let literal = if name.starts_with('"') { Some(name) } else { constant() };
        Some(literal?.trim_matches('"').to_owned())
    });
    // The harness reads the setting that it is given.
    let given = body.split("left_out(\"").skip(1).filter_map(|given| given.split('"').next());
    let reads = reads.chain(given.map(str::to_owned));
    reads.filter(|name| name.starts_with("LEADLINE_")).collect()
}

/// Whether what must hold before a merge sets it, or a target of `make` that pages name, by itself or by its script.
fn is_set(setting: &str) -> bool {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap_or_default();
    let sets = |text: &str| text.contains(&format!("{setting}="));
    if sets(&read(".ci/run")) {
        return true;
    }
    let pages = ["CONTRIBUTING.md", "README.md", "docs/promises.md", "docs/operations.md"].map(read).concat();
    read("Makefile").lines().any(|line| {
        let Some((target, does)) = line.split_once(": ; ") else { return false };
        let script = does.split(' ').find(|word| word.starts_with("scripts/")).map(read);
        pages.contains(&format!("`make {target}`")) && (sets(does) || script.is_some_and(|text| sets(&text)))
    })
}

#[test]
fn what_is_left_out_without_a_setting_is_run_by_a_command_that_sets_it() {
    let promises = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let replaces = page();
    let (mut conditional, mut findings) = (0, Vec::new());
    for (file, function) in tests_in(&promises).into_iter().chain(tests_in(&replaces)) {
        for setting in named(file).map(|text| wanted(&text, function)).unwrap_or_default() {
            conditional += 1;
            if !is_set(&setting) {
                findings
                    .push(format!("{file}::{function} is left out without {setting}, which nothing sets"));
            }
        }
    }
    assert!(conditional > 1, "the tests are not read right");
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn settings_are_found_by_name_and_by_constant() {
    let text = "const WANTED: &str = \"LEADLINE_A\";\n\
                fn one() {\n    if env::var_os(WANTED).is_none() {\n        println!(\"left out\");\n    }\n}\n\
                mod tests {\n    fn two() {\n        env::var(\"LEADLINE_B\");\n        // left out\n    }\n    \
                fn three() {\n        env::var(\"LEADLINE_C\");\n    }\n    \
                fn four() {\n        left_out(\"LEADLINE_D\", \"a pooler\");\n    }\n}\n";
    for (function, expected) in [
        ("one", vec!["LEADLINE_A"]),
        ("two", vec!["LEADLINE_B"]),
        ("three", vec![]),
        ("four", vec!["LEADLINE_D"]),
    ] {
        assert_eq!(wanted(text, function).into_iter().collect::<Vec<_>>(), expected, "{function}");
    }
    assert!(is_set("LEADLINE_POOLER_REQUIRED") && is_set("LEADLINE_ROOT_REQUIRED"));
    assert!(is_set("LEADLINE_PG_CLIENTS_REQUIRED") && !is_set("LEADLINE_NOBODY_SETS_THIS"));
}
