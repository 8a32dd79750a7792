//! The scheduler: comes back to deliveries that are final, in this daemon's lanes: runs of the sweep, and jobs.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::membership::DaemonLease;
use crate::store::{
    Error, Store,
    queue::sweep::{Task, Work},
};

/// How often it looks, at most and at least.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// So many lanes are looked after side by side, so that a slow one holds up no other. Each takes a connection.
const TASKS_MAX: usize = 4;

/// Looks after what is final.
#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) store: Store,
    pub(super) lease: Arc<DaemonLease>,
    pub(super) sweep_interval: Duration,
}

impl Scheduler {
    /// Runs until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut look = interval((self.sweep_interval / 4).clamp(LOOK_MIN, LOOK_MAX));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hub = Arc::clone(self.store.hub());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
                () = hub.jobs.notified() => {}
            }
            if let Err(error) = self.look_after(&stop).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the look for what to sweep failed; trying again"
                );
            }
        }
    }

    async fn look_after(&self, stop: &CancellationToken) -> Result<(), Error> {
        if !self.lease.is_trusted() {
            return Ok(());
        }
        let tasks = self.store.tasks().await?;
        let own = tasks.into_iter().filter(|task| self.lease.owns((task.company, task.integration)));
        let run = stream::iter(own).for_each_concurrent(TASKS_MAX, |task| async move {
            if stop.is_cancelled() {
                return;
            }
            // One lane's trouble is not another's.
            if let Err(error) = self.run_task(task).await {
                tracing::warn!(error = &error as &dyn std::error::Error, integration = %task.integration, "a lane could not be looked after; trying again");
            }
        });
        run.await;
        Ok(())
    }

    async fn run_task(&self, task: Task) -> Result<(), Error> {
        let Task { company, integration, work } = task;
        match work {
            Work::StartSweep => self.store.start_sweep(company, integration).await,
            Work::ContinueSweep => self.store.continue_sweep(company, integration).await,
            Work::ContinueJob(job) => self.store.continue_job(company, integration, job).await,
        }
    }
}
