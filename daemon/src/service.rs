//! What the service manager is told, where there is one: systemd's notify protocol. Elsewhere nothing happens.

use std::{future::pending, pin::pin, time::Duration};

use crate::telemetry;

use sd_notify::NotifyState;

/// How often the service manager is asked for more time while the daemon starts.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long it waits for the next word then, in microseconds.
const MORE_TIME: u32 = 60_000_000;

/// Starts, and asks the service manager to wait for as long as that takes: a migration takes the time that a large table
/// takes, and waits for who holds one. A start that stands still asks for nothing, and is given up.
pub async fn wait_for_start<T>(start: impl Future<Output = T>) -> T {
    let mut start = pin!(start);
    loop {
        match tokio::time::timeout(ASKED_EVERY, start.as_mut()).await {
            Ok(started) => return started,
            Err(_) => send(&[NotifyState::ExtendTimeoutUsec(MORE_TIME)]),
        }
    }
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
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(10)));
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
