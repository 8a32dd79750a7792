//! Where dependencies come from and under which licences: the rules of `deny.toml`, held without `cargo deny` and without
//! a network. What is known to be faulty only a network tells: `cargo audit`, SECURITY.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
};

use serde_json::Value;

use super::{check, files, root};

/// How many crates there may be in a version beside another one: fewer is better, more needs a reason here. All but a few
/// are what others have not yet left behind (`rand`, `digest`, `toml`, `syn`).
const DUPLICATES_MAX: usize = 42;
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn read(name: &str) -> toml::Table {
    fs::read_to_string(root().join(name)).unwrap().parse().unwrap()
}

fn texts(rules: &toml::Table, table: &str, key: &str, part: Option<&str>) -> BTreeSet<String> {
    let list = rules[table][key].as_array().unwrap();
    list.iter().map(|it| part.map_or(it, |part| &it[part]).as_str().unwrap().to_owned()).collect()
}

/// What Cargo has locked: name, version, and where it comes from; none for what is our own.
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock = read("Cargo.lock");
    let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|it| (text(it.get("name")).unwrap(), text(it.get("version")).unwrap(), text(it.get("source"))))
        .collect()
}

/// The machine that this is built on.
fn host() -> String {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// What is built for a machine, as Cargo knows it without a network; nothing where it has not fetched all of that.
fn metadata(target: &str) -> Option<Value> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", target]);
    let output = cargo.current_dir(root()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if told.contains("--offline was specified") {
        return None;
    }
    assert!(output.status.success(), "{told}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Whether an expression of licences can be kept with these: `OR` leaves a choice, `AND` binds stronger and leaves none.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().collect::<Vec<_>>().into_iter().peekable();
    let is_whole = any_of(&mut words, allowed);
    is_whole && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::vec::IntoIter<&'a str>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut any = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        any |= all_of(words, allowed);
    }
    any
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut all = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        all &= one(words, allowed);
    }
    all
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let inner = any_of(words, allowed);
        return words.next() == Some(")") && inner;
    }
    let Some(licence) = words.next() else { return false };
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => allowed.contains(&format!("{licence} WITH {exception}")),
        None => allowed.contains(licence),
    }
}

#[test]
fn licences_are_read_as_they_are_written() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, is_good) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/GPL-2.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("ISC AND (GPL-3.0-only OR AGPL-3.0-only)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("MIT ISC", false),
        ("(MIT", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), is_good, "{expression}");
    }
}

#[test]
fn dependencies_are_licensed_as_the_rules_allow() {
    let rules = read("deny.toml");
    let allowed = texts(&rules, "licenses", "allow", None);
    let (host, mut targets) = (host(), texts(&rules, "graph", "targets", None));
    targets.insert(host.clone());
    let mut findings = BTreeSet::new();
    for target in &targets {
        let Some(metadata) = metadata(target) else {
            // What is built here has been fetched.
            assert_ne!(*target, host, "it is not known what is built here");
            println!("left out: the crates for {target} alone are not fetched here (cargo fetch)");
            continue;
        };
        let packages = metadata["packages"].as_array().unwrap();
        assert!(packages.len() > 100, "{}", packages.len());
        for package in packages {
            let licence = package["license"].as_str().unwrap_or_default();
            if !is_allowed(licence, &allowed) {
                findings.insert(format!("{} {}: {licence:?}", package["name"], package["version"]));
            }
        }
    }
    check("a dependency has a licence that deny.toml allows", &Vec::from_iter(findings));
}

/// The dependencies of a manifest without a version of their own: any at all (`*`), or none said. One of the workspace's
/// has its version there, and one of ours its place.
fn open_versions(manifest: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if !key.ends_with("dependencies") {
            found.extend(open_versions(table));
            continue;
        }
        for (name, wanted) in table {
            let is_elsewhere = wanted.get("workspace").or(wanted.get("path")).is_some();
            let version = wanted.as_str().or(wanted.get("version").and_then(toml::Value::as_str));
            if version.map_or(!is_elsewhere, |version| version.contains('*')) {
                found.push(name.clone());
            }
        }
    }
    found
}

#[test]
fn dependencies_have_versions() {
    let mut findings = Vec::new();
    for (path, text) in files("", "Cargo.toml") {
        findings.extend(open_versions(&text.parse().unwrap()).iter().map(|name| format!("{path}: {name}")));
    }
    check("a dependency names its version (`wildcards` in deny.toml)", &findings);
    let text = "[dependencies]\na = '*'\nb = '1'\nc = { version = '2.*' }\nd = { path = 'd' }\ne = { features = [] }\n\
                f = { workspace = true }\n[target.'cfg(unix)'.dev-dependencies]\ng = '*'\n[workspace.dependencies]\nh = '*'";
    assert_eq!(open_versions(&text.parse().unwrap()), ["a", "c", "e", "g", "h"]);
}

#[test]
fn dependencies_come_from_the_registry_and_none_is_banned() {
    let banned = texts(&read("deny.toml"), "bans", "deny", Some("name"));
    let mut findings = Vec::new();
    let own = ["leadline", "leadlined"];
    for (name, version, source) in locked() {
        let is_ours = own.contains(&&*name) || name.starts_with("leadline-");
        if source.as_deref().is_none_or(|source| source != CRATES_IO) && !is_ours {
            findings.push(format!("{name} {version} comes from {source:?}"));
        }
        if banned.contains(&name) {
            findings.push(format!("{name} {version} is banned"));
        }
    }
    check("a dependency comes from crates.io, and is none that deny.toml bans", &findings);
}

#[test]
fn crates_in_several_versions_become_no_more() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, _) in locked() {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let more: usize = versions.values().map(|versions| versions.len() - 1).sum();
    let listed: Vec<_> = versions.iter().map(|(name, all)| format!("{name} {}", all.join(", "))).collect();
    assert!(more <= DUPLICATES_MAX, "{more} duplicates: thin them, or say why\n  {}", listed.join("\n  "));
    assert!(more + 3 > DUPLICATES_MAX, "{more} duplicates only: lower DUPLICATES_MAX, so that it stays so");
}

/// There is one place for it, which every reader finds: an address of the machine that built this is none.
#[test]
fn a_fault_is_reported_where_a_reader_can() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    assert!(page.contains("*Report a vulnerability*"), "SECURITY.md does not say what to do");
    for name in ["SECURITY.md", "packaging/debian/control.in"] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        assert!(!text.contains("localhost"), "{name} names an address that nobody else reaches");
    }
}

/// The package's unit shows the daemon no file below `/proc` but those of processes.
#[test]
fn the_daemon_reads_nothing_that_its_unit_hides() {
    let unit = fs::read_to_string(root().join("packaging/leadlined.service")).unwrap();
    assert!(unit.contains("\nProcSubset=pid\n"), "it hides nothing: this need not be held");
    let mut findings = Vec::new();
    for (path, text) in files("daemon", ".rs") {
        let named = text.split("\"/proc/").skip(1).filter_map(|rest| rest.split('"').next());
        let hidden = named.filter(|name| !name.starts_with("self") && !name.starts_with('{'));
        findings.extend(hidden.map(|name| format!("{path}: /proc/{name}")));
    }
    check("what the unit hides", &findings);
}

/// systemd waits for a start as long as its migration takes, and the package would hold up all others meanwhile.
#[test]
fn who_installs_the_package_does_not_wait_for_a_migration() {
    let script = fs::read_to_string(root().join("packaging/debian/postinst")).unwrap();
    let restarts: Vec<_> =
        script.lines().map(str::trim).filter(|line| line.contains("restart leadlined")).collect();
    assert_eq!(restarts, ["systemctl --no-block try-restart leadlined.service || true"]);
}

/// What the package tells of itself: where a fault is reported, and which crates are in its programs. That both are
/// installed `make install-check` sees.
#[test]
fn the_package_says_how_to_report_a_fault_and_what_it_is_made_of() {
    let [dist, installed] =
        ["scripts/dist", "scripts/install-check"].map(|name| fs::read_to_string(root().join(name)).unwrap());
    assert!(dist.contains("README.md CHANGELOG.md SECURITY.md; do put"), "scripts/dist packs no SECURITY.md");
    assert!(dist.contains("scripts/sbom >\"$root/usr/share/leadline/sbom.cdx.json\""));
    for file in ["/usr/share/doc/leadline/SECURITY.md", "/usr/share/leadline/sbom.cdx.json"] {
        assert!(installed.contains(file), "scripts/install-check does not look for {file}");
    }
    let mut bill = Command::new(root().join("scripts/sbom"));
    let output = match bill.env("CARGO_NET_OFFLINE", "true").current_dir(root()).output() {
        Ok(output) => output,
        Err(error) => {
            println!("left out, because there is no Python: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let listed: BTreeSet<_> =
        bill["components"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    for (name, is_shipped) in [
        ("leadlined", true),
        ("tokio", true),
        ("sqlx", true),
        ("ratatui", true),
        ("portable-pty", false),
        ("proptest", false),
    ] {
        assert_eq!(listed.contains(name), is_shipped, "{name}");
    }
    for component in bill["components"].as_array().unwrap() {
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
}
