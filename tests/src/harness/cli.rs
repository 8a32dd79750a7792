//! The real `leadline`, run as a script runs it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::child::leadline;

/// A shell's view of one daemon: commands in, exit codes and texts out.
#[derive(Clone, Debug)]
pub struct Cli {
    socket: PathBuf,
}

/// What a command left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it told beside.
    pub stderr: String,
}

impl Ran {
    /// Its stdout as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The one line, for people, of a command that failed with this exit code.
    pub fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        let line = self.stderr.strip_suffix('\n').and_then(|line| line.strip_prefix("leadline: "));
        line.filter(|line| !line.contains('\n')).unwrap_or_else(|| panic!("not one line: {self:?}"))
    }
}

impl Cli {
    /// Commands for the daemon at this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The command with these arguments, without anything of this process's surroundings.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(leadline());
        command.args(args).env("LEADLINE_SERVER", format!("unix:{}", self.socket.display()));
        command.env_remove("LEADLINE_DATA_DIR").env_remove("LEADLINE_PROFILE").env("TZ", "UTC");
        // A file with no settings in it, whatever whoever runs the tests has set for themselves.
        command.env("LEADLINE_CONFIG", "/dev/null").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).spawn().unwrap()).await
    }

    /// Runs a command to its end, with this on its stdin.
    pub async fn run_with(&self, stdin: &str, args: &[&str]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).await.unwrap();
        ran(child).await
    }

    /// What a command that does its work prints with `-o json`.
    pub async fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat()).await;
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{args:?}: {ran:?}");
        ran.json()
    }
}

async fn ran(child: tokio::process::Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
