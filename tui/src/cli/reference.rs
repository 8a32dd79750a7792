//! The page of the commands, made from their own definitions.

use std::{fs, path::Path};

use clap::{Arg, Command, CommandFactory as _};

use super::Cli;

const HEAD: &str = "# Commands of leadline\n\n\
    Made from the program's own definitions and held equal to them by a test. `--help` behind any of them says the same on \
    the terminal, and `leadline man DIRECTORY` writes pages for `man`. Without a command `leadline` opens \
    [the console](../console.md).\n";

/// In a cell of a table, or in a line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn name(argument: &Arg) -> String {
    let values: Vec<_> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let values = if argument.get_action().takes_values() { values.join(" ") } else { String::new() };
    let flag = argument.get_long().map(|flag| format!("--{flag}")).unwrap_or_default();
    format!("{flag} {values}").trim().to_owned()
}

fn means(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let words: Vec<_> = argument
        .get_possible_values()
        .into_iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    let is_choice = argument.get_action().takes_values() && !argument.is_hide_possible_values_set();
    let choice =
        if words.is_empty() || !is_choice { String::new() } else { format!(" ({})", words.join(", ")) };
    let needed = if argument.is_required_set() { " *Required.*" } else { "" };
    format!("{}{choice}{needed}", line(&help))
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = arguments
        .filter(|argument| {
            !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
        })
        .map(|argument| format!("| `{}` | {} |\n", name(argument).replace('|', "\\|"), means(argument)))
        .collect();
    if rows.is_empty() { rows } else { format!("\n| Argument | Means |\n|---|---|\n{rows}") }
}

fn section(command: &Command, above: &str, page: &mut String) {
    let path = format!("{above} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let depth = if above == "leadline" { "##" } else { "###" };
    page.push_str(&format!("\n{depth} {path}\n\n{}\n", line(&about)));
    let own = command.get_arguments().filter(|argument| !argument.is_global_set());
    page.push_str(&arguments(own));
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(below, &path, page);
    }
}

fn page() -> String {
    let whole = Cli::command();
    let mut page = format!("{HEAD}\n## leadline\n");
    page.push_str(&arguments(whole.get_arguments()));
    page.push_str("\nWhat reaches the daemon, `--output` and `--wide` may stand behind every command.\n");
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(command, "leadline", &mut page);
    }
    page
}

#[test]
fn the_page_of_commands_is_made_from_their_definitions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/commands.md");
    let made = page();
    if std::env::var_os("LEADLINE_WRITE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == made, "docs/reference/commands.md: make docs-pages writes it anew");
}
