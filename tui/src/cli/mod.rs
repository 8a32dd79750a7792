//! The commands: one file per noun. Each reads its arguments, makes its calls and prints what came back.

mod activity;
mod attempt;
mod audit;
mod columns;
mod company;
mod complete;
mod config;
mod credentials;
mod delivery;
mod error;
mod failure;
mod flow;
mod form;
mod hint;
mod hold;
mod import;
mod input;
mod intake_key;
mod integration;
mod job;
mod lead;
mod notice;
mod output;
mod output_types;
mod preview;
mod progress;
mod push;
mod read_on;
#[cfg(test)]
mod reference;
mod rotation;
mod system;
mod table;
mod token;
mod told;
mod wait;
mod watch;

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind,
    parser::ValueSource,
};
use clap_complete::Shell;
use futures::future::LocalBoxFuture;
use leadline_client::{Client, PAGE_MAX, Reach};
use tokio::runtime::Builder;

use crate::{
    config::{self as settings, Config, Wanted},
    console, demo, moment,
};

pub use error::CliError;
pub use output::{Format, Out, print, report};

/// Sees what became of every lead, says why, and fixes it. Without a command it opens the console.
#[derive(Debug, Parser)]
#[command(name = "leadline", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// The daemon: unix:PATH or https://HOST:PORT [default: LEADLINE_SERVER, or control.sock in LEADLINE_DATA_DIR,
    /// /var/lib/leadline or your data directory]
    #[arg(long, global = true, value_name = "SERVER", help_heading = "Everywhere")]
    server: Option<String>,
    /// The daemon, and how to reach it, by its name in the settings file [default: LEADLINE_PROFILE, or the file's]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere", conflicts_with = "server")]
    profile: Option<String>,
    #[command(flatten)]
    network: Network,
    /// How to print [default: table on a terminal, else plain]
    #[arg(short, long, global = true, value_name = "FORM", help_heading = "Everywhere")]
    output: Option<Format>,
    /// Show ids and every column in tables
    #[arg(long, global = true, help_heading = "Everywhere")]
    wide: bool,
    /// Change nothing, only look
    #[arg(long, help_heading = "Console")]
    read_only: bool,
    /// Draw with ASCII only
    #[arg(long, help_heading = "Console")]
    ascii: bool,
    /// Draw no frames and bars, and put the cursor on what is selected: for screen readers
    #[arg(long, help_heading = "Console")]
    plain: bool,
    /// Colours of the console: auto, 16, 256, contrast or never [default: auto]
    #[arg(long, value_name = "WHEN", hide_possible_values = true, help_heading = "Console")]
    color: Option<console::Color>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a daemon over the network is reached with; on the daemon's own machine none of it is needed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Over the network")]
struct Network {
    /// What `leadline token create` showed [default: LEADLINE_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with the token, which then stands in no list of processes [default: LEADLINE_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The authority of the daemon's certificate, if that is one of your own [default: LEADLINE_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show, where the daemon asks for one
    #[arg(long, global = true, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, global = true, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl Network {
    fn reach(self, server: Option<String>) -> Reach {
        let Self { token, token_file, ca, client_cert, client_key } = self;
        Reach { server, token, token_file, ca, client_cert, client_key, is_whole: false }
    }
}

const COMPLETIONS: &str = "\
Examples:
  source <(leadline completions bash)             companies, integrations, flows, causes and jobs included
  leadline completions zsh > ~/.zfunc/_leadline
  leadline completions fish --static              where no daemon may be asked";

const EXAMPLES: &str = "\
Examples:
  leadline demo                                   see it all on this machine, then throw it away
  leadline company create --name 'The Old Barn' --plan pro
  leadline intake-key create --company 1
  leadline integration create --company 1 --connector webhook --name hook \\
      --config '{\"url\": \"https://example.com/leads\"}'
  leadline delivery list --undelivered            what is stuck, oldest first
  leadline delivery retry --integration hook      push its dead deliveries again

An ID may be a name if it is unique; an integration's may be COMPANY/NAME, as in 7/hook.
Exit codes: 0 done, 1 refused or failed, 2 usage, 69 no daemon answers, 77 you may not.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Companies: who collects leads
    #[command(subcommand)]
    Company(company::CompanyVerb),
    /// Intake keys: what opens the HTTP door for a company
    #[command(subcommand)]
    IntakeKey(intake_key::IntakeKeyVerb),
    /// Integrations: where a company's leads are pushed
    #[command(subcommand)]
    Integration(integration::IntegrationVerb),
    /// Flows: rules that say which leads go to which integrations
    #[command(subcommand)]
    Flow(flow::FlowVerb),
    /// Forms: what pages of browsers post to
    #[command(subcommand)]
    Form(form::FormVerb),
    /// Leads: what came in
    #[command(subcommand)]
    Lead(lead::LeadVerb),
    /// Deliveries: what has to reach which integration
    #[command(subcommand)]
    Delivery(delivery::DeliveryVerb),
    /// Jobs: many deliveries pushed again, and how far that is
    #[command(subcommand)]
    Job(job::JobVerb),
    /// Attempts: each push with what was sent and what came back
    #[command(subcommand)]
    Attempt(attempt::AttemptVerb),
    /// What fails, grouped by cause
    #[command(subcommand)]
    Failure(failure::FailureVerb),
    /// Attempts and what operators did, in one order of time
    Activity(activity::ActivityOptions),
    /// The daemons, the queue, the database: how the whole stands
    #[command(subcommand)]
    System(system::SystemVerb),
    /// Tokens: what opens the control API from elsewhere
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// What operators changed: who, when, before and after
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// What integrations marked for notices were told
    #[command(subcommand)]
    Notice(notice::NoticeVerb),
    /// Integrations as they change, one JSON object a line
    Watch(watch::WatchOptions),
    /// A throw-away daemon, sample receivers and a stream of leads, then the console
    Demo(demo::DemoOptions),
    /// Your settings: colours, keys, commands of your own, a profile for each daemon
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// The completions of a shell, on stdout; what there is they ask the daemon
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// Which shell
        shell: Shell,
        /// A script that asks nobody: it knows verbs and options only
        #[arg(long = "static")]
        is_static: bool,
    },
    /// Write a manual page for each command into a directory
    #[command(hide = true)]
    Man {
        /// Where the pages go
        directory: PathBuf,
    },
}

/// What every command needs: where the daemon is, and how to print.
#[derive(Debug)]
pub struct Context {
    reach: Reach,
    /// How to print.
    pub out: Out,
}

impl Context {
    /// Connects to the daemon.
    pub async fn client(&self) -> Result<Client, CliError> {
        Ok(Client::find(&self.reach).await?)
    }
}

/// How much of a list to print.
#[derive(Debug, Args)]
struct PageOptions {
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_MAX)))]
    limit: u32,
    /// Continue behind this: what the list before said, or the id of its last line
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
}

impl PageOptions {
    /// Where it begins, as the API takes it.
    fn token(self) -> String {
        self.after.unwrap_or_default()
    }
}

/// Prints a page of a list, and says so to people if more follows.
fn list_page<T: columns::ListRow>(context: &Context, items: &[T], next: &str) -> Result<(), CliError> {
    context.out.list(items)?;
    note_more(context, next);
    Ok(())
}

/// Says that a list goes on behind what was printed, and how to see that.
fn note_more(context: &Context, next: &str) {
    if !next.is_empty() {
        context.out.note(&format!("More follow: --after {next}"));
    }
}

/// Runs what the command line asks for. The runtime is built here, and the future boxed: if the executable awaited it,
/// everything below would be compiled twice.
pub fn main() -> ExitCode {
    // One worker beside the main thread: the console draws on one and is connected by the other, and idles cheaply.
    let work: LocalBoxFuture<'_, ExitCode> = Box::pin(work());
    match Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => CliError::io("the runtime")(error).report(asks_for_json()),
    }
}

async fn work() -> ExitCode {
    if let Some(proposals) = complete::proposals(Cli::command()) {
        let told = proposals.map_err(CliError::io("completions")).and_then(|text| print(&text));
        return told.map_or_else(|error| error.report(false), |()| ExitCode::SUCCESS);
    }
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Wrong::Line(error)) => return explain(&error),
        Err(Wrong::Blank(name)) => return CliError::Usage(blank(&name)).report(asks_for_json()),
    };
    let out = Out::new(cli.output, cli.wide);
    run(cli, out.clone()).await.unwrap_or_else(|error| error.report(out.is_json()))
}

/// What is wrong with a command line.
#[derive(Debug)]
enum Wrong {
    Line(clap::Error),
    /// This has an empty value, as of a variable that is not set: it would mean everything.
    Blank(String),
}

fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, Wrong> {
    let command = Cli::command();
    let matches = command.clone().try_get_matches_from(line).map_err(Wrong::Line)?;
    match find_blank(&command, &matches) {
        Some(name) => Err(Wrong::Blank(name)),
        None => Cli::from_arg_matches(&matches).map_err(Wrong::Line),
    }
}

fn blank(name: &str) -> String {
    format!("{name} has an empty value: give one, or leave it out; --help tells more")
}

/// The argument whose value is empty.
fn find_blank(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if !matches.try_contains_id(id).is_ok_and(|is_there| is_there)
            || matches.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let values = matches.try_get_raw(id).ok().flatten();
        if values.is_some_and(|mut values| values.any(|value| value.to_string_lossy().trim().is_empty())) {
            return Some(argument.get_long().map_or_else(|| id.to_uppercase(), |long| format!("--{long}")));
        }
    }
    let (name, matches) = matches.subcommand()?;
    find_blank(command.find_subcommand(name)?, matches)
}

async fn run(cli: Cli, out: Out) -> Result<ExitCode, CliError> {
    let Cli { server, profile, network, command, read_only, ascii, plain, color, .. } = cli;
    let wanted = Wanted { profile, reach: network.reach(server), color, ascii, plain, read_only };
    // Read where they are needed: what helps to mend them must work without.
    let context = || -> Result<Context, CliError> {
        Ok(Context { reach: Config::load_for_command()?.choose(wanted.clone())?.reach, out: out.clone() })
    };
    let done = match command {
        None => {
            let session = settings::session_path();
            let options = console::ConsoleOptions { config: Config::load()?, wanted, session };
            return Ok(console::run(options).await?);
        }
        Some(Command::Demo(options)) => return demo::run(options, Config::load()?).await,
        Some(Command::Config(verb)) => verb.run(&out),
        Some(Command::Completions { shell, is_static }) => completions(shell, is_static),
        Some(Command::Man { directory }) => {
            write_manual(&directory).map_err(CliError::io("writing the manual"))
        }
        Some(Command::Company(verb)) => verb.run(&context()?).await,
        Some(Command::IntakeKey(verb)) => verb.run(&context()?).await,
        Some(Command::Integration(verb)) => verb.run(&context()?).await,
        Some(Command::Flow(verb)) => verb.run(&context()?).await,
        Some(Command::Form(verb)) => verb.run(&context()?).await,
        Some(Command::Lead(verb)) => verb.run(&context()?).await,
        Some(Command::Delivery(verb)) => verb.run(&context()?).await,
        Some(Command::Job(verb)) => verb.run(&context()?).await,
        Some(Command::Attempt(verb)) => verb.run(&context()?).await,
        Some(Command::Token(verb)) => verb.run(&context()?).await,
        Some(Command::Audit(verb)) => verb.run(&context()?).await,
        Some(Command::Failure(verb)) => verb.run(&context()?).await,
        Some(Command::Activity(activity)) => activity.run(&context()?).await,
        Some(Command::System(verb)) => verb.run(&context()?).await,
        Some(Command::Notice(verb)) => verb.run(&context()?).await,
        Some(Command::Watch(watch)) => watch.run(&context()?).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn completions(shell: Shell, is_static: bool) -> Result<(), CliError> {
    if !is_static {
        return print(&complete::script(shell).map_err(CliError::io("completions"))?);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "leadline", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn write_manual(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}

/// Help goes to stdout; a wrong command line gets one line on stderr, like every other error.
fn explain(error: &clap::Error) -> ExitCode {
    let rendered = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let told = print(&rendered);
            told.map_or_else(|error| error.report(false), |()| ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !asks_for_json() => {
            output::report(rendered.trim_end());
            ExitCode::from(2)
        }
        _ => CliError::Usage(one_line(&rendered)).report(asks_for_json()),
    }
}

/// Clap's message without its usage block, and with where to read on.
fn one_line(rendered: &str) -> String {
    let message = rendered.trim_start().trim_start_matches("error: ");
    let told: Vec<_> = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}; --help tells more", told.join(" ").replace(" tip: ", "; "))
}

/// What could not be parsed may still say in which form it wants the error.
fn asks_for_json() -> bool {
    says_json(std::env::args_os())
}

/// Whether a line asks for JSON, whatever else it says: what is no text at all may be what is wrong with it.
fn says_json(line: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<_> = line.map(|word| word.to_string_lossy().into_owned()).collect();
    words.iter().any(|word| matches!(word.as_str(), "-ojson" | "-o=json" | "--output=json"))
        || words.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json")
}

#[cfg(test)]
mod tests;
