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
    let help = field.help.replace('|', "\\|");
    // What looks like an address or a tag is shown as it stands.
    let help: Vec<String> = help
        .split(' ')
        .map(|word| {
            let is_code = word.contains("{{") || word.contains('<') || word.contains("://");
            if is_code { format!("`{word}`") } else { word.to_owned() }
        })
        .collect();
    format!("| `{}` | {is} | {default} | {} |\n", field.name, help.join(" "))
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
