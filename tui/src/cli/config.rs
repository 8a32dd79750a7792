//! `leadline config`: the settings file of whoever calls it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Out, print};
use crate::config::{self, Config, ConfigError};
use crate::text::display_block;

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Write a settings file with everything that can be set, commented out
    Init,
    /// Where the settings file is
    Path,
    /// The settings that are in force
    Print,
}

impl ConfigVerb {
    /// Does it; no daemon is needed.
    pub(super) fn run(self, out: &Out) -> Result<(), CliError> {
        let path = config::path()?;
        match self {
            Self::Init => {
                if let Some(directory) = path.parent() {
                    fs::create_dir_all(directory)
                        .map_err(CliError::io(format!("cannot make {}", directory.display())))?;
                }
                let open = OpenOptions::new().write(true).create_new(true).open(&path);
                let written = open.and_then(|mut file| file.write_all(config::sample().as_bytes()));
                written.map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => CliError::Failed(format!(
                        "{} is there already: edit it, or take it away first",
                        path.display()
                    )),
                    _ => CliError::io(format!("cannot write {}", path.display()))(error),
                })?;
                if out.is_json() {
                    out.object(&json!({"path": path}))
                } else {
                    print(&format!("{}\n", path.display()))
                }
            }
            Self::Path if out.is_json() => out.object(&json!({"path": path})),
            Self::Path => print(&format!("{}\n", path.display())),
            Self::Print if out.is_json() => out.object(&Config::load()?),
            Self::Print => {
                let loaded = Config::load();
                if let Err(ConfigError::NoToml { path, .. }) = &loaded {
                    // Nothing of it is in force: what stands there is what helps.
                    print(&display_block(&fs::read_to_string(path).unwrap_or_default()))?;
                }
                let text = loaded?.text();
                print(
                    &text.map_err(|error| {
                        CliError::Failed(format!("the settings cannot be printed: {error}"))
                    })?,
                )
            }
        }
    }
}
