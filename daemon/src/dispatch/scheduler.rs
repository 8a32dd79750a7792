//! The scheduler: comes back to deliveries that are final, in this daemon's lanes: runs of the sweep, and jobs.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    coming_back::{continue_job, continue_sweep},
    membership::DaemonLease,
    tasks::caught,
};
use crate::{
    store::{
        Error, Store,
        queue::{
            stranded::Position,
            sweep::{LaneWork, Task},
        },
    },
    telemetry,
};

/// How often it looks, at most and at least.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// How long to rest after a look that found nothing to do: each beat tells if there is something.
const REST: Duration = Duration::from_secs(30);
/// So many lanes are looked after side by side, so that a slow one holds up no other. Each takes a connection.
const TASKS_MAX: usize = 4;
/// How often a part of the deliveries is looked at, and how long to rest once all were.
const MEND: Duration = Duration::from_secs(5);
const MEND_REST: Duration = Duration::from_secs(600);

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
        let every = (self.sweep_interval / 4).clamp(LOOK_MIN, LOOK_MAX);
        let mut look = interval(every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mend = interval(MEND);
        mend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut position = Position::default();
        let wake_ups = Arc::clone(self.store.wake_ups());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = mend.tick() => {
                    position = self.mend(position).await;
                    if position == Position::default() {
                        mend.reset_after(MEND_REST);
                    }
                    continue;
                }
                _ = look.tick() => {}
                () = wake_ups.tasks.notified() => {}
            }
            match self.look_after(&stop).await {
                Ok(true) => {}
                // Where sweeps follow each other faster than beats, nobody else tells in time.
                Ok(false) => look.reset_after(if every < LOOK_MAX { every } else { REST }),
                Err(error) => tracing::warn!(
                    event = "sweep_look_failed",
                    error = telemetry::causes(&error),
                    "the look for what to sweep failed; trying again"
                ),
            }
        }
    }

    /// Looks whether the next deliveries stand where their states say. Answers where to go on; the beginning once all
    /// were looked at.
    async fn mend(&self, position: Position) -> Position {
        if !self.lease.is_trusted() {
            return position;
        }
        match self.store.mend(position).await {
            Ok(mended) => {
                for (what, count) in [
                    ("stranded", mended.stranded),
                    ("missing", mended.missing),
                    ("ghost", mended.ghosts),
                    ("miscounted", mended.miscounted),
                ] {
                    if count > 0 {
                        metrics::counter!("leadline_mended_total", "what" => what).increment(count);
                        tracing::error!(
                            event = "queue_mended",
                            what,
                            count,
                            "the queue was not as it should be, and was mended"
                        );
                    }
                }
                mended.next.unwrap_or_default()
            }
            Err(error) => {
                tracing::warn!(
                    event = "queue_look_failed",
                    error = telemetry::causes(&error),
                    "the look at the queue failed; trying again"
                );
                position
            }
        }
    }

    /// Does what is to be done now. Answers whether there was anything.
    async fn look_after(&self, stop: &CancellationToken) -> Result<bool, Error> {
        if !self.lease.is_trusted() {
            return Ok(true);
        }
        let tasks = self.store.tasks().await?;
        let is_busy = !tasks.is_empty();
        let own = tasks.into_iter().filter(|task| self.lease.owns(task.lane));
        let run = stream::iter(own).for_each_concurrent(TASKS_MAX, |task| async move {
            if stop.is_cancelled() {
                return;
            }
            // One lane's trouble is not another's.
            if let Some(Err(error)) = caught("sweep or job", self.run_task(task)).await {
                tracing::warn!(event = "lane_tending_failed", error = telemetry::causes(&error), integration = %task.lane.integration, "a lane could not be looked after; trying again");
            }
        });
        run.await;
        Ok(is_busy)
    }

    async fn run_task(&self, task: Task) -> Result<(), Error> {
        let Task { lane, work } = task;
        match work {
            LaneWork::StartSweep => self.store.start_sweep(lane).await,
            LaneWork::ContinueSweep => continue_sweep(&self.store, lane).await,
            LaneWork::ContinueJob(job) => continue_job(&self.store, lane, job).await,
        }
    }
}
