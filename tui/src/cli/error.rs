//! How a command fails: an exit code for scripts, a line for people, an object for `-o json`.

use std::{io, process::ExitCode};

use leadline_client::ClientError;
use serde_json::json;

use super::{hint, output::report};
use crate::{
    config::ConfigError,
    text::{display_text, json_text},
};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The daemon refused or is away.
    #[error("{error}{hint}", error = .0, hint = hint::after(.0))]
    Client(#[from] ClientError),
    /// The daemon went away from something that goes on with it.
    #[error("{error}; {rest}")]
    Left { error: ClientError, rest: String },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The settings file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was asked for was done and came to nothing.
    #[error("{0}")]
    Failed(String),
    /// Something on this machine failed.
    #[error("{doing}: {cause}")]
    Io { doing: String, cause: io::Error },
    /// The console broke.
    #[error("{0:#}")]
    Console(#[from] anyhow::Error),
}

impl CliError {
    /// Wraps an error of the operating system with what we were doing.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { doing: doing.into(), cause }
    }

    /// The exit code that scripts rely on.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) | Self::Left { error, .. } => error.exit_code(),
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Failed(_) | Self::Io { .. } | Self::Console(_) => 1,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Client(error) | Self::Left { error, .. } => error.code(),
            Self::Usage(_) | Self::Config(_) => "usage",
            Self::Failed(_) | Self::Console(_) => "failed",
            Self::Io { .. } => "io",
        }
    }

    /// A reader that went away, as `head` does, wants to hear no more from us.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Tells what went wrong on stderr, in one line, and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        report(&self.line(json));
        ExitCode::from(self.exit_code())
    }

    fn line(&self, json: bool) -> String {
        let message = self.to_string();
        if json {
            let mut error = json!({ "code": self.code(), "message": message });
            if let Self::Client(client) = self
                && let Some(why) = client.why()
            {
                error["reason"] = json!(why.reason);
            }
            json_text(&json!({ "error": error }).to_string()).into_owned()
        } else {
            format!("leadline: {}", display_text(&message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_never_steers_the_terminal() {
        let error = CliError::Failed("it said \x1b[2J\nand more".to_owned());
        assert_eq!(error.line(false), r"leadline: it said \u{1b}[2J\u{a}and more");
        let line = error.line(true);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object, json!({"error": {"code": "failed", "message": "it said \x1b[2J\nand more"}}));
        assert!(!line.contains('\n'));
    }

    #[test]
    fn exit_codes() {
        let io = |kind: io::ErrorKind| CliError::io("write")(io::Error::from(kind));
        assert_eq!(CliError::Usage(String::new()).exit_code(), 2);
        assert_eq!(CliError::Failed(String::new()).exit_code(), 1);
        assert_eq!(io(io::ErrorKind::NotFound).exit_code(), 1);
        assert!(io(io::ErrorKind::BrokenPipe).is_broken_pipe());
    }
}
