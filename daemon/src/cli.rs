//! What `leadlined` is asked to do, read from its arguments: to run, or one of the things that keep a daemon well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::config::{Config, ConfigError, ConfigSettings};

/// The Leadline daemon: takes leads in, maps them, pushes them to every integration.
#[derive(Debug, Parser)]
#[command(name = "leadlined", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// A TOML file with the same settings in snake_case: flags and environment win over it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: ConfigSettings,
    #[command(subcommand)]
    act: Option<Act>,
}

/// What else there is to do than to run.
#[derive(Clone, Debug, Subcommand)]
pub enum Act {
    /// Check the settings, or change nothing
    #[command(subcommand, name = "config")]
    Config(ConfigAct),
    /// Look at all that a daemon needs, and say what to do about what is wrong
    Doctor,
    /// Write the private database to a file, while the daemon runs or not; `-` is stdout
    Backup {
        /// A file that is not there yet, or `-`
        file: PathBuf,
    },
    /// Make the private database from a backup, in a data directory that has none; `-` is stdin
    Restore {
        /// A backup, or `-`
        file: PathBuf,
    },
    /// The key under which secrets are sealed
    #[command(subcommand)]
    MasterKey(MasterKeyAct),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page into a directory
    #[command(hide = true)]
    Man {
        /// Where the page goes
        directory: PathBuf,
    },
}

/// What to do with the settings.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigAct {
    /// Read flags, environment and file as the daemon would, and say whether they are right
    Check,
}

/// What to do with the master key.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum MasterKeyAct {
    /// Make a new key and seal everything anew, while daemons run or not; again, it finishes what was broken off
    Rotate,
}

/// Reads the process's arguments and environment, and the file that they name. Help and version are printed and end the
/// process right here.
pub fn from_process() -> Result<(Option<Act>, Config), ConfigError> {
    match Args::try_parse() {
        Ok(args) => args.read(),
        Err(error) if error.use_stderr() => Err(ConfigError::Usage(in_one_line(&error))),
        Err(help) => help.exit(),
    }
}

impl Args {
    pub(crate) fn read(self) -> Result<(Option<Act>, Config), ConfigError> {
        Ok((self.act, Config::read(self.settings, self.config.as_deref())?))
    }
}

/// Prints the completions of a shell.
pub fn print_completions(shell: Shell, out: &mut dyn io::Write) {
    generate(shell, &mut Args::command(), "leadlined", out);
}

/// Writes the manual page into a directory.
pub fn write_manual(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut page = fs::File::create(directory.join("leadlined.8"))?;
    Man::new(Args::command()).section("8").render(&mut page)
}

/// The page of the docs on all settings.
#[must_use]
pub fn settings_page() -> String {
    let mut page = String::from(
        "# Settings of leadlined\n\n\
         Made from the daemon's own definitions and held equal to them by a test. Flags win over environment variables, \
         which win over the file that `--config` names; there a setting has the name of its flag in snake_case.\n\n\
         | Flag | In the file | Environment | Means |\n|---|---|---|---|\n",
    );
    let command = Args::command();
    let is_setting =
        |argument: &&clap::Arg| !["help", "version", "config"].contains(&argument.get_id().as_str());
    for argument in command.get_arguments().filter(is_setting) {
        let flag = argument.get_long().unwrap_or_default();
        let values: Vec<_> =
            argument.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
        let environment =
            argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let means = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let means =
            means.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;");
        page.push_str(&format!(
            "| `--{flag} {}` | `{}` | {environment} | {means} |\n",
            values.join(" ").replace('|', "\\|"),
            argument.get_id(),
        ));
    }
    page
}

/// What clap says over several lines, without the usage at its end.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let reported =
        text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let reported: Vec<_> = reported.flat_map(str::split_whitespace).collect();
    let reported = reported.join(" ");
    reported.strip_prefix("error: ").unwrap_or(&reported).to_owned()
}
