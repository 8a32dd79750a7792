//! What a shell proposes as one types: verbs and options from the definitions, and what there is from the daemon.

use std::{
    ffi::{OsStr, OsString},
    io, thread,
    time::Duration,
};

use clap::{Arg, Command};
use clap_complete::{
    Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use leadline_client::{Client, PAGE_MAX, Reach};
use leadline_proto::v1;

use crate::{
    config::{Config, Wanted, typed_path},
    jobs::JobSummary,
    text::display_text,
};

/// Set by the script of a shell, to the shell's name: the line so far stands behind `--`.
const VARIABLE: &str = "LEADLINE_COMPLETE";
/// Nobody waits longer for a proposal: a daemon that is away or slow proposes nothing.
const PATIENCE: Duration = Duration::from_millis(800);
/// How many characters a proposal says of what it is.
const HELP_MAX: usize = 60;

/// So many are proposed of what there is without end.
const NEWEST: u32 = 50;

/// What the daemon is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noun {
    Company,
    Integration,
    Connector,
    Flow,
    Cause,
    Job,
    Form,
    Token,
    Key,
    Lead,
    Delivery,
    Attempt,
}

/// What may stand there, and what it is.
type Completion = (String, String);

/// The script by which a shell asks `leadline` itself.
pub(super) fn script(shell: Shell) -> io::Result<String> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| io::Error::other(format!("unknown shell {name}")))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "leadline", "leadline", "leadline", &mut script)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// What to propose, if a shell asks; none if this is a command like any other.
pub(super) fn proposals(command: Command) -> Option<io::Result<String>> {
    let shell = std::env::var_os(VARIABLE).filter(|shell| !shell.is_empty())?;
    let line: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    Some(proposed(command, &shell, line))
}

fn proposed(command: Command, shell: &OsStr, line: Vec<OsString>) -> io::Result<String> {
    let shells = Shells::builtins();
    let name = shell.to_string_lossy();
    let shell = shells.completer(&name).ok_or_else(|| io::Error::other(format!("unknown shell {name}")))?;
    let reach = reach_of(&line);
    let mut command = asking(command, "", reach.as_ref());
    command.build();
    let mut text = Vec::new();
    shell.write_complete(&mut command, line, None, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Where the daemon of this line is; none if the settings cannot be read.
fn reach_of(line: &[OsString]) -> Option<Reach> {
    let option = |name: &str| {
        let words = || line.iter().map(|word| word.to_string_lossy().into_owned());
        let behind = words().skip_while(|word| word != name).nth(1);
        behind.or_else(|| words().find_map(|word| word.strip_prefix(&format!("{name}=")).map(str::to_owned)))
    };
    let file = |name: &str| option(name).map(|path| typed_path(&path));
    let reach = Reach {
        server: option("--server"),
        token: option("--token"),
        token_file: file("--token-file"),
        ca: file("--ca"),
        client_cert: file("--client-cert"),
        client_key: file("--client-key"),
        ..Reach::default()
    };
    let wanted = Wanted { profile: option("--profile"), reach, ..Wanted::default() };
    Some(Config::load_for_command().ok()?.choose(wanted).ok()?.reach)
}

/// The same command, whose arguments ask the daemon what there is; `noun` is the command's that it stands in.
fn asking(command: Command, noun: &str, reach: Option<&Reach>) -> Command {
    let command = command.mut_args(|arg| match (meant(noun, &arg), reach) {
        (Some(of), Some(reach)) => {
            let reach = reach.clone();
            arg.add(ArgValueCompleter::new(move |typed: &OsStr| candidates(of, &reach, typed)))
        }
        _ => arg,
    });
    command.mut_subcommands(|inner| {
        let noun = if noun.is_empty() { inner.get_name().to_owned() } else { noun.to_owned() };
        asking(inner, &noun, reach)
    })
}

/// What an argument names.
fn meant(noun: &str, arg: &Arg) -> Option<Noun> {
    Some(match (arg.get_long(), noun, arg.get_id().as_str()) {
        (Some("company"), ..) | (None, "company", "company") => Noun::Company,
        (Some("integration"), ..) | (None, "integration", "integration") => Noun::Integration,
        (Some("then"), "flow", _) => Noun::Integration,
        (Some("connector" | "help-connector"), ..) => Noun::Connector,
        (None, "flow", "flow") => Noun::Flow,
        (Some("cause"), ..) | (None, "failure", "cause") => Noun::Cause,
        (Some("job"), ..) | (None, "job", "id") => Noun::Job,
        (None, "form", "form") => Noun::Form,
        (None, "token", "id") => Noun::Token,
        (None, "intake-key", "id") => Noun::Key,
        (Some("lead"), ..) | (None, "lead", "uuid") => Noun::Lead,
        (Some("delivery"), ..) | (None, "delivery", "id" | "ids") => Noun::Delivery,
        (None, "attempt", "id") => Noun::Attempt,
        _ => return None,
    })
}

/// What there is that begins as was typed. The daemon is asked on a thread of its own: a shell knows no runtime.
fn candidates(of: Noun, reach: &Reach, typed: &OsStr) -> Vec<CompletionCandidate> {
    let reach = reach.clone();
    let asked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let asked = async { tokio::time::timeout(PATIENCE, ask(of, &reach)).await };
        runtime.block_on(asked).ok().flatten()
    });
    // A thread that panicked proposes nothing either.
    let found = asked.join().ok().flatten().unwrap_or_default();
    let typed = typed.to_string_lossy();
    let candidate = |(value, what): Completion| {
        let what: String = display_text(&what).chars().take(HELP_MAX).collect();
        CompletionCandidate::new(value).help(Some(what.into()))
    };
    found.into_iter().filter(|(value, _)| value.starts_with(&*typed)).map(candidate).collect()
}

async fn ask(of: Noun, reach: &Reach) -> Option<Vec<Completion>> {
    let client = Client::find(reach).await.ok()?;
    match of {
        Noun::Lead | Noun::Delivery | Noun::Attempt => newest(of, &client).await,
        _ => all(of, &client).await,
    }
}

/// What there is few of.
async fn all(of: Noun, client: &Client) -> Option<Vec<Completion>> {
    let page_size = PAGE_MAX;
    Some(match of {
        Noun::Company => {
            let request = v1::ListCompaniesRequest { page_size, ..Default::default() };
            let found = client.list_companies(request).await.ok()?.companies;
            found.into_iter().map(|it| (it.id.to_string(), it.name)).collect()
        }
        Noun::Integration => {
            let request = v1::ListIntegrationsRequest { page_size, ..Default::default() };
            integrations(client.list_integrations(request).await.ok()?.integrations)
        }
        Noun::Connector => {
            let found = client.all_connectors().await.ok()?;
            found.into_iter().map(|it| (it.name, it.summary)).collect()
        }
        Noun::Flow => {
            let request = v1::ListFlowsRequest { page_size, ..Default::default() };
            let found = client.list_flows(request).await.ok()?.flows;
            found.into_iter().map(|it| (it.id, it.name)).collect()
        }
        Noun::Cause => {
            let request = v1::ListFailuresRequest { page_size, include_snoozed: true, ..Default::default() };
            let found = client.list_failures(request).await.ok()?.failures;
            found.into_iter().map(|it| (it.cause, format!("{} dead: {}", it.dead, it.text))).collect()
        }
        Noun::Job => {
            let request = v1::ListJobsRequest { page_size: NEWEST, ..Default::default() };
            let found = client.list_jobs(request).await.ok()?.jobs;
            let told = |it: v1::Job| {
                let what =
                    format!("{}: {}", it.state().word(), JobSummary::of(&it).sentence(|at| at.to_string()));
                (it.id, what)
            };
            found.into_iter().map(told).collect()
        }
        Noun::Form => {
            let request = v1::ListFormsRequest { page_size, ..Default::default() };
            let found = client.list_forms(request).await.ok()?.forms;
            found.into_iter().map(|it| (it.id, format!("{}, company {}", it.name, it.company_id))).collect()
        }
        Noun::Token => {
            let request = v1::ListTokensRequest { page_size, ..Default::default() };
            let found = client.list_tokens(request).await.ok()?.tokens;
            let told = |it: v1::Token| {
                let what = format!("{} {}… {}", it.role().word(), it.prefix, it.name);
                (it.id, what)
            };
            found.into_iter().map(told).collect()
        }
        Noun::Key => {
            let request = v1::ListIntakeKeysRequest { page_size, ..Default::default() };
            let found = client.list_intake_keys(request).await.ok()?.keys;
            found.into_iter().map(|it| (it.id, format!("{}… company {}", it.prefix, it.company_id))).collect()
        }
        Noun::Lead | Noun::Delivery | Noun::Attempt => Vec::new(),
    })
}

/// The newest of what there is too much of to propose all.
async fn newest(of: Noun, client: &Client) -> Option<Vec<Completion>> {
    let page_size = NEWEST;
    Some(match of {
        Noun::Lead => {
            let request = v1::ListLeadsRequest { page_size, ..Default::default() };
            let found = client.list_leads(request).await.ok()?.leads;
            found.into_iter().map(|it| (it.uuid, format!("{}, {}", it.name, it.company_name))).collect()
        }
        Noun::Delivery => {
            let request = v1::ListDeliveriesRequest { page_size, ..Default::default() };
            let found = client.list_deliveries(request).await.ok()?.deliveries;
            let what = |it: &v1::Delivery| journey(it.state().word(), &it.lead_name, &it.integration_name);
            found.into_iter().map(|it| (it.id.clone(), what(&it))).collect()
        }
        _ => {
            let request = v1::ListAttemptsRequest { page_size, ..Default::default() };
            let found = client.list_attempts(request).await.ok()?.attempts;
            let what = |it: &v1::Attempt| journey(it.state().word(), &it.lead_name, &it.integration_name);
            found.into_iter().map(|it| (it.id.clone(), what(&it))).collect()
        }
    })
}

/// Where a delivery or an attempt goes, and how far it is: `dead: Ann Reed to HubSpot`.
fn journey(state: &str, lead: &str, integration: &str) -> String {
    format!("{state}: {lead} to {integration}")
}

/// By company and name, and by the name alone where it is the only one; by the id where a shell would take the name
/// for more than a word.
fn integrations(found: Vec<v1::Integration>) -> Vec<Completion> {
    // One that begins with a dash would be an option.
    let is_word = |text: &str| {
        !text.starts_with('-') && text.chars().all(|c| c.is_alphanumeric() || "-_.@+".contains(c))
    };
    let mut proposals = Vec::new();
    for it in &found {
        let badge = it.health.as_ref().map(|health| health.badge().word()).unwrap_or_default();
        let what = format!("{} / {}: {badge}", it.company_name, it.name);
        if !is_word(&it.name) {
            proposals.push((it.id.clone(), what));
            continue;
        }
        if found.iter().filter(|other| other.name == it.name).count() == 1 {
            proposals.push((it.name.clone(), what.clone()));
        }
        proposals.push((format!("{}/{}", it.company_id, it.name), what));
    }
    proposals
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn named(company_id: i64, name: &str, id: &str) -> v1::Integration {
        v1::Integration { company_id, name: name.into(), id: id.into(), ..Default::default() }
    }

    #[test]
    fn an_integration_is_proposed_by_what_names_it_alone() {
        let found = vec![named(7, "HubSpot", "A"), named(8, "HubSpot", "B"), named(7, "hook", "C")];
        let values = |found| integrations(found).into_iter().map(|(value, _)| value).collect::<Vec<_>>();
        assert_eq!(values(found), ["7/HubSpot", "8/HubSpot", "hook", "7/hook"]);
        for name in ["big $(x) weddings", "--yes", "8/HubSpot"] {
            assert_eq!(values(vec![named(7, name, "D")]), ["D"], "a shell reads no name as more");
        }
    }

    #[test]
    fn the_daemon_is_asked_for_what_an_argument_names() {
        let command = super::super::Cli::command();
        let argument = |noun: &str, verb: &str, name: &str| {
            let verb = command.find_subcommand(noun).unwrap().find_subcommand(verb).unwrap();
            meant(noun, verb.get_arguments().find(|arg| arg.get_id() == name).unwrap())
        };
        for (noun, verb, name, expected) in [
            ("company", "show", "company", Some(Noun::Company)),
            ("integration", "show", "integration", Some(Noun::Integration)),
            ("integration", "list", "company", Some(Noun::Company)),
            ("integration", "rotate-secret", "integration", Some(Noun::Integration)),
            ("integration", "create", "connector", Some(Noun::Connector)),
            ("integration", "create", "help_connector", Some(Noun::Connector)),
            ("delivery", "retry", "integration", Some(Noun::Integration)),
            ("delivery", "retry", "cause", Some(Noun::Cause)),
            ("delivery", "unskip", "job", Some(Noun::Job)),
            ("delivery", "retry", "ids", Some(Noun::Delivery)),
            ("delivery", "why", "id", Some(Noun::Delivery)),
            ("delivery", "list", "lead", Some(Noun::Lead)),
            ("attempt", "list", "delivery", Some(Noun::Delivery)),
            ("attempt", "show", "id", Some(Noun::Attempt)),
            ("form", "show", "form", Some(Noun::Form)),
            ("token", "revoke", "id", Some(Noun::Token)),
            ("intake-key", "refusals", "id", Some(Noun::Key)),
            ("lead", "find", "text", None),
            ("failure", "snooze", "cause", Some(Noun::Cause)),
            ("job", "cancel", "id", Some(Noun::Job)),
            ("flow", "update", "flow", Some(Noun::Flow)),
            ("flow", "create", "then", Some(Noun::Integration)),
            ("lead", "show", "uuid", Some(Noun::Lead)),
        ] {
            assert_eq!(argument(noun, verb, name), expected, "{noun} {verb} {name}");
        }
    }

    #[test]
    fn the_daemon_of_the_line_is_asked() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in ["leadline --server unix:/x/s company", "leadline company --server=unix:/x/s"] {
            assert_eq!(reach_of(&words(line)).unwrap().server.as_deref(), Some("unix:/x/s"), "{line}");
        }
        let line = "leadline --server https://x:1 --token-file ~/t --ca=/x/ca --client-cert /x/c --client-key /x/k company";
        let reach = reach_of(&words(line)).unwrap();
        for (file, expected) in [(reach.ca, "/x/ca"), (reach.client_cert, "/x/c"), (reach.client_key, "/x/k")]
        {
            assert_eq!(file, Some(expected.into()));
        }
        let token = reach.token_file.unwrap();
        assert!(token.is_absolute() && token.ends_with("t"), "no shell has replaced the ~ yet: {token:?}");
    }
}
