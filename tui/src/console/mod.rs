//! The console: what `leadline` is without a command.

pub mod app;
pub mod data;
pub mod dialogs;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod keymap;
pub mod msg;
pub mod net;
#[cfg(test)]
mod readme;
pub mod runtime;
pub mod screen;
pub mod screens;
pub mod terminal;
pub mod theme;
pub mod widgets;

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use jiff::{Timestamp, tz::TimeZone};

use crate::client::{self, ClientError, Reach};
use app::App;
use app::shared::Setup;
use net::grpc::Daemon;
use runtime::Runtime;
use terminal::Screen;
use theme::{Depth, Theme};

/// How many colours to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// The terminal's sixteen, none if `NO_COLOR` is set.
    #[default]
    Auto,
    /// The terminal's sixteen, whatever `NO_COLOR` says.
    #[value(name = "16")]
    Ansi16,
    /// Softer shades, for terminals that have them.
    #[value(name = "256")]
    Ansi256,
    /// None: words, signs and reversed text only.
    Never,
}

/// How the console is to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the daemon is, and with what it is reached.
    pub reach: Reach,
    pub color: Color,
    /// Frames and signs in ASCII only.
    pub ascii: bool,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// Runs the console until it is quit.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
    if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(refuse(
            "the console needs a terminal; here use the commands, e.g. `leadline integration list`",
        ));
    }
    let target = match target(options.reach.server.as_deref()) {
        Ok(target) => target,
        Err(error) => return Ok(refuse(&error.to_string())),
    };
    let theme = Theme { depth: depth(options.color), ascii: options.ascii || is_ascii_locale() };
    let setup = Setup { target, read_only: options.read_only, zone: TimeZone::system() };
    let screen = Screen::enter()?;
    let size = screen.size()?;
    let app = App::new(setup, Timestamp::now(), size.width, size.height);
    Runtime::new(app, theme, screen).run(Daemon::new(options.reach)).await
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("leadline: {reason}");
    ExitCode::from(2)
}

/// Where the daemon is looked for, as the header shows it.
fn target(server: Option<&str>) -> Result<String, ClientError> {
    let places = client::candidates(server)?;
    Ok(places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
}

/// Whether the surroundings name a locale that has no signs beyond ASCII. Where none is named, UTF-8 is likelier.
fn is_ascii_locale() -> bool {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| !locale.to_lowercase().contains("utf"))
}

fn depth(color: Color) -> Depth {
    match color {
        Color::Auto if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => Depth::Mono,
        Color::Auto | Color::Ansi16 => Depth::Ansi16,
        Color::Ansi256 => Depth::Ansi256,
        Color::Never => Depth::Mono,
    }
}
