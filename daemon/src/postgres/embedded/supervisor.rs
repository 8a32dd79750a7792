//! Starts the private server again when it is gone or was told to stop: nobody but its daemon has a say in that.

use std::{io, time::Duration};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{EmbeddedError, launch::Launch, socket};
use crate::telemetry;

/// How often it is read whether somebody told the server to stop.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait before a line that hung up is opened anew.
const LINE_GAP: Duration = Duration::from_millis(500);
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
                let loss = self.lost().await;
                self.restart(loss).await?;
            }
        };
        stop.run_until_cancelled(watch).await.unwrap_or(Ok(()))
    }

    /// Ends once the server is lost. A connection on which nothing is said hangs up when the server ends; looking by a
    /// new connection each time would have the server start a process for each look.
    async fn lost(&self) -> Loss {
        loop {
            let line =
                match timeout(LOOK_PATIENCE, UnixStream::connect(socket(&self.launch.socket_dir))).await {
                    Ok(Err(error)) if is_gone(&error) => return Loss::Gone,
                    Ok(line) => line.ok(),
                    Err(_) => None,
                };
            tokio::select! {
                () = hung_up(line) => sleep(LINE_GAP).await,
                () = self.told_to_stop() => return Loss::Stopping,
            }
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
                        error = telemetry::causes(&error),
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
        while !self.launch.layout.noted().is_some_and(|noted| noted.is_stopping) {
            sleep(LOOK_EVERY).await;
        }
    }

    /// A server that waits for its clients to leave would wait for us.
    async fn finish_stopping(&self) {
        if let Err(error) = self.launch.stop_server().await {
            // It may have ended meanwhile; starting it tells.
            tracing::debug!(
                error = telemetry::causes(&error),
                "the server that was stopping could not be told to hurry"
            );
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::ConnectionReset
    )
}

/// Ends when the other end of a line does; at once if there is none.
async fn hung_up(line: Option<UnixStream>) {
    let Some(line) = line else { return };
    let mut byte = [0];
    // A server that is not spoken to says nothing: whatever there is to read is the end.
    while let Err(error) = line.readable().await.and_then(|()| line.try_read(&mut byte)) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return;
        }
    }
}
