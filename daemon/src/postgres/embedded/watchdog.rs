//! Stops the private server when the daemon is gone, however it went: a shell that reads a pipe whose only writing end
//! the daemon holds. The kernel closes that end even after SIGKILL.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{EmbeddedError, launch::Launch};

/// `$1` pg_ctl, `$2` the cluster, `$3` a directory to remove afterwards or nothing.
///
/// The signals that end a terminal session or a service are for the daemon alone. A server that was only just being
/// started is found by the second attempt; it also ends, safely for the data, what will not stop in time.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _
"$1" stop -s -D "$2" -m fast -t 30 || { sleep 1; "$1" stop -s -D "$2" -m immediate -t 30; }
if "$1" status -D "$2" >/dev/null; then exit 1; fi
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// `$1` a directory to remove when the watchdog is gone, whose pipe is read for that.
const REMOVER: &str = r#"
trap '' HUP INT TERM
read -r _
rm -rf -- "$1"
"#;

/// The running watchdog. Dropping it makes it act, without waiting for it.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    /// What removes a throw-away directory, which is ours and not the server account's.
    remover: Option<Child>,
}

/// What becomes of directories when the server has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Afterwards<'a> {
    Keep,
    /// A directory that belongs to the server's account goes with the server.
    RemoveSocketDir(&'a Path),
    /// The whole data directory goes.
    RemoveAll(&'a Path),
}

impl Watchdog {
    /// Starts to watch a cluster. `lock` stays locked until the watchdog has done its work: it is handed over as an
    /// open file, so that the next daemon on this directory can wait for an old server to be gone.
    pub(super) fn start(
        launch: &Launch,
        afterwards: Afterwards<'_>,
        lock: File,
        log: File,
    ) -> Result<Self, EmbeddedError> {
        let start = || -> io::Result<Self> {
            let mut stdout = Stdio::from(lock);
            let mut remover = None;
            if let Afterwards::RemoveAll(directory) = afterwards {
                // Nobody waits for the lock of a throw-away directory, so the pipe takes its place.
                let (reader, writer) = io::pipe()?;
                stdout = writer.into();
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", REMOVER, "leadline-remover"]).arg(directory).current_dir("/");
                remover = Some(shell.stdin(reader).process_group(0).spawn()?);
            }
            let remove = match afterwards {
                Afterwards::RemoveSocketDir(directory) => directory,
                Afterwards::Keep | Afterwards::RemoveAll(_) => Path::new(""),
            };
            let mut shell = launch.layout.account.command(Path::new("/bin/sh"));
            shell
                .args(["-c", SCRIPT, "leadline-watchdog"])
                .arg(launch.server.program("pg_ctl"))
                .args([&*launch.layout.data, remove])
                .stdin(Stdio::piped())
                .stdout(stdout)
                .stderr(log)
                .process_group(0);
            // It reads what the server has written of itself.
            let shell = launch.sandbox().run(|| shell.spawn())?;
            Ok(Self { shell, remover })
        };
        start().map_err(EmbeddedError::Watchdog)
    }

    /// Lets it do its work now, and waits until the server is gone.
    pub(super) async fn stop(mut self) -> Result<(), EmbeddedError> {
        let wait = move || {
            drop(self.shell.stdin.take());
            let status = self.shell.wait()?;
            if let Some(remover) = &mut self.remover {
                remover.wait()?;
            }
            Ok(status)
        };
        let status = match tokio::task::spawn_blocking(wait).await {
            Ok(status) => status.map_err(EmbeddedError::Watchdog)?,
            Err(error) => return Err(EmbeddedError::Watchdog(io::Error::other(error))),
        };
        if status.success() {
            Ok(())
        } else {
            Err(EmbeddedError::Watchdog(io::Error::other(format!("the server still runs: {status}"))))
        }
    }

    /// Ends it without its work being done, as an operating system short of memory may.
    #[cfg(test)]
    pub(super) fn kill(&mut self) {
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
    }
}
