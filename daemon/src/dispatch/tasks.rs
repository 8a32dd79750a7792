//! Tasks that dispatch starts: they belong to a tracker, end with the grace of a stop, and a panic in one is noticed.

use std::{future::Future, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    /// Ends what the tracker follows: the grace of a stop is over.
    pub(super) abandon: CancellationToken,
}

impl Tasks {
    pub(super) fn spawn(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let work = self.abandon.clone().run_until_cancelled_owned(work);
        self.tracker.spawn(async move {
            if let Some(None) = caught(task, work).await {
                tracing::debug!(task, "a task was abandoned");
            }
        });
    }
}

/// What work comes to; none if it panicked. The daemon's panic hook has counted and told that; nobody else is the worse for it.
pub(super) async fn caught<T>(task: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await.ok();
    if done.is_none() {
        tracing::error!(event = "task_panicked", task, "a task panicked: please report it");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        assert_eq!(caught("test", async { 1 }).await, Some(1));
        assert_eq!(caught("test", async { panic!("no more") }).await, None::<()>);
    }
}
