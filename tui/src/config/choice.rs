//! Which daemon is meant and how the console is to look: the command line first, then the profile, then the file.

use std::env;
use std::path::{Path, PathBuf};

use leadline_client::Reach;

use super::{Config, ConfigError, Profile};
use crate::console::Color;
/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub profile: Option<String>,
    pub reach: Reach,
    pub color: Option<Color>,
    pub ascii: bool,
    pub plain: bool,
    pub read_only: bool,
}

/// What is in force.
#[derive(Clone, Debug, Default)]
pub struct EffectiveSettings {
    pub profile: Option<String>,
    pub reach: Reach,
    pub color: Color,
    /// None: the locale decides.
    pub ascii: Option<bool>,
    pub plain: bool,
    pub read_only: bool,
    pub careful: bool,
}

impl Config {
    /// What is in force for this command line, in these surroundings.
    pub fn choose(&self, wanted: Wanted) -> Result<EffectiveSettings, ConfigError> {
        self.choose_among(wanted, |name| env::var(name).ok(), home())
    }

    fn choose_among(
        &self,
        wanted: Wanted,
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<EffectiveSettings, ConfigError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let Wanted { profile, mut reach, color, ascii, plain, read_only } = wanted;
        let is_elsewhere = || {
            reach.server.is_some()
                || ["LEADLINE_SERVER", "LEADLINE_DATA_DIR"].into_iter().any(|name| set(name).is_some())
        };
        // A token of one daemon must not be shown to another: a profile is used whole, or not at all.
        let name = match profile.or_else(|| set("LEADLINE_PROFILE").filter(|_| reach.server.is_none())) {
            Some(name) => Some(name),
            None if is_elsewhere() => None,
            None => self.profile.clone(),
        };
        let found = match &name {
            Some(name) => Some(self.profiles.get(name).ok_or_else(|| self.no_profile(name))?),
            None => None,
        };
        if let Some(profile) = found {
            self.reach(profile, &mut reach, home.as_deref());
        }
        let color = color.or_else(|| found.and_then(|it| it.color)).or(self.color).unwrap_or_default();
        let read_only = read_only || self.read_only || found.is_some_and(|it| it.read_only);
        let careful = self.careful || found.is_some_and(|it| it.careful);
        let ascii = ascii.then_some(true).or(self.ascii);
        let plain = plain || self.plain;
        Ok(EffectiveSettings { profile: name, reach, color, ascii, plain, read_only, careful })
    }

    /// How the daemons of the other profiles are reached, each by what its profile says and nothing else.
    pub fn others(&self, profile: Option<&str>, server: Option<&str>) -> Vec<(String, Reach)> {
        let is_other = |name: &str, it: &Profile| Some(name) != profile && Some(&*it.server) != server;
        let reach = |it: &Profile| {
            let mut reach = Reach { is_whole: true, ..Reach::default() };
            self.reach(it, &mut reach, home().as_deref());
            reach
        };
        let others = self.profiles.iter().filter(|(name, it)| is_other(name, it));
        others.map(|(name, it)| (name.clone(), reach(it))).collect()
    }

    fn reach(&self, profile: &Profile, reach: &mut Reach, home: Option<&Path>) {
        let path = |path: &Option<PathBuf>| path.as_deref().map(|path| self.resolve(path, home));
        reach.server = Some(profile.server.clone());
        if reach.token.is_none() && reach.token_file.is_none() {
            reach.token_file = path(&profile.token_file);
        }
        reach.ca = reach.ca.take().or_else(|| path(&profile.ca));
        if reach.client_cert.is_none() && reach.client_key.is_none() {
            (reach.client_cert, reach.client_key) = (path(&profile.client_cert), path(&profile.client_key));
        }
    }

    fn resolve(&self, path: &Path, home: Option<&Path>) -> PathBuf {
        at_home(path, home).unwrap_or_else(|| self.directory.join(path))
    }
}

/// A path of a command line that no shell has read yet.
pub(crate) fn typed_path(path: &str) -> PathBuf {
    at_home(Path::new(path), home().as_deref()).unwrap_or_else(|| PathBuf::from(path))
}

/// What a path that begins with `~` means.
fn at_home(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    Some(home?.join(path.strip_prefix("~").ok()?))
}

fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "profile = \"prod\"\ncolor = \"256\"\n[profiles.prod]\nserver = \"https://p:1\"\n\
                        token_file = \"~/token\"\nca = \"ca.pem\"\nread_only = true\ncareful = true\n[profiles.test]\n\
                        server = \"unix:/t\"\ncolor = \"never\"\n";

    fn chosen(wanted: Wanted, variables: &[(&str, &str)]) -> Result<EffectiveSettings, String> {
        let config = Config::parse(TEXT, Path::new("/etc/leadline/config.toml")).unwrap();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        config.choose_among(wanted, variable, Some("/users/ana".into())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_line_wins_over_the_surroundings_and_these_over_the_file() {
        let server = |choice: EffectiveSettings| choice.reach.server;
        let none = Wanted::default;
        let named = |name: &str| Wanted { profile: Some(name.to_owned()), ..none() };
        let by_server = || Wanted { reach: Reach::at(Some("unix:/s".to_owned())), ..none() };
        let variables = [("LEADLINE_SERVER", "unix:/v"), ("LEADLINE_PROFILE", "test")];
        assert_eq!(server(chosen(none(), &[]).unwrap()).as_deref(), Some("https://p:1"));
        assert_eq!(server(chosen(named("test"), &[]).unwrap()).as_deref(), Some("unix:/t"));
        assert_eq!(server(chosen(named("prod"), &variables).unwrap()).as_deref(), Some("https://p:1"));
        assert_eq!(server(chosen(none(), &variables).unwrap()).as_deref(), Some("unix:/t"));
        assert_eq!(server(chosen(by_server(), &variables).unwrap()).as_deref(), Some("unix:/s"));
        assert_eq!(server(chosen(none(), &variables[..1]).unwrap()), None, "the client reads the variable");
        let error = chosen(named("no"), &[]).unwrap_err();
        assert_eq!(error, "there is no profile no: choose one of prod, test");
    }

    #[test]
    fn a_profile_brings_its_credentials_and_never_to_another_daemon() {
        let choice = chosen(Wanted::default(), &[]).unwrap();
        assert_eq!(choice.reach.token_file, Some("/users/ana/token".into()));
        assert_eq!(choice.reach.ca, Some("/etc/leadline/ca.pem".into()));
        assert!(choice.read_only && choice.careful && choice.color == Color::Ansi256);
        let elsewhere =
            chosen(Wanted { reach: Reach::at(Some("https://x:1".to_owned())), ..Wanted::default() }, &[]);
        let elsewhere = elsewhere.unwrap();
        assert!(elsewhere.reach.token_file.is_none() && elsewhere.reach.ca.is_none());
        assert!(!elsewhere.read_only && !elsewhere.careful, "it was said of another daemon");
        let token = Reach { token: Some("llt_x".to_owned()), ..Reach::default() };
        let choice = chosen(Wanted { reach: token, ..Wanted::default() }, &[]).unwrap();
        assert!(choice.reach.token_file.is_none(), "the line's token is the one");
        let test = Wanted { profile: Some("test".to_owned()), ..Wanted::default() };
        assert_eq!(chosen(test, &[]).unwrap().color, Color::Never);
        let config = Config::parse(TEXT, Path::new("/etc/leadline/config.toml")).unwrap();
        let others = |profile, server| {
            let all = config.others(profile, server).into_iter();
            all.map(|(name, reach)| (name, reach.is_whole, reach.ca)).collect::<Vec<_>>()
        };
        let prod = ("prod".to_owned(), true, Some("/etc/leadline/ca.pem".into()));
        let test = ("test".to_owned(), true, None);
        assert_eq!(others(Some("prod"), Some("https://p:1")), std::slice::from_ref(&test));
        assert_eq!(
            others(None, Some("unix:/t")),
            std::slice::from_ref(&prod),
            "the same daemon by another way"
        );
        assert_eq!(others(None, None), [prod, test]);
    }
}
