//! The command line as a whole: what parses, what is refused and how that is told.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_of_the_contract_parse() {
    for line in [
        "leadline",
        "leadline --server unix:/x",
        "leadline company create --name N --plan pro --id 7 --brand Innkept/1.0",
        "leadline -o json company list --limit 5",
        "leadline company list -o json --after X",
        "leadline company update 7 --brand B",
        "leadline company set-plan 7 --plan free --disable a,b",
        "leadline intake-key create --company 7 --require-signature",
        "leadline intake-key create --company 7 --rate-per-second 2.5",
        "leadline intake-key list",
        "leadline intake-key refusals K --limit 5",
        "leadline intake-key revoke K",
        "leadline integration create --company 7 --connector webhook --name N --config {} --mapping {} \
         --events lead.created,lead.updated --payload save_lead --routing flows --disabled --secret-stdin",
        "leadline integration create --help-connector webhook",
        "leadline -o json --server unix:/x integration create --help-connector webhook",
        "leadline integration list --company 7",
        "leadline integration show I",
        "leadline integration update I --name N",
        "leadline integration update I --events lead.created",
        "leadline integration enable I --held release",
        "leadline integration disable I",
        "leadline integration delete I --yes",
        "leadline integration test I --no-wait",
        "leadline integration rotate-secret I --grace 0s --secret-stdin",
        "leadline integration revoke-secret I",
        "leadline integration reset I",
        "leadline integration update I --routing flows",
        "leadline integration preview I --lead U --event lead.updated --mapping {} --config {}",
        "leadline integration set-mapping I --mapping {}",
        "leadline integration set-mapping I --clear",
        "leadline flow create --company 7 --name N --when true --then a b --stop --position 1 --disabled",
        "leadline flow list --company 7",
        "leadline flow show F",
        "leadline flow update F --when true --then a,b --disable --no-stop --name N",
        "leadline flow test F --last 100",
        "leadline flow test --company 7 --when true",
        "leadline flow ask-again --company 7 --dry-run",
        "leadline flow delete F",
        "leadline lead list",
        "leadline lead show U --company 7",
        "leadline lead trace U --company 7",
        "leadline lead import leads.csv --company 7 --map {} --set {} --dry-run",
        "leadline lead erase U --company 7 --yes",
        "leadline delivery list --undelivered --integration I --lead U --limit 1",
        "leadline delivery list --state dead,held",
        "leadline delivery show D",
        "leadline delivery retry D E --no-wait",
        "leadline delivery retry --integration I --class transient --since 2h --dry-run",
        "leadline attempt list --integration I",
        "leadline attempt list --delivery D",
        "leadline attempt show A",
        "leadline watch --company 7",
        "leadline demo --headless --leads 5",
        "leadline completions bash",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn the_help_of_a_connector_needs_nothing_else() {
    let cli = parse("leadline integration create --help-connector webhook").unwrap();
    let Some(Command::Integration(integration::IntegrationVerb::Create(create))) = cli.command else {
        panic!()
    };
    assert!(format!("{create:?}").contains("fields: None"), "{create:?}");
}

#[test]
fn a_wrong_command_line_is_told_in_one_line() {
    let blank_value = "leadline delivery skip --integration";
    let words = blank_value.split(' ').chain([" "]);
    let Err(Wrong::Blank(name)) = super::parse(words) else { panic!("a blank value was taken") };
    assert_eq!(
        blank(&name),
        "--integration has an empty value: give one, or leave it out; --help tells more"
    );
    for line in
        ["leadline company show ''", "leadline flow update F --then A,", "leadline lead list --after="]
    {
        let words = line.split(' ').map(|word| word.trim_matches('\''));
        assert!(matches!(super::parse(words), Err(Wrong::Blank(_))), "{line}");
    }
    assert!(super::parse("leadline delivery list --state dead".split(' ')).is_ok());
    for (line, part) in [
        ("leadline compny list", "unrecognized subcommand 'compny'; a similar subcommand exists: 'company'"),
        ("leadline company create", "--name <NAME>"),
        ("leadline company create --name N --plan gold", "[possible values: free, starter, pro, multi]"),
        ("leadline integration create --name N", "--company <ID>"),
        ("leadline integration create", "--connector <CONNECTOR>"),
        ("leadline integration update I", "--config <JSON>"),
        ("leadline integration set-mapping I", "--mapping <JSON>"),
        ("leadline flow update F", "--when <EXPR>"),
        ("leadline flow test", "<ID>"),
        ("leadline flow test --company 7", "--when <EXPR>"),
        ("leadline flow create --company 7 --name N --when true", "--then <ID>"),
        ("leadline delivery list --state dead,", "a value is required for '--state <STATE>'"),
        ("leadline company list --limit 0", "1..=1000"),
        ("leadline attempt list --limit 0", "1..=1000"),
        ("leadline integration rotate-secret I --grace soon", "90s, 24h or 7d"),
        ("leadline delivery list --since soon", "give a time such as 14:00, yesterday, 2h"),
    ] {
        let reported = one_line(&parse(line).unwrap_err().render().to_string());
        assert!(reported.contains(part) && reported.ends_with("--help tells more"), "{line}: {reported}");
        assert!(!reported.contains('\n') && !reported.starts_with("error"), "{reported}");
    }
}

/// The pages that tell commands.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in [root.join("docs"), root.join("docs/connectors")] {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    pages
}

/// The words of a command as a shell reads them, up to its end or the end of the code that it stands in.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut left = text.chars();
    while let Some(c) = left.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => match left.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\n' | '`' | '|' | ';' | '<' | '>' | ')') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A command's page for `man`, and those of the commands below it, each with what it lacks.
fn lacking(command: &clap::Command, above: &str, directory: &Path, wrong: &mut Vec<String>) -> usize {
    let name =
        if above.is_empty() { "leadline".to_owned() } else { format!("{above}-{}", command.get_name()) };
    let page = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap_or_default();
    // As roff has a hyphen that is no dash.
    let page = page.replace("\\-", "-");
    if page.is_empty() {
        wrong.push(format!("{name} has no page"));
    }
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    for flag in shown.filter_map(|argument| argument.get_long()) {
        if !page.contains(&format!("--{flag}")) {
            wrong.push(format!("{name} does not name --{flag}"));
        }
    }
    let below =
        command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    1 + below.map(|command| lacking(command, &name, directory, wrong)).sum::<usize>()
}

#[test]
fn each_command_has_a_page_of_the_manual_that_names_its_flags() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    write_manual(&pages).unwrap();
    let mut command = Cli::command();
    command.build();
    let mut wrong = Vec::new();
    let count = lacking(&command, "", &pages, &mut wrong);
    assert!(count > 80, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_commands_of_the_pages_parse() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("leadline ") {
            // As a command stands in code, and not as the name of a folder or in a sentence.
            let is_code = text[..at].ends_with(['\n', '`', '(']) || text[..at].ends_with("; ");
            if !is_code || text[at..].starts_with("leadline NOUN VERB") {
                continue;
            }
            count += 1;
            let words = words(&text[at..]);
            // A sentence may name a command without saying of what.
            let is_named_only = text[..at].ends_with('`');
            match Cli::try_parse_from(&words) {
                Err(error) if is_named_only && error.kind() == ErrorKind::MissingRequiredArgument => {}
                Err(error) => wrong.push(format!("{}: {words:?}: {error}", page.display())),
                Ok(_) => {}
            }
        }
    }
    assert!(count > 50, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
