//! The tables of settings in `docs/connectors`, which are made from the settings themselves.
//!
//! `LEADLINE_WRITE_PAGES=1 cargo test --workspace --lib pages` writes them anew.

use std::{env, fs, path::Path};

use crate::{
    ALL, ConfigField, Connector,
    config::{Common, SettingKind, Settings as _},
};

const HEAD: &str = "## Config and credentials\n";

/// A key, what it may be, and what it is for.
fn row(field: &ConfigField) -> String {
    let is = match (field.words, field.kind) {
        ([], kind) => kind.as_str().to_owned(),
        (words, _) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    };
    let default = match (field.required, field.default) {
        (true, _) => "required".to_owned(),
        (false, "") => String::new(),
        (false, default) if field.kind == SettingKind::Text => format!("`{default}`"),
        (false, default) => default.to_owned(),
    };
    format!("| `{}` | {is} | {default} | {} |\n", field.name, told(field.help))
}

/// A help text as a cell: what looks like an address, a tag or a placeholder is shown as it stands, blanks within it too.
fn told(help: &str) -> String {
    let help = help.replace('|', "\\|");
    let (mut told, mut words) = (Vec::new(), help.split(' '));
    while let Some(word) = words.next() {
        let mut word = word.to_owned();
        while word.matches("{{").count() > word.matches("}}").count()
            && let Some(more) = words.next()
        {
            word = format!("{word} {more}");
        }
        let code = word.trim_end_matches([',', ';', ':', ')']);
        let is_code = ["{{", "<", "://"].iter().any(|mark| code.contains(mark));
        told.push(if is_code { format!("`{code}`{}", &word[code.len()..]) } else { word });
    }
    told.join(" ")
}

#[test]
fn what_stands_as_it_is_keeps_its_blanks_and_no_punctuation() {
    for (help, expected) in [
        ("as /leads?ref={{ lead.uuid }}", "as `/leads?ref={{ lead.uuid }}`"),
        ("by {{ lead.uuid }}/{{ lead.email }} or not", "by `{{ lead.uuid }}/{{ lead.email }}` or not"),
        ("My Domain, https://a.example; else", "My Domain, `https://a.example`; else"),
        ("as https://a.example/… , with ?x=…", "as `https://a.example/…` , with ?x=…"),
        ("an unclosed {{ lead.uuid", "an unclosed `{{ lead.uuid`"),
    ] {
        assert_eq!(told(help), expected);
    }
}

fn table(head: &str, fields: &[ConfigField]) -> String {
    let rows: String = fields.iter().map(row).collect();
    format!("| {head} | Is | Default | |\n|---|---|---|---|\n{rows}")
}

/// The section of a connector's page.
fn section(connector: &dyn Connector) -> String {
    let manifest = connector.manifest();
    let own: Vec<ConfigField> = manifest.fields.iter().chain(Common::FIELDS).copied().collect();
    let config = table("Config", &own);
    let credentials = match manifest.credentials {
        [] => String::new(),
        fields => format!("\n{}", table("Credentials", fields)),
    };
    format!("{HEAD}\n{config}{credentials}")
}

#[test]
fn every_page_has_the_table_of_its_settings() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors");
    let mut stale = Vec::new();
    for connector in ALL {
        let name = connector.manifest().name;
        let file = pages.join(format!("{name}.md"));
        let page =
            fs::read_to_string(&file).unwrap_or_else(|_| panic!("docs/connectors/{name}.md is missing"));
        let Some(start) = page.find(HEAD) else { panic!("docs/connectors/{name}.md has no section {HEAD}") };
        let rest = &page[start + HEAD.len()..];
        // What follows the tables, be it text of the section or the next one.
        let after = rest.lines().skip_while(|line| line.is_empty() || line.starts_with('|'));
        let after = after.collect::<Vec<_>>().join("\n");
        let tail = if after.is_empty() { String::new() } else { format!("\n{after}\n") };
        let wanted = format!("{}{}{tail}", &page[..start], section(*connector));
        if page == wanted {
            continue;
        }
        stale.push(name);
        if env::var_os("LEADLINE_WRITE_PAGES").is_some() {
            fs::write(&file, wanted).unwrap();
        }
    }
    assert!(
        stale.is_empty(),
        "the tables of {stale:?} are stale: run with LEADLINE_WRITE_PAGES=1 and look at them"
    );
}
