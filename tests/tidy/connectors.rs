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
        let probe = manifest.contains("fn probes").then_some("probe");
        let missing =
            ROOMS.into_iter().chain(probe).filter(|room| !folder.join(format!("{room}.rs")).is_file());
        findings.extend(missing.map(|room| format!("{} has no {room}.rs", folder.display())));
    }
    assert!(folders.len() >= 10, "the folders of the connectors are not found");
    check("a connector's folder has the same rooms as the others'", &findings);
}
