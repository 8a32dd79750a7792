//! The steward: comes back to deliveries that are final, in this daemon's lanes: visits of the sweep and jobs.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::membership::Life;
use crate::store::{
    Error, Store,
    queue::sweep::{Errand, Task},
};

/// How often it looks, at most and at least.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// So many lanes are looked after side by side, so that a slow one holds up no other. Each takes a connection.
const ERRANDS_MAX: usize = 4;

/// Looks after what is final.
#[derive(Debug)]
pub(super) struct Steward {
    pub(super) store: Store,
    pub(super) life: Arc<Life>,
    pub(super) sweep_interval: Duration,
}

impl Steward {
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
        if !self.life.is_trusted() {
            return Ok(());
        }
        let errands = self.store.errands().await?;
        let own = errands.into_iter().filter(|errand| self.life.owns((errand.company, errand.integration)));
        let run = stream::iter(own).for_each_concurrent(ERRANDS_MAX, |errand| async move {
            if stop.is_cancelled() {
                return;
            }
            // One lane's trouble is not another's.
            if let Err(error) = self.run_errand(errand).await {
                tracing::warn!(error = &error as &dyn std::error::Error, integration = %errand.integration, "a lane could not be looked after; trying again");
            }
        });
        run.await;
        Ok(())
    }

    async fn run_errand(&self, errand: Errand) -> Result<(), Error> {
        let Errand { company, integration, task } = errand;
        match task {
            Task::Visit => self.store.visit(company, integration).await,
            Task::Sweep => self.store.go_on_sweeping(company, integration).await,
            Task::Job(job) => self.store.go_on_with_job(company, integration, job).await,
        }
    }
}
