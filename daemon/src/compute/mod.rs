//! Work whose length is decided by what others wrote, beside the async workers and within a time.
//!
//! Conditions, templates and JSON are bounded, so nothing here should take long; but a mistake in a bound must cost one
//! delivery its push, and never the daemon. Each company has a share of the threads, so that one that keeps them busy
//! keeps others from nothing.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::available_parallelism,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};

use crate::{domain::ids::CompanyId, shares::Shares, telemetry};

/// How long a piece of work may run.
pub const TIME_MAX: Duration = Duration::from_secs(2);
/// How long it may wait for a thread.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The least number of threads, however few the cores.
const THREADS_MIN: usize = 4;
/// A company has at most one of so many threads.
const SHARE: usize = 4;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// It has not begun: others' work keeps all threads busy.
    #[error("no thread was free within {} s", WAIT_MAX.as_secs())]
    Busy,
    /// It still runs, and keeps its thread until it ends.
    #[error("it took longer than {} s", TIME_MAX.as_secs())]
    Late,
    #[error("it failed inside the daemon: its log says how")]
    Panicked,
}

/// Why a future did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub error: ComputeError,
    /// Whether a step of it had ended before: until then it has only computed.
    pub has_begun: bool,
}

/// The threads for such work.
#[derive(Clone, Debug)]
pub struct Compute {
    threads: Arc<Shares<CompanyId>>,
    time_max: Duration,
    wait_max: Duration,
}

impl Default for Compute {
    fn default() -> Self {
        Self::with_threads(
            available_parallelism().map_or(1, usize::from).max(THREADS_MIN),
            TIME_MAX,
            WAIT_MAX,
        )
    }
}

impl Compute {
    pub(crate) fn with_threads(threads: usize, time_max: Duration, wait_max: Duration) -> Self {
        let share = (threads / SHARE).max(1);
        Self { threads: Arc::new(Shares::new(threads, share)), time_max, wait_max }
    }

    /// Carries work of a company out.
    pub async fn run<T: Send + 'static>(
        &self,
        company: CompanyId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let place = timeout(self.wait_max, self.threads.take(company, 1)).await;
        let place = place.ok().flatten().ok_or(ComputeError::Busy)?;
        let running = spawn_blocking(move || {
            // Given back when the work has ended, and not when nobody waits for it any more.
            let _place = place;
            work()
        });
        match timeout(self.time_max, running).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(event = "computation_failed", error = telemetry::causes(&error), %company, "a computation failed");
                Err(ComputeError::Panicked)
            }
            Err(_) => {
                tracing::error!(event = "computation_stuck", %company, "a computation takes too long; its thread is left to it");
                Err(ComputeError::Late)
            }
        }
    }

    /// Carries a future of a company out, each step of it, from one wait to the next, as a piece of work. One that is
    /// given up goes no further than its next wait.
    pub async fn drive<T: Send + 'static>(
        &self,
        company: CompanyId,
        mut future: BoxFuture<'static, T>,
    ) -> Result<T, Unfinished> {
        let woken = Arc::new(Woken(Notify::new()));
        let mut has_begun = false;
        loop {
            let waker = Waker::from(Arc::clone(&woken));
            let step = move || {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                (future, polled)
            };
            let (rest, polled) =
                self.run(company, step).await.map_err(|error| Unfinished { error, has_begun })?;
            match polled {
                Poll::Ready(done) => return Ok(done),
                Poll::Pending => (future, has_begun) = (rest, true),
            }
            woken.0.notified().await;
        }
    }
}

/// Tells that a future may take its next step.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_company_that_keeps_its_threads_busy_keeps_no_other_waiting() {
        let compute = Compute::with_threads(4, SHORT, SHORT);
        let (hang, hung) = mpsc::channel::<()>();
        // It waits until the other end is dropped.
        let late = compute.run(CompanyId(1), move || hung.recv().is_err()).await;
        assert_eq!(late, Err(ComputeError::Late));
        let busy = compute.run(CompanyId(1), || ()).await;
        assert_eq!(busy, Err(ComputeError::Busy), "its share is taken until that one ends");
        for _ in 0..10 {
            assert_eq!(compute.run(CompanyId(2), || 1 + 1).await, Ok(2));
        }
        drop(hang);
        while compute.threads.free() < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(compute.run(CompanyId(1), || 3).await, Ok(3));
    }

    #[tokio::test]
    async fn a_future_is_carried_out_step_by_step_and_given_up_where_it_hangs() {
        let compute = Compute::with_threads(4, SHORT, SHORT);
        let (tell, reported) = oneshot::channel();
        let waits = async { reported.await.unwrap() + 1 };
        let both = tokio::join!(compute.drive(CompanyId(1), waits.boxed()), async { tell.send(1) });
        assert_eq!(both, (Ok(2), Ok(())));

        let (hang, hung) = mpsc::channel::<()>();
        let (reached, beyond) = oneshot::channel::<()>();
        let hangs = async move {
            tokio::task::yield_now().await;
            let is_free = hung.recv().is_err();
            tokio::task::yield_now().await;
            reached.send(()).map_or(is_free, |()| true)
        };
        let given_up = compute.drive(CompanyId(1), hangs.boxed()).await;
        assert_eq!(given_up, Err(Unfinished { error: ComputeError::Late, has_begun: true }));
        let busy = compute.drive(CompanyId(1), async {}.boxed()).await;
        assert_eq!(busy, Err(Unfinished { error: ComputeError::Busy, has_begun: false }));
        drop(hang);
        assert!(beyond.await.is_err(), "it went past its next wait");
    }

    #[tokio::test]
    async fn what_panics_says_so() {
        let compute = Compute::with_threads(1, LONG, LONG);
        let panicked = compute.run(CompanyId(1), || assert_eq!(1, 2)).await;
        assert_eq!(panicked, Err(ComputeError::Panicked));
        assert_eq!(panicked.unwrap_err().to_string(), "it failed inside the daemon: its log says how");
        assert_eq!(ComputeError::Late.to_string(), "it took longer than 2 s");
        assert_eq!(ComputeError::Busy.to_string(), "no thread was free within 10 s");
        assert_eq!(compute.run(CompanyId(1), || 3).await, Ok(3));
    }
}
