//! What people set for themselves: a TOML file with colours, keys, commands of their own, and a profile for each daemon
//! that they work with.

mod choice;
mod sample;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::console::Color;
use crate::console::keymap::{Action, Clash, Keymap, NoKey, Press};

pub(crate) use choice::typed_path;
pub use choice::{EffectiveSettings, Wanted};
pub use sample::sample;

/// Names another file than the usual one.
pub const FILE_VARIABLE: &str = "LEADLINE_CONFIG";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {cause}", path = .path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Wrong { path: PathBuf, line: usize, reason: String },
    #[error(
        "{path}:{line}: this is no TOML: {reason}; correct that line, or move the file away and have `leadline config \
         init` write another",
        path = .path.display()
    )]
    NoToml { path: PathBuf, line: usize, reason: String },
    #[error("there is no profile {name}: {known}")]
    NoProfile { name: String, known: String },
    #[error("there is no directory for settings here: set {FILE_VARIABLE} to a file")]
    NoPlace,
}

/// The settings file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The profile that is used where none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ascii: Option<bool>,
    /// Whether the console draws no frames and bars.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
    /// Whether the console listens to the mouse; else the terminal keeps it for its own selection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mouse: bool,
    pub read_only: bool,
    /// Whether something is typed before each change.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub careful: bool,
    /// Whether the console opens where it was left.
    pub remember: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    keys: BTreeMap<Action, Spanned<Keys>>,
    #[serde(rename = "command", skip_serializing_if = "Vec::is_empty")]
    commands: Vec<Spanned<OwnCommand>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    profiles: BTreeMap<String, Profile>,
    #[serde(skip)]
    keymap: Keymap,
    /// Where relative paths of the file start.
    #[serde(skip)]
    directory: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: None,
            color: None,
            ascii: None,
            plain: false,
            mouse: false,
            read_only: false,
            careful: false,
            remember: true,
            keys: BTreeMap::new(),
            commands: Vec::new(),
            profiles: BTreeMap::new(),
            keymap: Keymap::default(),
            directory: PathBuf::new(),
        }
    }
}

/// A command of the reader's own, carried out on what is selected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnCommand {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeySetting>,
    /// A line for `sh`; what is selected stands in its environment.
    pub run: String,
    /// Asked before, and not there while the console is read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dangerous: bool,
    /// Whether its output stays until Enter is pressed.
    #[serde(default = "yes")]
    pub wait: bool,
}

const fn yes() -> bool {
    true
}

/// How one daemon is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub careful: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
}

/// The keys of an action: some, with blanks between, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Keys(Vec<Press>);

/// Why a text names no keys of an action.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("no key is named: write one, or \"none\"")]
    Empty,
    #[error(transparent)]
    NoKey(#[from] NoKey),
}

impl TryFrom<String> for Keys {
    type Error = KeysError;

    fn try_from(text: String) -> Result<Self, KeysError> {
        match text.trim() {
            "none" => Ok(Self(Vec::new())),
            "" => Err(KeysError::Empty),
            some => Ok(Self(some.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)),
        }
    }
}

impl From<Keys> for String {
    fn from(keys: Keys) -> Self {
        if keys.0.is_empty() {
            return "none".to_owned();
        }
        keys.0.into_iter().map(Press::name).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct KeySetting(Press);

impl TryFrom<String> for KeySetting {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        text.parse().map(Self)
    }
}

impl From<KeySetting> for String {
    fn from(key: KeySetting) -> Self {
        key.0.name()
    }
}

/// The settings file: the one that is named, or the usual one.
pub fn path() -> Result<PathBuf, ConfigError> {
    named().or_else(usual).ok_or(ConfigError::NoPlace)
}

fn named() -> Option<PathBuf> {
    env::var_os(FILE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn usual() -> Option<PathBuf> {
    ProjectDirs::from("", "", "leadline").map(|dirs| dirs.config_dir().join("config.toml"))
}

/// Where the console remembers what was looked at; none where there is no such place.
pub fn session_path() -> Option<PathBuf> {
    Some(state_folder()?.join("console.json"))
}

/// The folder for what the console keeps by itself.
pub fn state_folder() -> Option<PathBuf> {
    let dirs = ProjectDirs::from("", "", "leadline")?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned())
}

impl Config {
    /// Reads the settings; only a file that was named must be there.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_as(Self::parse)
    }

    /// The same for a command, which has no keys and is not stopped by keys that the console refuses.
    pub fn load_for_command() -> Result<Self, ConfigError> {
        Self::load_as(Self::parse_without_keys)
    }

    fn load_as(parse: impl FnOnce(&str, &Path) -> Result<Self, ConfigError>) -> Result<Self, ConfigError> {
        let named = named();
        let Some(path) = named.clone().or_else(usual) else { return Ok(Self::default()) };
        match fs::read_to_string(&path) {
            Ok(text) => parse(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(cause) => Err(ConfigError::Unreadable { path, cause }),
        }
    }

    /// Reads the text of a settings file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::parse_without_keys(text, path)?;
        config.keymap =
            config.bind().map_err(|clash| wrong(text, path, config.span(clash.action), clash.reason))?;
        Ok(config)
    }

    /// The same, with our own keys.
    fn parse_without_keys(text: &str, path: &Path) -> Result<Self, ConfigError> {
        if let Err(error) = toml::from_str::<toml::Table>(text) {
            let (path, line) = (path.to_owned(), line_of(text, error.span()));
            return Err(ConfigError::NoToml { path, line, reason: one_line(error.message()) });
        }
        let wrong = |at, reason| wrong(text, path, at, reason);
        let mut config: Self =
            toml::from_str(text).map_err(|error| wrong(error.span(), one_line(error.message())))?;
        if let Some(name) = config.profile.as_ref().filter(|name| !config.profiles.contains_key(*name)) {
            let at = text.find("profile").map(|at| at..at);
            return Err(wrong(at, config.no_profile(name).to_string()));
        }
        config.directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(config)
    }

    fn bind(&self) -> Result<Keymap, Clash> {
        let keys = self.keys.iter().map(|(action, keys)| (*action, keys.get_ref().0.clone())).collect();
        let own = self.commands.iter().map(Spanned::get_ref);
        Keymap::with(&keys, own.map(|it| (it.name.clone(), it.key.as_ref().map(|key| key.0))))
    }

    fn span(&self, action: Action) -> Option<Range<usize>> {
        match action {
            Action::Own(at) => self.commands.get(at).map(Spanned::span),
            action => self.keys.get(&action).map(Spanned::span),
        }
    }

    /// The keys of this run.
    pub const fn keymap(&self) -> &Keymap {
        &self.keymap
    }

    /// The commands of the reader's own, in the order of the file.
    pub fn commands(&self) -> Vec<OwnCommand> {
        self.commands.iter().map(|it| it.get_ref().clone()).collect()
    }

    /// The names of the profiles.
    pub fn profiles(&self) -> Vec<String> {
        self.profiles.keys().cloned().collect()
    }

    fn no_profile(&self, name: &str) -> ConfigError {
        let known = match self.profiles().join(", ") {
            none if none.is_empty() => "the settings name none, `leadline config init` shows how".to_owned(),
            some => format!("choose one of {some}"),
        };
        ConfigError::NoProfile { name: name.to_owned(), known }
    }

    /// The settings as they are in force, as a file would say it.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// What is wrong here in a settings file.
fn wrong(text: &str, path: &Path, at: Option<Range<usize>>, reason: String) -> ConfigError {
    ConfigError::Wrong { path: path.to_owned(), line: line_of(text, at), reason }
}

/// The line in which something stands.
fn line_of(text: &str, at: Option<Range<usize>>) -> usize {
    let before = text.get(..at.map_or(0, |at| at.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/users/ana/.config/leadline/config.toml";

    fn parsed(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new(PATH)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_keys_commands_and_profiles() {
        let text = "color = \"256\"\nprofile = \"prod\"\n\n[keys]\nretry = \"f5 r\"\nwrap = \"none\"\n\n[[command]]\n\
                    name = \"ticket\"\nkey = \"J\"\nrun = \"ticket $SELECTED_LEAD\"\n\n[profiles.prod]\n\
                    server = \"https://leads.example:7443\"\ntoken_file = \"token\"\nread_only = true\n";
        let config = parsed(text).unwrap();
        let shown = |action| config.keymap().line(action).map(|line| line.shown.to_string());
        assert_eq!(shown(Action::Retry).as_deref(), Some("F5 r"));
        assert_eq!(shown(Action::Wrap).as_deref(), Some(""));
        assert_eq!(shown(Action::Own(0)).as_deref(), Some("J"));
        assert_eq!(config.color, Some(Color::Ansi256));
        assert_eq!(config.profiles(), ["prod"]);
        assert!(config.commands()[0].wait && !config.commands()[0].dangerous);
        // What is printed can be read again.
        let again = parsed(&config.text().unwrap()).unwrap();
        assert_eq!((again.commands(), &again.profiles), (config.commands(), &config.profiles));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let colours = "`auto`, `16`, `256`, `contrast`, `never`";
        let known = "`profile`, `color`, `ascii`, `plain`, `mouse`, `read_only`, `careful`, `remember`, `keys`, `command`, `profiles`";
        for (text, line, reason) in [
            ("\ncolour = 1\n", 2, format!("unknown field `colour`, expected one of {known}")),
            ("color = \"pink\"\n", 1, format!("unknown variant `pink`, expected one of {colours}")),
            ("[keys]\nwrap = \"\"\n", 2, "no key is named: write one, or \"none\"".to_owned()),
            (
                "\n\n[keys]\nretry = \"x\"\nevidence = \"x\"\n",
                5,
                "`x` would be both retry and evidence: give one of them another key, or \"none\"".to_owned(),
            ),
            (
                "[[command]]\nname = \"call\"\nrun = \"call\"\nkey = \"2\"\n",
                1,
                "`2` is \"failures by cause\" for everybody: give \"call\" another key, or \"none\""
                    .to_owned(),
            ),
            (
                "[keys]\nwrap = \"none\"\npalette = \"none\"\n",
                3,
                "this leaves no way to the palette: give palette a key".to_owned(),
            ),
            (
                "[keys]\nwrap = \":\"\n\n[[command]]\nname = \"call\"\nkey = \"?\"\nrun = \"call\"\n",
                2,
                "this leaves no way to the palette and the help: give palette a key".to_owned(),
            ),
            ("[keys]\nback = \"b\"\n", 2, "its keys are the same for everybody: take it out".to_owned()),
            (
                "\nprofile = \"prod\"\n",
                2,
                "there is no profile prod: the settings name none, `leadline config init` shows how"
                    .to_owned(),
            ),
            ("[profiles.prod]\ncolor = \"16\"\n", 1, "missing field `server`".to_owned()),
        ] {
            assert_eq!(parsed(text).unwrap_err(), format!("{PATH}:{line}: {reason}"), "{text}");
        }
        assert!(parsed("[keys]\nretry = \"alt-r\"\n").unwrap_err().contains(":2: `alt-r` is no key"));
        assert!(parsed("[keys]\nretri = \"r\"\n").unwrap_err().contains(":2: unknown variant `retri`"));
        assert!(parsed("color = \n").unwrap_err().starts_with(&format!("{PATH}:1: ")));
    }

    #[test]
    fn commands_go_on_where_the_console_refuses_its_keys() {
        for keys in ["palette = \"none\"", "retry = \"x\"\nevidence = \"x\"", "back = \"b\""] {
            let text = format!("[profiles.prod]\nserver = \"unix:/x\"\n\n[keys]\n{keys}\n");
            assert!(parsed(&text).is_err(), "{keys}");
            let config = Config::parse_without_keys(&text, Path::new(PATH)).unwrap();
            assert_eq!(config.profiles(), ["prod"], "{keys}");
        }
    }

    #[test]
    fn the_sample_names_every_key_and_changes_nothing() {
        let commented = sample();
        assert!(parsed(&commented).unwrap().profiles().is_empty());
        // And what it shows is right once the marks are taken away.
        let bare: String = commented
            .lines()
            .filter(|line| !line.starts_with("# "))
            .map(|line| format!("{}\n", line.trim_start_matches('#')))
            .collect();
        let config = parsed(&bare).unwrap_or_else(|error| panic!("{error}\n{bare}"));
        for line in Keymap::default().iter().filter(|line| !line.shown.is_empty()) {
            let Some(name) = line.action.name() else { continue };
            assert!(commented.contains(&format!("#{name} = ")), "{name}");
            let set = config.keymap().line(line.action).map(|it| it.keys.clone());
            assert_eq!(set, Some(line.keys.clone()), "{name}");
        }
    }
}
