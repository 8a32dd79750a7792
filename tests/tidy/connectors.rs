//! Connectors look alike, so that whoever knows one knows all.

use std::fs;

use super::{check, files, product, root};

/// How a setting would be looked up by the name of its key.
const BY_KEY: [&str; 6] = [
    "config[\"",
    "config.get(",
    "credentials[\"",
    "credentials.get(",
    "config.as_object(",
    "credentials.as_object(",
];

#[test]
fn connectors_read_their_settings_as_types() {
    let mut findings = Vec::new();
    for (path, text) in files("daemon/connectors/src", ".rs") {
        if path.contains("tests") || path.contains("testkit") {
            continue;
        }
        let lines = product(&text).filter(|line| BY_KEY.iter().any(|way| line.contains(way)));
        findings.extend(lines.map(|line| format!("{path}: {}", line.trim())));
    }
    check("a setting is a field of a struct that `settings!` makes, and is read as such", &findings);
}

/// What each connector's folder has, so that whoever knows one knows all; looks at a target where it takes one.
const ROOMS: [&str; 5] = ["mod", "config", "push", "error", "tests"];

#[test]
fn every_connector_has_the_same_rooms() {
    let source = root().join("daemon/connectors/src");
    let folders = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.filter(|folder| folder.join("mod.rs").is_file()).collect();
    let mut findings = Vec::new();
    for folder in &folders {
        let manifest = fs::read_to_string(folder.join("mod.rs")).unwrap();
        let probe = manifest.contains("async fn probe(").then_some("probe");
        let missing =
            ROOMS.into_iter().chain(probe).filter(|room| !folder.join(format!("{room}.rs")).is_file());
        findings.extend(missing.map(|room| format!("{} has no {room}.rs", folder.display())));
    }
    assert!(folders.len() >= 10, "the folders of the connectors are not found");
    check("a connector's folder has the same rooms as the others'", &findings);
}

/// Where a connector is named beside its own folder, fake, tests and page: what a new one touches.
const NAMED: [&str; 12] = [
    // Its module, and its place in `ALL`.
    "daemon/connectors/src/lib.rs",
    // What its plan consists of, if it has one.
    "daemon/connectors/src/plan.rs",
    // Its module, and its place in `VENDORS`.
    "tests/fakes/src/lib.rs",
    // Its module of tests.
    "tests/e2e/main.rs",
    // What its settings are refused with.
    "tests/e2e/error_messages/connectors.rs",
    // What is told of it; the last is written by a test.
    "docs/SUMMARY.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/habits.md",
    // Where pipeline, campaign, tags and company go there.
    "docs/mapping.md",
    // The tests that hold a promise.
    "docs/promises.md",
];

/// Connectors whose names are no words of English, and on which nothing else is built.
const NAMES: [&str; 4] = ["activecampaign", "brevo", "klaviyo", "zoho"];

#[test]
fn a_connector_is_named_in_few_files_beside_its_own() {
    let mut findings = Vec::new();
    let all = files("", ".rs").into_iter().chain(files("", ".md"));
    for (path, text) in
        all.filter(|(path, _)| path != "tests/tidy/connectors.rs" && !path.starts_with("docs/connectors/"))
    {
        let is_own = |name: &&str| {
            path.contains(&format!("/{name}/"))
                || path.ends_with(&format!("/{name}.rs"))
                || path.ends_with(&format!("/{name}.md"))
        };
        let named = NAMES.into_iter().filter(|name| text.to_lowercase().contains(name) && !is_own(name));
        let strange = named.filter(|_| !NAMED.contains(&path.as_str()));
        findings.extend(strange.map(|name| format!("{path} names {name}")));
    }
    check("what goes over all connectors goes over `ALL` or `VENDORS`, and names none", &findings);
}

/// What a connector costs in code lines, shared parts and all, tests aside.
const LINES_EACH: usize = 557;

#[test]
fn a_connector_costs_no_more_lines_than_the_others_did() {
    let is_product =
        |path: &str| !path.contains("tests") && !path.contains("testkit") && !path.ends_with("/pages.rs");
    let sources = files("daemon/connectors/src", ".rs");
    let lines = |(path, text): &(String, String)| {
        if is_product(path) { product(text).filter(|line| !line.trim().is_empty()).count() } else { 0 }
    };
    let (_, lib) = sources.iter().find(|(path, _)| path.ends_with("src/lib.rs")).unwrap();
    let connectors = lib.lines().filter(|line| line.starts_with("    &") && line.ends_with(',')).count();
    let each = sources.iter().map(lines).sum::<usize>() / connectors;
    println!("{connectors} connectors, {each} lines of code each");
    let finding = (each > LINES_EACH).then(|| format!("{each} lines each: share what they have in common"));
    check("a connector costs no more lines than those before", &Vec::from_iter(finding));
    let contributing = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    assert!(contributing.contains(&format!("is held at {LINES_EACH} lines")), "CONTRIBUTING says another");
}
