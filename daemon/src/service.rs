//! What the service manager is told, where there is one: systemd's notify protocol. Elsewhere nothing happens.

use std::{future::pending, pin::pin, time::Duration};

use sd_notify::NotifyState;
use tokio::time::timeout;

use crate::telemetry;

/// How long the service manager waits for the next word of a daemon that starts, in microseconds.
const START_WAIT: u32 = 60_000_000;
/// How often it gets one, where it does not say how often it wants to hear of a daemon.
const START_WORD: Duration = Duration::from_secs(20);

/// Carries out a start, and has the service manager wait for it beyond the time that it gives. A migration of large tables
/// may take longer, and one that is ended midway begins anew: it would never be over.
pub async fn awaited<T>(start: impl Future<Output = T>) -> T {
    let gap = sd_notify::watchdog_enabled().map_or(START_WORD, rhythm);
    let mut start = pin!(start);
    loop {
        match timeout(gap, start.as_mut()).await {
            Ok(started) => return started,
            Err(_) => send(&[NotifyState::ExtendTimeoutUsec(START_WAIT)]),
        }
    }
}

/// How often whoever waits so long hears that a daemon is alive.
fn rhythm(limit: Duration) -> Duration {
    (limit / 3).max(Duration::from_millis(10))
}

/// The daemon is ready to work.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The daemon has begun to stop.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Tells the service manager that the daemon is alive, as often as it wants to hear it. It runs beside everything else
/// on the daemon's own runtime: a runtime that stands still is silent, and is restarted.
pub async fn stay_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return pending().await };
    let mut ticks = tokio::time::interval(rhythm(limit));
    loop {
        ticks.tick().await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(
            event = "service_manager_unreachable",
            error = telemetry::causes(&error),
            "the service manager cannot be told how the daemon is"
        );
    }
}
