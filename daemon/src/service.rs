//! What the service manager is told, where there is one: systemd's notify protocol. Elsewhere nothing happens.

use std::{future::pending, time::Duration};

use crate::telemetry;

use sd_notify::NotifyState;

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
