//! How far a call has come, so that a deadline that passes while connecting is not taken for one that passes after
//! the request left.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tower::{Layer, Service};

tokio::task_local! {
    static CURRENT: Progress;
}

/// Whether a call is still connecting. A call that takes a pooled connection never is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    /// Runs a call and follows its connector.
    pub(super) fn track<F: Future>(&self, call: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), call)
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn is_current(&self) -> bool {
        CURRENT.try_with(|current| Arc::ptr_eq(&current.0, &self.0)).unwrap_or(false)
    }
}

/// Puts the watch around the connector.
#[derive(Clone, Debug)]
pub(super) struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched(connector)
    }
}

/// A connector that notes while it runs.
#[derive(Clone, Debug)]
pub(super) struct Watched<S>(S);

impl<S, D> Service<D> for Watched<S>
where
    S: Service<D>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: D) -> Self::Future {
        let mut connecting = Box::pin(self.0.call(target));
        let Ok(progress) = CURRENT.try_with(Clone::clone) else { return connecting };
        Box::pin(poll_fn(move |cx| {
            let polled = connecting.as_mut().poll(cx);
            // When a pooled connection becomes free first, the call takes that one, and this goes on in the
            // background: then it no longer tells how far the call has come.
            progress.0.store(polled.is_pending() && progress.is_current(), Ordering::Relaxed);
            polled
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{FutureExt, future::pending};

    use super::*;

    #[tokio::test]
    async fn a_call_connects_only_while_its_own_connector_runs() {
        let connecting = Progress::default();
        let mut connector = Watch.layer(tower::service_fn(|()| pending::<Result<(), Infallible>>()));
        assert!(connecting.track(async { connector.call(()).await }).now_or_never().is_none());
        assert!(connecting.is_connecting());

        let connected = Progress::default();
        let mut connector = Watch.layer(tower::service_fn(|()| async { Ok::<_, Infallible>(()) }));
        assert!(connected.track(async { connector.call(()).await }).now_or_never().is_some());
        assert!(!connected.is_connecting());

        let pooled = Progress::default();
        let mut connector = Watch.layer(tower::service_fn(|()| pending::<Result<(), Infallible>>()));
        let mut abandoned = pooled.track(futures::future::lazy(|_| connector.call(()))).await;
        assert!(pooled.track(async { futures::poll!(&mut abandoned).is_pending() }).await);
        assert!(pooled.is_connecting());
        // The pool had a connection first, and the connector goes on elsewhere.
        assert!(futures::poll!(&mut abandoned).is_pending());
        assert!(!pooled.is_connecting());
    }
}
