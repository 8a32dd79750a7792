//! What is told of metrics and log lines is what the code has: the pages are made from it, and the alert rules and the
//! dashboard ask for no metric that there is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use leadlined::telemetry::catalogue::{self, METRICS};

use super::{page_is, root};

/// Every source of the daemon, without its tests.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    read_folder(&root().join("daemon"), &mut sources);
    assert!(sources.len() > 200, "the sources are not read right");
    sources
}

fn read_folder(folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            read_folder(&path, sources);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            sources.push((path.strip_prefix(root()).unwrap().display().to_string(), product));
        }
    }
}

/// What stands between the parentheses after each `head`, which ends with the opening one.
fn arguments<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(head) {
        let rest = &text[at + head.len()..];
        let (mut depth, mut is_text, mut is_escaped) = (1, false, false);
        let end = rest.char_indices().find(|(_, c)| {
            match (is_text, *c) {
                (true, _) if is_escaped => is_escaped = false,
                (true, '\\') => is_escaped = true,
                (_, '"') => is_text = !is_text,
                (false, '(') => depth += 1,
                (false, ')') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        found.push(&rest[..end.unwrap().0]);
    }
    found
}

/// The texts of some arguments, in order.
fn texts(arguments: &str) -> Vec<String> {
    let spaced = arguments.replace("\\\n", " ").replace("\\\"", "'");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    spaced.split('"').skip(1).step_by(2).map(words).collect()
}

#[test]
fn every_metric_is_in_the_catalogue_with_its_labels() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, text) in sources() {
        for kind in ["counter", "gauge", "histogram"] {
            for found in arguments(&text, &format!("metrics::{kind}!(")) {
                let labels = used.entry(texts(found)[0].clone()).or_default();
                labels
                    .extend(found.split("=>").filter_map(|part| part.rsplit('"').nth(1)).map(str::to_owned));
                labels.remove(&texts(found)[0]);
            }
        }
    }
    for values in used.values_mut() {
        // The last part of a metric's arguments may end with a literal value.
        values.retain(|label| METRICS.iter().any(|metric| metric.labels.contains(&label.as_str())));
    }
    let described: BTreeMap<String, BTreeSet<String>> = METRICS
        .iter()
        .map(|metric| {
            (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect())
        })
        .collect();
    assert_eq!(used, described);
}

#[test]
fn the_page_of_metrics_is_made_from_the_catalogue() {
    page_is("docs/reference/metrics.md", &catalogue::page());
}

#[test]
fn every_line_of_the_log_has_a_name_of_its_own_and_stands_on_the_page() {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for level in ["info", "warn", "error"] {
            for found in arguments(&text, &format!("tracing::{level}!(")) {
                let Some(event) = found.split_once("event = \"").and_then(|(_, rest)| rest.split('"').next())
                else {
                    faults
                        .push(format!("{file}: a line of the level {level} without `event = \"…\"`:{found}"));
                    continue;
                };
                let message = texts(found).pop().unwrap().replace('|', "\\|");
                let message = if message.contains('{') { String::new() } else { message };
                if rows.insert(event.to_owned(), format!("| `{event}` | {level} | {message} |\n")).is_some() {
                    faults.push(format!("{file}: {event} is the name of another line, too"));
                }
                if !event.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                    faults.push(format!("{file}: {event} is no name in lower case"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let head = "# Events of the log\n\n\
        Made from the daemon's sources by a test. `event` is the field by which programs know a line; \
        messages may be reworded.\nBeside it a line has `timestamp`, `level`, and what it is about \
        (`company`, `integration`, `delivery`, `attempt`, `error`, …).\n\
        Lines of the levels `debug` and `trace` are for those who work on the daemon, and have no names.\n\n\
        | Event | Level | Says |\n|---|---|---|\n";
    page_is("docs/reference/log.md", &format!("{head}{}", rows.into_values().collect::<String>()));
}

#[test]
fn what_the_page_reads_of_the_log_stands_in_its_line() {
    let page = fs::read_to_string(root().join("docs/watch.md")).unwrap();
    // Among JSON stand lines of systemd's.
    let (_, read) = page.split_once("jq -Rr 'fromjson? | select(.event == \"").unwrap();
    let (event, read) = read.split_once('"').unwrap();
    let fields = read.split_once('[').unwrap().1.split_once(']').unwrap().0;
    let (sources, event) = (sources(), format!("event = \"{event}\""));
    let mut lines = sources.iter().flat_map(|(_, text)| arguments(text, "tracing::warn!("));
    let line = lines.find(|line| line.contains(&event)).unwrap();
    let lacking: Vec<_> = fields
        .split(", ")
        .filter(|field| *field != ".timestamp" && !line.contains(&format!("{} = ", &field[1..])))
        .collect();
    assert!(lacking.is_empty(), "the line has no {lacking:?}: {line}");
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for file in ["packaging/prometheus/leadline.rules.yml", "packaging/grafana/leadline.json"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let asked: BTreeSet<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("leadline_"))
            .map(|word| {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word)
            })
            .collect();
        assert!(asked.len() > 5, "{file} is not read right");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn every_alert_is_explained_and_tried() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let rules = read("packaging/prometheus/leadline.rules.yml");
    let tests = read("packaging/prometheus/leadline.rules.test.yml");
    let page = read("docs/watch.md");
    let alerts: BTreeSet<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let names = |line: &str| Some(line.split_once("alertname: ")?.1.split(',').next()?.to_owned());
    // That it rings at all takes a case in which it does.
    let rings = |name: &str| {
        let lines: Vec<_> = tests.lines().collect();
        lines
            .windows(2)
            .any(|pair| names(pair[0]).is_some_and(|it| it == name) && pair[1].trim() == "exp_alerts:")
    };
    let silent: Vec<_> = alerts.iter().filter(|name| !rings(name)).collect();
    assert!(silent.is_empty(), "leadline.rules.test.yml has no case in which {silent:?} rings");
    let explained: BTreeSet<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `Leadline")?.split('`').next()).collect();
    let explained: BTreeSet<String> = explained.into_iter().map(|name| format!("Leadline{name}")).collect();
    assert_eq!(alerts.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), explained);
}
