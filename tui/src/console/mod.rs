//! The console: what `leadline` is without a command.

pub mod app;
mod clipboard;
pub mod data;
pub mod dialogs;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod keymap;
mod lend;
pub mod msg;
pub mod net;
#[cfg(test)]
mod readme;
pub mod runtime;
pub mod screen;
pub mod screens;
pub mod session;
mod sleep;
pub mod terminal;
pub mod theme;
pub mod widgets;

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use leadline_client::{self as client, ClientError, Reach};
use serde::{Deserialize, Serialize};

use crate::config::{Config, EffectiveSettings, Wanted};
use app::App;
use app::shared::Setup;
use net::grpc::GrpcDaemon;
use net::{Dial, Other};
use runtime::{ConsoleEnd, Runtime};
use session::Store;
use terminal::ConsoleTerminal;
use theme::{Depth, Theme};

/// How many colours to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// The terminal's sixteen, none if `NO_COLOR` is set.
    #[default]
    Auto,
    /// The terminal's sixteen, whatever `NO_COLOR` says.
    #[value(name = "16")]
    #[serde(rename = "16")]
    Ansi16,
    /// Softer shades, for terminals that have them.
    #[value(name = "256")]
    #[serde(rename = "256")]
    Ansi256,
    /// None, and nothing faint: weight, underlines and reversed text.
    Contrast,
    /// None: words, signs and reversed text only.
    Never,
}

/// How the console is to run.
#[derive(Clone, Debug, Default)]
pub struct ConsoleOptions {
    pub config: Config,
    /// What the command line asks for; another profile may be asked for later.
    pub wanted: Wanted,
    /// Where it is remembered what was looked at; nowhere, if none.
    pub session: Option<PathBuf>,
}

/// Runs the console until it is quit; another profile starts it anew.
pub async fn run(options: ConsoleOptions) -> anyhow::Result<ExitCode> {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
    if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(refuse(
            "the console needs a terminal; here use the commands, e.g. `leadline integration list`",
        ));
    }
    let ConsoleOptions { config, mut wanted, session } = options;
    let mut integration = None;
    loop {
        let choice = match config.choose(wanted.clone()) {
            Ok(choice) => choice,
            Err(error) => return Ok(refuse(&error.to_string())),
        };
        match once(&config, choice, session.as_deref(), integration).await? {
            ConsoleEnd::Code(code) => return Ok(code),
            // The line's own server and token were meant for the daemon before.
            ConsoleEnd::Profile(destination) => {
                integration = destination.integration;
                wanted = Wanted { profile: Some(destination.profile), reach: Reach::default(), ..wanted };
            }
        }
    }
}

/// Runs it with one daemon, and opens an integration of it if one is named.
async fn once(
    config: &Config,
    choice: EffectiveSettings,
    session: Option<&Path>,
    integration: Option<String>,
) -> anyhow::Result<ConsoleEnd> {
    let target = match target(choice.reach.server.as_deref()) {
        Ok(target) => target,
        Err(error) => return Ok(ConsoleEnd::Code(refuse(&error.to_string()))),
    };
    let ascii = choice.ascii.unwrap_or_else(is_ascii_locale);
    let theme = Theme { depth: depth(choice.color), ascii, plain: choice.plain };
    let store = session.filter(|_| config.remember).map(|path| Store::new(path, &target));
    let others: Vec<Other> = config
        .others(choice.profile.as_deref(), choice.reach.server.as_deref())
        .into_iter()
        .map(|(profile, reach)| (profile, Arc::new(GrpcDaemon::new(reach)) as Arc<dyn Dial>))
        .collect();
    let setup = Setup {
        server: choice.reach.server.clone(),
        profile: choice.profile,
        profiles: config.profiles(),
        others: others.iter().map(|(profile, _)| profile.clone()).collect(),
        keymap: config.keymap().clone(),
        commands: config.commands(),
        read_only: choice.read_only,
        careful: choice.careful,
        mouse: config.mouse,
        plain: choice.plain,
        zone: TimeZone::system(),
        target,
    };
    let mut screen = ConsoleTerminal::enter()?;
    if config.mouse {
        screen.listen_to_mouse(true)?;
    }
    let size = screen.size()?;
    let mut app = App::new(setup, Timestamp::now(), size.width, size.height);
    if let Some(session) = store.as_ref().and_then(Store::read) {
        app.recall(session);
    }
    app.awaited = integration;
    Runtime::new(app, theme, screen, store).run(GrpcDaemon::new(choice.reach), others).await
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
        Color::Contrast => Depth::Contrast,
        Color::Never => Depth::Mono,
    }
}
