//! The running parts of a daemon: started one upon another, stopped in reverse, and none may end by itself.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, anyhow};
use futures::future::select_all;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What runs, in the order in which it was started.
#[derive(Debug, Default)]
pub(super) struct RunningParts {
    tracker: TaskTracker,
    running: Vec<RunningPart>,
}

#[derive(Debug)]
struct RunningPart {
    name: &'static str,
    stop: CancellationToken,
    grace: Duration,
    handle: JoinHandle<anyhow::Result<()>>,
}

impl RunningParts {
    /// Starts a part. It ends soon after its token is cancelled, and is cut off when `grace` is over.
    pub(super) fn start<F>(
        &mut self,
        name: &'static str,
        grace: Duration,
        part: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let handle = self.tracker.spawn(part(stop.clone()));
        self.running.push(RunningPart { name, stop, grace, handle });
    }

    /// Waits for a part that ends although nobody stopped it, and tells why.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        if self.running.is_empty() {
            std::future::pending::<()>().await;
        }
        let (ended, index, _) = select_all(self.running.iter_mut().map(|part| &mut part.handle)).await;
        let name = self.running.remove(index).name;
        match ended {
            Ok(Ok(())) => anyhow!("{name} ended by itself"),
            Ok(Err(error)) => error.context(format!("{name} failed")),
            Err(error) => anyhow!(error).context(format!("{name} panicked")),
        }
    }

    /// Stops everything, the last started first, each part wholly before the next. The answer is the first failure.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let mut first_failure = Ok(());
        while let Some(part) = self.running.pop() {
            let name = part.name;
            if let Err(error) = part.stop().await {
                tracing::error!(event = "part_stop_failed", "stopping {name}: {error:#}");
                first_failure = first_failure.and(Err(error));
            }
        }
        first_failure
    }
}

impl RunningPart {
    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        match timeout(self.grace, &mut self.handle).await {
            Ok(Ok(ended)) => ended.with_context(|| format!("{} failed", self.name)),
            Ok(Err(error)) => Err(anyhow!(error).context(format!("{} panicked", self.name))),
            Err(_) => {
                self.handle.abort();
                Err(anyhow!("{} did not stop within {} s", self.name, self.grace.as_secs()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn parts_stop_in_reverse_each_wholly_before_the_next() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut parts = RunningParts::default();
        for name in ["control", "dispatch", "intake"] {
            let order = Arc::clone(&order);
            parts.start(name, GRACE, |stop| async move {
                stop.cancelled().await;
                order.lock().unwrap().push(format!("{name} stops"));
                tokio::task::yield_now().await;
                order.lock().unwrap().push(format!("{name} stopped"));
                Ok(())
            });
        }
        parts.stop().await.unwrap();
        let expected = ["intake", "dispatch", "control"]
            .map(|name| [format!("{name} stops"), format!("{name} stopped")]);
        assert_eq!(*order.lock().unwrap(), expected.concat());
    }

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_named() {
        async fn end(how: &str) -> anyhow::Result<()> {
            match how {
                "fails" => Err(anyhow!("no more")),
                "panics" => panic!("no more"),
                _ => Ok(()),
            }
        }
        for (how, expected) in [
            ("returns", "dispatch ended by itself"),
            ("fails", "dispatch failed: no more"),
            ("panics", "dispatch panicked: task"),
        ] {
            let mut parts = RunningParts::default();
            parts.start("control", GRACE, |stop| async move {
                stop.cancelled().await;
                Ok(())
            });
            parts.start("dispatch", GRACE, |_| end(how));
            let error = format!("{:#}", parts.ended().await);
            assert!(error.starts_with(expected), "{error}");
            parts.stop().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_part_that_does_not_stop_is_cut_off() {
        let mut parts = RunningParts::default();
        parts.start("intake", Duration::ZERO, |_| std::future::pending());
        let error = parts.stop().await.unwrap_err();
        assert_eq!(error.to_string(), "intake did not stop within 0 s");
    }
}
