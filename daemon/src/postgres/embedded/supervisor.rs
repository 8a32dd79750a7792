//! Starts the private server again when it is gone or was told to stop: nobody but its daemon has a say in that.

use std::{io, time::Duration};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{EmbeddedError, launch::Launch, launch::run, socket};

/// How often the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A server whose socket is so slow has not gone, it is only slow.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// For how long it is tried to start it again.
const RESTART_PATIENCE: Duration = Duration::from_secs(30);
const GAP_MIN: Duration = Duration::from_millis(100);
const GAP_MAX: Duration = Duration::from_secs(5);
/// A server that ran for so long has started well.
const STEADY: Duration = Duration::from_secs(60);

/// What has become of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Gone,
    /// Somebody told it to stop: it serves those who are connected and lets nobody in.
    Stopping,
}

/// Watches over the server of a cluster.
#[derive(Debug)]
pub struct Supervisor {
    launch: Launch,
    patience: Duration,
    gap: Duration,
    started: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(launch: Launch) -> Self {
        Self { launch, patience: RESTART_PATIENCE, gap: GAP_MIN, started: None }
    }

    /// The same, which gives up after this time.
    #[must_use]
    pub fn giving_up_after(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Keeps the server running until told to stop. An error is the end of it: it could not be started again.
    pub async fn keep_running(mut self, stop: CancellationToken) -> Result<(), EmbeddedError> {
        let watch = async {
            loop {
                sleep(LOOK_EVERY).await;
                if let Some(loss) = self.look().await {
                    self.restart(loss).await?;
                }
            }
        };
        stop.run_until_cancelled(watch).await.unwrap_or(Ok(()))
    }

    async fn look(&self) -> Option<Loss> {
        if self.launch.layout.noted().is_some_and(|noted| noted.is_stopping) {
            return Some(Loss::Stopping);
        }
        match timeout(LOOK_PATIENCE, UnixStream::connect(socket(&self.launch.socket_dir))).await {
            Ok(Err(error)) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::ConnectionReset
            )
            .then_some(Loss::Gone),
            Ok(Ok(_)) | Err(_) => None,
        }
    }

    async fn restart(&mut self, loss: Loss) -> Result<(), EmbeddedError> {
        let lost = Instant::now();
        match loss {
            Loss::Gone => {
                tracing::error!(event = "postgres_gone", "the private PostgreSQL is gone: starting it again")
            }
            Loss::Stopping => {
                tracing::error!(
                    event = "postgres_stopped",
                    "the private PostgreSQL was told to stop: starting it again"
                );
                self.finish_stopping().await;
            }
        }
        if self.started.is_none_or(|started| started.elapsed() > STEADY) {
            self.gap = GAP_MIN;
        }
        loop {
            sleep(self.gap).await;
            self.gap = (self.gap * 2).min(GAP_MAX);
            let started = tokio::select! {
                started = self.launch.start_once() => started,
                // Told to stop before its start was seen, it would never be ready.
                () = self.told_to_stop() => {
                    self.finish_stopping().await;
                    continue;
                }
            };
            match started {
                Ok(()) => break,
                Err(error) if lost.elapsed() > self.patience => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        event = "postgres_not_started",
                        error = &error as &dyn std::error::Error,
                        "the private PostgreSQL does not start yet"
                    );
                }
            }
        }
        self.started = Some(Instant::now());
        let after_ms = u64::try_from(lost.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(event = "postgres_recovered", after_ms, "the private PostgreSQL runs again");
        Ok(())
    }

    /// Ends once somebody has told the server to stop.
    async fn told_to_stop(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.launch.layout.noted().is_some_and(|noted| noted.is_stopping) {
                return;
            }
        }
    }

    /// A server that waits for its clients to leave would wait for us.
    async fn finish_stopping(&self) {
        let mut stop = self.launch.layout.account.command(&self.launch.server.program("pg_ctl"));
        stop.args(["stop", "-s", "-w", "-t", "30", "-m", "fast", "-D"]).arg(&self.launch.layout.data);
        if let Err(error) = run("pg_ctl stop", stop).await {
            // It may have ended meanwhile; starting it tells.
            tracing::debug!(%error, "the server that was stopping could not be told to hurry");
        }
    }
}
