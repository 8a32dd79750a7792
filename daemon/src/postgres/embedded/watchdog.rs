//! Stops the private server when the daemon is gone, however it went: a shell that reads a pipe whose only writing end
//! the daemon holds. The kernel closes that end even after SIGKILL.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    process::{Child, Stdio},
};

use super::{EmbeddedError, account::Account};

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

/// The running watchdog. Dropping it makes it act, without waiting for it.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts to watch a cluster. `lock` stays locked until the watchdog has done its work: it is handed over as an
    /// open file, so that the next daemon on this directory can wait for an old server to be gone.
    pub(super) fn start(
        account: &Account,
        pg_ctl: &Path,
        cluster: &Path,
        remove: Option<&Path>,
        lock: File,
        log: &Path,
    ) -> Result<Self, EmbeddedError> {
        use std::os::unix::process::CommandExt as _;

        let start = || -> io::Result<Child> {
            let log = OpenOptions::new().append(true).open(log)?;
            account
                .command(Path::new("/bin/sh"))
                .args(["-c", SCRIPT, "leadline-watchdog"])
                .args([pg_ctl, cluster, remove.unwrap_or(Path::new(""))])
                .stdin(Stdio::piped())
                .stdout(lock)
                .stderr(log)
                .process_group(0)
                .spawn()
        };
        start().map(|shell| Self { shell }).map_err(EmbeddedError::Watchdog)
    }

    /// Lets it do its work now, and waits until the server is gone.
    pub(super) async fn stop(mut self) -> Result<(), EmbeddedError> {
        let wait = move || {
            drop(self.shell.stdin.take());
            self.shell.wait()
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
